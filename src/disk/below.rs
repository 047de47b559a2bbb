//! Directories below the backup directory: made, found and removed without following a symlink.
//!
//! The backup directory is open to a whole group, whose members may lay a symlink in the place of anything in it. So what is below it
//! is reached name by name, from a descriptor on, and what is removed is what that descriptor leads to. The backup directory itself
//! may be a symlink: that one is the operator's.

pub mod tree;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::geteuid;
use tokio_util::sync::CancellationToken;

/// What the name of something that is being removed ends in; no backup's id begins with `.`.
const GONE: &str = ".gone";

/// The name of what was called `name` and is being taken away: the next start does the rest.
pub fn gone(name: &str) -> String {
    format!(".{name}{GONE}")
}

/// What the name of a link to a table's `DATA DIRECTORY` ends in: a file with the path of the live server's file.
const LINK: &str = "isl";

/// Which directory it is, whatever its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(there: &Stat) -> Self {
        Self { device: there.st_dev, inode: there.st_ino }
    }
}

/// A directory that was made, held open: some file systems of FUSE give a directory another number once nobody has it open.
#[derive(Debug)]
pub struct Made {
    identity: Identity,
    _held: Place,
}

impl Made {
    /// Which one it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }
}

/// A directory that was opened on the way down from the backup directory.
#[derive(Debug)]
struct Place(OwnedFd);

impl Place {
    /// Opens `relative` below `root`.
    fn open(root: &Path, relative: &Path) -> io::Result<Self> {
        let mut place = Self(openat(CWD, root, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?);
        for part in relative.components() {
            let Component::Normal(name) = part else {
                return Err(io::Error::other(format!("'{}' leads out of the backup directory", relative.display())));
            };
            place = place.open_in(name)?;
        }
        Ok(place)
    }

    fn open_in(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.0, name, flags, Mode::empty()) {
            Ok(dir) => Ok(Self(dir)),
            // A symlink is the one or the other, by the kernel's version.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                Err(io::Error::other(format!("'{}' is not a directory", Path::new(name).display())))
            }
            Err(why) => Err(why.into()),
        }
    }

    /// What has this name here; None if nothing has.
    fn look(&self, name: &OsStr) -> io::Result<Option<Stat>> {
        match statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(there) => Ok(Some(there)),
            Err(Errno::NOENT) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// A path that leads to what has this name here, whatever becomes of this directory's own name: proc(5).
    fn path(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(name)
    }

    /// The names of what is of such a kind in it.
    fn entries(&self, is_wanted: impl Fn(fs::FileType) -> bool) -> io::Result<Vec<OsString>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(self.path(OsStr::new(".")))? {
            let entry = entry?;
            if is_wanted(entry.file_type()?) {
                found.push(entry.file_name());
            }
        }
        Ok(found)
    }

    /// Removes a directory and all in it. It is renamed first: half a removed backup is never taken for a backup.
    fn remove(&self, name: &OsStr) -> io::Result<()> {
        let gone = OsString::from(gone(&name.to_string_lossy()));
        let never = CancellationToken::new();
        self.erase_all(&gone, &never)?;
        renameat(&self.0, name, &self.0, &gone)?;
        self.erase_all(&gone, &never)
    }

    /// Removes what leads a server out of here.
    fn close(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.path(OsStr::new(".")))? {
            let (entry, name) = entry.map(|entry| (entry.file_type(), entry.file_name()))?;
            let kind = entry?;
            if kind.is_symlink() {
                return Err(io::Error::other(format!("'{}' is a symlink", Path::new(&name).display())));
            }
            if kind.is_dir() {
                self.open_in(&name)?.close()?;
            } else if Path::new(&name).extension() == Some(OsStr::new(LINK)) {
                unlinkat(&self.0, &name, AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }
}

fn is_dir(there: &Stat) -> bool {
    FileType::from_raw_mode(there.st_mode) == FileType::Directory
}

/// The way from `root` to `path`, without its last name; and that name.
fn split<'a>(root: &Path, path: &'a Path) -> io::Result<(&'a Path, &'a OsStr)> {
    let outside = || io::Error::other(format!("'{}' is not below '{}'", path.display(), root.display()));
    let Ok(relative) = path.strip_prefix(root) else { return Err(outside()) };
    Ok((relative.parent().unwrap_or(Path::new("")), relative.file_name().ok_or_else(outside)?))
}

