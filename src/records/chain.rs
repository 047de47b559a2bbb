//! A backup's chain, upwards: what it was taken from, as far as the records go.
//!
//! One query for all of it, however long it is. What descends from itself is gone round once.

use rusqlite::{Connection, OptionalExtension, Result};

use super::reader::{BackupRow, was_forwarded};
use super::{base, text, time};

/// The ids of a chain: `UNION` takes each once, so that a loop ends.
const UP: &str = "WITH RECURSIVE up(id) AS (
    VALUES (?1) UNION SELECT b.from_backup_id FROM up JOIN backup b ON b.id = up.id WHERE CAST(b.from_backup_id AS TEXT) <> '')";

/// A member of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its row: the id, what it was taken from, its times and its place.
    pub row: BackupRow,
    /// Whether its stream was forwarded; None if the records do not say, as of a directory.
    pub forwarded: Option<bool>,
}

/// The backup of this id and what it was taken from, as far as that is recorded.
pub(super) fn upwards(connection: &Connection, id: &str) -> Result<Vec<Recorded>> {
    let query = format!(
        "{UP} SELECT b.id, b.from_backup_id, b.start_time, b.end_time, b.rowid,
             CASE WHEN p.command LIKE '% | dbcalm-db-cmd store %' OR p.command LIKE 'dbcalm-db-cmd adopt %' THEN p.command END
         FROM up JOIN backup b ON b.id = up.id LEFT JOIN process p ON p.id = b.process_id"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map([id], |row| {
        let known = BackupRow {
            id: text(row, 0)?.unwrap_or_default(),
            from: base(row, 1)?,
            start_time: time(row, 2)?,
            end_time: time(row, 3)?,
            place: row.get(4)?,
            ..BackupRow::default()
        };
        Ok(Recorded { row: known, forwarded: text(row, 5)?.as_deref().and_then(was_forwarded) })
    })?;
    rows.collect()
}

/// The member of this backup's chain that is not recorded, if one is not.
pub(super) fn first_gap(connection: &Connection, id: &str) -> Result<Option<String>> {
    let query = format!("{UP} SELECT id FROM up WHERE NOT EXISTS (SELECT 1 FROM backup b WHERE b.id = up.id) LIMIT 1");
    connection.prepare_cached(&query)?.query_row([id], |row| text(row, 0)).optional().map(Option::flatten)
}
