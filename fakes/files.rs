//! How the fake backup tools read and write files: the modes and the failures of mariadb-backup 10.11.19.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

/// How many bytes the disk still takes.
static ROOM: AtomicU64 = AtomicU64::new(u64::MAX);

/// Lets the disk be full after this many bytes.
pub(crate) fn fill_after(bytes: u64) {
    ROOM.store(bytes, Ordering::Relaxed);
}

/// Writes what the disk takes; what it does not is an error.
pub(crate) fn fill(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    let room = ROOM.load(Ordering::Relaxed);
    let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
    file.write_all(bytes.get(..fits).unwrap_or(bytes))?;
    ROOM.store(room - u64::try_from(fits).unwrap_or(room), Ordering::Relaxed);
    if fits == bytes.len() { Ok(()) } else { Err(Errno::NOSPC.into()) }
}

/// The same, with the words of mariadb-backup 10.11.19 on a full tmpfs.
fn write(file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fill(file, bytes).map_err(|error| {
        if error.kind() != io::ErrorKind::StorageFull {
            return error;
        }
        let text = format!("Error writing file '{}' (errno: 28 \"No space left on device\")", path.display());
        io::Error::new(io::ErrorKind::StorageFull, text)
    })
}

/// Makes a directory, and its parents, for the owner alone. One that is there is fine.
pub(crate) fn make_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file that must not be there yet, and the directories it needs.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    write(&OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)?, path, bytes)
}

/// Writes a file in place: other hard links to it change too.
pub(crate) fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        make_dir(parent)?;
    }
    write(&OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?, path, bytes)
}

/// Copies a file over another, which is unlinked first: other hard links to it stay as they are.
pub(crate) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => create(to, &fs::read(from)?),
    }
}

/// Whether InnoDB keeps this file, so that an incremental backup holds its difference only.
pub(crate) fn is_innodb(path: &str) -> bool {
    has_extension(path, "ibd") || path.starts_with("ibdata") || path.starts_with("undo")
}

/// Whether it has rows or keys of Aria.
pub(crate) fn is_aria(path: &str) -> bool {
    ["MAD", "MAI"].iter().any(|extension| has_extension(path, extension))
}

/// Whether it is of a table of Aria or `MyISAM`, of which these are all files.
pub(crate) fn is_other_engines(path: &str, all: &[String]) -> bool {
    let keys = |kind: &str| Path::new(path).with_extension(kind);
    let is_one = ["frm", "MAD", "MAI", "MYD", "MYI"].iter().any(|extension| has_extension(path, extension));
    is_one && all.iter().any(|other| [keys("MAI"), keys("MYI")].iter().any(|keys| keys == Path::new(other)))
}

/// Whether the path ends in this extension.
pub(crate) fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// The magic of a difference. mariadb-backup begins the last block of one with the same four letters.
const DELTA: &[u8] = b"XTRA";
/// The magic of a table that is in a backup as `*.new`.
const NEW: &[u8] = b"NEW!";

/// The content of a `*.delta`: of the whole new content, or of nothing changed.
pub(crate) fn delta(changed: Option<&[u8]>) -> Vec<u8> {
    match changed {
        Some(content) => [DELTA, b"1", content].concat(),
        None => [DELTA, b"0"].concat(),
    }
}

/// The content that a `*.delta` brings, if it brings one.
pub(crate) fn content_of_delta(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(DELTA)?.strip_prefix(b"1")
}

/// The content of a `*.new`, which recovery has yet to finish.
pub(crate) fn unfinished(content: &[u8]) -> Vec<u8> {
    [NEW, content].concat()
}

/// What recovery makes of a `*.new`; one that was finished before stays as it is.
pub(crate) fn finished(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(NEW).unwrap_or(bytes)
}
