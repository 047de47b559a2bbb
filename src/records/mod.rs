//! The records, in the SQLite file that the daemon shares with the API: the only module that knows SQL.
//!
//! In: what has begun and what has ended. Out: rows that never say more than is true. A step's end and the next one's
//! beginning are one transaction, and so are the last step's success and the row of the backup or restore, so the newest row
//! of a request never says `success` before all of it is done.

pub mod adopt;
mod chain;
pub mod digest;
pub mod failure;
pub mod process;
pub mod reader;
mod reader_of;
pub(crate) mod rows;
pub(crate) mod schema;
mod wal;
mod worker;

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::model::{Api, Moment};
use adopt::{Adopted, Adoption};
pub use chain::Recorded;
use digest::Digest;
use process::{Begun, Ended, Interrupted, Note};
use reader::BackupRow;
pub use reader_of::ReaderOf;
pub use rows::{Known, Success};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use thiserror::Error;
use worker::{Patience, Worker};

use crate::records::failure::Failures;

/// Why a record could not be read or written.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// SQLite's own reason. It is told here and not as a source, whose text only says the same once more, with a number.
    #[error("the database cannot be used: {0}")]
    Sqlite(rusqlite::Error),
    /// The file, or what belongs to it, cannot be made or opened; the system's error names it.
    #[error("the database file cannot be opened")]
    Io(#[source] std::io::Error),
    /// Another daemon works on it.
    #[error("another daemon works on this database")]
    Taken,
    /// The daemon is ending and the records did not take it in time.
    #[error("the records are closed")]
    Closed,
}

impl RecordsError {
    /// An error of the system's at this path.
    fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |why| Self::Io(crate::model::at(path)(why))
    }
}

impl From<rusqlite::Error> for RecordsError {
    fn from(why: rusqlite::Error) -> Self {
        Self::Sqlite(why)
    }
}

/// The records. Clones are the same store.
#[derive(Debug, Clone)]
pub struct Records {
    worker: Worker,
    /// For which API, where that is set.
    api: Option<Api>,
}

impl Records {
    /// Opens the file at `path`, makes what is missing in it, for the API that is set, and keeps other daemons from it.
    pub fn open(path: &Path, api: Option<Api>) -> Result<Self, RecordsError> {
        Ok(Self { worker: Worker::start(path, api)?, api })
    }

    /// What is known of these backups; an id that is not in the answer is not known.
    pub async fn known(&self, ids: Vec<String>, until: Instant) -> Result<HashMap<String, Known>, RecordsError> {
        self.worker
            .call(Patience::Until(until), move |connection| {
                let mut found = HashMap::with_capacity(ids.len());
                for id in &ids {
                    if let Some(known) = rows::known(connection, id)? {
                        found.insert(id.clone(), known);
                    }
                }
                Ok(found)
            })
            .await
    }

    /// The backup of this id and, each in turn, what it was taken from, as far as that is recorded; nothing, if it is not.
    pub async fn chain(&self, id: String, until: Instant) -> Result<Vec<Recorded>, RecordsError> {
        self.worker.call(Patience::Until(until), move |connection| chain::upwards(connection, &id)).await
    }

    /// All backups, in the order in which they were recorded, with their ids, bases, times and places alone.
    pub async fn backups(&self, until: Instant) -> Result<Vec<BackupRow>, RecordsError> {
        self.worker.call(Patience::Until(until), |connection| rows::all(connection)).await
    }

