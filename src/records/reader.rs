//! The records as an operator reads them: beside the daemon and the API, and without a trace.
//!
//! In: the path of the SQLite file, laid out by either API. Out: its rows. Nothing is created, changed or locked for longer than a read.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, Row, params_from_iter};
use serde::Serialize;
use serde_json::Value;

use super::{ReaderOf, RecordsError, START_WITHIN, base, reader_of, schema, text, time};
use crate::model::{Api, Moment};

/// A backup that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackupRow {
    /// Its id.
    pub id: String,
    /// What it was taken from; a full backup has none.
    pub from: Option<String>,
    /// The schedule of the API that asked for it.
    pub schedule_id: Option<i64>,
    /// When it was begun, spelt as this daemon does whichever program wrote it.
    pub start_time: Option<String>,
    /// When it was whole.
    pub end_time: Option<String>,
    /// How much it takes, in bytes, where the table says so.
    pub size: Option<u64>,
    /// The request that made it, where it was asked for.
    pub command_id: Option<String>,
    /// Its place in the order in which backups were recorded, by which one is newer than another: a clock that is set jumps, and this does not.
    /// It is `SQLite`'s rowid. A new one is larger than those that are there, and a VACUUM keeps their order (sqlite.org/rowidtable.html, and
    /// seen). `process_id` would be no such order: where old processes are removed the Python API's table gives their ids again.
    pub place: i64,
}

/// A restore that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreRow {
    /// Its number.
    pub id: i64,
    /// `database` or `folder`.
    pub target: String,
    /// The request's own directory; for a folder it holds what was restored.
    pub target_path: Option<String>,
    /// The full backup of the chain.
    pub backup_id: Option<String>,
    /// When the last backup of the chain was begun.
    pub backup_timestamp: Option<String>,
    /// When the first step was begun.
    pub start_time: Option<String>,
    /// When the last one had ended.
    pub end_time: Option<String>,
    /// The request.
    pub command_id: Option<String>,
}

/// An external command that runs or ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessRow {
    /// Its number.
    pub id: i64,
    /// The request that it is a step of.
    pub command_id: String,
    /// The argv, joined by spaces.
    pub command: String,
    /// `backup` or `restore`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `running`, `success` or `failed`.
    pub status: String,
    /// Its process id; 0, if it never had one.
    pub pid: Option<i64>,
    /// The exit status; minus a signal; -1 where it could not be started.
    pub return_code: Option<i64>,
    /// When it was begun.
    pub start_time: Option<String>,
    /// When it had ended.
    pub end_time: Option<String>,
    /// The request's arguments.
    pub args: Value,
    /// What it wrote to stdout; on success stderr too.
    pub output: Option<String>,
    /// On failure: the reason, and what it wrote to stderr.
    pub error: Option<String>,
}

/// How the command of what was adopted begins, and what it says of a stream: that it lies here, or was forwarded.
pub(crate) const ADOPT: &str = "dbcalm-db-cmd adopt ";
pub(crate) const STREAM: &str = "--stream";
pub(crate) const FORWARDED: &str = "--forwarded";

/// Where a row's request is not named.
const NO_REQUESTS: (&str, String) = ("NULL", String::new());

