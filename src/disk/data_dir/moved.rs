//! What a restore moves into the data directory: noted before, so that it can be told afterwards, whatever died in between.
//!
//! A copy-back leaves the working copy, with which what lies in the data directory can be compared. A move takes it away file by file, and
//! a file keeps its number (inode) under its new name. So the numbers of all files are written down and synced before the move begins:
//! what has one of them is the restore's own, and everything else is not. The notes are removed as the last thing of a restore that is
//! complete.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::undone::{Strangers, bring_back, is_copy};
use super::{DataDirError, at, files, filled, from_aside, is_harmless, is_innodb};
use crate::disk::Disk;

/// The files and directories of a prepared tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    work: PathBuf,
    files: Vec<Entry>,
    directories: BTreeSet<PathBuf>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    /// Its number in its file system. The device's own number is none to go by: another start of the machine may give it another, and in
    /// an overlay a file may have another than its directory. No other file system is mounted in a directory that counts as empty.
    inode: u64,
    size: u64,
    /// When it was last written to, in seconds and nanoseconds: a rename leaves that as it is.
    modified: (i64, i64),
}

impl Entry {
    fn is_untouched(&self, there: &fs::Metadata) -> bool {
        self.size == there.len() && self.modified == (there.mtime(), there.mtime_nsec())
    }
}

