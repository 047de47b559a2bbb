//! What the last verification of each backup came to: one file beside the records, and nothing in a backup's own folder.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::Depth;
use crate::disk;
use crate::model::Moment;

/// Its name, beside the database file.
const NAME: &str = "verified.json";

/// What is locked while results are added, since the file itself is replaced. It stays: whoever removed it might remove another's.
const LOCK: &str = ".verified.json.lock";

/// How a verification ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It is whole, and so is all that it was taken from.
    Ok,
    /// Something of it is not what it was, or is gone.
    Damaged,
    /// It is whole itself, and cannot be restored: what it was taken from is damaged or gone.
    Broken,
    /// It was forwarded: only its metadata could be looked at.
    Elsewhere,
    /// It was restored, and some of its tables, or all, could not be checked here. Of such a look nothing is kept.
    Unchecked,
}

/// The last result for a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// When the backup was begun: another one of the same id was not verified.
    pub begun: Option<String>,
    /// When it was verified, UTC.
    pub when: String,
    /// How closely.
    pub depth: Depth,
    /// What it came to.
    pub outcome: Outcome,
    /// What is wrong.
    pub problems: Vec<String>,
    /// Whether it ever had a manifest: one that has gone since is damage, and not a predecessor's way.
    #[serde(default)]
    pub sealed: bool,
}

/// All results, by the ids of the backups.
pub type All = BTreeMap<String, Kept>;

/// Where the results are kept.
pub fn path(database: &Path) -> PathBuf {
    database.with_file_name(NAME)
}

/// Reads them. What cannot be read is as if there were none: they can be had again.
pub fn read(database: &Path) -> All {
    let read = fs::read(path(database)).ok().and_then(|text| serde_json::from_slice::<All>(&text).ok());
    let mut all = read.unwrap_or_default();
    // A version before this one kept a predecessor's times in its words.
    for kept in all.values_mut() {
        kept.begun = kept.begun.take().map(Moment::spelt);
    }
    all
}

/// Adds new results to those that are kept; those of backups that are not recorded any more are dropped. Two that do so at once wait for
/// each other, and so what is `recorded` is asked for in turn, too; None if that cannot be known.
///
/// # Errors
/// The file cannot be written.
pub fn keep(database: &Path, new: All, recorded: impl FnOnce() -> Option<HashSet<String>>) -> io::Result<()> {
    let _held = held(&database.with_file_name(LOCK))?;
    let mut all = read(database);
    let recorded = recorded();
    let is_recorded = |id: &String| recorded.as_ref().is_none_or(|recorded| recorded.contains(id));
    all.retain(|id, _| is_recorded(id));
    for (id, mut result) in new.into_iter().filter(|(id, _)| is_recorded(id)) {
        let old = all.get_mut(&id).filter(|old| old.begun == result.begun);
        result.sealed |= old.as_ref().is_some_and(|old| old.sealed);
        // A glance refutes nothing that a closer look has found.
        if result.outcome == Outcome::Ok
            && let Some(old) = old.filter(|old| old.depth > result.depth)
        {
            old.sealed = result.sealed;
            continue;
        }
        all.insert(id, result);
    }
    let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)? + "\n";
    disk::replace(&path(database), &text)
}

/// Drops what is kept of backups that were removed, if nobody else writes results at this moment: what stays is of no backup that is there,
/// and goes with the next verification.
///
/// # Errors
/// The file is being written, or cannot be.
pub fn forget(database: &Path, ids: &[String]) -> io::Result<()> {
    let mut all = read(database);
    if !ids.iter().any(|id| all.contains_key(id)) {
        return Ok(());
    }
    let held = open_lock(&database.with_file_name(LOCK))?;
    flock(&held, FlockOperation::NonBlockingLockExclusive)?;
    all = read(database);
    all.retain(|id, _| !ids.contains(id));
    let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)? + "\n";
    disk::replace(&path(database), &text)
}

/// A lock that goes with the file that is given, or with its process.
fn held(path: &Path) -> io::Result<File> {
    let file = open_lock(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn open_lock(path: &Path) -> io::Result<File> {
    // Another user's may be read, and a lock needs no more.
    match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().append(true).create(true).mode(0o644).open(path)
        }
        opened => opened,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::{All, Kept, Outcome, keep, read};
    use crate::verify::Depth;

    fn one(id: &str, depth: Depth, outcome: Outcome, begun: &str) -> All {
        let kept = Kept {
            begun: Some(begun.to_owned()),
            when: "now".to_owned(),
            depth,
            outcome,
            problems: Vec::new(),
            sealed: false,
        };
        All::from([(id.to_owned(), kept)])
    }

    #[test]
    fn a_glance_refutes_no_closer_look_but_of_another_backup() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("db.sqlite3");
        let outcome = |id: &str| read(&database).get(id).map(|kept| (kept.depth, kept.outcome));
        let add = |all: All| keep(&database, all, || None).unwrap();
        add(one("a", Depth::Content, Outcome::Damaged, "1"));
        add(one("a", Depth::Quick, Outcome::Ok, "1"));
        assert_eq!(outcome("a"), Some((Depth::Content, Outcome::Damaged)));
        add(one("a", Depth::Quick, Outcome::Ok, "2"));
        assert_eq!(outcome("a"), Some((Depth::Quick, Outcome::Ok)));
        add(one("a", Depth::Content, Outcome::Ok, "2"));
        add(one("a", Depth::Quick, Outcome::Damaged, "2"));
        assert_eq!(outcome("a"), Some((Depth::Quick, Outcome::Damaged)));
    }

    #[test]
    fn results_of_backups_that_are_gone_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("db.sqlite3");
        keep(&database, one("a", Depth::Quick, Outcome::Ok, "1"), || None).unwrap();
        keep(&database, one("b", Depth::Quick, Outcome::Ok, "1"), || Some(HashSet::from(["b".to_owned()]))).unwrap();
        assert_eq!(read(&database).into_keys().collect::<Vec<_>>(), ["b"]);
        std::fs::write(dir.path().join("verified.json"), "{").unwrap();
        assert!(read(&database).is_empty());
    }

    #[test]
    fn what_is_kept_of_a_removed_backup_goes_and_waits_for_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("db.sqlite3");
        let ids = ["a".to_owned()];
        super::forget(&database, &ids).unwrap();
        assert!(!super::path(&database).exists());
        for id in ["a", "b"] {
            keep(&database, one(id, Depth::Quick, Outcome::Ok, "1"), || None).unwrap();
        }
        let held = super::held(&database.with_file_name(super::LOCK)).unwrap();
        assert!(super::forget(&database, &ids).is_err());
        drop(held);
        super::forget(&database, &ids).unwrap();
        assert_eq!(read(&database).into_keys().collect::<Vec<_>>(), ["b"]);
    }

    #[test]
    fn results_that_are_added_at_once_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("db.sqlite3");
        thread::scope(|scope| {
            for number in 0..32 {
                let new = one(&number.to_string(), Depth::Quick, Outcome::Ok, "1");
                scope.spawn(|| keep(&database, new, || None).unwrap());
            }
        });
        assert_eq!(read(&database).len(), 32);
    }
}
