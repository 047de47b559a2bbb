//! Rows of `backup` and `restore`: what a request came to.

use rusqlite::{Connection, Error, OptionalExtension, Result, ffi, params};

use super::process::Ended;
use super::reader::{ADOPT, BackupRow};
use super::{IS_FULL, base, chain, reader_of, schema, text, time};
use crate::model::{Api, BackupId, Moment, Target};

/// What the records know of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What it was taken from.
    pub from: Option<String>,
    /// When it was begun.
    pub start_time: Option<String>,
    /// Its place in the order of the records: that of [`BackupRow`].
    pub place: i64,
}

/// What the success of a whole request adds to the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Success {
    /// A backup.
    Backup {
        /// Its id.
        id: BackupId,
        /// What it was taken from.
        from: Option<BackupId>,
        /// The schedule that asked for it.
        schedule_id: Option<i64>,
        /// How much it takes on disk, in bytes; kept where the table has a column for it.
        size: u64,
    },
    /// A restore.
    Restore {
        /// The first of the chain.
        full: BackupId,
        /// When the last of the chain was begun.
        timestamp: Option<String>,
        /// Where to.
        target: Target,
        /// The request's own directory.
        target_path: String,
        /// When the first step was begun.
        start: Moment,
    },
}

/// What is known of the backup with this id.
pub(crate) fn known(connection: &Connection, id: &str) -> Result<Option<Known>> {
    connection
        .prepare_cached("SELECT from_backup_id, start_time, rowid FROM backup WHERE id = ?1")?
        .query_row([id], |row| Ok(Known { from: base(row, 0)?, start_time: time(row, 1)?, place: row.get(2)? }))
        .optional()
}

/// All backups, in the order in which they were recorded: the id, what each was taken from, when it was begun, its place.
pub(super) fn all(connection: &Connection) -> Result<Vec<BackupRow>> {
    let mut statement =
        connection.prepare_cached("SELECT id, from_backup_id, start_time, rowid FROM backup ORDER BY rowid")?;
    let rows = statement.query_map([], |row| {
        Ok(BackupRow {
            id: text(row, 0)?.unwrap_or_default(),
            from: base(row, 1)?,
            start_time: time(row, 2)?,
            place: row.get(3)?,
            ..BackupRow::default()
        })
    })?;
    rows.collect()
}

/// Forgets, within a transaction, the backup that has this id and was begun then; another one that has the id now stays. Its place is no mark of it:
/// an adoption may move it. What was done with it stays too: the foreign keys of the Go API's tables, which would take that along, do not count
/// on this connection.
pub(super) fn remove(connection: &Connection, id: &str, begun: Option<&str>) -> Result<()> {
    if known(connection, id)?.is_some_and(|known| known.start_time.as_deref() == begun) {
        connection.execute("DELETE FROM backup WHERE id = ?1", [id])?;
    }
    Ok(())
}

/// The chain of the last restore to the database whose command came after that of the backup `id`. One that was adopted was taken before it was
/// recorded: there the times tell.
pub(super) fn restored_since(connection: &Connection, id: &str) -> Result<Option<Vec<String>>> {
    let taken = connection
        .prepare_cached(
            "SELECT b.process_id, b.start_time, p.command FROM backup b LEFT JOIN process p ON p.id = b.process_id WHERE b.id = ?1",
        )?
        .query_row([id], |row| Ok((row.get_ref(0)?.as_i64().ok(), text(row, 1)?, text(row, 2)?)))
        .optional()?;
    let Some((process, start, command)) = taken else { return Ok(None) };
    let is_adopted = command.is_some_and(|command| command.starts_with(ADOPT));
    let start = start.as_deref().and_then(Moment::read);
    let mut statement = connection.prepare_cached(
        "SELECT r.process_id, r.end_time, p.args FROM restore r JOIN process p ON p.id = r.process_id
         WHERE lower(r.target) = 'database' ORDER BY r.process_id DESC",
    )?;
    let mut restores = statement.query([])?;
    let mut args = None;
    while let Some(row) = restores.next()? {
        let end = text(row, 1)?.as_deref().and_then(Moment::read);
        // A time that is none may be any.
        let may_be_later = || start.zip(end).is_none_or(|(start, end)| end > start);
        let is_later = row.get_ref(0)?.as_i64().ok().zip(process).is_some_and(|(its, own)| its > own);
        if is_later || (is_adopted && may_be_later()) {
            args = text(row, 2)?;
            break;
        }
        if !is_adopted {
            break;
        }
    }
    let args = args.and_then(|args| serde_json::from_str::<serde_json::Value>(&args).ok());
    let ids = args.as_ref().and_then(|args| args.get("id_list")?.as_array());
    Ok(ids.map(|ids| ids.iter().filter_map(|id| Some(id.as_str()?.to_owned())).collect()))
}

/// The id of the full backup that was recorded last.
pub(super) fn newest_full(connection: &Connection) -> Result<Option<String>> {
    connection
        .prepare_cached(&format!("SELECT id FROM backup WHERE {IS_FULL} ORDER BY rowid DESC LIMIT 1"))?
        .query_row([], |row| text(row, 0))
        .optional()
        .map(Option::flatten)
}

/// Writes what the request came to, with the row of its last command.
pub(super) fn insert(
    connection: &Connection,
    success: &Success,
    ended: &Ended,
    row: i64,
    api: Option<Api>,
) -> Result<()> {
    let end = ended.end.to_string();
    match success {
        Success::Backup { id, from, schedule_id, size } => {
            let from = from.as_ref().map(BackupId::as_str);
            if let Some(base) = from
                && let Some(gone) = chain::first_gap(connection, base)?
            {
                return Err(base_gone(&gone));
            }
            connection
                .prepare_cached(
                    "INSERT INTO backup (id, from_backup_id, schedule_id, start_time, end_time, process_id)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![id.as_str(), from, schedule_id, ended.begun.start.to_string(), end, row])?;
            if schema::has_column(connection, "backup", "size")? {
                let size = i64::try_from(*size).unwrap_or(i64::MAX);
                connection.execute("UPDATE backup SET size = ?2 WHERE id = ?1", params![id.as_str(), size])?;
            }
        }
        Success::Restore { full, timestamp, target, target_path, start } => {
            let target = reader_of::spell(*target, reader_of::reader_of(connection, api)?.api);
            connection
                .prepare_cached(
                    "INSERT INTO restore (start_time, end_time, target, target_path, backup_id, backup_timestamp, process_id)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute(params![start.to_string(), end, target, target_path, full.as_str(), timestamp, row])?;
        }
    }
    Ok(())
}

/// An incremental of whose chain a member was deleted in the meantime restores nothing: it is refused as a foreign key would refuse it.
fn base_gone(base: &str) -> Error {
    let why = format!("the base '{base}' was deleted while the backup was taken");
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CONSTRAINT_FOREIGNKEY), Some(why))
}
