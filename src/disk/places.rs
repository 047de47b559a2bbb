//! Places outside the data directory where a server keeps files: free before a restore, filled by it, and freed again if it fails.
//!
//! In: the [`Outside`] places of the server that was backed up. A file of theirs that lies there already is another server's, or an older
//! one's: the tools stop at some of them when half of the data directory is filled, and a redo log that stays is replayed over what was
//! restored (seen with mariadb-backup and MariaDB 10.11.19). So a restore begins only where there is none.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::server::{Names, Outside};

/// Where `MyRocks` keeps its files in a prepared tree.
const ROCKSDB: &str = "#rocksdb";

/// Why a place cannot be filled.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// It is not there.
    #[error("'{}' is not there, where {option} of the server that was backed up leads: make it, for the server's user, or restore to a folder", dir.display())]
    Missing {
        /// Which directory.
        dir: PathBuf,
        /// The option that leads there.
        option: String,
    },
    /// Something lies there.
    #[error("'{}' is in the way, where {option} of the server that was backed up leads: move it aside", path.display())]
    Taken {
        /// Which file.
        path: PathBuf,
        /// The option that leads there.
        option: String,
    },
    /// What should have come there did not.
    #[error("'{}' did not arrive whole", .0.display())]
    NotArrived(PathBuf),
    /// It cannot be looked at or changed.
    #[error("'{}' cannot be used", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_owned();
    move |source| PlaceError::Io { path, source }
}

/// Finds out whether each place is there, and has none of the server's files.
///
/// # Errors
/// The first that is not, or has one.
pub fn check_free(outside: &[Outside]) -> Result<(), PlaceError> {
    for place in outside {
        let entries = match fs::read_dir(&place.dir) {
            Err(why) if why.kind() == io::ErrorKind::NotFound && place.is_made => continue,
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                return Err(PlaceError::Missing { dir: place.dir.clone(), option: place.option.clone() });
            }
            entries => entries.map_err(at(&place.dir))?,
        };
        for entry in entries {
            let entry = entry.map_err(at(&place.dir))?;
            if place.names.have(&entry.file_name().to_string_lossy()) {
                return Err(PlaceError::Taken { path: entry.path(), option: place.option.clone() });
            }
        }
    }
    Ok(())
}

/// What a restore puts outside the data directory.
#[derive(Debug, Clone, Default)]
pub struct Awaited {
    files: Vec<File>,
    /// The directories that the tool makes for them.
    made: Vec<PathBuf>,
}

#[derive(Debug, Clone)]
struct File {
    /// Where it is in the prepared tree.
    from: PathBuf,
    /// Where it comes.
    to: PathBuf,
    /// In bytes.
    size: u64,
}

