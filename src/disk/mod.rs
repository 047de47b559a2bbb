//! Directories: synced to the disk, locked, looked at; made and removed by [`below`], filled and emptied by [`data_dir`].
//!
//! The backup tools sync nothing of what they write (seen with mariadb-backup 10.11.19 under strace), so what must outlast a
//! power cut is synced here before it is called a success.

pub mod below;
pub mod data_dir;
mod fills;
pub mod links;
mod new_dir;
pub mod own;
mod place_error;
pub mod places;
pub mod space;
pub(crate) mod workers;
pub mod writeback;

pub use new_dir::NewDir;
pub use place_error::PlaceError;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{FlockOperation, OFlags, flock, syncfs};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::model::at;

/// The mode of a file that everybody may read who reaches it.
const PUBLIC: u32 = 0o644;

/// A file system on which something is about to be written.
///
/// Held from before that, it tells at a sync of every error since, those of writing in the background too: `syncfs` does so since Linux
/// 5.8 (syncfs(2)), and the `fsync` of each file, which costs some 3 ms even where nothing is left to write, has nothing to add. Elsewhere,
/// and where a file system is served by a program or over a network, each file is synced for itself.
#[derive(Debug)]
pub struct Disk {
    top: File,
    tells_of_errors: bool,
}

impl Disk {
    /// The one that `path` is on, or will be once it is made.
    ///
    /// # Errors
    /// The system's.
    pub fn of(path: &Path) -> io::Result<Self> {
        let open = |path: &Path| {
            OpenOptions::new().read(true).custom_flags(OFlags::DIRECTORY.bits().cast_signed()).open(path).ok()
        };
        let top = path.ancestors().find_map(open).map_or_else(|| File::open("/"), Ok)?;
        let kind = rustix::fs::fstatfs(&top)?.f_type;
        let is_local = LOCAL.contains(&u32::try_from(kind).unwrap_or_default());
        let tells_of_errors = is_local && release().is_some_and(|release| release >= (5, 8));
        Ok(Self { top, tells_of_errors })
    }

    /// The same, or the one that `root` is on where that turned out to be another: that one was not held before.
    fn of_this(&self, root: &Path) -> io::Result<Self> {
        if self.top.metadata()?.dev() == fs::metadata(root).map_err(at(root))?.dev() {
            return Ok(Self { top: self.top.try_clone()?, tells_of_errors: self.tells_of_errors });
        }
        Ok(Self { top: File::open(root).map_err(at(root))?, tells_of_errors: false })
    }

    fn sync(&self) -> io::Result<()> {
        Ok(syncfs(&self.top)?)
    }

    /// Syncs everything in and under `root`, and its name in its parent; gives the size of all files, in bytes.
    ///
    /// # Errors
    /// The system's, or that it was broken off by `stop`.
    pub fn sync_tree(&self, root: &Path, stop: &CancellationToken) -> io::Result<u64> {
        let disk = self.of_this(root)?;
        disk.sync()?;
        let size = disk.sync_below(root, stop)?;
        if let Some(parent) = root.parent() {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(at(parent))?;
        }
        Ok(size)
    }

    /// Syncs a file or a directory to which [`Disk::sync`] has left nothing to write, for what it tells of errors.
    fn sync_one(&self, path: &Path) -> io::Result<()> {
        if self.tells_of_errors {
            return Ok(());
        }
        File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
    }

    /// Does `work`, which reads what is in `root` or little of it, while the file system writes what it has not written yet: the one needs
    /// a processor, the other the disk.
    ///
    /// # Errors
    /// Those of either.
    pub fn while_syncing<T>(&self, root: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let disk = self.of_this(root)?;
        thread::scope(|scope| {
            let syncing = scope.spawn(|| disk.sync());
            let done = work()?;
            syncing.join().unwrap_or_else(|_panicked| Err(io::Error::other("syncing broke off")))?;
            Ok(done)
        })
    }

    fn sync_below(&self, dir: &Path, stop: &CancellationToken) -> io::Result<u64> {
        let mut size = 0;
        for entry in fs::read_dir(dir).map_err(at(dir))? {
            go_on(stop)?;
            let entry = entry.map_err(at(dir))?;
            let kind = entry.file_type().map_err(at(&entry.path()))?;
            if kind.is_dir() {
                size += self.sync_below(&entry.path(), stop)?;
            } else if kind.is_file() {
                self.sync_one(&entry.path())?;
                size += entry.metadata().map_err(at(&entry.path()))?.len();
            }
        }
        self.sync_one(dir)?;
        Ok(size)
    }
}

