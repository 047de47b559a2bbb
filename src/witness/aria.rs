//! Aria's tables that were truncated after the tool had copied them, or made while it did.
//!
//! mariadb-backup copies Aria's tables one after the other, and its log of changes to the end, from which a prepare brings each copy up to date. A
//! `TRUNCATE` is not brought so: the copy keeps the old rows, or is damaged, with `completed OK!` all along; and a table that was copied in the
//! midst of a `CREATE … SELECT` kept a part of its rows. The server notes both in the head of the table's index file, as the place in
//! Aria's log before which nothing is applied to the table. So that of the copy is held against the server's when the backup has been taken. A
//! `DELETE` of all rows, `OPTIMIZE`, `REPAIR` and an `INSERT … SELECT` into an empty table leave both the same at the end (each with 10.11.19).
//!
//! The layout was read from files of a MariaDB 10.11.19, and is that of `_ma_state_info_write_sub` in `storage/maria/ma_open.c`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::manifest::hexadecimal;

/// How much of an index file says it, in bytes.
pub(crate) const HEAD: usize = 35;

/// What an index file begins with.
const MAGIC: [u8; 3] = [0xfe, 0xfe, 0x09];

/// Where the place in the log stands, `create_rename_lsn`: 7 bytes.
const PLACE_AT: usize = 28;

/// Whether a file is the index of a table of Aria that has a name.
pub(crate) fn is_index(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    path.extension() == Some(OsStr::new("MAI")) && !name.starts_with("#sql")
}

/// The place in the log before which nothing is applied to the table, in hexadecimal. None if this is no head of an index.
pub(crate) fn place(head: &[u8]) -> Option<String> {
    head.strip_prefix(&MAGIC)?;
    head.get(PLACE_AT..HEAD).map(hexadecimal)
}

/// That of an index file.
///
/// # Errors
/// The system's.
pub(crate) fn place_in(path: &Path) -> io::Result<Option<String>> {
    let mut head = Vec::with_capacity(HEAD);
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(place(&head))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{HEAD, is_index, place};

    #[test]
    fn the_place_in_the_log_is_read_from_the_head_of_an_index() {
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(b"\xfe\xfe\x09\x03");
        head[28..].copy_from_slice(&[0, 0, 1, 0, 0, 0x2f, 0x9a]);
        assert_eq!(place(&head).as_deref(), Some("00000100002f9a"));
        assert_eq!((place(&head[..HEAD - 1]), place(b"\xfe\x01"), place(b"")), (None, None, None));
        assert!(is_index(Path::new("shop/t#P#p0.MAI")) && is_index(Path::new("shop/a.b.MAI")));
        assert!(!is_index(Path::new("shop/a.MAD")) && !is_index(Path::new("shop/#sql-alter-1.MAI")));
    }
}
