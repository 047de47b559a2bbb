//! What lies in `backup_dir` and is not recorded, and what is recorded and does not lie there.
//!
//! A folder without a record may be the only copy of a backup, so no hint removes one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::backups::{Backups, OF_A_DIRECTORY, State};
use crate::config::Config;
use crate::model::{BackupId, Compression, quoted, stream_name, word};
use crate::records::reader::Reader;
use crate::repository::stored;

/// How many of each kind are named.
const NAMED: usize = 10;

/// Each that was found: what it is, and what to do about it. Empty if the records cannot be read: `check` says that elsewhere.
pub(super) fn strays(config: &Config) -> Vec<(String, String)> {
    // In this order, since a backup that is being taken ends in one transaction: what has a folder by now runs, or is recorded, or is gone.
    let there = ids(&config.backup_dir);
    if !config.database_path.exists() {
        return bounded(there.iter().map(|id| unrecorded(config, id)).collect(), "without a record");
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
    let mut found = bounded(without_record, "without a record");
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
            "it may be the only copy of a backup, so remove nothing: bring back the records that name it, or set it aside: mkdir -p \
             '{dir}/.unrecorded' && mv -n {} '{dir}/.unrecorded/'",
            quoted(&path.display().to_string())
        ),
    )
}

/// The ids of all that looks like a backup.
fn ids(backup_dir: &Path) -> BTreeSet<BackupId> {
    // That it cannot be read is said elsewhere.
    let entries = fs::read_dir(backup_dir).into_iter().flatten().flatten();
    let id = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        if entry.file_type().ok()?.is_dir() {
            // Under another name than a new backup can have, only what has the files of one.
            let is_backup = || entry.path().join(OF_A_DIRECTORY).symlink_metadata().is_ok();
            return name.parse().ok().or_else(|| BackupId::recorded(&name).ok().filter(|_| is_backup()));
        }
        // Where the Go daemon put its streams.
        let stem = name.strip_prefix("backup-")?.split(".xbstream").next()?;
        let id: BackupId = stem.parse().ok()?;
        Compression::ALL.into_iter().any(|kind| stream_name(&id, kind) == name).then_some(id)
    };
    entries.filter_map(id).collect()
}

/// A list that a person still reads.
pub(super) fn bounded(mut found: Vec<(String, String)>, what: &str) -> Vec<(String, String)> {
    let more = found.len().saturating_sub(NAMED);
    if more > 0 {
        found.truncate(NAMED);
        found.push((format!("{more} more {what}"), "fix these first, or see all: dbcalm-db-cmd list".to_owned()));
    }
    found
}
