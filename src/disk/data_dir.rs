//! The server's data directory: whether a restore may fill it, and how it becomes what it was if the restore fails.
//!
//! A copy-back refuses a directory that holds anything, and left-overs that count as nothing may lie there: a socket, a pid
//! file, an old `ibdata1`. Those that the restored data brings itself are set aside under another name for the time of the
//! copy; the others stay where they are. Whatever fails, a file is removed only if it is a copy of one of the restore's own,
//! by its content.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::syncfs;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// What InnoDB makes anew and a restore brings itself: set aside.
const INNODB: [&str; 2] = ["ibdata1", "ib_buffer_pool"];
const INNODB_LOG: &str = "ib_logfile";
/// Endings of what a server or a package leaves and no restore brings.
const HARMLESS: [&str; 5] = [".sock", ".pid", ".err", ".cnf", ".flag"];
/// What a file system makes by itself.
const LOST_AND_FOUND: &str = "lost+found";
/// What the name of a file that was set aside ends in; it begins with a dot.
const ASIDE: &str = ".dbcalm-aside";

/// How much of each file is compared to tell whether it is a copy, in bytes: four of InnoDB's pages, the first of which holds
/// the tablespace's id and LSN.
const COMPARED: usize = 64 * 1024;

/// Files of the prepared tree that a copy-back leaves out (seen with mariadb-backup 10.5.23, 10.11.19 and 11.8.6).
/// The tools' own files, `xtrabackup_*` and `mariadb_backup_*`, are left out or not as the tool sees fit.
const NOT_COPIED: [&str; 2] = ["backup-my.cnf", "ib_buffer_pool"];

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

/// The names in a directory that counts as empty.
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
            name == LOST_AND_FOUND && fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none())
        } else {
            is_leftover(&name)
        };
        if !nothing {
            return Err(DataDirError::NotEmpty(name));
        }
        names.push(name);
    }
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

/// Finds out whether each file of the prepared tree `work` has arrived in `dir` in its full size.
///
/// Files of the top level whose name begins with `ib` or `undo` are not looked for: the server's own settings may keep them
/// elsewhere, as they may the tables that an `.isl` file points to.
pub fn check_filled(dir: &Path, work: &Path) -> Result<(), DataDirError> {
    for relative in files(work)? {
        let name = relative.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let top = relative.components().count() == 1;
        let elsewhere = top && (name.starts_with("ib") || name.starts_with("undo"));
        let extension = relative.extension().and_then(OsStr::to_str).unwrap_or_default();
        let own = top && (name.starts_with("xtrabackup_") || name.starts_with("mariadb_backup_"));
        let linked = extension == "isl" || work.join(&relative).with_extension("isl").exists();
        if elsewhere || own || linked || NOT_COPIED.contains(&name) || extension == "qp" {
            continue;
        }
        let size = |root: &Path| fs::symlink_metadata(root.join(&relative)).map(|there| there.len());
        let wanted = size(work).map_err(at(work))?;
        if size(dir).ok() != Some(wanted) {
            return Err(DataDirError::NotCopied(relative.display().to_string()));
        }
    }
    Ok(())
}

/// Syncs to the disk what came into `dir` from the prepared tree `work`, and the names it has there. What lay there before is
/// not this restore's to open.
///
/// # Errors
/// The system's, or that it was broken off by `stop`.
pub fn sync(dir: &Path, work: &Path, stop: &CancellationToken) -> Result<(), DataDirError> {
    let top = File::open(dir).map_err(at(dir))?;
    syncfs(&top).map_err(|why| at(dir)(why.into()))?;
    let mut directories = BTreeSet::from([PathBuf::new()]);
    for relative in files(work)? {
        super::go_on(stop).map_err(at(dir))?;
        directories.extend(relative.ancestors().skip(1).map(Path::to_owned));
        let path = dir.join(&relative);
        match File::open(&path) {
            Ok(file) => file.sync_all().map_err(at(&path))?,
            // What the tool leaves out was looked for before.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(at(&path)(why)),
        }
    }
    for relative in directories {
        let path = dir.join(relative);
        File::open(&path).and_then(|dir| dir.sync_all()).map_err(at(&path))?;
    }
    // The data directory's own name is as old as the directory, but for one that the tool made; its parent may be closed to
    // this user, and was synced with the file system above.
    if let Some(Ok(parent)) = dir.parent().map(File::open) {
        parent.sync_all().map_err(at(dir))?;
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

/// Whether a file that is no copy keeps the copies from being removed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// The copy has just failed: what is a copy goes, what is not stays.
    Spare,
    /// Nobody watched since the copy was interrupted, and somebody may have set up a server there: touch nothing.
    Respect,
}

/// Makes `dir` what it was before a copy-back from the prepared tree `work`.
pub fn undo(dir: &Path, work: &Path, strangers: Strangers) -> Result<(), DataDirError> {
    let (mut copies, mut foreign) = (Vec::new(), Vec::new());
    for relative in files(dir)? {
        let name = relative.to_string_lossy();
        if is_copy(&dir.join(&relative), &work.join(&relative)) {
            copies.push(relative);
        } else if !is_harmless(&name) && from_aside(&name).is_none() {
            foreign.push(relative.display().to_string());
        }
    }
    if copies.is_empty() {
        // Nothing was copied yet, so an InnoDB file that lies there is one that had not been set aside.
        foreign.retain(|name| !is_innodb(name));
    }
    foreign.sort();
    if strangers == Strangers::Respect
        && let Some(first) = foreign.first()
    {
        return Err(DataDirError::Foreign(first.clone()));
    }
    for copy in &copies {
        fs::remove_file(dir.join(copy)).map_err(at(dir))?;
    }
    remove_empty_below(dir, work)?;
    for name in names(dir)? {
        if let Some(original) = from_aside(&name)
            && !dir.join(original).exists()
        {
            fs::rename(dir.join(&name), dir.join(original)).map_err(at(dir))?;
        }
    }
    if dir.exists() {
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
    }
    match foreign.into_iter().next() {
        Some(first) => Err(DataDirError::Foreign(first)),
        None => Ok(()),
    }
}

/// Whether `file` is what a copy of `original` is when it is whole, or when it was broken off.
fn is_copy(file: &Path, original: &Path) -> bool {
    let head = |path: &Path| -> io::Result<(u64, Vec<u8>)> {
        let file = File::open(path)?;
        let mut bytes = Vec::with_capacity(COMPARED);
        let size = file.metadata()?.len();
        file.take(COMPARED as u64).read_to_end(&mut bytes)?;
        Ok((size, bytes))
    };
    match (head(file), head(original)) {
        (Ok((size, bytes)), Ok((whole, all))) => size <= whole && all.starts_with(&bytes),
        (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

/// Removes the directories below `dir` that are empty and that `work` has too.
fn remove_empty_below(dir: &Path, work: &Path) -> Result<(), DataDirError> {
    for path in super::directories(dir).map_err(at(dir))? {
        let name = path.file_name().unwrap_or_default();
        if work.join(name).is_dir() {
            remove_empty_below(&path, &work.join(name))?;
            match fs::remove_dir(&path) {
                Err(why) if why.kind() != io::ErrorKind::DirectoryNotEmpty => return Err(at(&path)(why)),
                Ok(()) | Err(_) => {}
            }
        }
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

/// Every file below `root`, relative to it; what is no directory counts as a file.
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
            if entry.file_type().map_err(at(&dir))?.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