/// File systems of this machine's own disks, by their magic numbers (statfs(2)): ext2 to ext4, XFS, btrfs, F2FS.
const LOCAL: [u32; 4] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010];

/// The kernel's release, in two numbers.
fn release() -> Option<(u32, u32)> {
    let name = rustix::system::uname();
    let mut numbers = name.release().to_str().ok()?.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// An error, once the daemon is to stop: what takes long asks this between its pieces.
pub fn go_on(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() { Err(io::Error::other(Stopped)) } else { Ok(()) }
}

/// What [`go_on`] says.
#[derive(Debug, Error)]
#[error("the daemon was stopped meanwhile")]
pub(crate) struct Stopped;

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

/// Whether two paths lead to one directory, by whatever names. Paths that lead nowhere are compared as they are.
pub fn is_same(one: &Path, other: &Path) -> bool {
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
        // `Path` takes no notice of a slash at the end.
        (Err(_), Err(_)) => one == other,
    }
}

/// Whether `inner` is `outer` or lies somewhere below it, by whatever names. What cannot be found lies nowhere.
pub fn lies_in(inner: &Path, outer: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).ok();
    whole(inner).zip(whole(outer)).is_some_and(|(inner, outer)| inner.starts_with(outer))
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

/// Whether a daemon works in `dir`. One that starts at this moment waits for the answer.
pub fn is_locked(dir: &Path) -> bool {
    let asked = File::open(dir).and_then(|held| Ok(flock(&held, FlockOperation::NonBlockingLockShared)?));
    asked.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
}

/// Writes a file so that whoever reads it sees the old one or the new one.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A collector of metrics reads what ends in `.prom`, and this does not.
    let new = path.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&new) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PUBLIC).open(&new)?;
    // Whatever the umask.
    let written = file.set_permissions(Permissions::from_mode(PUBLIC)).and_then(|()| file.write_all(text.as_bytes()));
    written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        let _gone = fs::remove_file(&new);
    })
}

/// Whether something can be made in `dir`.
pub fn is_writable(dir: &Path) -> io::Result<()> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).map_err(Into::into)
}

/// The size of all files in and under `dir`, in bytes; None if it cannot all be seen.
pub(crate) fn tree_size(dir: &Path) -> Option<u64> {
    let mut size = 0;
    for entry in fs::read_dir(dir).ok()? {
        let entry = entry.ok()?;
        // What goes while it is looked at counts nothing.
        let Ok(there) = entry.metadata() else { continue };
        size += if there.is_dir() { tree_size(&entry.path()).unwrap_or(0) } else { there.len() };
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio_util::sync::CancellationToken;

    use super::{Disk, lies_in, lock, release};

    #[test]
    fn a_tree_is_synced_and_measured() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        fs::write(dir.path().join("a/b"), [0; 1000]).unwrap();
        fs::write(dir.path().join("c"), [0; 24]).unwrap();
        symlink("nowhere", dir.path().join("d")).unwrap();
        let stop = CancellationToken::new();
        let disk = Disk::of(&dir.path().join("not/yet")).unwrap();
        for disk in [Disk { tells_of_errors: false, top: disk.top.try_clone().unwrap() }, disk] {
            assert_eq!(disk.sync_tree(dir.path(), &stop).unwrap(), 1024);
            assert!(disk.sync_tree(&dir.path().join("none"), &stop).is_err());
        }
        // One that is held for another file system is of no use here.
        let other = Disk { tells_of_errors: true, top: fs::File::open("/proc").unwrap() };
        assert!(!other.of_this(dir.path()).unwrap().tells_of_errors);
        assert_eq!(other.sync_tree(dir.path(), &stop).unwrap(), 1024);
        stop.cancel();
        assert!(Disk::of(dir.path()).unwrap().sync_tree(dir.path(), &stop).is_err());
    }

    #[test]
    fn the_kernels_release_is_read() {
        assert!(release().unwrap() > (2, 6), "{:?}", release());
    }

    #[test]
    fn a_file_system_that_a_program_or_no_disk_serves_has_each_file_synced() {
        assert!(!Disk::of(std::path::Path::new("/proc/self")).unwrap().tells_of_errors);
    }

    #[test]
    fn what_lies_in_a_directory_is_known_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("data/backups")).unwrap();
        fs::create_dir(path("data-2")).unwrap();
        symlink("data/backups", path("link")).unwrap();
        for (inner, lies_in_it) in
            [("data", true), ("data/backups", true), ("link", true), ("data-2", false), ("none", false)]
        {
            assert_eq!(lies_in(&path(inner), &path("data")), lies_in_it, "{inner}");
        }
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
