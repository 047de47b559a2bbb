//! What lies in `backup_dir` and is not recorded, and what is recorded and does not lie there.
//!
//! A folder without a record may be the only copy of a backup, so no hint removes one.

use std::collections::BTreeSet;

use super::backups::{Backups, State};
use crate::adopt::local;
use crate::config::Config;
use crate::model::{BackupId, quoted, word};
use crate::records::reader::Reader;
use crate::repository::stored;

/// What shows all that has no record.
const ADOPT_ALL: &str = "dbcalm-db-cmd adopt --all --dry-run";

/// How many of each kind are named.
const NAMED: usize = 10;

/// Each that was found: what it is, and what to do about it. Empty if the records cannot be read: `check` says that elsewhere.
pub(super) fn strays(config: &Config) -> Vec<(String, String)> {
    // In this order, since a backup that is being taken ends in one transaction: what has a folder by now runs, or is recorded, or is gone.
    // That it cannot be read is said elsewhere.
    let there = local::ids(&config.backup_dir).unwrap_or_default();
    if !config.database_path.exists() {
        let found = there.iter().map(|id| unrecorded(config, id)).collect();
        return bounded_with(found, "without a record", ADOPT_ALL);
    }
    let Ok(reader) = Reader::open(&config.database_path) else { return Vec::new() };
    let Ok(running) = reader.running() else { return Vec::new() };
    let running: BTreeSet<_> = running.iter().filter_map(|row| row.args.get("id")?.as_str()).collect();
    let Ok(all) = Backups::of(&reader, config, false) else { return Vec::new() };
    let is_stray = |id: &&BackupId| {
        !running.contains(id.as_str())
            && all.chains.get(id.as_str()).is_none()
            && !matches!(stored::look(&config.backup_dir, id), Ok(None))
    };
    let without_record = there.iter().filter(is_stray).map(|id| unrecorded(config, id)).collect();
    let missing = all.chains.tree().into_iter().filter(|node| all.state(&node.row.id) == State::Missing);
    let without_files = missing
        .map(|node| {
            let id = &node.row.id;
            let needed_by = match all.chains.needed_by(id).len() {
                0 => "but its files are gone".to_owned(),
                count => format!("but its files are gone; backups that need them: {count}"),
            };
            (
                format!("backup '{id}' is recorded, {needed_by}"),
                format!(
                    "if they were moved, put them back into '{}'; if they are lost, dbcalm-db-cmd remove {word} --chain removes the record, and \
                     dbcalm-db-cmd show {word} says what needs it",
                    config.backup_dir.display(),
                    word = word(id)
                ),
            )
        })
        .collect();
    let nameless = all.chains.tree().into_iter().filter(|node| BackupId::recorded(&node.row.id).is_err());
    let without_name = nameless.map(|node| nameless_one(config, &node.row.id)).collect();
    let mut found = bounded_with(without_record, "without a record", ADOPT_ALL);
    found.extend(bounded(without_name, "under no name of a folder"));
    found.extend(bounded(without_files, "without files"));
    found
}

/// The Go daemon joined an id to `backup_dir` whatever it was, so its files may be anywhere.
fn nameless_one(config: &Config, id: &str) -> (String, String) {
    let id = id.escape_debug();
    (
        format!(
            "backup '{id}' is recorded, and no folder of backup_dir can have that name: nothing here looks for its files"
        ),
        format!(
            "nothing says that they are gone: look at '{}/{id}'; what you find there restores by the tool's own commands, after a copy of it",
            config.backup_dir.display()
        ),
    )
}

fn unrecorded(config: &Config, id: &BackupId) -> (String, String) {
    let dir = config.backup_dir.display();
    let place = stored::look(&config.backup_dir, id).ok().flatten();
    // A stream that lies in its folder goes with it.
    let path = place
        .map(|place| place.path().clone())
        .filter(|path| path.parent() == Some(&config.backup_dir))
        .unwrap_or_else(|| config.backup_dir.join(id.as_str()));
    (
        format!("'{}' is in backup_dir, but no record names it: it cannot be restored by its id", path.display()),
        format!(
            "it may be the only copy of a backup, so remove nothing: dbcalm-db-cmd adopt {} records it, or says why not; then set it aside: \
             mkdir -p '{dir}/.unrecorded' && mv -n {} '{dir}/.unrecorded/'",
            word(id.as_str()),
            quoted(&path.display().to_string())
        ),
    )
}

/// A list that a person still reads.
pub(super) fn bounded(found: Vec<(String, String)>, what: &str) -> Vec<(String, String)> {
    bounded_with(found, what, "dbcalm-db-cmd list")
}

/// The same, where another command shows them all.
fn bounded_with(mut found: Vec<(String, String)>, what: &str, shows: &str) -> Vec<(String, String)> {
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        found.truncate(NAMED);
        found.push((format!("{more} more {what}"), format!("fix these first, or see all: {shows}")));
    }
    found
}
