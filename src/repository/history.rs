//! The history of a data directory: which backups its data descend from.
//!
//! An incremental holds the pages that have changed since its base, by their LSNs alone. A server that was restored from an older backup
//! counts the same LSNs again for other changes, and an incremental on a base of its abandoned history is a success without them (seen
//! with mariadb-backup 10.11.19, which compares LSNs and nothing else). So each backup leaves a mark in the data directory, and a restore
//! lays down the marks of its own chain. A base whose mark is not there is none of this history.
//!
//! The marks lie in the directory of the schema `mysql`. The tools copy a schema's files by their endings and leave this one out, so a
//! restore by hand does not bring it; a copy or a snapshot of the whole directory does, and then the data are those of the mark. The copy
//! of a donor that Galera makes with rsync replaces a schema's directory as a whole, and keeps what lies beside them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FlockOperation, Gid, Mode, OFlags, Uid, fchown, flock, fstat, openat, renameat, unlinkat,
};
use rustix::io::Errno;

use crate::model::Lsn;

/// The schema that every server has, whose directory in the data directory holds the marks.
pub const PLACE: &str = "mysql";
/// The file of the marks.
pub const NAME: &str = "dbcalm-history";
/// The same while it is written.
const NEW: &str = "dbcalm-history.new";
/// Its first line, for whoever finds it.
const HEAD: &str = "# The backups that these data descend from, by dbcalm-db-cmd. Without this file the next incremental backup is refused.\n";
/// How many marks are kept, the newest: no incremental is taken from a base that lies further back.
const KEPT: usize = 10_000;
/// A file that is larger, in bytes, is not ours: a mark has an id of 128 bytes at the most.
const MAX_SIZE: u64 = 4 * 1024 * 1024;
/// By how much less than the server's LSN a new redo log may say that it begins, in bytes: a series that rounds down rounds to a block.
const SLACK: Lsn = 4096;

/// What a backup leaves in the data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The backup's own, of its card.
    pub uuid: String,
    /// Up to which LSN the data were in it.
    pub to_lsn: Lsn,
    /// Its id, for people.
    pub id: String,
}