    /// Forgets the backup `id` that was begun then. What has happened to its files is not undone: without `until` it is tried until it is done.
    pub async fn remove_backup(
        &self,
        id: String,
        begun: Option<String>,
        until: Option<Instant>,
    ) -> Result<(), RecordsError> {
        let patience = until.map_or(Patience::Lasting, Patience::Until);
        let remove = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            rows::remove(&transaction, &id, begun.as_deref())?;
            transaction.commit()
        };
        self.worker.call(patience, remove).await
    }

    /// Records that a request's first command is about to run; gives its row.
    pub async fn begin(&self, begun: Begun, until: Instant) -> Result<i64, RecordsError> {
        self.worker.call(Patience::Until(until), move |connection| process::insert(connection, &begun)).await
    }

    /// Records the pid of a command that runs. Nobody waits for it: the command is known again by more than its pid.
    pub fn started(&self, row: i64, command_id: String, pid: u32) {
        self.worker.post(move |connection| process::set_pid(connection, row, &command_id, pid));
    }

    /// Says in the row of a command that runs how far it is. Nobody waits for it, and it waits for nothing: where the records are busy
    /// or locked it is dropped. What a command came to is never overwritten by it.
    pub fn note(&self, note: Note) {
        self.worker.note(note);
    }

    /// The id of the full backup that was recorded last, if there is one.
    pub async fn newest_full(&self, until: Instant) -> Result<Option<String>, RecordsError> {
        self.worker.call(Patience::Until(until), |connection| rows::newest_full(connection)).await
    }

    /// The chain, by its ids, of the last restore to the database that was recorded after the backup `id`. None if there was none.
    pub async fn restored_since(&self, id: String, until: Instant) -> Result<Option<Vec<String>>, RecordsError> {
        self.worker.call(Patience::Until(until), move |connection| rows::restored_since(connection, &id)).await
    }

    /// What the records come to, for the metrics.
    pub async fn digest(&self, until: Instant) -> Result<Digest, RecordsError> {
        self.worker.call(Patience::Until(until), |connection| digest::digest(connection, Moment::now())).await
    }

    /// How many jobs failed, as far back as the records go.
    pub async fn failures(&self, until: Instant) -> Result<Failures, RecordsError> {
        self.worker.call(Patience::Until(until), |connection| digest::failures(connection)).await
    }

    /// Records in one step that a command has succeeded and that the request's next one is about to run; gives its row.
    pub async fn advance(&self, ended: Ended, next: Begun) -> Result<i64, RecordsError> {
        self.lasting(move |transaction| {
            process::end(transaction, &ended, true)?;
            process::insert(transaction, &next)
        })
        .await
    }

    /// Records in one step that a request's last command has succeeded and what the request came to.
    pub async fn complete(&self, ended: Ended, success: Success) -> Result<(), RecordsError> {
        let api = self.api;
        self.worker
            .call(Patience::Lasting, move |connection| {
                wal::seen_once_synced(connection, |transaction| {
                    let row = process::end(transaction, &ended, true)?;
                    rows::insert(transaction, &success, &ended, row, api)
                })
            })
            .await
    }

    /// Records a backup that was taken without these records, by `until`.
    pub async fn adopt(&self, adopted: Adopted, until: Instant) -> Result<Adoption, RecordsError> {
        self.worker
            .call(Patience::Until(until), move |connection| {
                wal::seen_once_synced(connection, |transaction| adopt::insert(transaction, &adopted))
            })
            .await
    }

    /// Records that a command, and with it its request, has failed.
    pub async fn fail(&self, ended: Ended) -> Result<(), RecordsError> {
        self.lasting(move |transaction| process::end(transaction, &ended, false).map(|_| ())).await
    }

    /// The rows that a daemon which died left `running`.
    pub async fn interrupted(&self) -> Result<Vec<Interrupted>, RecordsError> {
        self.worker.call(Patience::Until(Instant::now() + START_WITHIN), |c| process::interrupted(c)).await
    }

    /// Ends such a row.
    pub async fn end_interrupted(&self, row: i64, reason: String) -> Result<(), RecordsError> {
        let now = Moment::now();
        let until = Instant::now() + START_WITHIN;
        self.worker
            .call(Patience::Until(until), move |connection| process::end_interrupted(connection, row, &reason, now))
            .await
    }

    /// Writes what is still to be written, for as long as `within`, and closes the file.
    pub async fn close(&self, within: Duration) {
        self.worker.close(within).await;
    }

    /// Does `work` as one transaction, and again until it is done: an outcome is never lost to a locked or full database.
    async fn lasting<T: Send + 'static>(
        &self,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RecordsError> {
        self.worker
            .call(Patience::Lasting, move |connection| {
                let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
                let value = work(&transaction)?;
                transaction.commit()?;
                Ok(value)
            })
            .await
    }
}

/// Opens a file that is there. One that this user may only read SQLite opens all the same (sqlite.org/c3ref/open.html), and a
/// `BEGIN IMMEDIATE` then ends well (seen with the bundled one): here that is an error.
fn open_to_write(path: &Path) -> Result<Connection, RecordsError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    if connection.is_readonly("main")? {
        return Err(RecordsError::at(path)(std::io::ErrorKind::PermissionDenied.into()));
    }
    Ok(connection)
}

/// Finds out whether the database at `path` could be written: takes the lock of a writer, and changes nothing.
pub fn try_write(path: &Path) -> Result<(), RecordsError> {
    let connection = open_to_write(path)?;
    connection.busy_timeout(START_WITHIN)?;
    connection.execute_batch("BEGIN IMMEDIATE; SELECT count(*) FROM sqlite_schema; ROLLBACK")?;
    Ok(())
}

/// A value as text, whatever it is: SQLite holds no column to its type, and others write these tables too.
fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    })
}

/// A time, spelt as this daemon does, whichever program wrote it; as it is, where it is none.
fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(text(row, index)?.map(Moment::spelt))
}

/// What a backup was taken from: none of a full one, which is also what an empty id says. No backup can have that, and to the API it is
/// none: every query and every reader here takes it so, [`IS_FULL`] among them.
fn base(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    Ok(text(row, index)?.filter(|from| !from.is_empty()))
}

/// Whether a row of `backup` is a full one, to SQLite; a blob is compared as its text.
const IS_FULL: &str = "(coalesce(CAST(from_backup_id AS TEXT), '') = '')";

/// How long the start waits for a locked database, in all: 5 s, the busy time-out of the contract.
const START_WITHIN: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
