//! What was begun in a repository and is not yet recorded: a file for each backup on its way, on the disk before its first byte is sent, so that
//! the next start knows what to take away there.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use crate::disk::links::is_own;
use crate::model::{BackupId, Remote};

/// The folder in `backup_dir` that has them; no backup's id begins with `.`.
pub const FOLDER: &str = ".sending";

/// An entry is smaller than this, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

/// A backup on its way to a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// Its own uuid, below which everything of it is.
    pub uuid: String,
    /// Where to.
    pub repository: Remote,
}

impl Entry {
    /// An entry for this backup.
    pub fn new(id: &BackupId, uuid: &str, repository: &Remote) -> Self {
        Self { id: id.to_string(), uuid: uuid.to_owned(), repository: repository.clone() }
    }

    fn path(backup_dir: &Path, uuid: &str) -> PathBuf {
        backup_dir.join(FOLDER).join(format!("{uuid}.json"))
    }

    /// Writes it, to the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&self, backup_dir: &Path) -> io::Result<()> {
        let folder = backup_dir.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => File::open(backup_dir)?.sync_all()?,
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why),
        }
        let path = Self::path(backup_dir, &self.uuid);
        let new = path.with_extension("part");
        let text = serde_json::to_string_pretty(self).map_err(io::Error::other)? + "\n";
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&folder)?.sync_all()
    }

    /// Removes it: the backup is recorded, or nothing of it is left there.
    ///
    /// # Errors
    /// The system's.
    pub fn remove(backup_dir: &Path, uuid: &str) -> io::Result<()> {
        match fs::remove_file(Self::path(backup_dir, uuid)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// All that are there, but for what cannot be read, and what others than the daemon's own user and root can have written: on its word
    /// something is taken away elsewhere.
    pub fn all(backup_dir: &Path) -> Vec<Self> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(CWD, backup_dir.join(FOLDER), flags | OFlags::DIRECTORY, Mode::empty());
        let Some(folder) = opened.ok().filter(|folder| is_own(folder).unwrap_or(false)) else { return Vec::new() };
        let Ok(names) = Dir::read_from(&folder) else { return Vec::new() };
        let entry = |name: &OsStr| {
            let file = openat(&folder, name, flags, Mode::empty()).ok().filter(|file| is_own(file).unwrap_or(false))?;
            let file = File::from(file);
            let mut text = Vec::new();
            file.metadata().ok().filter(std::fs::Metadata::is_file)?;
            file.take(MAX_SIZE).read_to_end(&mut text).ok()?;
            serde_json::from_slice(&text).ok()
        };
        let names = names.flatten().map(|found| OsStr::from_bytes(found.file_name().to_bytes()).to_owned());
        names
            .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "json"))
            .filter_map(|name| entry(&name))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;
    use crate::model::Remote;

    #[test]
    fn what_others_can_have_written_is_no_entry() {
        use std::fs;
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        entry("u-1").write(dir.path()).unwrap();
        let (folder, file) = (dir.path().join(super::FOLDER), dir.path().join(super::FOLDER).join("u-1.json"));
        for (path, mode) in [(&folder, 0o770), (&file, 0o666)] {
            let before = fs::metadata(path).unwrap().permissions();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Entry::all(dir.path()), [], "{}", path.display());
            fs::set_permissions(path, before).unwrap();
        }
        symlink(&file, folder.join("u-2.json")).unwrap();
        assert_eq!(Entry::all(dir.path()).len(), 1, "a symlink is none");
    }

    fn entry(uuid: &str) -> Entry {
        let (bucket, prefix) = ("backups".to_owned(), String::new());
        let remote =
            Remote { bucket, prefix, endpoint: None, region: None, path_style: false, ca: None, credentials: None };
        Entry::new(&"monday".parse().unwrap(), uuid, &remote)
    }

    #[test]
    fn what_is_on_its_way_is_known_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Entry::all(dir.path()), []);
        let entry = entry("u-1");
        entry.write(dir.path()).unwrap();
        entry.write(dir.path()).unwrap();
        assert_eq!(Entry::all(dir.path()), [entry]);
        Entry::remove(dir.path(), "u-1").unwrap();
        Entry::remove(dir.path(), "u-1").unwrap();
        assert_eq!(Entry::all(dir.path()), []);
    }
}
