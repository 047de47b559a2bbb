//! Directories: synced to the disk, locked, looked at; made and removed by [`below`], filled and emptied by [`data_dir`].
//!
//! The backup tools sync nothing of what they write (seen with mariadb-backup 10.11.19 under strace), so what must outlast a
//! power cut is synced here before it is called a success.

pub mod below;
pub mod data_dir;
pub mod room;
pub mod stored;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{FlockOperation, flock, syncfs};
use tokio_util::sync::CancellationToken;

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

/// Does `work`, which reads what is in `root` or little of it, while the file system of `root` writes what it has not written yet:
/// the one needs a processor, the other the disk.
///
/// # Errors
/// Those of either.
pub fn while_syncing<T>(root: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let top = File::open(root)?;
    thread::scope(|scope| {
        let syncing = scope.spawn(|| syncfs(&top));
        let done = work()?;
        syncing.join().unwrap_or(Err(rustix::io::Errno::IO))?;
        Ok(done)
    })
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

/// Keeps other daemons from working in `dir` for as long as the answer is held.
///
/// # Errors
/// The system's; of the kind `WouldBlock` where another one does.
pub fn lock(dir: &Path) -> io::Result<File> {
    let held = File::open(dir)?;
    flock(&held, FlockOperation::NonBlockingLockExclusive)?;
    Ok(held)
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

    use super::{lock, sync_tree};

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
        assert_eq!(lock(dir.path()).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        drop(held);
        lock(dir.path()).unwrap();
    }
}
