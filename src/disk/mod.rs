//! Directories: made unique, synced to the disk, removed.
//!
//! The backup tools sync nothing of what they write (seen with mariadb-backup 10.11.19 under strace), so what must outlast a
//! power cut is synced here before it is called a success. What is removed is renamed first: half a removed backup is never
//! taken for a backup, and the next start takes away what a crash left of it.

pub mod data_dir;
pub mod room;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, syncfs};
use tokio_util::sync::CancellationToken;

/// What the name of something that is being removed ends in; no backup's id begins with `.`.
const GONE: &str = ".gone";

/// Makes a directory of this name in `parent`, and `parent` if need be. Where the name is taken, a number is added.
pub fn make_unique(parent: &Path, name: &str) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(0o770).create(parent) {
        Err(why) if why.kind() != io::ErrorKind::AlreadyExists => return Err(why),
        Ok(()) | Err(_) => {}
    }
    if !fs::symlink_metadata(parent)?.is_dir() {
        return Err(io::Error::other(format!("'{}' is no directory", parent.display())));
    }
    for number in 1.. {
        let path = if number == 1 { parent.join(name) } else { parent.join(format!("{name}-{number}")) };
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Syncs everything in and under `root`, and its name in its parent; gives the size of all files, in bytes.
///
/// The file system is synced first, in one go; the `fsync` of each file after that is quick, and tells of errors.
///
/// # Errors
/// The system's, or that it was broken off by `stop`.
pub fn sync_tree(root: &Path, stop: &CancellationToken) -> io::Result<u64> {
    let top = File::open(root)?;
    syncfs(&top)?;
    let size = sync_below(root, stop)?;
    if let Some(parent) = root.parent() {
        File::open(parent)?.sync_all()?;
    }
    Ok(size)
}

fn sync_below(dir: &Path, stop: &CancellationToken) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(dir)? {
        go_on(stop)?;
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            size += sync_below(&entry.path(), stop)?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            size += file.metadata()?.len();
        }
    }
    File::open(dir)?.sync_all()?;
    Ok(size)
}

/// An error, once the daemon is to stop: what takes long asks this between its pieces.
pub fn go_on(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() { Err(io::Error::other("the daemon was stopped meanwhile")) } else { Ok(()) }
}

/// Removes a directory and all in it; one that is not there is removed already. A symlink is never followed, nor removed.
pub fn remove(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("a root is not removed"));
    };
    if !there.is_dir() {
        return Err(io::Error::other(format!("'{}' is no directory", path.display())));
    }
    let gone = parent.join(format!(".{}{GONE}", name.to_string_lossy()));
    if fs::symlink_metadata(&gone).is_ok_and(|earlier| earlier.is_dir()) {
        fs::remove_dir_all(&gone)?;
    }
    fs::rename(path, &gone)?;
    fs::remove_dir_all(&gone)?;
    File::open(parent)?.sync_all()
}

/// Removes what an interrupted [`remove`] left in `parent`.
pub fn sweep_gone(parent: &Path) -> io::Result<usize> {
    let mut count = 0;
    for path in directories(parent)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(GONE) {
            fs::remove_dir_all(&path)?;
            count += 1;
        }
    }
    Ok(count)
}

/// The directories in `parent`, which need not exist; symlinks are none.
pub fn directories(parent: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// Whether `path` is a directory itself, not a symlink to one.
pub fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_dir())
}

/// Keeps other daemons from working in `dir` for as long as the answer is held; none: another one does.
pub fn lock(dir: &Path) -> io::Result<Option<File>> {
    let held = File::open(dir)?;
    match flock(&held, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(held)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// Whether something can be made in `dir`.
pub fn is_writable(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::Error::other("it is no directory"));
    }
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio_util::sync::CancellationToken;

    use super::{lock, make_unique, remove, sweep_gone, sync_tree};

    #[test]
    fn two_restores_in_one_second_get_two_directories() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("restores");
        let names: Vec<_> = (0..3)
            .map(|_| make_unique(&parent, "2026-11-22-09-03-37").unwrap().file_name().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["2026-11-22-09-03-37", "2026-11-22-09-03-37-2", "2026-11-22-09-03-37-3"]);
    }

    #[test]
    fn removal_does_not_follow_a_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, backup) = (dir.path().join("precious"), dir.path().join("backup"));
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("data"), "x").unwrap();
        symlink(&precious, &backup).unwrap();
        assert!(remove(&backup).is_err());
        fs::remove_file(&backup).unwrap();
        fs::create_dir(&backup).unwrap();
        symlink(&precious, backup.join("inside")).unwrap();
        remove(&backup).unwrap();
        remove(&backup).unwrap();
        assert_eq!(fs::read_to_string(precious.join("data")).unwrap(), "x");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_an_interrupted_removal_left_goes_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".full-1.gone", "full-2", ".hidden"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        assert_eq!(sweep_gone(dir.path()).unwrap(), 1);
        assert_eq!(sweep_gone(&dir.path().join("none")).unwrap(), 0);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_tree_is_synced_and_measured() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), [0; 1000]).unwrap();
        fs::write(dir.path().join("c"), [0; 24]).unwrap();
        symlink("nowhere", dir.path().join("d")).unwrap();
        let stop = CancellationToken::new();
        assert_eq!(sync_tree(dir.path(), &stop).unwrap(), 1024);
        assert!(sync_tree(&dir.path().join("none"), &stop).is_err());
        stop.cancel();
        assert!(sync_tree(dir.path(), &stop).is_err());
    }

    #[test]
    fn a_directory_is_worked_in_by_one_daemon() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        assert!(held.is_some());
        assert!(lock(dir.path()).unwrap().is_none());
        drop(held);
        assert!(lock(dir.path()).unwrap().is_some());
    }
}
