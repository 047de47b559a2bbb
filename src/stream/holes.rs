//! Holes of tables with page compression: where a stream's file need not be written.
//!
//! The server frees what a compressed page leaves of its place, and mariadb-backup sends it as zeros: its streams have no chunk for a hole.
//! mbstream leaves such zeros out again in a file whose first page says that pages are compressed (seen with 10.11.19), and so is it here. Other
//! files keep their zeros: the server has taken that room so as not to lack it later. A delta is gone when it is applied, so it needs none.

use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

/// What is written or left out as one, in bytes: a block of most file systems.
const BLOCK: usize = 4096;
/// A page of InnoDB, in bytes; that of another size only makes the estimate of [`Part::fills`] worse.
const PAGE: usize = 16 * 1024;
/// Where the first page of a tablespace has its flags (`FSP_HEADER_OFFSET` + `FSP_SPACE_FLAGS` of the server's `fsp0fsp.h`).
const FLAGS_AT: usize = 54;
/// Where a page has its type (`FIL_PAGE_TYPE`).
const TYPE_AT: usize = 24;

/// Which of a file's zeros are left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Zeros {
    /// None.
    #[default]
    Written,
    /// All: those of a tablespace with compressed pages, or of a delta.
    Left,
    /// The same, of the delta of a tablespace that may have compressed pages.
    LeftAndFilled,
}

/// A part of a file, by what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// What is to be written, in bytes of the part, in order.
    pub(super) data: Vec<Range<usize>>,
    /// How many bytes of holes are filled when this is applied to its tablespace: an apply writes pages in full (seen with mariadb-backup
    /// 10.11.19). The holes are taken to be as large as those of the pages that come.
    pub(super) fills: u64,
}

impl Zeros {
    /// Of a file that begins with these bytes.
    pub(super) fn of(path: &Path, beginning: &[u8]) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            // The system tablespace has no holes, though it has such pages in its doublewrite buffer.
            Some("delta")
                if path.file_stem().is_some_and(|file| Path::new(file).extension() == Some(OsStr::new("ibd"))) =>
            {
                Self::LeftAndFilled
            }
            Some("delta") => Self::Left,
            // A tablespace that was made while the tool copied is `.new`.
            Some("ibd" | "new") if has_compressed_pages(beginning) => Self::Left,
            _ => Self::Written,
        }
    }

    /// Looks at a part that begins at this byte of the file.
    pub(super) fn part(self, offset: u64, bytes: &[u8]) -> Part {
        let mut part = Part::default();
        if self == Self::Written {
            part.data.push(0..bytes.len());
            return part;
        }
        let mut at = 0;
        while at < bytes.len() {
            let (next, is_zero) = block(offset, at, bytes);
            match part.data.last_mut().filter(|last| last.end == at) {
                _ if is_zero => {
                    if self == Self::LeftAndFilled && is_of_compressed_page(offset, at, bytes) {
                        part.fills += (next - at) as u64;
                    }
                }
                Some(last) => last.end = next,
                None => part.data.push(at..next),
            }
            at = next;
        }
        part
    }
}

/// Where the block ends that has this byte, and whether it is zeros alone.
fn block(offset: u64, at: usize, bytes: &[u8]) -> (usize, bool) {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let behind = usize::try_from((offset + at as u64) % BLOCK as u64).unwrap_or_default();
    let next = (at + BLOCK - behind).min(bytes.len());
    let block = bytes.get(at..next).unwrap_or_default();
    (next, ZEROS.get(..block.len()) == Some(block))
}

/// Whether the page of a part that has this byte is compressed: a bit of its type says so, in either form of checksums
/// (`FIL_PAGE_COMPRESS_FCRC32_MARKER`, `FIL_PAGE_PAGE_COMPRESSED` of the server's `fil0fil.h`; no other type has it).
fn is_of_compressed_page(offset: u64, at: usize, bytes: &[u8]) -> bool {
    let behind = usize::try_from((offset + at as u64) % PAGE as u64).unwrap_or_default();
    let kind = at.checked_sub(behind).and_then(|page| bytes.get(page + TYPE_AT));
    kind.is_some_and(|kind| kind & 0x80 != 0)
}

