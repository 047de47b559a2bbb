//! The documents of the archive: each is there as it was or as it is now, never in part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entry::FORMAT;
use super::{ArchiveError, at};

const NEW: &str = ".new";

/// A document is smaller than this, in bytes: one of a file that was archived in 200,000 pieces.
pub(super) const MAX_SIZE: u64 = 64 << 20;

/// Syncs the directory that a file or directory is in.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// Reads one. None if it is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ArchiveError> {
    let mut text = Vec::new();
    let file = match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(at(path))?,
    };
    file.take(MAX_SIZE).read_to_end(&mut text).map_err(at(path))?;
    parse(&text).map(Some).map_err(|what| ArchiveError::Broken { path: path.to_owned(), what })
}

pub(super) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(text).map_err(|why| format!("cannot be understood: {why}"))?;
    if head.format > FORMAT {
        let format = head.format;
        return Err(format!(
            "has format {format}, but this program knows only up to {FORMAT}: use a newer dbcalm-db-cmd"
        ));
    }
    serde_json::from_slice(text).map_err(|why| format!("cannot be understood: {why}"))
}

/// A document as it is written.
pub(super) fn text(document: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)?;
    text.push(b'\n');
    Ok(text)
}

/// Puts a document where it belongs, on the disk.
pub(super) fn write(path: &Path, document: &impl Serialize) -> Result<(), ArchiveError> {
    let text = text(document).map_err(at(path))?;
    let mut new = path.as_os_str().to_owned();
    new.push(NEW);
    let new = PathBuf::from(new);
    let written = || -> io::Result<()> {
        match fs::remove_file(&new) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_parent(path)
    };
    written().map_err(|why| {
        let _gone = fs::remove_file(&new);
        at(path)(why)
    })
}