/// Makes the directory `path`, which must not be there, for this user alone.
pub fn make(root: &Path, path: &Path) -> io::Result<Made> {
    let (parent, name) = split(root, path)?;
    let parent = Place::open(root, parent)?;
    mkdirat(&parent.0, name, Mode::RWXU)?;
    let made = parent.open_in(name)?;
    Ok(Made { identity: Identity::of(&fstat(&made.0)?), _held: made })
}

/// Makes sure that a server on the prepared data directory `path` opens no file outside: it would write to the live file of a table with
/// a `DATA DIRECTORY`, to which an `.isl` leads. The backup tool has put that table's file into the directory itself, and a server
/// finds it there once the link is gone (both seen with 10.11.19).
///
/// # Errors
/// A symlink is in it; or the system's.
pub fn close(root: &Path, path: &Path) -> io::Result<()> {
    let (parent, name) = split(root, path)?;
    Place::open(root, parent)?.open_in(name)?.close()
}

/// Makes a directory of this name in `parent`, and `parent` if need be. Where the name is taken, a number is added.
pub fn make_unique(root: &Path, parent: &Path, name: &str) -> io::Result<PathBuf> {
    let (above, own) = split(root, parent)?;
    let above = Place::open(root, above)?;
    match mkdirat(&above.0, own, Mode::RWXU | Mode::RGRP | Mode::XGRP) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(why) => return Err(why.into()),
    }
    let place = above.open_in(own)?;
    for number in 1.. {
        let name = if number == 1 { name.to_owned() } else { format!("{name}-{number}") };
        match mkdirat(&place.0, name.as_str(), Mode::RWXU) {
            Ok(()) => return Ok(parent.join(name)),
            Err(Errno::EXIST) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Which directory `path` is; None if it is no directory itself.
pub fn identity(root: &Path, path: &Path) -> io::Result<Option<Identity>> {
    let (parent, name) = split(root, path)?;
    let there = Place::open(root, parent)?.look(name)?;
    Ok(there.filter(is_dir).as_ref().map(Identity::of))
}

/// Removes the directory `path` and all in it; one that is not there is removed already. A symlink is never followed, nor removed.
pub fn remove(root: &Path, path: &Path) -> io::Result<()> {
    let (parent, name) = split(root, path)?;
    let parent = match Place::open(root, parent) {
        Ok(parent) => parent,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(why),
    };
    match parent.look(name)? {
        None => Ok(()),
        Some(there) if is_dir(&there) => parent.remove(name),
        Some(_) => Err(io::Error::other(format!("'{}' is not a directory", path.display()))),
    }
}

/// Removes what an interrupted removal left in `relative`, directories and files; gives how much there was.
pub fn sweep_gone(root: &Path, relative: &Path) -> io::Result<usize> {
    let is_gone = |name: &str| name.starts_with('.') && name.ends_with(GONE);
    let Some(place) = swept(root, relative)? else { return Ok(0) };
    let mut count = 0;
    for name in place.entries(|kind| kind.is_dir() || kind.is_file())? {
        if name.to_str().is_some_and(is_gone) {
            place.erase_all(&name, &CancellationToken::new())?;
            count += 1;
        }
    }
    Ok(count)
}

/// Removes the directories in `relative` whose names are so; gives how many there were. A place that somebody else has made, or that
/// is not there, is not swept.
pub fn sweep(root: &Path, relative: &Path, is_to_go: &dyn Fn(&str) -> bool) -> io::Result<usize> {
    each(root, relative, is_to_go, &|place, name| place.remove(name))
}

/// The same for those that are empty; the others stay.
pub fn sweep_empty(root: &Path, relative: &Path, is_to_go: &dyn Fn(&str) -> bool) -> io::Result<usize> {
    each(root, relative, is_to_go, &|place, name| match rustix::fs::unlinkat(&place.0, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
        Err(why) => Err(why.into()),
    })
}

/// A place that may be swept. None if it is not there.
fn swept(root: &Path, relative: &Path) -> io::Result<Option<Place>> {
    let place = match Place::open(root, relative) {
        Ok(place) => place,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(why),
    };
    let owner = fstat(&place.0)?.st_uid;
    if relative != Path::new("") && owner != geteuid().as_raw() && owner != 0 {
        return Err(io::Error::other(format!("it belongs to another user ({owner})")));
    }
    Ok(Some(place))
}

fn each(
    root: &Path,
    relative: &Path,
    is_to_go: &dyn Fn(&str) -> bool,
    remove: &dyn Fn(&Place, &OsStr) -> io::Result<()>,
) -> io::Result<usize> {
    let Some(place) = swept(root, relative)? else { return Ok(0) };
    let mut count = 0;
    for name in place.entries(|kind| kind.is_dir())? {
        if name.to_str().is_some_and(is_to_go) {
            remove(&place, &name)?;
            count += usize::from(place.look(&name)?.is_none());
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::{close, identity, make, make_unique, remove, sweep, sweep_empty, sweep_gone};

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn two_restores_in_one_second_get_two_directories() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("restores");
        let made = [(); 3].map(|()| make_unique(dir.path(), &parent, "2026-11-22-09-03-37").unwrap());
        let made = made.each_ref().map(|path| path.file_name().and_then(OsStr::to_str).unwrap());
        assert_eq!(made, ["2026-11-22-09-03-37", "2026-11-22-09-03-37-2", "2026-11-22-09-03-37-3"]);
        assert_eq!(fs::metadata(parent.join(made[0])).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_directory_is_made_once_and_known_again_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full-1");
        let made = make(dir.path(), &path).unwrap();
        assert_eq!(make(dir.path(), &path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
        let made = made.identity();
        assert_eq!(identity(dir.path(), &path).unwrap(), Some(made));
        fs::rename(&path, dir.path().join("moved")).unwrap();
        assert_eq!(identity(dir.path(), &path).unwrap(), None);
        assert_eq!(identity(dir.path(), &dir.path().join("moved")).unwrap(), Some(made));
        symlink("moved", &path).unwrap();
        assert_eq!(identity(dir.path(), &path).unwrap(), None, "a symlink is not a directory");
        let other = make(dir.path(), &dir.path().join("full-2")).unwrap();
        assert_ne!(made, other.identity());
    }

    #[test]
    fn removal_does_not_follow_a_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("backups");
        let (precious, backup) = (dir.path().join("precious"), root.join("backup"));
        fs::create_dir(&root).unwrap();
        fs::create_dir(&precious).unwrap();
        fs::create_dir(precious.join("2026")).unwrap();
        fs::write(precious.join("2026/data"), "x").unwrap();
        symlink(&precious, &backup).unwrap();
        assert!(remove(&root, &backup).is_err());
        assert!(remove(&root, &backup.join("2026")).is_err(), "nor one on the way");
        fs::remove_file(&backup).unwrap();
        fs::create_dir(&backup).unwrap();
        symlink(&precious, backup.join("inside")).unwrap();
        remove(&root, &backup).unwrap();
        remove(&root, &backup).unwrap();
        remove(&root, &root.join("none/such")).unwrap();
        assert_eq!(fs::read_to_string(precious.join("2026/data")).unwrap(), "x");
        assert_eq!(names(&root), [""; 0]);
    }

    #[test]
    fn nothing_outside_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("backups");
        fs::create_dir(&root).unwrap();
        for path in [dir.path().join("elsewhere"), root.join("../elsewhere"), root.clone()] {
            fs::create_dir_all(dir.path().join("elsewhere")).unwrap();
            assert!(remove(&root, &path).is_err(), "{}", path.display());
            assert!(make(&root, &path.join("new")).is_err() || path == root, "{}", path.display());
        }
        assert_eq!(names(dir.path()), ["backups", "elsewhere"]);
    }

    #[test]
    fn what_an_interrupted_removal_left_goes_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".full-1.gone", "full-2", ".hidden"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join(".full-1.gone/data"), "x").unwrap();
        fs::write(dir.path().join(".backup-full-0.xbstream.gone"), "x").unwrap();
        assert_eq!(sweep_gone(dir.path(), Path::new("")).unwrap(), 2);
        assert_eq!(sweep_gone(dir.path(), Path::new("none")).unwrap(), 0);
        assert_eq!(names(dir.path()), [".hidden", "full-2"]);
    }

    /// A symlink in the place of a directory that is swept would lead the broom to the backups themselves.
    #[test]
    fn a_place_that_is_a_symlink_is_not_swept() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("2026")).unwrap();
        fs::write(dir.path().join("2026/data"), "x").unwrap();
        symlink(".", dir.path().join("tmp")).unwrap();
        assert!(sweep(dir.path(), Path::new("tmp"), &|_| true).is_err());
        assert!(sweep_empty(dir.path(), Path::new("tmp"), &|_| true).is_err());
        assert!(make_unique(dir.path(), &dir.path().join("tmp"), "2027").is_err());
        assert_eq!(names(dir.path()), ["2026", "tmp"]);
    }

    #[test]
    fn of_a_place_that_is_swept_goes_what_is_to_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tmp/a/deep", "tmp/b", "restores/a/deep", "restores/c"] {
            fs::create_dir_all(dir.path().join(name)).unwrap();
        }
        fs::write(dir.path().join("tmp/file"), "x").unwrap();
        assert_eq!(sweep(dir.path(), Path::new("tmp"), &|name| name != "b").unwrap(), 1);
        assert_eq!(names(&dir.path().join("tmp")), ["b", "file"]);
        assert_eq!(sweep_empty(dir.path(), Path::new("restores"), &|_| true).unwrap(), 1);
        assert_eq!(names(&dir.path().join("restores")), ["a"]);
    }

    #[test]
    fn a_server_finds_no_way_out_of_what_was_closed() {
        let dir = tempfile::tempdir().unwrap();
        let (data, live) = (dir.path().join("full-1"), dir.path().join("live.ibd"));
        fs::create_dir_all(data.join("shop")).unwrap();
        fs::write(&live, "live").unwrap();
        fs::write(data.join("shop/orders.isl"), live.display().to_string()).unwrap();
        fs::write(data.join("shop/orders.ibd"), "copied").unwrap();
        close(dir.path(), &data).unwrap();
        assert_eq!(
            (names(&data.join("shop")), names(dir.path())),
            (vec!["orders.ibd".to_owned()], vec!["full-1".to_owned(), "live.ibd".to_owned()])
        );
        symlink(dir.path(), data.join("other")).unwrap();
        assert_eq!(close(dir.path(), &data).unwrap_err().to_string(), "'other' is a symlink");
        symlink(&data, dir.path().join("full-2")).unwrap();
        assert!(close(dir.path(), &dir.path().join("full-2")).is_err(), "what is closed is no symlink itself");
    }

    #[test]
    fn what_ends_in_two_dots_is_not_removed() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("restores/a")).unwrap();
        for path in ["restores/..", "restores/a/..", "..", ""] {
            assert!(remove(root.path(), &root.path().join(path)).is_err(), "{path}");
        }
        assert!(root.path().join("restores/a").is_dir());
    }
}
