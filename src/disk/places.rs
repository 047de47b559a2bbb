//! Places outside the data directory where a server keeps files: free before a restore, filled by it, and freed again if it fails.
//!
//! In: the [`Outside`] places of the server that was backed up. A file of theirs that lies there already is another server's, or an older
//! one's: the tools stop at some of them when half of the data directory is filled, and a redo log that stays is replayed over what was
//! restored (seen with mariadb-backup and MariaDB 10.11.19). So a restore begins only where there is none.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::data_dir::{COMPARED, is_copy};
use super::links::{self, Link};
use super::place_error::PlaceError;
use crate::server::{Names, Outside};

/// In a restore's directory: what of the places outside is the restore's own, from the moment on when they are filled.
const NOTES: &str = "places";

/// Where `MyRocks` keeps its files in a prepared tree.
const ROCKSDB: &str = "#rocksdb";

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
                return Err(PlaceError::Taken { path: entry.path(), more: Vec::new(), option: place.option.clone() });
            }
        }
    }
    Ok(())
}

/// What a restore puts outside the data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// The prepared tree.
    work: PathBuf,
    files: Vec<Awaiting>,
    /// The directories that the tool makes for them, each after the one that it is in.
    made: Vec<PathBuf>,
}

/// A file of the prepared tree, and what it is known by when it is elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Awaiting {
    /// Where it is in the prepared tree.
    from: PathBuf,
    /// Where it comes.
    to: PathBuf,
    /// In bytes.
    size: u64,
    /// Its number in its file system, which a rename leaves as it is.
    inode: u64,
    /// When it was last written to, in seconds and nanoseconds: the same.
    modified: (i64, i64),
    /// The SHA-256 of its beginning, by which a copy is known when the original is gone: a move to another file system copies and removes.
    beginning: Vec<u8>,
}

impl Awaiting {
    fn of(work: &Path, from: PathBuf, to: PathBuf) -> Result<Self, PlaceError> {
        let path = work.join(&from);
        let there = fs::symlink_metadata(&path).map_err(at(&path))?;
        let beginning = beginning(&path).map_err(at(&path))?;
        let modified = (there.mtime(), there.mtime_nsec());
        Ok(Self { from, to, size: there.len(), inode: there.ino(), modified, beginning })
    }

    /// Whether what lies where it comes is it, or a copy of it, whole or in part. What a server has made there meanwhile is not.
    fn has_come(&self, work: &Path) -> bool {
        let Ok(there) = fs::symlink_metadata(&self.to) else { return false };
        if !there.is_file() {
            return false;
        }
        let is_itself =
            (there.ino(), there.len(), (there.mtime(), there.mtime_nsec())) == (self.inode, self.size, self.modified);
        let original = work.join(&self.from);
        is_itself
            || match original.try_exists() {
                Ok(true) => is_copy(&self.to, &original),
                Ok(false) => there.len() == self.size && beginning(&self.to).is_ok_and(|found| found == self.beginning),
                Err(_) => false,
            }
    }
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(COMPARED as u64).read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).to_vec())
}

impl Awaited {
    /// What of the prepared tree `work` goes to these places, and where its tables with a `DATA DIRECTORY` lie.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn of(work: &Path, outside: &[Outside], links: &[Link]) -> Result<Self, PlaceError> {
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
                    files.push(Awaiting::of(work, below.join(&name), place.dir.join(&name))?);
                }
            }
        }
        for link in links.iter().filter(|link| work.join(&link.from).exists()) {
            files.push(Awaiting::of(work, link.from.clone(), link.to.clone())?);
        }
        let mut made: Vec<_> = outside.iter().filter(|place| place.is_made).map(|place| place.dir.clone()).collect();
        made.extend(links::missing_above(links));
        Ok(Self { work: work.to_owned(), files, made })
    }

    /// Whether nothing comes outside.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.made.is_empty()
    }

    /// Which files of the prepared tree do not come into the data directory.
    pub fn elsewhere(&self) -> BTreeSet<PathBuf> {
        self.files.iter().map(|file| file.from.clone()).collect()
    }

    /// What of it has come below `dir`, relative to that.
    pub fn come_into(&self, dir: &Path) -> BTreeSet<PathBuf> {
        let here = self.files.iter().filter_map(|file| Some((file, file.to.strip_prefix(dir).ok()?)));
        here.filter(|(file, _)| file.has_come(&self.work)).map(|(_, below)| below.to_owned()).collect()
    }

    /// Finds out whether each has arrived in its full size, and syncs it and its name to the disk.
    ///
    /// # Errors
    /// The first that has not.
    pub fn check_and_sync(&self) -> Result<(), PlaceError> {
        for file in &self.files {
            if !fs::symlink_metadata(&file.to).is_ok_and(|there| there.is_file() && there.len() == file.size) {
                return Err(PlaceError::NotArrived(file.to.clone()));
            }
            sync(&file.to)?;
        }
        let made = self.made.iter().filter(|dir| dir.exists()).filter_map(|dir| dir.parent());
        let dirs: BTreeSet<_> = self.files.iter().filter_map(|file| file.to.parent()).chain(made).collect();
        dirs.into_iter().try_for_each(sync)
    }

    /// Removes what has come there. Nothing of these names was there before.
    ///
    /// # Errors
    /// The system's.
    pub fn undo(&self) -> Result<(), PlaceError> {
        for file in self.files.iter().filter(|file| file.has_come(&self.work)) {
            match fs::remove_file(&file.to) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(&file.to)(why)),
                Ok(()) | Err(_) => {}
            }
        }
        for dir in self.made.iter().rev() {
            // One that holds something is not the restore's own.
            let _gone = fs::remove_dir(dir);
        }
        let dirs: BTreeSet<_> = self.files.iter().filter_map(|file| file.to.parent()).collect();
        dirs.into_iter().filter(|dir| dir.exists()).try_for_each(sync)
    }

    /// Writes it into the restore's directory, where the next daemon finds it, to the disk.
    ///
    /// # Errors
    /// The system's; a name that is not UTF-8, which no server gives.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let new = dir.join(NOTES).with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, dir.join(NOTES))?;
        fs::File::open(dir)?.sync_all()
    }

    /// Reads it; None if it was not written: then nothing came anywhere else.
    ///
    /// # Errors
    /// The system's; that it is no such note; or that others than the daemon's user and root may have written it, who would have any file
    /// removed by it.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        let (mut file, is_vouched) = match links::open_vouched(&dir.join(NOTES)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if !is_vouched {
            return Err(io::Error::other("others than the daemon's user may have written it"));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok(Some(serde_json::from_slice(&text)?))
    }
}

