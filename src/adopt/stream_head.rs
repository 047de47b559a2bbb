//! The first file of a stream: what kind of backup it is of. All else a stream says of itself at its end.

use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

use crate::repository::card::Kind;
use crate::stream::{Head, StreamError};

/// How much of a stream is looked at, in bytes: the tools send the system tablespace first.
const LOOKED_AT: u64 = 256 << 20;

/// What kind of backup the stream at `path` is of, by its first file of InnoDB: of an incremental there are pages and no files. None if it has
/// none where one should be.
///
/// # Errors
/// It is no stream, or cannot be read.
pub(super) fn kind(path: &Path) -> Result<Option<Kind>, StreamError> {
    let file = File::open(path).map_err(StreamError::Read)?;
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let mut head = Head::open(name, file, LOOKED_AT)?;
    while let Some(path) = head.next_file()? {
        let ending = path.extension().and_then(OsStr::to_str);
        let is_system = path.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("ibdata"));
        match ending {
            Some("delta" | "meta") => return Ok(Some(Kind::Incremental)),
            Some("ibd") => return Ok(Some(Kind::Full)),
            _ if is_system => return Ok(Some(Kind::Full)),
            _ => {}
        }
    }
    Ok(None)
}
