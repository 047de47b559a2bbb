//! Tables that were truncated after the tool had copied them, or made while it did.
//!
//! mariadb-backup copies tables that are not InnoDB's one after the other, and begins before all DDL waits. What DDL changes after that the server notes
//! in its log of DDL, and the tool copies it again; a `TRUNCATE` is not in that log. So the copy keeps the old rows, with `completed OK!` all
//! along (seen with 10.11.19 of Aria, `MyISAM` and CSV; one of a partitioned `MyISAM` table, or of ARCHIVE, waits for the end of the copying).
//! A table of Aria that was copied in the midst of a `CREATE … SELECT` kept a part of its rows.
//!
//! What tells is in the head of a table's index file: the time at which the table was made, in whole seconds, and for Aria the place in its log before
//! which nothing is applied to the table. A CSV table has no index, but its file is a new one, and shorter. That of the copy is held against the
//! server's when the backup has been taken. A `RENAME` gives a table of Aria another place, and leaves the time. A `DELETE` of all rows, `OPTIMIZE`, `REPAIR` and an `INSERT … SELECT` into an empty table of Aria leave both the
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

/// How much of an index file says it, in bytes: what comes before the time for 64 keys and, with `MyISAM`, for 16 sizes of their blocks.
const HEAD: usize = ARIA_MADE_AT + PER_KEY * (64 + 16) + MADE;

/// What an index file of Aria begins with.
const ARIA: [u8; 3] = [0xfe, 0xfe, 0x09];

/// Where in it the place in the log stands, `create_rename_lsn`: 7 bytes.
const PLACE_AT: usize = 28;
const PLACE: usize = 7;

/// Where in it the time stands at which it was made, after 8 bytes for each key.
const ARIA_MADE_AT: usize = 167;

/// What an index file of `MyISAM` begins with.
const MYISAM: [u8; 3] = [0xfe, 0xfe, 0x07];

/// Where in both the number of keys stands, and in `MyISAM`'s that of the sizes of their blocks: a byte each.
const KEYS_AT: usize = 18;
const SIZES_AT: usize = 21;

/// Where the time stands in `MyISAM`'s, after 8 bytes for each of those; in both it is of 8 bytes, in seconds since 1970.
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
        Some("MAI" | "MYI") => HEAD,
        _ => 0,
    }
}

/// What tells it, as text: of an index the time and then the place in Aria's log, in hexadecimal; of a CSV table its length in bytes. None if
/// this is not the beginning of such a file.
pub(crate) fn mark(path: &Path, head: &[u8], length: u64) -> Option<String> {
    if path.extension() == Some(OsStr::new(CSV)) {
        return Some(length.to_string());
    }
    let keys = usize::from(*head.get(KEYS_AT)?);
    let made = |at: usize| head.get(at..at + MADE).map(hexadecimal);
    if head.starts_with(&ARIA) {
        return Some(made(ARIA_MADE_AT + PER_KEY * keys)? + &hexadecimal(head.get(PLACE_AT..PLACE_AT + PLACE)?));
    }
    head.strip_prefix(&MYISAM)?;
    made(MADE_AT + PER_KEY * (keys + usize::from(*head.get(SIZES_AT)?)))
}

/// That of a file.
///
/// # Errors
/// The system's.
pub(crate) fn mark_in(path: &Path) -> io::Result<Option<String>> {
    let (mut head, file) = (Vec::new(), File::open(path)?);
    let length = file.metadata()?.len();
    file.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(mark(path, &head, length))
}

/// Whether the server's file is of a table that was made anew since the backup had this mark of it; `begin` is when the backup began, since
/// 1970. Of a table that was renamed the time alone tells.
///
/// # Errors
/// The system's.
pub(super) fn is_anew(path: &Path, copied: &str, begin: Duration, is_renamed: bool) -> io::Result<bool> {
    if path.extension() != Some(OsStr::new(CSV)) {
        let told = |mark: &str| mark.get(..if is_renamed { 2 * MADE } else { mark.len() }).map(str::to_owned);
        return Ok(mark_in(path)?.is_some_and(|now| told(&now) != told(copied)));
    }
    let there = path.metadata()?;
    let made = there.created()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    // One that lost rows is shorter too, and may be a new file; but while the tool copies nobody deletes any.
    Ok(made >= begin && copied.parse().is_ok_and(|copied| there.len() < copied))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Duration;

    use super::{HEAD, is_anew, is_index, mark, mark_in, told_by};

    /// The head is one of a MariaDB 10.11.19: a table with three keys, made at 2026-11-30 16:09:58 UTC.
    #[test]
    fn the_time_and_the_place_in_the_log_are_read_from_the_head_of_an_index_of_aria() {
        let path = Path::new("shop/a.MAI");
        let mut head = [0; 199];
        head[..4].copy_from_slice(b"\xfe\xfe\x09\x03");
        head[18] = 3;
        head[28..35].copy_from_slice(&[0, 0, 1, 0, 0, 0x2f, 0x9a]);
        head[191..].copy_from_slice(&[0, 0, 0, 0, 0x6b, 0x0d, 0x9f, 0xd6]);
        assert_eq!(mark(path, &head, 199).as_deref(), Some("000000006b0d9fd600000100002f9a"));
        assert_eq!((mark(path, &head[..198], 198), mark(path, b"\xfe\x01", 2), mark(path, b"", 0)), (None, None, None));
        assert!(is_index(Path::new("shop/t#P#p0.MAI")) && is_index(Path::new("shop/a.b.MAI")));
        assert!(!is_index(Path::new("shop/a.MAD")) && !is_index(Path::new("shop/#sql-alter-1.MAI")));
        assert_eq!((told_by(path), told_by(Path::new("shop/a.CSV"))), (HEAD, 0));
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
        assert!(is_anew(&path, "4", Duration::ZERO, false).unwrap());
        assert!(!is_anew(&path, "4", later, false).unwrap(), "its rows were deleted");
        assert!(!is_anew(&path, "2", Duration::ZERO, false).unwrap(), "it was copied as it is");
    }
}
