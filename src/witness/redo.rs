//! Whether a redo log is all there: how long the file is, and where the prepare said that it ends.
//!
//! `--prepare` takes a redo log that was cut short and ends with status 0, its data silently older (seen with mariadb-backup
//! 10.5.23, 10.11.19 and 11.8.6). Three things tell: the length of the file, which follows from its LSNs; the line
//! `InnoDB: End of log at LSN=` (10.11 and 11.8); and the flush LSN in the first page of `ibdata1` (10.5).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::model::Lsn;

/// The redo log inside a backup by mariabackup.
const LOG: &str = "ib_logfile0";
/// The system tablespace; the flush LSN is 8 bytes at offset 26 of its first page.
const SYSTEM_TABLESPACE: (&str, u64) = ("ibdata1", 26);
/// The first bytes of the log file: the number of its format, four others, and the LSN that it begins with.
pub(crate) const HEAD: usize = 16;

/// A format of log file: its number, the bytes before the first record, and the size of its blocks.
struct Format {
    number: u32,
    header: u64,
    block: u64,
}

/// The formats whose length was measured: 15 backups each of 10.5.23 ("PHYS"), and of 10.11.19 and 11.8.6 ("Phys"). A log of
/// another format (encrypted, say, or MySQL's) is not judged by its length.
const FORMATS: [Format; 2] = [
    Format { number: u32::from_be_bytes(*b"PHYS"), header: 2048, block: 512 },
    Format { number: u32::from_be_bytes(*b"Phys"), header: 12288, block: 1 },
];

/// Where the log file in `dir` is too short to hold the records up to `last`: its size, and the size it needs, in bytes.
pub(super) fn shortfall(dir: &Path, last: Lsn) -> Option<(u64, u64)> {
    let file = File::open(dir.join(LOG)).ok()?;
    let size = file.metadata().ok()?.len();
    let mut head = [0; HEAD];
    file.read_exact_at(&mut head, 0).ok()?;
    let needed = needed(head, last)?;
    (size < needed).then_some((size, needed))
}

/// The size of a log that holds the records up to `last`, by its first bytes; None if its format is not known or no file
/// has room for them.
pub(crate) fn needed(head: [u8; HEAD], last: Lsn) -> Option<u64> {
    let (number, rest) = head.split_first_chunk()?;
    let format = FORMATS.iter().find(|format| u32::from_be_bytes(*number) == format.number)?;
    let begin = u64::from_be_bytes(*rest.last_chunk()?) / format.block * format.block;
    let records = last.div_ceil(format.block).checked_mul(format.block)?.checked_sub(begin)?;
    format.header.checked_add(records)
}

/// Up to where a prepare read the redo log: what it said in one of `lines` behind `prefix`, or what it left in `work`.
pub(super) fn end(lines: &[String], prefix: &str, work: &Path) -> Option<Lsn> {
    said(lines, prefix).or_else(|| {
        let (name, offset) = SYSTEM_TABLESPACE;
        read_u64(&File::open(work.join(name)).ok()?, offset).filter(|lsn| *lsn > 0)
    })
}

pub(crate) fn said(lines: &[String], prefix: &str) -> Option<Lsn> {
    lines.iter().rev().find_map(|line| {
        let (_, behind) = line.split_once(prefix)?;
        behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}

fn read_u64(file: &File, offset: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{end, said, shortfall};

    const PREFIX: &str = "InnoDB: End of log at LSN=";

    #[test]
    fn the_end_of_the_redo_log_is_read_from_the_tools_words() {
        let line = |text: &str| text.to_owned();
        let lines = [line("2026-11-22  9:03:37 0 [Note] InnoDB: End of log at LSN=44760")];
        assert_eq!(said(&lines, PREFIX), Some(44760));
        assert_eq!(said(&[], PREFIX), None);
        assert_eq!(said(&[line("InnoDB: End of log at LSN=")], PREFIX), None);
    }

    #[test]
    fn a_tool_that_does_not_say_it_leaves_it_in_the_system_tablespace() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(end(&[], PREFIX, dir.path()), None);
        let mut page = vec![0; 16384];
        page[26..34].copy_from_slice(&405_041_u64.to_be_bytes());
        fs::write(dir.path().join("ibdata1"), &page).unwrap();
        assert_eq!(end(&[], PREFIX, dir.path()), Some(405_041));
        fs::write(dir.path().join("ibdata1"), vec![0; 16384]).unwrap();
        assert_eq!(end(&[], PREFIX, dir.path()), None, "current versions leave it 0");
    }

    #[test]
    fn a_log_that_is_shorter_than_its_lsns_is_known() {
        let dir = tempfile::tempdir().unwrap();
        let log = |magic: &[u8], size: usize| {
            let mut bytes = magic.to_vec();
            bytes.extend([0; 4]);
            bytes.extend(45_580_u64.to_be_bytes());
            bytes.resize(size, 0);
            fs::write(dir.path().join("ib_logfile0"), bytes).unwrap();
        };
        // The figures of one backup by 10.5.23, then the same LSNs as 10.11.19 and 11.8.6 lay them out.
        let needed = 2048 + 405_504 - 45_568;
        log(b"PHYS", needed);
        assert_eq!(shortfall(dir.path(), 405_041), None);
        log(b"PHYS", needed - 512);
        assert_eq!(shortfall(dir.path(), 405_041), Some((needed as u64 - 512, needed as u64)));
        let needed = 12288 + 405_041 - 45_580;
        log(b"Phys", needed);
        assert_eq!(shortfall(dir.path(), 405_041), None);
        log(b"Phys", needed - 1);
        assert_eq!(shortfall(dir.path(), 405_041), Some((needed as u64 - 1, needed as u64)));
        fs::write(dir.path().join("ib_logfile0"), b"Phys\0\0\0\0\0\0\0\0\0\0\0\0").unwrap();
        assert_eq!(shortfall(dir.path(), u64::MAX), None, "what no file can hold is no length to judge by");
        log(b"else", 100);
        assert_eq!(shortfall(dir.path(), 405_041), None, "an unknown format is not judged");
    }
}
