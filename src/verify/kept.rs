//! What the last verification of each backup came to: one file beside the records, and nothing in a backup's own folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Depth;
use crate::disk;

/// Its name, beside the database file.
const NAME: &str = "verified.json";

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
}

/// All results, by the ids of the backups.
pub type All = BTreeMap<String, Kept>;

/// Where the results are kept.
pub fn path(database: &Path) -> PathBuf {
    database.with_file_name(NAME)
}

/// Reads them. What cannot be read is as if there were none: they can be had again.
pub fn read(database: &Path) -> All {
    fs::read(path(database)).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Adds new results to those that are kept; those of backups that are not `recorded` any more are dropped.
///
/// # Errors
/// The file cannot be written.
pub fn keep(database: &Path, new: All, recorded: impl Fn(&str) -> bool) -> io::Result<()> {
    let mut all = read(database);
    all.retain(|id, _| recorded(id));
    for (id, result) in new {
        let old = all.get(&id).filter(|old| old.begun == result.begun);
        // A glance refutes nothing that a closer look has found.
        if result.outcome == Outcome::Ok && old.is_some_and(|old| old.depth > result.depth) {
            continue;
        }
        all.insert(id, result);
    }
    let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)? + "\n";
    disk::replace(&path(database), &text)
}

#[cfg(test)]
mod tests {
    use super::{All, Kept, Outcome, keep, read};
    use crate::verify::Depth;

    fn one(id: &str, depth: Depth, outcome: Outcome, begun: &str) -> All {
        let kept = Kept { begun: Some(begun.to_owned()), when: "now".to_owned(), depth, outcome, problems: Vec::new() };
        All::from([(id.to_owned(), kept)])
    }

    #[test]
    fn a_glance_refutes_no_closer_look_but_of_another_backup() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("db.sqlite3");
        let outcome = |id: &str| read(&database).get(id).map(|kept| (kept.depth, kept.outcome));
        let add = |all: All| keep(&database, all, |id| id != "gone").unwrap();
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
        keep(&database, one("a", Depth::Quick, Outcome::Ok, "1"), |_| true).unwrap();
        keep(&database, one("b", Depth::Quick, Outcome::Ok, "1"), |id| id == "b").unwrap();
        assert_eq!(read(&database).into_keys().collect::<Vec<_>>(), ["b"]);
        std::fs::write(dir.path().join("verified.json"), "{").unwrap();
        assert!(read(&database).is_empty());
    }
}
