//! The data directory made what it was before a copy-back that failed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{DataDirError, at, files, from_aside, is_harmless, is_innodb, names};
use crate::disk::directories;

/// How much of each file is compared to tell whether it is a copy, in bytes: four of InnoDB's pages, the first of which holds
/// the tablespace's id and LSN.
pub(in crate::disk) const COMPARED: usize = 64 * 1024;

/// Whether a file that is no copy keeps the copies from being removed too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// The copy has just failed: what is a copy goes, what is not stays.
    Spare,
    /// Nobody watched since the copy was interrupted, and somebody may have set up a server there: touch nothing.
    Respect,
}

/// Makes `dir` what it was before a copy-back from the prepared tree `work`.
///
/// # Errors
/// The system's; or the first of the strangers, where there are any.
pub fn undo(dir: &Path, work: &Path, strangers: Strangers) -> Result<(), DataDirError> {
    undo_beside(dir, work, strangers, &BTreeSet::new())
}

/// The same, where the restore has put `others` into directories of the server's own below `dir`; they are the caller's to remove.
///
/// # Errors
/// As [`undo`].
pub fn undo_beside(
    dir: &Path,
    work: &Path,
    strangers: Strangers,
    others: &BTreeSet<PathBuf>,
) -> Result<(), DataDirError> {
    let (mut copies, mut foreign) = (Vec::new(), Vec::new());
    for relative in files(dir)? {
        let name = relative.to_string_lossy();
        if is_copy(&dir.join(&relative), &work.join(&relative)) {
            copies.push(relative);
        } else if !is_harmless(&name) && from_aside(&name).is_none() && !others.contains(&relative) {
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
    bring_back(dir)?;
    match foreign.into_iter().next() {
        Some(first) => Err(DataDirError::Foreign(first)),
        None => Ok(()),
    }
}

/// Brings back what was set aside, and syncs the directory.
pub(super) fn bring_back(dir: &Path) -> Result<(), DataDirError> {
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
    Ok(())
}

/// Whether `file` is what a copy of `original` is when it is whole, or when it was broken off.
pub(in crate::disk) fn is_copy(file: &Path, original: &Path) -> bool {
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
    for path in directories(dir).map_err(at(dir))? {
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