impl Awaited {
    /// What of the prepared tree `work` goes to these places.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn of(work: &Path, outside: &[Outside]) -> Result<Self, PlaceError> {
        let mut files = Vec::new();
        for place in outside {
            let below = if place.names == Names::All { Path::new(ROCKSDB) } else { Path::new("") };
            let dir = work.join(below);
            let entries = match fs::read_dir(&dir) {
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.map_err(at(&dir))?,
            };
            for entry in entries {
                let entry = entry.map_err(at(&dir))?;
                let (name, there) = (entry.file_name(), entry.metadata().map_err(at(&dir))?);
                if there.is_file() && place.names.have(&name.to_string_lossy()) {
                    files.push(File { from: below.join(&name), to: place.dir.join(&name), size: there.len() });
                }
            }
        }
        let made = outside.iter().filter(|place| place.is_made).map(|place| place.dir.clone()).collect();
        Ok(Self { files, made })
    }

    /// Which files of the prepared tree do not come into the data directory.
    pub fn elsewhere(&self) -> BTreeSet<PathBuf> {
        self.files.iter().map(|file| file.from.clone()).collect()
    }

    /// Finds out whether each has arrived in its full size, and syncs it and its name to the disk.
    ///
    /// # Errors
    /// The first that has not.
    pub fn check_and_sync(&self) -> Result<(), PlaceError> {
        let sync = |path: &Path| fs::File::open(path).and_then(|file| file.sync_all()).map_err(at(path));
        for file in &self.files {
            if !fs::symlink_metadata(&file.to).is_ok_and(|there| there.is_file() && there.len() == file.size) {
                return Err(PlaceError::NotArrived(file.to.clone()));
            }
            sync(&file.to)?;
        }
        let dirs: BTreeSet<_> = self.files.iter().filter_map(|file| file.to.parent()).collect();
        dirs.into_iter().try_for_each(sync)
    }

    /// Removes what has come there. Nothing of these names was there before.
    ///
    /// # Errors
    /// The system's.
    pub fn undo(&self) -> Result<(), PlaceError> {
        for file in &self.files {
            // What the restore brings, whole or in part, is never longer; a server that was started meanwhile makes a log that is.
            if fs::symlink_metadata(&file.to).is_ok_and(|there| !there.is_file() || there.len() > file.size) {
                continue;
            }
            match fs::remove_file(&file.to) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(&file.to)(why)),
                Ok(()) | Err(_) => {}
            }
        }
        for dir in &self.made {
            // One that holds something is not the restore's own.
            let _gone = fs::remove_dir(dir);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{Awaited, check_free};
    use crate::server::{Names, Outside};

    fn place(dir: &Path, names: Names) -> Outside {
        Outside { option: "an_option".to_owned(), dir: dir.to_owned(), names, is_made: false }
    }

    #[test]
    fn a_place_is_free_without_the_servers_files() {
        let dir = tempfile::tempdir().unwrap();
        let said = |names: Names, below: &str| {
            let free = check_free(&[place(&dir.path().join(below), names)]);
            free.map_err(|why| why.to_string().replace(dir.path().to_str().unwrap(), "~"))
        };
        fs::write(dir.path().join("ib_logfile0"), "").unwrap();
        assert_eq!(said(Names::Undo, ""), Ok(()));
        let taken =
            "'~/ib_logfile0' is in the way, where an_option of the server that was backed up leads: move it aside";
        assert_eq!(said(Names::Redo, ""), Err(taken.to_owned()));
        let missing = "'~/gone' is not there, where an_option of the server that was backed up leads: make it, for the server's user, or restore to a folder";
        assert_eq!(said(Names::Redo, "gone"), Err(missing.to_owned()));
        let made = Outside { is_made: true, ..place(&dir.path().join("gone"), Names::Redo) };
        assert!(check_free(&[made]).is_ok(), "the tool makes it");
    }

    #[test]
    fn what_comes_to_a_place_is_awaited_and_taken_back() {
        let (work, redo, rocks) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(work.path().join("#rocksdb")).unwrap();
        for (name, text) in [("ib_logfile0", "log"), ("ibdata1", "data"), ("#rocksdb/1.sst", "rocks")] {
            fs::write(work.path().join(name), text).unwrap();
        }
        let outside = [place(redo.path(), Names::Redo), place(rocks.path(), Names::All)];
        let awaited = Awaited::of(work.path(), &outside).unwrap();
        let elsewhere: Vec<_> = awaited.elsewhere().into_iter().map(|path| path.display().to_string()).collect();
        assert_eq!(elsewhere, ["#rocksdb/1.sst", "ib_logfile0"]);
        assert!(awaited.check_and_sync().is_err());
        fs::write(redo.path().join("ib_logfile0"), "log").unwrap();
        fs::write(rocks.path().join("1.sst"), "rock").unwrap();
        assert!(awaited.check_and_sync().unwrap_err().to_string().ends_with("1.sst' did not arrive whole"));
        fs::write(rocks.path().join("1.sst"), "rocks").unwrap();
        awaited.check_and_sync().unwrap();
        fs::write(redo.path().join("another's"), "").unwrap();
        fs::write(redo.path().join("ib_logfile0"), "a log that a server has made").unwrap();
        awaited.undo().unwrap();
        assert_eq!(fs::read_dir(redo.path()).unwrap().count(), 2, "what the restore cannot have brought stays");
        fs::write(redo.path().join("ib_logfile0"), "log").unwrap();
        awaited.undo().unwrap();
        awaited.undo().unwrap();
        assert_eq!(fs::read_dir(redo.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(rocks.path()).unwrap().count(), 0);
    }
}