fn sync(path: &Path) -> Result<(), PlaceError> {
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::{Awaited, check_free};
    use crate::disk::links::Link;
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
            "'~/ib_logfile0' is in the way, where an_option of the server that was backed up points: move it aside";
        assert_eq!(said(Names::Redo, ""), Err(taken.to_owned()));
        let missing = "'~/gone' does not exist, but an_option of the server that was backed up points there: create it for the server's user, or restore to a folder";
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
        let awaited = Awaited::of(work.path(), &outside, &[]).unwrap();
        let elsewhere: Vec<_> = awaited.elsewhere().into_iter().map(|path| path.display().to_string()).collect();
        assert_eq!(elsewhere, ["#rocksdb/1.sst", "ib_logfile0"]);
        assert!(awaited.check_and_sync().is_err());
        fs::write(redo.path().join("ib_logfile0"), "log").unwrap();
        fs::write(rocks.path().join("1.sst"), "rock").unwrap();
        assert!(awaited.check_and_sync().unwrap_err().to_string().ends_with("1.sst' did not arrive whole"));
        fs::write(rocks.path().join("1.sst"), "rocks").unwrap();
        awaited.check_and_sync().unwrap();
        fs::write(redo.path().join("another's"), "").unwrap();
        for others in ["a log that a server has made", "lag", "la"] {
            fs::write(redo.path().join("ib_logfile0"), others).unwrap();
            awaited.undo().unwrap();
            assert_eq!(
                fs::read_dir(redo.path()).unwrap().count(),
                2,
                "what the restore has not brought stays: {others}"
            );
        }
        fs::write(redo.path().join("ib_logfile0"), "lo").unwrap();
        awaited.undo().unwrap();
        awaited.undo().unwrap();
        assert_eq!(fs::read_dir(redo.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(rocks.path()).unwrap().count(), 0);
    }

    /// One of which the original is gone is known by its number, or by its length and beginning.
    #[test]
    fn what_was_moved_is_known_wherever_it_came() {
        let (work, redo) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (work.path().join("ib_logfile0"), redo.path().join("ib_logfile0"));
        let begin = || {
            fs::write(&from, "log").unwrap();
            Awaited::of(work.path(), &[place(redo.path(), Names::Redo)], &[]).unwrap()
        };
        let awaited = begin();
        fs::rename(&from, &to).unwrap();
        awaited.undo().unwrap();
        assert!(!to.exists(), "renamed");

        let awaited = begin();
        fs::copy(&from, &to).unwrap();
        fs::remove_file(&from).unwrap();
        awaited.undo().unwrap();
        assert!(!to.exists(), "copied and removed, to another file system");

        let awaited = begin();
        fs::rename(&from, &to).unwrap();
        for of_a_server in ["lag", "lo", "log and more"] {
            fs::write(&to, of_a_server).unwrap();
            awaited.undo().unwrap();
            assert_eq!(fs::read_to_string(&to).unwrap(), of_a_server, "a server has written to it");
        }
    }

    #[test]
    fn a_table_comes_to_where_its_link_leads_and_goes_with_the_directories_on_the_way() {
        let (work, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(work.path().join("shop")).unwrap();
        fs::write(work.path().join("shop/t.ibd"), "rows").unwrap();
        let link = |name: &str| Link { from: format!("shop/{name}").into(), to: far.path().join("a/shop").join(name) };
        let awaited = Awaited::of(work.path(), &[], &[link("t.ibd"), link("dropped.ibd")]).unwrap();
        assert_eq!(awaited.elsewhere().into_iter().collect::<Vec<_>>(), [Path::new("shop/t.ibd")]);
        awaited.undo().unwrap();
        fs::create_dir_all(far.path().join("a/shop")).unwrap();
        assert!(awaited.check_and_sync().is_err());
        fs::rename(work.path().join("shop/t.ibd"), far.path().join("a/shop/t.ibd")).unwrap();
        awaited.check_and_sync().unwrap();

        let notes = tempfile::tempdir().unwrap();
        let mode = |mode| fs::set_permissions(notes.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o700);
        assert_eq!(Awaited::read(notes.path()).unwrap(), None);
        awaited.write(notes.path()).unwrap();
        mode(0o770);
        let said = Awaited::read(notes.path()).unwrap_err().to_string();
        assert_eq!(said, "others than the daemon's user may have written it");
        mode(0o700);
        let read = Awaited::read(notes.path()).unwrap().unwrap();
        assert_eq!(read, awaited);
        read.undo().unwrap();
        assert_eq!(fs::read_dir(far.path()).unwrap().count(), 0);
    }
}
