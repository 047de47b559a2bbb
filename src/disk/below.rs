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
mod tests;
