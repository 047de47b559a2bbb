//! Tables that were truncated after the tool had copied them, or made while it did.
//!
//! mariadb-backup copies tables that are not InnoDB's one after the other, and begins before all DDL waits. What DDL changes after that the server notes
//! in its log of DDL, and the tool copies it again; a `TRUNCATE` is not in that log. So the copy keeps the old rows, with `completed OK!` all
//! along (seen with 10.11.19 of Aria, `MyISAM` and CSV; one of a partitioned `MyISAM` table, or of ARCHIVE, waits for the end of the copying).
//! A table of Aria that was copied in the midst of a `CREATE … SELECT` kept a part of its rows.
//!
//! What tells is in the head of a table's index file: for Aria the place in its log before which nothing is applied to the table, for `MyISAM` the
//! time at which the file was made. A CSV table has none, but its file is a new one, and shorter. That of the copy is held against the server's
//! when the backup has been taken. A `DELETE` of all rows, `OPTIMIZE`, `REPAIR` and an `INSERT … SELECT` into an empty table of Aria leave both the
//! same at the end (each with 10.11.19).
//!
//! The layouts were read from files of a MariaDB 10.11.19. That of Aria is the one of `_ma_state_info_write_sub` in `storage/maria/ma_open.c`, that of
//! `MyISAM` the one of `mi_state_info_write` in `storage/myisam/mi_open.c`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use super::manifest::hexadecimal;

/// How much of an index file says it, in bytes: what `MyISAM`'s has before the time for 64 keys, and for each size of their blocks.
const HEAD: usize = MADE_AT + PER_KEY * (64 + 16) + MADE;

/// What an index file of Aria begins with.
const ARIA: [u8; 3] = [0xfe, 0xfe, 0x09];

/// Where in it the place in the log stands, `create_rename_lsn`: 7 bytes.
const PLACE_AT: usize = 28;
const PLACE: usize = 7;

/// What an index file of `MyISAM` begins with.
const MYISAM: [u8; 3] = [0xfe, 0xfe, 0x07];

/// Where in it the numbers of its keys and of the sizes of their blocks stand: a byte each.
const KEYS_AT: usize = 18;
const SIZES_AT: usize = 21;

/// Where the time stands in which it was made, in seconds since 1970, 8 bytes: it comes after 8 bytes for each of those.
const MADE_AT: usize = 144;
const MADE: usize = 8;
const PER_KEY: usize = 8;

/// What a file of a CSV table ends in.
const CSV: &str = "CSV";

/// Whether a file of a table that has a name tells when the table was emptied.
pub(crate) fn is_index(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let ending = path.extension().unwrap_or_default();
    ["MAI", "MYI", CSV].iter().any(|known| *known == ending) && !name.starts_with("#sql")
}

/// How much of the beginning of such a file tells it, in bytes.
pub(crate) fn told_by(path: &Path) -> usize {
    match path.extension().and_then(OsStr::to_str) {
        Some("MAI") => PLACE_AT + PLACE,
        Some("MYI") => HEAD,
        _ => 0,
    }
}

/// What tells it, as text: of an index its place in the log or its time in hexadecimal, of a CSV table its length in bytes. None if this is not
/// the beginning of such a file.
pub(crate) fn mark(path: &Path, head: &[u8], length: u64) -> Option<String> {
    if path.extension() == Some(OsStr::new(CSV)) {
        return Some(length.to_string());
    }
    if head.starts_with(&ARIA) {
        return head.get(PLACE_AT..PLACE_AT + PLACE).map(hexadecimal);
    }
    head.strip_prefix(&MYISAM)?;
    let roots = usize::from(*head.get(KEYS_AT)?) + usize::from(*head.get(SIZES_AT)?);
    let at = MADE_AT + PER_KEY * roots;
    head.get(at..at + MADE).map(hexadecimal)
}

/// That of a file.
///
/// # Errors
/// The system's.
pub(crate) fn mark_in(path: &Path) -> io::Result<Option<String>> {
    let (mut head, file) = (Vec::new(), File::open(path)?);
    let length = file.metadata()?.len();
    file.take(told_by(path) as u64).read_to_end(&mut head)?;
    Ok(mark(path, &head, length))
}

/// Whether the server's file was made anew since the backup had this mark of it; `begin` is when the backup began, since 1970.
///
/// # Errors
/// The system's.
pub(super) fn is_anew(path: &Path, copied: &str, begin: Duration) -> io::Result<bool> {
    if path.extension() != Some(OsStr::new(CSV)) {
        return Ok(mark_in(path)?.is_some_and(|now| now != copied));
    }
    let there = path.metadata()?;
    let made = there.created()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Only one that is emptied gets shorter; and rows that are deleted are so from the same file.
    Ok(made >= begin && copied.parse().is_ok_and(|copied| there.len() < copied))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::{HEAD, is_anew, is_index, mark, mark_in, told_by};

    #[test]
    fn the_place_in_the_log_is_read_from_the_head_of_an_index_of_aria() {
        let path = Path::new("shop/a.MAI");
        let mut head = [0; 35];
        head[..4].copy_from_slice(b"\xfe\xfe\x09\x03");
        head[28..].copy_from_slice(&[0, 0, 1, 0, 0, 0x2f, 0x9a]);
        assert_eq!(mark(path, &head, 35).as_deref(), Some("00000100002f9a"));
        assert_eq!(told_by(path), 35);
        assert_eq!((mark(path, &head[..34], 34), mark(path, b"\xfe\x01", 2), mark(path, b"", 0)), (None, None, None));
        assert!(is_index(Path::new("shop/t#P#p0.MAI")) && is_index(Path::new("shop/a.b.MAI")));
        assert!(!is_index(Path::new("shop/a.MAD")) && !is_index(Path::new("shop/#sql-alter-1.MAI")));
    }

    /// The head is one of a MariaDB 10.11.19: a table with one key, made at 2026-11-30 15:39:51 UTC.
    #[test]
    fn the_time_is_read_from_the_head_of_an_index_of_myisam() {
        let path = Path::new("shop/m.MYI");
        let mut head = vec![0; HEAD];
        head[..4].copy_from_slice(b"\xfe\xfe\x07\x01");
        (head[18], head[21]) = (1, 1);
        head[160..168].copy_from_slice(&[0, 0, 0, 0, 0x6b, 0x0d, 0x98, 0xc7]);
        assert_eq!(mark(path, &head, 1024).as_deref(), Some("000000006b0d98c7"));
        assert_eq!(mark(path, &head[..167], 167), None);
        // As many keys as there can be, and one of a file that is no index.
        (head[18], head[21]) = (64, 16);
        assert!(mark(path, &head, 1024).is_some());
        (head[18], head[21]) = (255, 255);
        assert_eq!(mark(path, &head, 1024), None);
    }

    #[test]
    fn a_file_of_csv_is_anew_if_it_is_another_and_shorter() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.CSV");
        fs::write(&path, "1\n").unwrap();
        assert_eq!(mark_in(&path).unwrap().as_deref(), Some("2"));
        let later = Duration::from_secs(u64::from(u32::MAX));
        assert!(is_anew(&path, "4", Duration::ZERO).unwrap());
        assert!(!is_anew(&path, "4", later).unwrap(), "its rows were deleted");
        assert!(!is_anew(&path, "2", Duration::ZERO).unwrap(), "it was copied as it is");
    }
}