impl Inventory {
    /// Notes what is in the prepared tree `work`, which is on the disk by now: what a power cut took from a file would make it a stranger.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn take(work: &Path) -> Result<Self, DataDirError> {
        let entry = |path: PathBuf| {
            let there = fs::symlink_metadata(work.join(&path)).map_err(at(&work.join(&path)))?;
            let modified = (there.mtime(), there.mtime_nsec());
            Ok(Entry { path, inode: there.ino(), size: there.len(), modified })
        };
        let files = files(work)?.into_iter().map(entry).collect::<Result<Vec<_>, DataDirError>>()?;
        let above = |entry: &Entry| entry.path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>();
        let mut directories = files.iter().flat_map(above).collect::<BTreeSet<_>>();
        // A database without a table is a directory too.
        for dir in crate::disk::directories(work).map_err(at(work))? {
            directories.extend(dir.strip_prefix(work).ok().map(Path::to_owned));
        }
        directories.remove(Path::new(""));
        Ok(Self { work: work.to_owned(), files, directories })
    }

    /// Writes it where the next daemon finds it, to the disk.
    ///
    /// # Errors
    /// The system's; a name that is not UTF-8, which no server gives.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }

    /// Reads it; None if it was not written: then nothing was moved.
    ///
    /// # Errors
    /// The system's, or that it is no inventory.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::read(path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// Finds out whether each file has arrived in `dir` in its full size, but for those that the tools leave out or put elsewhere, among
    /// them what is known to go `elsewhere`.
    pub fn check_arrived(&self, dir: &Path, elsewhere: &BTreeSet<PathBuf>) -> Result<(), DataDirError> {
        let links =
            self.files.iter().map(|entry| &entry.path).filter(|path| path.extension().is_some_and(|end| end == "isl"));
        let links = links.collect::<BTreeSet<_>>();
        for entry in &self.files {
            let is_here = !elsewhere.contains(&entry.path);
            if is_here && filled::is_looked_for(&entry.path, links.contains(&entry.path.with_extension("isl"))) {
                filled::check_arrived(dir, &entry.path, entry.size)?;
            }
        }
        Ok(())
    }

    /// Syncs to `disk` what has arrived in `dir`, and the names it has there.
    ///
    /// # Errors
    /// The system's, or that it was broken off by `stop`.
    pub fn sync(&self, disk: &Disk, dir: &Path, stop: &CancellationToken) -> Result<(), DataDirError> {
        let paths = self.files.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
        filled::sync_these(disk, dir, &paths, stop)
    }

    /// Makes `dir` what it was before the move.
    pub fn undo(&self, dir: &Path, strangers: Strangers) -> Result<(), DataDirError> {
        let by_number = self.files.iter().map(|entry| (entry.inode, entry)).collect::<HashMap<_, _>>();
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        for relative in files(dir)? {
            let there = fs::symlink_metadata(dir.join(&relative)).map_err(at(dir))?;
            let is_own = match (by_number.get(&there.ino()), strangers) {
                (Some(_), Strangers::Spare) => true,
                // Whoever has written to one of them since uses them.
                (Some(entry), Strangers::Respect) => entry.is_untouched(&there),
                // Where a file could not be renamed the tool copies it, and may have been interrupted.
                (None, _) => is_copy(&dir.join(&relative), &self.work.join(&relative)),
            };
            let name = relative.to_string_lossy();
            if is_own {
                own.push(relative);
            } else if !is_harmless(&name) && from_aside(&name).is_none() {
                foreign.push(relative.display().to_string());
            }
        }
        if own.is_empty() {
            // Nothing was moved yet, so an InnoDB file that lies there is one that had not been set aside.
            foreign.retain(|name| !is_innodb(name));
        }
        foreign.sort();
        if strangers == Strangers::Respect
            && let Some(first) = foreign.first()
        {
            return Err(DataDirError::Foreign(first.clone()));
        }
        for path in &own {
            fs::remove_file(dir.join(path)).map_err(at(dir))?;
        }
        // Those below come after those above in this order.
        for relative in self.directories.iter().rev() {
            let path = dir.join(relative);
            match fs::remove_dir(&path) {
                Ok(()) => {}
                Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {}
                Err(why) => return Err(at(&path)(why)),
            }
        }
        bring_back(dir)?;
        match foreign.into_iter().next() {
            Some(first) => Err(DataDirError::Foreign(first)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use super::super::{check_empty, set_aside};
    use super::{DataDirError, Inventory, Strangers};
    use crate::disk::Disk;

    const FILES: [&str; 5] = ["ibdata1", "shop/orders.ibd", "shop/orders.frm", "other/t.MYD", "xtrabackup_info"];

    /// A prepared tree, and an empty data directory with what counts as nothing.
    struct Bench {
        root: tempfile::TempDir,
        inventory: Inventory,
    }

    impl Bench {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            for dir in ["work/shop", "work/other", "work/empty", "data"] {
                fs::create_dir_all(root.path().join(dir)).unwrap();
            }
            for name in FILES {
                fs::write(root.path().join("work").join(name), format!("{name} as it was prepared")).unwrap();
            }
            for name in ["ibdata1", "host.err"] {
                fs::write(root.path().join("data").join(name), "old").unwrap();
            }
            let inventory = Inventory::take(&root.path().join("work")).unwrap();
            set_aside(&root.path().join("data")).unwrap();
            Self { root, inventory }
        }

        fn data(&self) -> PathBuf {
            self.root.path().join("data")
        }

        /// Moves the first of the files, as the tool does.
        fn move_first(&self, count: usize) {
            for name in FILES.iter().take(count) {
                let path = self.data().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::rename(self.root.path().join("work").join(name), path).unwrap();
            }
        }

        fn undo(&self, strangers: Strangers) -> Result<(), String> {
            self.inventory.undo(&self.data(), strangers).map_err(|why| why.to_string())
        }

        fn names(&self) -> Vec<String> {
            super::super::files(&self.data()).unwrap().iter().map(|path| path.display().to_string()).collect()
        }

        fn is_as_before(&self) {
            check_empty(&self.data()).unwrap();
            let mut names = self.names();
            names.sort();
            assert_eq!(names, ["host.err", "ibdata1"]);
            assert_eq!(fs::read_to_string(self.data().join("ibdata1")).unwrap(), "old");
            assert_eq!(fs::read_dir(self.data()).unwrap().count(), 2, "no directory is left");
        }
    }

    #[test]
    fn wherever_a_move_was_broken_off_it_is_undone() {
        for strangers in [Strangers::Spare, Strangers::Respect] {
            for count in 0..=FILES.len() {
                let bench = Bench::new();
                bench.move_first(count);
                bench.undo(strangers).unwrap();
                bench.is_as_before();
                // Once more, as after a crash in the midst of it.
                bench.undo(strangers).unwrap();
                bench.is_as_before();
            }
        }
    }

    #[test]
    fn what_a_server_has_written_to_since_is_left_alone() {
        let bench = Bench::new();
        bench.move_first(5);
        fs::write(bench.data().join("shop/orders.ibd"), "an order that came since").unwrap();
        let said = bench.undo(Strangers::Respect).unwrap_err();
        assert!(said.contains("'shop/orders.ibd'"), "{said}");
        assert_eq!(bench.names().len(), 7);
        // Of a move that has just failed nobody else can have written to it.
        bench.undo(Strangers::Spare).unwrap();
        bench.is_as_before();
    }

    #[test]
    fn what_came_beside_stays() {
        let bench = Bench::new();
        bench.move_first(2);
        fs::write(bench.data().join("shop/mine.ibd"), "mine").unwrap();
        assert!(bench.undo(Strangers::Respect).unwrap_err().contains("'shop/mine.ibd'"));
        assert!(bench.data().join("ibdata1").exists());
        assert!(bench.undo(Strangers::Spare).unwrap_err().contains("'shop/mine.ibd'"));
        assert_eq!(fs::read_to_string(bench.data().join("shop/mine.ibd")).unwrap(), "mine");
        assert_eq!(fs::read_to_string(bench.data().join("ibdata1")).unwrap(), "old");
    }

    #[test]
    fn a_restores_own_room_in_the_data_directory_is_no_part_of_it() {
        let bench = Bench::new();
        let room = bench.data().join(".dbcalm-restore-2026-11-22-09-03-37/full-1");
        fs::create_dir_all(&room).unwrap();
        fs::write(room.join("ibdata1"), "x").unwrap();
        bench.move_first(3);
        bench.undo(Strangers::Respect).unwrap();
        check_empty(&bench.data()).unwrap();
        assert!(room.join("ibdata1").exists());
    }

    #[test]
    fn each_file_must_have_arrived_but_those_that_may_be_elsewhere() {
        let bench = Bench::new();
        bench.move_first(3);
        let check = || bench.inventory.check_arrived(&bench.data(), &BTreeSet::new());
        assert!(matches!(check(), Err(DataDirError::NotCopied(name)) if name == "other/t.MYD"));
        bench.move_first(0);
        fs::create_dir_all(bench.data().join("other")).unwrap();
        fs::write(bench.data().join("other/t.MYD"), "short").unwrap();
        assert!(check().is_err());
        fs::rename(bench.root.path().join("work/other/t.MYD"), bench.data().join("other/t.MYD")).unwrap();
        check().unwrap();
        let disk = Disk::of(&bench.data()).unwrap();
        bench.inventory.sync(&disk, &bench.data(), &tokio_util::sync::CancellationToken::new()).unwrap();
    }

    #[test]
    fn it_is_read_as_it_was_written_or_not_at_all() {
        let bench = Bench::new();
        let path = bench.root.path().join("inventory");
        assert_eq!(Inventory::read(&path).unwrap(), None);
        bench.inventory.write(&path).unwrap();
        assert_eq!(Inventory::read(&path).unwrap().as_ref(), Some(&bench.inventory));
        let text = fs::read(&path).unwrap();
        for end in [0, 1, text.len() / 2, text.len() - 1] {
            fs::write(&path, &text[..end]).unwrap();
            assert!(Inventory::read(&path).is_err(), "{end} bytes");
        }
    }
}
