//! The redo log inside a backup: as long as its LSNs make it, as the real ones are.
//!
//! Its header says what format it has and with which LSN it begins, where MariaDB's say so; one byte of log is one LSN, in
//! whole blocks where the format has them. What the log says is not in it: the fake notes in the header up to where it was
//! written, and a log that lost bytes ends at the LSN up to which it is there.

use crate::log::Flavour;
use crate::metadata;

/// A block of the formats that have them, in bytes.
pub(crate) const BLOCK: usize = 512;

/// Where the header has the LSN that the log begins with, as MariaDB's do.
const FIRST: usize = 8;
/// Where the header has the LSN that the log was written up to: the fake's own.
const END: usize = 16;
/// What there must be of a header.
const LEAST: usize = 24;

/// How a log is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    magic: [u8; 4],
    header: u64,
    block: u64,
}

/// The formats, as they were measured with 10.5.23 and with 10.11.19 and 11.8.6. MySQL's number is 6; its lengths are made up.
const FORMATS: [Format; 3] = [
    Format { magic: *b"PHYS", header: 2048, block: BLOCK as u64 },
    Format { magic: *b"Phys", header: 12288, block: 1 },
    Format { magic: [0, 0, 0, 6], header: 2048, block: BLOCK as u64 },
];

impl Format {
    /// The format of this tool.
    pub(crate) fn of(flavour: Flavour, version: (u32, u32)) -> Self {
        let [old, new, mysql] = FORMATS;
        if metadata::is_percona_like(flavour, version) {
            mysql
        } else if version < (10, 8) {
            // MariaDB's release notes of 10.8 tell of the new one.
            old
        } else {
            new
        }
    }
}

/// What a redo log says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Redo {
    /// Where recovery begins.
    pub(crate) checkpoint: u64,
    /// Up to where it goes.
    pub(crate) end: u64,
}

impl Redo {
    /// The log.
    pub(crate) fn bytes(self, format: Format) -> Vec<u8> {
        let Format { magic, header, block } = format;
        let begin = self.checkpoint / block * block;
        let length = header + self.end.next_multiple_of(block) - begin;
        let mut bytes: Vec<u8> =
            [&magic[..], &[0; 4], &self.checkpoint.to_be_bytes(), &self.end.to_be_bytes()].concat();
        bytes.resize(usize::try_from(length).unwrap_or_default(), 0);
        bytes
    }

    /// The log without its last block, or without the last half of what it says.
    pub(crate) fn cut(self, format: Format) -> Vec<u8> {
        let mut bytes = self.bytes(format);
        let lost = format.block.max((self.end - self.checkpoint) / 2 + 1);
        bytes.truncate(bytes.len().saturating_sub(usize::try_from(lost).unwrap_or_default()));
        bytes
    }

    /// Reads a redo log; nothing where not even its header says anything.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..LEAST)?;
        let number = |at: usize| Some(u64::from_be_bytes(header.get(at..at + 8)?.try_into().ok()?));
        let Format { header: length, block, .. } =
            FORMATS.into_iter().find(|format| header.starts_with(&format.magic))?;
        let (checkpoint, end) = (number(FIRST)?, number(END)?);
        let there = (bytes.len() as u64).saturating_sub(length) / block * block;
        Some(Self { checkpoint, end: end.min(checkpoint / block * block + there).max(checkpoint) })
    }
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Format, Redo};
    use crate::log::Flavour;

    #[test]
    fn a_cut_redo_log_ends_lower() {
        let whole = Redo { checkpoint: 1000, end: 1090 };
        for (flavour, version) in
            [(Flavour::Mariabackup, (10, 5)), (Flavour::Mariabackup, (10, 11)), (Flavour::Xtrabackup, (8, 0))]
        {
            let format = Format::of(flavour, version);
            let bytes = whole.bytes(format);
            assert_eq!(Redo::parse(&bytes), Some(whole));
            for length in 0..bytes.len() {
                assert!(Redo::parse(&bytes[..length]).is_none_or(|cut| cut.end < 1090), "{length}");
            }
            assert!(Redo::parse(&whole.cut(format)).unwrap().end < 1090);
        }
    }

    #[test]
    fn its_length_is_that_of_the_real_ones() {
        let length = |version, redo: Redo| redo.bytes(Format::of(Flavour::Mariabackup, version)).len();
        let redo = Redo { checkpoint: 45_580, end: 405_041 };
        assert_eq!(length((10, 5), redo), 2048 + 405_504 - 45_568);
        assert_eq!(length((10, 5), redo) % BLOCK, 0);
        assert_eq!(length((11, 8), redo), 12288 + 405_041 - 45_580);
    }
}