/// The records, open for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is no SQLite file.
    pub fn open(path: &Path) -> Result<Self, RecordsError> {
        let mut header = [0; 20];
        let whole = File::open(path).map_err(RecordsError::at(path))?.read_exact(&mut header).is_ok();
        // A file in WAL mode that nobody has open lacks its log, and a reader would make one: owned by whoever reads, perhaps out of
        // the daemon's reach. With no log there is nothing but the file, which says in its header (bytes 18 and 19) what mode it is in.
        let is_at_rest = whole && header.get(18..20) == Some(&[2, 2]) && !beside(path, "-wal").exists();
        let mode = if is_at_rest { "immutable=1" } else { "mode=ro" };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(format!("file:{}?{mode}", uri_path(path)), flags)?;
        connection.busy_timeout(START_WITHIN)?;
        Ok(Self { connection })
    }

    /// All backups, in the order in which they were recorded; `with_requests` also which request made each, for which each one's process is looked up.
    pub fn backups(&self, with_requests: bool) -> Result<Vec<BackupRow>, RecordsError> {
        // A column that this layout lacks, or a table that is not there yet, is read as nothing.
        if !self.connection.table_exists(None, "backup")? {
            return Ok(Vec::new());
        }
        let column = |name: &str| -> Result<String, RecordsError> {
            let there = schema::has_column(&self.connection, "backup", name)?;
            Ok(if there { format!("b.{name}") } else { "NULL".to_owned() })
        };
        let (schedule, size) = (column("schedule_id")?, column("size")?);
        let (requests, join) = if with_requests { self.requests("b")? } else { NO_REQUESTS };
        let query = format!(
            "SELECT b.id, b.from_backup_id, {schedule}, b.start_time, b.end_time, {size}, {requests}, b.rowid
             FROM backup b {join} ORDER BY b.rowid"
        );
        self.rows(&query, |row| {
            Ok(BackupRow {
                id: text(row, 0)?.unwrap_or_default(),
                from: base(row, 1)?,
                schedule_id: integer(row, 2)?,
                start_time: time(row, 3)?,
                end_time: time(row, 4)?,
                size: integer(row, 5)?.and_then(|size| u64::try_from(size).ok()),
                command_id: text(row, 6)?,
                place: integer(row, 7)?.unwrap_or_default(),
            })
        })
    }

    /// The backups whose time sorts after `now` as a text, which is how the APIs sort; each with that text.
    pub fn sorted_after(&self, now: Moment) -> Result<Vec<(String, String)>, RecordsError> {
        if !self.connection.table_exists(None, "backup")? {
            return Ok(Vec::new());
        }
        let mut statement =
            self.connection.prepare("SELECT id, start_time FROM backup WHERE start_time > ?1 ORDER BY rowid")?;
        let rows = statement.query_map([now.to_string()], |row| {
            Ok((text(row, 0)?.unwrap_or_default(), text(row, 1)?.unwrap_or_default()))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// For which API the rows are written, where `set` says what the settings do; and how many restores are recorded in the other's words.
    pub fn reader_of(&self, set: Option<Api>) -> Result<(ReaderOf, i64), RecordsError> {
        let told = reader_of::reader_of(&self.connection, set)?;
        let is_there = self.connection.table_exists(None, "restore")?;
        let misspelt = if is_there { reader_of::misspelt(&self.connection, told.api)? } else { 0 };
        Ok((told, misspelt))
    }

    /// All restores, newest first.
    pub fn restores(&self) -> Result<Vec<RestoreRow>, RecordsError> {
        if !self.connection.table_exists(None, "restore")? {
            return Ok(Vec::new());
        }
        let (requests, join) = self.requests("r")?;
        let query = format!(
            "SELECT r.id, r.target, r.target_path, r.backup_id, r.backup_timestamp, r.start_time, r.end_time, {requests}
             FROM restore r {join} ORDER BY r.id DESC"
        );
        self.rows(&query, |row| {
            Ok(RestoreRow {
                id: integer(row, 0)?.unwrap_or_default(),
                target: text(row, 1)?.unwrap_or_default().to_lowercase(),
                target_path: text(row, 2)?,
                backup_id: text(row, 3)?,
                backup_timestamp: time(row, 4)?,
                start_time: time(row, 5)?,
                end_time: time(row, 6)?,
                command_id: text(row, 7)?,
            })
        })
    }

    /// External commands, newest first, of any outcome or those that failed: the first `limit` that are `wanted`. No more are read.
    pub fn processes(
        &self,
        failed: bool,
        limit: usize,
        wanted: impl Fn(&ProcessRow) -> bool,
    ) -> Result<Vec<ProcessRow>, RecordsError> {
        let condition = if failed { "status = 'failed'" } else { "1" };
        self.process_rows(&format!("{condition} ORDER BY id DESC"), &[], limit, wanted)
    }

    /// The external commands that run.
    pub fn running(&self) -> Result<Vec<ProcessRow>, RecordsError> {
        self.process_rows("status = 'running'", &[], usize::MAX, |_| true)
    }

    /// Of the backups that this daemon took or adopted as streams, whether each was forwarded: by the command that took it.
    pub fn forwarded(&self) -> Result<HashMap<String, bool>, RecordsError> {
        for table in ["backup", "process"] {
            if !self.connection.table_exists(None, table)? {
                return Ok(HashMap::new());
            }
        }
        let query = "SELECT b.id, p.command FROM backup b JOIN process p ON p.id = b.process_id
             WHERE p.command LIKE '% | dbcalm-db-cmd store %' OR p.command LIKE 'dbcalm-db-cmd adopt %'";
        let found = self.rows(query, |row| Ok(text(row, 0)?.zip(text(row, 1)?)))?;
        Ok(found.into_iter().flatten().filter_map(|(id, command)| Some((id, was_forwarded(&command)?))).collect())
    }

    /// The external commands of one request, in order.
    pub fn request(&self, command_id: &str) -> Result<Vec<ProcessRow>, RecordsError> {
        self.process_rows("command_id = ?1 ORDER BY id", &[command_id], usize::MAX, |_| true)
    }

    fn process_rows(
        &self,
        condition: &str,
        values: &[&str],
        limit: usize,
        wanted: impl Fn(&ProcessRow) -> bool,
    ) -> Result<Vec<ProcessRow>, RecordsError> {
        if !self.connection.table_exists(None, "process")? {
            return Ok(Vec::new());
        }
        let query = format!(
            "SELECT id, command_id, command, type, status, pid, return_code, start_time, end_time, args, output, error
             FROM process WHERE {condition}"
        );
        let mut statement = self.connection.prepare(&query)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(ProcessRow {
                id: integer(row, 0)?.unwrap_or_default(),
                command_id: text(row, 1)?.unwrap_or_default(),
                command: text(row, 2)?.unwrap_or_default(),
                kind: text(row, 3)?.unwrap_or_default(),
                status: text(row, 4)?.unwrap_or_default(),
                pid: integer(row, 5)?,
                return_code: integer(row, 6)?,
                start_time: time(row, 7)?,
                end_time: time(row, 8)?,
                args: text(row, 9)?.and_then(|args| serde_json::from_str(&args).ok()).unwrap_or(Value::Null),
                output: text(row, 10)?,
                error: text(row, 11)?,
            })
        })?;
        let is_wanted = |row: &rusqlite::Result<ProcessRow>| row.as_ref().map_or(true, &wanted);
        Ok(rows.filter(is_wanted).take(limit).collect::<rusqlite::Result<_>>()?)
    }

    /// How a row's request is named: its column, and the join that brings it.
    fn requests(&self, table: &str) -> Result<(&'static str, String), RecordsError> {
        Ok(if self.connection.table_exists(None, "process")? {
            ("p.command_id", format!("LEFT JOIN process p ON p.id = {table}.process_id"))
        } else {
            NO_REQUESTS
        })
    }

    fn rows<T>(&self, query: &str, make: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, RecordsError> {
        let mut statement = self.connection.prepare(query)?;
        let rows = statement.query_map([], make)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }
}

/// Whether this command, which took a backup, forwarded its stream; None if it took no stream or is not this daemon's.
pub(super) fn was_forwarded(command: &str) -> Option<bool> {
    let has = |stage: &str, option: &str| stage.split(' ').any(|argument| argument == option);
    if command.starts_with(ADOPT) {
        return if has(command, FORWARDED) { Some(true) } else { has(command, STREAM).then_some(false) };
    }
    let stored = command.split(" | ").find(|stage| stage.starts_with("dbcalm-db-cmd store "))?;
    Some(has(stored, "--forward"))
}

/// A value as a number: None if it is of another kind.
fn integer(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get_ref(index)?.as_i64().ok())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A path in an SQLite URI, where three characters have a meaning of their own (sqlite.org, "Uniform Resource Identifiers").
fn uri_path(path: &Path) -> String {
    path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23")
}
