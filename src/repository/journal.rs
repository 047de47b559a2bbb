//! What was begun in a repository and is not yet recorded: a file for each backup on its way, on the disk before its first byte is sent, so that
//! the next start knows what to take away there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{BackupId, Remote};

/// The folder in `backup_dir` that has them; no backup's id begins with `.`.
pub const FOLDER: &str = ".sending";

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

    /// All that are there, but for what cannot be read.
    pub fn all(backup_dir: &Path) -> Vec<Self> {
        let files = fs::read_dir(backup_dir.join(FOLDER)).into_iter().flatten().flatten();
        let json = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|ending| ending == "json"));
        json.filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;
    use crate::model::Remote;

    #[test]
    fn what_is_on_its_way_is_known_until_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Entry::all(dir.path()), []);
        let (bucket, prefix) = ("backups".to_owned(), String::new());
        let remote =
            Remote { bucket, prefix, endpoint: None, region: None, path_style: false, ca: None, credentials: None };
        let entry = Entry::new(&"monday".parse().unwrap(), "u-1", &remote);
        entry.write(dir.path()).unwrap();
        entry.write(dir.path()).unwrap();
        assert_eq!(Entry::all(dir.path()), [entry]);
        Entry::remove(dir.path(), "u-1").unwrap();
        Entry::remove(dir.path(), "u-1").unwrap();
        assert_eq!(Entry::all(dir.path()), []);
    }
}