/// The place of the marks, held open: whoever replaces the data meanwhile replaces the directory, and gets no mark of the old ones.
#[derive(Debug)]
pub struct History {
    schema: OwnedFd,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl History {
    /// Opens the place in `data_dir`. None if there is no such directory.
    ///
    /// # Errors
    /// The system's.
    pub fn open(data_dir: &Path) -> io::Result<Option<Self>> {
        let opened = openat(CWD, data_dir, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .and_then(|data| openat(&data, PLACE, DIRECTORY, Mode::empty()));
        match opened {
            Ok(schema) => Ok(Some(Self { schema })),
            Err(Errno::NOENT) => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// The marks, oldest first; empty if nothing was ever marked here.
    ///
    /// # Errors
    /// The system's.
    pub fn marks(&self) -> io::Result<Vec<Mark>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&self.schema, NAME, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(Vec::new()),
            Err(why) => return Err(why.into()),
        };
        let there = file.metadata()?;
        if !there.is_file() || there.len() > MAX_SIZE {
            return Err(io::Error::other(format!("'{PLACE}/{NAME}' is not a plain file, or is too large")));
        }
        let mut text = String::new();
        file.take(MAX_SIZE).read_to_string(&mut text)?;
        Ok(text.lines().filter_map(Mark::parse).collect())
    }

    /// Adds a mark, to the disk. Two that do so at once wait for each other.
    ///
    /// # Errors
    /// The system's. The marks are as they were then.
    pub fn add(&self, mark: Mark) -> io::Result<()> {
        flock(&self.schema, FlockOperation::LockExclusive)?;
        let added = self.marks().and_then(|mut marks| {
            marks.push(mark);
            self.write(marks.get(marks.len().saturating_sub(KEPT)..).unwrap_or_default())
        });
        flock(&self.schema, FlockOperation::Unlock)?;
        added
    }

    /// Makes these the marks, and no others.
    fn write(&self, marks: &[Mark]) -> io::Result<()> {
        match unlinkat(&self.schema, NEW, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(why) => return Err(why.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let new = openat(&self.schema, NEW, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP)?;
        // The data are the server's, whoever the daemon is.
        let owner = fstat(&self.schema)?;
        if rustix::process::geteuid().is_root() {
            fchown(&new, Some(Uid::from_raw(owner.st_uid)), Some(Gid::from_raw(owner.st_gid)))?;
        }
        let mut new = File::from(new);
        let lines: String = marks.iter().map(Mark::line).collect();
        new.write_all(format!("{HEAD}{lines}").as_bytes())?;
        new.sync_all()?;
        renameat(&self.schema, NEW, &self.schema, NAME)?;
        Ok(rustix::fs::fsync(&self.schema)?)
    }
}

impl Mark {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (uuid, to_lsn, id) = (words.next()?, words.next()?, words.next()?);
        Some(Self { uuid: uuid.to_owned(), to_lsn: to_lsn.parse().ok()?, id: id.to_owned() })
    }

    fn line(&self) -> String {
        format!("{} {} {}\n", self.uuid, self.to_lsn, self.id)
    }
}

/// Lays the marks of a chain down in a prepared tree, which is then of that history; whatever marks it has are another's. A tree without
/// the schema gets none.
///
/// # Errors
/// The system's.
pub fn lay(tree: &Path, marks: &[Mark]) -> io::Result<()> {
    let Some(history) = History::open(tree)? else { return Ok(()) };
    if !marks.is_empty() {
        return history.write(marks);
    }
    match unlinkat(&history.schema, NAME, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// At which LSN the redo log in `dir` begins, by its head: a log is made anew by a restore, a new installation, and some restarts, at the
/// LSN that the server has by then. None if there is no redo log of a known format.
///
/// The head of `ib_logfile0` has the number at offset 8 (seen with MariaDB 10.5.23, 10.11.19 and 11.8.6).
pub fn redo_begins_at(dir: &Path) -> Option<Lsn> {
    let log = File::open(dir.join("ib_logfile0")).ok()?;
    let mut head = [0; 16];
    log.read_exact_at(&mut head, 0).ok()?;
    let (format, begins) = (head.get(..4)?, head.get(8..)?);
    let is_known = format == b"Phys" || format == b"PHYS";
    is_known.then(|| u64::from_be_bytes(begins.try_into().unwrap_or_default()))
}

/// What is known of a base's history, from its card.
#[derive(Debug, Clone, Copy)]
pub struct Traces<'a> {
    /// Its own mark.
    pub uuid: &'a str,
    /// What its tool called it. None if the tool did not say so.
    pub tool_uuid: Option<&'a str>,
    /// Whether the mark was left in the data directory.
    pub is_marked: bool,
    /// Up to which LSN the data were in it.
    pub to_lsn: Lsn,
    /// At which LSN the redo log began then.
    pub redo_begins_at: Option<Lsn>,
}

/// Whether a server's data descend from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descent {
    /// They do: its mark is there.
    Proven,
    /// It cannot be told: the backup left no mark.
    Unknown,
    /// They do not.
    Refuted,
}

/// What is found in a data directory.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The marks of backups.
    pub marks: Vec<Mark>,
    /// What the tool called the backup that the data were restored from, by hand or not. None if it left no word of it.
    pub restored_from: Option<String>,
    /// At which LSN the redo log begins.
    pub redo_begins_at: Option<Lsn>,
}

/// Holds what a backup left against what is found in the data directory now.
pub fn descent(left: Traces<'_>, found: &Found) -> Descent {
    // A redo log that was made since then begins where the server was by then, so behind the backup's end. One that begins before it and
    // is not the log of then belongs to other data.
    let is_other_log = left
        .redo_begins_at
        .zip(found.redo_begins_at)
        .is_some_and(|(then, now)| then != now && now.saturating_add(SLACK) < left.to_lsn);
    let is_restored = left.tool_uuid.is_some() && left.tool_uuid == found.restored_from.as_deref();
    if is_other_log {
        Descent::Refuted
    } else if is_restored || found.marks.iter().any(|mark| mark.uuid == left.uuid) {
        Descent::Proven
    } else if left.is_marked {
        Descent::Refuted
    } else {
        Descent::Unknown
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::{Descent, Found, History, Mark, NAME, Traces, descent, lay, redo_begins_at};

    fn mark(uuid: &str) -> Mark {
        Mark { uuid: uuid.to_owned(), to_lsn: 44_404, id: format!("of-{uuid}") }
    }

    fn data_dir() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("mysql")).unwrap();
        dir
    }

    #[test]
    fn marks_are_kept_in_their_order() {
        let dir = data_dir();
        let history = History::open(dir.path()).unwrap().unwrap();
        assert_eq!(history.marks().unwrap(), []);
        history.add(mark("a")).unwrap();
        history.add(mark("b")).unwrap();
        assert_eq!(history.marks().unwrap(), [mark("a"), mark("b")]);
        let text = fs::read_to_string(dir.path().join("mysql").join(NAME)).unwrap();
        assert!(text.starts_with("# ") && text.ends_with("\na 44404 of-a\nb 44404 of-b\n"), "{text}");
        assert_eq!(fs::read_dir(dir.path().join("mysql")).unwrap().count(), 1);
    }

    #[test]
    fn marks_that_are_added_at_once_are_all_kept() {
        let dir = data_dir();
        thread::scope(|scope| {
            for number in 0..16 {
                let history = History::open(dir.path()).unwrap().unwrap();
                scope.spawn(move || history.add(mark(&number.to_string())).unwrap());
            }
        });
        assert_eq!(History::open(dir.path()).unwrap().unwrap().marks().unwrap().len(), 16);
    }

    /// Between the end of a backup and its mark the data may be replaced.
    #[test]
    fn data_that_were_replaced_meanwhile_get_no_mark() {
        let dir = data_dir();
        let history = History::open(dir.path()).unwrap().unwrap();
        fs::remove_dir_all(dir.path().join("mysql")).unwrap();
        fs::create_dir(dir.path().join("mysql")).unwrap();
        assert!(history.add(mark("a")).is_err());
        assert_eq!(fs::read_dir(dir.path().join("mysql")).unwrap().count(), 0);
    }

    #[test]
    fn a_restored_tree_has_the_marks_of_its_chain_alone() {
        let dir = data_dir();
        lay(dir.path(), &[mark("a"), mark("b")]).unwrap();
        lay(dir.path(), &[mark("c")]).unwrap();
        let history = History::open(dir.path()).unwrap().unwrap();
        assert_eq!(history.marks().unwrap(), [mark("c")]);
        lay(dir.path(), &[]).unwrap();
        assert_eq!(history.marks().unwrap(), []);
        lay(tempfile::tempdir().unwrap().path(), &[mark("a")]).unwrap();
    }

    #[test]
    fn no_symlink_is_followed() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), data_dir());
        std::os::unix::fs::symlink(elsewhere.path().join("mysql"), dir.path().join("mysql")).unwrap();
        assert!(History::open(dir.path()).is_err());
        let dir = data_dir();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("mysql").join(NAME)).unwrap();
        assert!(History::open(dir.path()).unwrap().unwrap().marks().is_err());
    }

    #[test]
    fn the_head_of_a_redo_log_says_where_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let log = |magic: &[u8]| {
            let mut bytes = magic.to_vec();
            bytes.extend([0; 4]);
            bytes.extend(12_288_u64.to_be_bytes());
            fs::write(dir.path().join("ib_logfile0"), bytes).unwrap();
            redo_begins_at(dir.path())
        };
        assert_eq!(redo_begins_at(dir.path()), None);
        assert_eq!(log(b"Phys"), Some(12_288));
        assert_eq!(log(b"PHYS"), Some(12_288));
        assert_eq!(log(b"\0\0\0\x06"), None);
    }

    fn found(marks: &[&str], redo_begins_at: Option<u64>) -> Found {
        Found { marks: marks.iter().map(|uuid| mark(uuid)).collect(), restored_from: None, redo_begins_at }
    }

    #[test]
    fn a_mark_proves_and_its_lack_refutes() {
        let base = |is_marked, redo_begins_at| Traces {
            uuid: "a",
            tool_uuid: Some("tool-a"),
            is_marked,
            to_lsn: 900_000,
            redo_begins_at,
        };
        let new = Some(12_288);
        assert_eq!(descent(base(true, new), &found(&["a"], new)), Descent::Proven);
        assert_eq!(descent(base(true, None), &found(&["a"], None)), Descent::Proven);
        assert_eq!(descent(base(true, new), &found(&["b"], new)), Descent::Refuted);
        assert_eq!(descent(base(true, new), &found(&[], new)), Descent::Refuted);
        assert_eq!(descent(base(false, new), &found(&[], new)), Descent::Unknown);
        // A restore has brought the mark of a backup that could leave none.
        assert_eq!(descent(base(false, new), &found(&["a"], Some(900_100))), Descent::Proven);
        // A restore by hand brings no mark, and the tool's own word of what it was.
        let by_hand = |uuid: &str| Found { restored_from: Some(uuid.to_owned()), ..found(&[], Some(900_100)) };
        assert_eq!(descent(base(true, new), &by_hand("tool-a")), Descent::Proven);
        assert_eq!(descent(base(true, new), &by_hand("tool-b")), Descent::Refuted);
    }

    #[test]
    fn a_redo_log_that_was_made_before_the_backup_and_is_not_its_own_refutes() {
        let left =
            |then| Traces { uuid: "a", tool_uuid: None, is_marked: false, to_lsn: 900_000, redo_begins_at: then };
        // A restart with another size makes a new one, behind the backup.
        assert_eq!(descent(left(Some(12_288)), &found(&["a"], Some(900_016))), Descent::Proven);
        assert_eq!(descent(left(Some(12_288)), &found(&["a"], Some(400_000))), Descent::Refuted);
        assert_eq!(descent(left(Some(12_288)), &found(&[], Some(400_000))), Descent::Refuted);
        assert_eq!(descent(left(None), &found(&[], Some(400_000))), Descent::Unknown);
    }
}
