//! What a removal does to a tree: looks through it first, gives it another name, and takes it away.
//!
//! In: a directory, or a file, by its name from the backup directory on. No symlink is followed, and nothing that is mounted below is entered:
//! what lies there is somebody else's. It is seen before anything is done, since half of a tree cannot be put back.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{
    Access, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, accessat, fstat, openat2, renameat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::{Identity, Place, is_dir, split};
use crate::disk::go_on;

/// How deep a tree may be, in directories: a backup has two. Each takes a descriptor.
const DEEPEST: usize = 64;

impl Place {
    /// Opens a directory in this one, unless another file system is mounted there.
    fn open_here(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS | ResolveFlags::BENEATH;
        match openat2(&self.0, name, flags, Mode::empty(), resolve) {
            Ok(dir) => Ok(Self(dir)),
            Err(Errno::XDEV) => Err(mounted(name)),
            // Before Linux 5.6, and where a filter of system calls is older than that, a device tells it.
            Err(Errno::NOSYS | Errno::PERM) => {
                let dir = self.open_in(name)?;
                let (here, there) = (fstat(&self.0)?, fstat(&dir.0)?);
                if here.st_dev == there.st_dev { Ok(dir) } else { Err(mounted(name)) }
            }
            Err(why) => Err(why.into()),
        }
    }

    /// The names in it.
    fn names(&self) -> io::Result<Vec<OsString>> {
        fs::read_dir(self.path(OsStr::new(".")))?.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// How many bytes the files in the directory `name` have, if all of it could be taken away.
    fn survey(&self, name: &OsStr, depth: usize) -> io::Result<u64> {
        if depth == DEEPEST {
            return Err(too_deep(name));
        }
        let dir = self.open_here(name)?;
        accessat(&dir.0, ".", Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
            .map_err(|why| crate::model::at(Path::new(name))(why.into()))?;
        let mut bytes = 0;
        for inner in dir.names()? {
            match dir.look(&inner)? {
                Some(there) if is_dir(&there) => bytes += dir.survey(&inner, depth + 1)?,
                Some(there) => bytes += u64::try_from(there.st_size).unwrap_or(0),
                None => {}
            }
        }
        Ok(bytes)
    }

    /// Takes away a directory with all in it, or a file.
    fn erase(&self, name: &OsStr, depth: usize, stop: &CancellationToken) -> io::Result<()> {
        go_on(stop)?;
        let at = |why: Errno| crate::model::at(Path::new(name))(why.into());
        match unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(why) => return Err(at(why)),
        }
        if depth == DEEPEST {
            return Err(too_deep(name));
        }
        let dir = self.open_here(name)?;
        for inner in dir.names()? {
            dir.erase(&inner, depth + 1, stop)?;
        }
        match unlinkat(&self.0, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(why) => Err(at(why)),
        }
    }

    /// Takes away what has this name here, and does not come back from that before it is on the disk.
    pub(super) fn erase_all(&self, name: &OsStr, stop: &CancellationToken) -> io::Result<()> {
        self.erase(name, 0, stop)?;
        self.sync()
    }
}

fn too_deep(name: &OsStr) -> io::Error {
    io::Error::other(format!("'{}' lies too deep", Path::new(name).display()))
}

fn mounted(name: &OsStr) -> io::Error {
    io::Error::other(format!("another file system is mounted at '{}' in it", Path::new(name).display()))
}

/// How many bytes would come back if `path`, a directory or a file, were taken away; and which it is. None if it is not there.
///
/// # Errors
/// It could not be taken away as a whole: something is mounted in it, a directory of it may not be written to, or it is a symlink.
pub fn survey(root: &Path, path: &Path) -> io::Result<Option<(u64, Identity)>> {
    let (parent, name) = split(root, path)?;
    let place = Place::open(root, parent)?;
    let Some(there) = place.look(name)? else { return Ok(None) };
    let bytes = if is_dir(&there) {
        place.survey(name, 0)?
    } else if FileType::from_raw_mode(there.st_mode) == FileType::RegularFile {
        u64::try_from(there.st_size).unwrap_or(0)
    } else {
        return Err(io::Error::other(format!("'{}' is neither a directory nor a file", path.display())));
    };
    Ok(Some((bytes, Identity::of(&there))))
}

/// Gives what is called `from` in `root` the name `to` there, and syncs that. What is called so already is never replaced.
///
/// # Errors
/// The system's; the old name stands then, but where the sync alone has failed.
pub fn rename(root: &Path, from: &str, to: &str) -> io::Result<()> {
    let place = Place::open(root, Path::new(""))?;
    match renameat_with(&place.0, from, &place.0, to, RenameFlags::NOREPLACE) {
        Ok(()) => {}
        // Not every file system knows it (rename(2)). Nobody else gives such names.
        Err(Errno::INVAL | Errno::NOSYS) if place.look(OsStr::new(to))?.is_none() => {
            renameat(&place.0, from, &place.0, to)?;
        }
        Err(why) => return Err(why.into()),
    }
    place.sync()
}

/// Takes away what is called `name` in `root`, a directory or a file; it is gone from the disk when this ends well.
///
/// # Errors
/// The system's, or it was to stop; what is left can be taken away later.
pub fn erase(root: &Path, name: &str, stop: &CancellationToken) -> io::Result<()> {
    Place::open(root, Path::new(""))?.erase_all(OsStr::new(name), stop)
}

/// The names in `root`, of directories and files, that are so.
///
/// # Errors
/// The system's.
pub fn names(root: &Path, is_wanted: &dyn Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let names = Place::open(root, Path::new(""))?.names()?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).filter(|name| is_wanted(name)).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use tokio_util::sync::CancellationToken;

