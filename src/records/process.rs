//! Rows of `process`: one for each external command, all of one request under its `command_id`.

use rusqlite::{Connection, Result, params};

use super::text;
use crate::model::{JobKind, Moment};

/// A command that is about to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The argv, joined by spaces.
    pub command: String,
    /// The request's id.
    pub command_id: String,
    /// Backup or restore.
    pub kind: JobKind,
    /// The request's arguments, as JSON.
    pub args: String,
    /// When.
    pub start: Moment,
}

/// A command that has ended, or could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its row.
    pub row: i64,
    /// What was recorded at its beginning: should the row be gone, because the file was replaced, it is written anew.
    pub begun: Begun,
    /// Its process id, 0 if it never had one.
    pub pid: i64,
    /// The exit status, minus a signal, or -1 where it could not be started.
    pub return_code: i32,
    /// What it wrote to stdout; on success stderr too.
    pub output: Option<String>,
    /// On failure: the reason, and what it wrote to stderr.
    pub error: Option<String>,
    /// When.
    pub end: Moment,
}

/// How far a command is that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Its row.
    pub row: i64,
    /// The request's id.
    pub command_id: String,
    /// One short line.
    pub text: String,
}

/// A row that a daemon which died left `running`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The row.
    pub row: i64,
    /// The request's id.
    pub command_id: String,
    /// The argv, joined by spaces.
    pub command: String,
    /// The pid, 0 if none was recorded.
    pub pid: i32,
    /// `backup` or `restore`.
    pub kind: String,
    /// The request's arguments, as JSON.
    pub args: String,
}

/// Writes the row of a command that is about to run; gives its id.
pub(super) fn insert(connection: &Connection, begun: &Begun) -> Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO process (command, command_id, pid, status, start_time, type, args)
             VALUES (?1, ?2, 0, 'running', ?3, ?4, ?5)",
        )?
        .execute(params![begun.command, begun.command_id, begun.start.to_string(), begun.kind.as_str(), begun.args])?;
    Ok(connection.last_insert_rowid())
}

/// Adds the pid, once there is one.
pub(super) fn set_pid(connection: &Connection, row: i64, command_id: &str, pid: u32) -> Result<()> {
    connection
        .prepare_cached("UPDATE process SET pid = ?3 WHERE id = ?1 AND command_id = ?2")?
        .execute(params![row, command_id, pid])?;
    Ok(())
}

/// Says how far commands are that still run.
pub(super) fn note<'a>(connection: &Connection, notes: impl IntoIterator<Item = &'a Note>) -> Result<()> {
    let mut statement = connection
        .prepare_cached("UPDATE process SET output = ?3 WHERE id = ?1 AND command_id = ?2 AND status = 'running'")?;
    for Note { row, command_id, text } in notes {
        statement.execute(params![row, command_id, text])?;
    }
    Ok(())
}

/// Writes how a command ended; gives the row, which is another where the first was gone.
pub(super) fn end(connection: &Connection, ended: &Ended, success: bool) -> Result<i64> {
    let status = if success { "success" } else { "failed" };
    let Ended { row, begun, pid, return_code, output, error, end } = ended;
    let end = end.to_string();
    let changed = connection
        .prepare_cached(
            "UPDATE process SET status = ?3, pid = ?4, return_code = ?5, output = ?6, error = ?7, end_time = ?8
             WHERE id = ?1 AND command_id = ?2",
        )?
        .execute(params![row, begun.command_id, status, pid, return_code, output, error, end])?;
    if changed > 0 {
        return Ok(*row);
    }
    connection
        .prepare_cached(
            "INSERT INTO process
             (command, command_id, pid, status, return_code, output, error, start_time, end_time, type, args)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            begun.command,
            begun.command_id,
            pid,
            status,
            return_code,
            output,
            error,
            begun.start.to_string(),
            end,
            begun.kind.as_str(),
            begun.args
        ])?;
    Ok(connection.last_insert_rowid())
}

/// The rows of this daemon's kinds that still say `running`; another program's rows in the table are its own.
pub(crate) fn interrupted(connection: &Connection) -> Result<Vec<Interrupted>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, command_id, command, pid, type, args FROM process
         WHERE status = 'running' AND type IN ('backup', 'restore') ORDER BY id",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Interrupted {
            row: row.get(0)?,
            command_id: text(row, 1)?.unwrap_or_default(),
            command: text(row, 2)?.unwrap_or_default(),
            pid: row.get_ref(3)?.as_i64().ok().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default(),
            kind: text(row, 4)?.unwrap_or_default(),
            args: text(row, 5)?.unwrap_or_default(),
        })
    })?;
    rows.collect()
}

/// Ends a row that its own daemon could not end; how far it had come is no output of its command's.
pub(super) fn end_interrupted(connection: &Connection, row: i64, reason: &str, now: Moment) -> Result<()> {
    connection.execute(
        "UPDATE process SET status = 'failed', return_code = -1, output = NULL, error = ?2, end_time = ?3
         WHERE id = ?1 AND status = 'running'",
        params![row, reason, now.to_string()],
    )?;
    Ok(())
}
