//! The write-ahead log of the database, and when it is synced: after a commit, but for a success, which nobody sees before it is on the disk.
//!
//! With `synchronous=FULL` a commit syncs the log before others see it, and holds the writer's lock meanwhile: for as long as the disk takes, every
//! other client without a busy time-out is refused (`SQLITE_BUSY`), as most connections of the Go API. A commit with `NORMAL` lets go of the lock as
//! soon as the log is written. With a sync behind it that is as durable: in WAL mode the sync after each commit is what `FULL` has and `NORMAL` has
//! not (`sqlite.org/pragma.html#pragma_synchronous`). But others see it a moment too early. That a command runs, or has failed, may be lost in that
//! moment: the next start finds what there is. A success may not.

use std::fs::File;
use std::io;
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

/// Does `work` as a transaction that others see once it is on the disk.
pub(super) fn seen_once_synced<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.pragma_update(None, "synchronous", "full")?;
    let done = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
        let value = work(&transaction)?;
        transaction.commit()?;
        Ok(value)
    });
    // It is set to what it was before in any case, and that it cannot be is a slower commit.
    let _slower = connection.pragma_update(None, "synchronous", "normal");
    done
}

/// Puts on the disk what has been committed to the database at `path`.
///
/// # Errors
/// The system's: what was committed may not be there.
pub(super) fn settle(path: &Path, connection: &Connection) -> io::Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // SQLite locks the database and the index of the log by `fcntl`, and never the log, so no lock is let go of when this is closed.
    let why = match File::open(log).and_then(|log| log.sync_data()) {
        Ok(()) => return Ok(()),
        // Somebody removed the database.
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => why,
    };
    // The system tells of a failed sync once, and the next one says nothing of what that one lost. A checkpoint writes all of it anew.
    let is_moved = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(0)? == 0);
    match connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], is_moved) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(why),
    }
}