    use super::{DEEPEST, erase, names, rename, survey};

    #[test]
    fn a_tree_is_measured_renamed_and_erased_and_no_symlink_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (root, precious) = (dir.path().join("backups"), dir.path().join("precious"));
        fs::create_dir_all(root.join("a/shop")).unwrap();
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("data"), "x").unwrap();
        fs::write(root.join("a/shop/orders.ibd"), [0; 1000]).unwrap();
        fs::write(root.join("a/ibdata1"), [0; 24]).unwrap();
        symlink(&precious, root.join("a/shop/out")).unwrap();
        symlink(&precious, root.join("link")).unwrap();
        let bytes = |name: &str| survey(&root, &root.join(name)).map(|found| found.map(|(bytes, _)| bytes));
        let link = u64::try_from(precious.as_os_str().len()).unwrap();
        assert_eq!(bytes("a").unwrap(), Some(1024 + link));
        assert_eq!(bytes("none").unwrap(), None);
        assert!(bytes("link").is_err() && survey(&root, &precious).is_err());

        fs::write(root.join(".b.gone"), "there already").unwrap();
        assert!(rename(&root, "a", ".b.gone").is_err() && root.join("a").is_dir());
        rename(&root, "a", ".a.gone").unwrap();
        let hidden = |root: &Path| {
            let mut found = names(root, &|name| name.starts_with('.')).unwrap();
            found.sort();
            found
        };
        assert_eq!(hidden(&root), [".a.gone", ".b.gone"]);
        let stopped = CancellationToken::new();
        stopped.cancel();
        assert!(erase(&root, ".a.gone", &stopped).is_err() && root.join(".a.gone/ibdata1").exists());
        for name in [".a.gone", ".a.gone", ".b.gone"] {
            erase(&root, name, &CancellationToken::new()).unwrap();
        }
        assert_eq!(hidden(&root), [""; 0]);
        assert_eq!(fs::read_to_string(precious.join("data")).unwrap(), "x");
    }

    #[test]
    fn what_could_only_be_taken_away_in_part_is_told_before() {
        let dir = tempfile::tempdir().unwrap();
        let deep = (0..=DEEPEST).fold(dir.path().join("deep"), |path, _| path.join("d"));
        fs::create_dir_all(deep).unwrap();
        assert!(survey(dir.path(), &dir.path().join("deep")).unwrap_err().to_string().contains("too deep"));
        if rustix::process::geteuid().is_root() {
            return;
        }
        fs::create_dir_all(dir.path().join("a/shop")).unwrap();
        fs::set_permissions(dir.path().join("a/shop"), fs::Permissions::from_mode(0o500)).unwrap();
        assert!(survey(dir.path(), &dir.path().join("a")).is_err());
        fs::set_permissions(dir.path().join("a/shop"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