/// Whether the first page of a tablespace says that its pages are compressed (`FSP_FLAGS_FCRC32_MASK_MARKER`, a bit for each algorithm, and
/// `FSP_FLAGS_POS_PAGE_COMPRESSION` of the older form, of `fsp0types.h`).
fn has_compressed_pages(beginning: &[u8]) -> bool {
    let flags = beginning.get(FLAGS_AT..).and_then(|bytes| bytes.first_chunk::<4>());
    let Some(flags) = flags.map(|flags| u32::from_be_bytes(*flags)) else { return false };
    let is_of_full_checksums = flags & 1 << 4 != 0;
    if is_of_full_checksums { flags >> 5 & 7 != 0 } else { flags >> 16 & 1 != 0 }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{BLOCK, PAGE, Part, Zeros};

    /// The first page of a tablespace with these flags.
    fn head(flags: u32) -> Vec<u8> {
        [vec![7; 54], flags.to_be_bytes().to_vec(), vec![7; 10]].concat()
    }

    #[test]
    fn zeros_are_left_out_where_the_head_says_that_pages_are_compressed() {
        for (path, flags, wanted) in [
            // As MariaDB 10.11.19 writes them: PAGE_COMPRESSED=1, and none; the same with innodb_checksum_algorithm=crc32.
            ("shop/a.ibd", 0x35, Zeros::Left),
            ("shop/a.ibd", 0x15, Zeros::Written),
            ("shop/a.new", 0x35, Zeros::Left),
            ("shop/a#P#p0.ibd", 0x0001_0021, Zeros::Left),
            ("shop/a.ibd", 0x21, Zeros::Written),
            ("shop/a.MAD", 0x35, Zeros::Written),
            ("ibdata1", 0x35, Zeros::Written),
            ("shop/a.ibd.delta", 0x15, Zeros::LeftAndFilled),
            ("ibdata1.delta", 0x15, Zeros::Left),
        ] {
            assert_eq!(Zeros::of(Path::new(path), &head(flags)), wanted, "{path} {flags:x}");
        }
        assert_eq!(Zeros::of(Path::new("a.ibd"), &head(0x35)[..57]), Zeros::Written);
    }

    #[test]
    fn a_hole_is_whole_blocks_of_zeros() {
        let mut bytes = vec![0; 6 * BLOCK + 100];
        bytes[BLOCK] = 1;
        bytes[3 * BLOCK - 1] = 1;
        bytes[4 * BLOCK] = 1;
        let data = |zeros: Zeros, offset| zeros.part(offset, &bytes).data;
        assert_eq!(data(Zeros::Left, 0), [BLOCK..3 * BLOCK, 4 * BLOCK..5 * BLOCK]);
        assert_eq!(data(Zeros::Written, 0), vec![0..bytes.len()]);
        // Blocks are those of the file, and the first of a part may be less.
        let first = BLOCK - 4000;
        assert_eq!(data(Zeros::Left, 4000), [first..first + BLOCK, first + 2 * BLOCK..first + 4 * BLOCK]);
        assert_eq!(Zeros::Left.part(0, b""), Part::default());
    }

    #[test]
    fn what_an_apply_fills_is_what_compressed_pages_leave() {
        let mut pages = vec![0; 3 * PAGE];
        // A compressed one with one block, one that is not compressed, and one of zeros.
        pages[24] = 0x80;
        pages[PAGE + 24] = 0x45;
        let part = Zeros::LeftAndFilled.part(0, &pages);
        assert_eq!((part.fills, part.data), (3 * BLOCK as u64, vec![0..BLOCK, PAGE..PAGE + BLOCK]));
        assert_eq!(Zeros::Left.part(0, &pages).fills, 0);
    }
}
