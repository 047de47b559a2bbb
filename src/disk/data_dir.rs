//! The server's data directory: whether a restore may fill it, and how it becomes what it was if the restore fails.
//!
//! A copy-back refuses a directory that holds anything, and left-overs that count as nothing may lie there: a socket, a pid
//! file, an old `ibdata1`. Those that the restored data brings itself are set aside under another name for the time of the
//! copy; the others stay where they are. Whatever fails, a file is removed only if it is a copy of one of the restore's own,
//! by its content, or one of the restore's own itself, by its number, where they were moved.

mod filled;
mod moved;
mod undone;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub use filled::{check_filled, sync};
pub use moved::Inventory;
use thiserror::Error;
pub(in crate::disk) use undone::{COMPARED, is_copy};
pub use undone::{Strangers, undo, undo_beside};

/// What InnoDB makes anew and a restore brings itself: set aside.
const INNODB: [&str; 2] = ["ibdata1", "ib_buffer_pool"];
const INNODB_LOG: &str = "ib_logfile";
/// Endings of what a server or a package leaves and no restore brings.
const HARMLESS: [&str; 5] = [".sock", ".pid", ".err", ".cnf", ".flag"];
/// What a file system makes by itself.
const LOST_AND_FOUND: &str = "lost+found";
/// What the name of the directory begins with that a restore has its working copy in where it is made in the data directory itself.
pub const RESTORING: &str = ".dbcalm-restore-";
/// What the name of a file that was set aside ends in; it begins with a dot.
const ASIDE: &str = ".dbcalm-aside";

/// Why the data directory cannot be filled, or is not what it should be.
#[derive(Debug, Error)]
pub enum DataDirError {
    /// Something is there that a restore would have to destroy.
    #[error("the data directory is not empty: it holds '{0}'")]
    NotEmpty(String),
    /// It cannot be looked at or changed.
    #[error("the data directory '{}' cannot be used", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Something is there that is no copy of the restore's own files.
    #[error(
        "the data directory holds files that this restore did not put there, '{0}' among them: they are left alone"
    )]
    Foreign(String),
    /// A file of the restored data did not arrive.
    #[error("'{0}' did not arrive whole in the data directory")]
    NotCopied(String),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    move |source| DataDirError::Io { path, source }
}

/// Finds out whether `dir` counts as empty: absent, or with left-overs in it at most. Unreadable is not empty.
pub fn check_empty(dir: &Path) -> Result<(), DataDirError> {
    leftovers(dir).map(|_| ())
}

/// The names in a directory that counts as empty, in their order.
fn leftovers(dir: &Path) -> Result<Vec<String>, DataDirError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(at(dir)(why)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().map_err(at(dir))?.is_dir();
        let nothing = if is_dir {
            name.starts_with(RESTORING)
                || name == LOST_AND_FOUND && fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none())
        } else {
            is_leftover(&name)
        };
        if !nothing {
            return Err(DataDirError::NotEmpty(name));
        }
        names.push(name);
    }
    names.sort();
    Ok(names)
}

fn is_leftover(name: &str) -> bool {
    is_innodb(name) || is_harmless(name)
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.iter().any(|ending| name.ends_with(ending))
}

fn is_innodb(name: &str) -> bool {
    INNODB.contains(&name) || name.starts_with(INNODB_LOG)
}

fn aside(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!(".{name}{ASIDE}"))
}

/// The name that a file had before it was set aside.
fn from_aside(name: &str) -> Option<&str> {
    name.strip_prefix('.')?.strip_suffix(ASIDE)
}

/// Finds out whether something lies in `dir`, which counts as empty: a tool that is to fill it has to be told to go on.
pub fn has_leftovers(dir: &Path) -> Result<bool, DataDirError> {
    Ok(!leftovers(dir)?.is_empty())
}

/// Sets aside what the restored data brings itself; [`undo`] brings it back, [`forget_aside`] removes it.
pub fn set_aside(dir: &Path) -> Result<(), DataDirError> {
    for name in leftovers(dir)?.iter().filter(|name| is_innodb(name)) {
        fs::rename(dir.join(name), aside(dir, name)).map_err(at(dir))?;
    }
    Ok(())
}

/// Removes for good what [`set_aside`] moved away: the restored data has taken its place.
pub fn forget_aside(dir: &Path) -> Result<(), DataDirError> {
    for name in names(dir)?.iter().filter(|name| from_aside(name).is_some()) {
        fs::remove_file(dir.join(name)).map_err(at(dir))?;
    }
    Ok(())
}

fn names(dir: &Path) -> Result<Vec<String>, DataDirError> {
    match fs::read_dir(dir) {
        Ok(entries) => {
            entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<io::Result<_>>()
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(why),
    }
    .map_err(at(dir))
}

/// Every file below `root`, relative to it, but for a restore's working copy; what is no directory counts as a file.
fn files(root: &Path) -> Result<Vec<PathBuf>, DataDirError> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let dir = root.join(&relative);
        let entries = match fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => return Err(at(&dir)(why)),
        };
        for entry in entries {
            let entry = entry.map_err(at(&dir))?;
            let path = relative.join(entry.file_name());
            if !entry.file_type().map_err(at(&dir))?.is_dir() {
                found.push(path);
            } else if !entry.file_name().to_string_lossy().starts_with(RESTORING) {
                open.push(path);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
