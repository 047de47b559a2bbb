//! The doors through which the fuzz targets (`tests/fuzz`) reach what is private: one function a parser, and nothing else.
//!
//! Behind the feature `fuzzing`, which is on for `cargo test` and `ci/fuzz` alone, so that none of this is in the daemon, and
//! no module has to open for its tests what the others are better kept from. What is public anyway has no door here.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql};

use crate::config::credentials::{self, CredentialsError, Secrets};
use crate::config::{Config, ConfigError};
use crate::exec::capture::Bounds;
use crate::exec::{Capture, Captured, Watch};
use crate::job::recover::remains::{Filling, Remains};
use crate::job::scrub;
use crate::model::Lsn;
use crate::records::process::{self, Interrupted};
use crate::records::schema;
use crate::witness::{self, Checkpoints, manifest, metadata, redo};

/// Reads the text of a settings file, as from a file of the name `config.yml`.
pub fn settings(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text).map_err(|problem| ConfigError::Bad { path: PathBuf::from("config.yml"), problem })
}

/// Reads the text of a credentials file.
pub fn credentials(text: &str) -> Result<Secrets, CredentialsError> {
    credentials::parse(text)
}

/// How many bytes a password must have to be hidden wherever it stands.
pub const LONG: usize = scrub::SHORT;

/// Takes the secrets out of a text.
pub fn scrub(text: &str, secrets: &Secrets) -> String {
    scrub::scrub(text, secrets)
}

/// Whether the LSNs stand in their order.
pub fn in_order(checkpoints: &Checkpoints) -> bool {
    checkpoints.check_order(Path::new("/")).is_ok()
}

/// Reads the text of an info file.
pub fn info(text: &str) -> Result<(), &'static str> {
    metadata::check_info(text)
}

/// Reads the text of the server's options.
pub fn options(text: &str) -> Result<(), &'static str> {
    metadata::check_options(text)
}

/// Whether a tool's log ends in its last word.
pub fn said_completed(log: &str) -> bool {
    witness::said_completed(log)
}

/// Up to where a prepare said that it read the redo log.
pub fn redo_end(lines: &[String], prefix: &str) -> Option<Lsn> {
    redo::said(lines, prefix)
}

/// The size of a redo log that holds the records up to `last`, by its first bytes.
pub fn redo_needed(head: [u8; redo::HEAD], last: Lsn) -> Option<u64> {
    redo::needed(head, last)
}

/// Reads a manifest.
pub fn manifest(text: &[u8]) -> Option<BTreeMap<PathBuf, String>> {
    manifest::parse(text)
}

/// Writes one line of a manifest.
pub fn manifest_line(path: &Path, hash: &str) -> Vec<u8> {
    let mut text = Vec::new();
    manifest::line(&mut text, path, hash);
    text
}

/// Takes in output in pieces, within bounds so narrow that little reaches them: of the beginning, of the end and of a line in
/// bytes, and of watched lines.
pub fn capture<'a>(pieces: impl Iterator<Item = &'a [u8]>, bounds: [usize; 4], watch: &'static str) -> Captured {
    let [head, tail, line, watched] = bounds;
    let mut capture = Capture::within(Bounds { head, tail, line, watched }, Some(Watch::Text(watch)));
    pieces.for_each(|piece| capture.push(piece));
    capture.finish()
}

/// A value of a column, of the type that another program chose for it.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a>(pub ValueRef<'a>);

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

thread_local! {
    /// Real SQLite with real tables; made once, since that takes longer than everything that is done in it.
    static RECORDS: RefCell<Option<Connection>> = const { RefCell::new(None) };
}

/// Writes a row that says `running` and a backup, each with these values, and gives the row as the recovery reads it, and
/// what is known of the backup. The row has `command_id`, `command`, `pid`, `type` and `args`; the backup `from_backup_id` and
/// `start_time`.
///
/// # Errors
/// The row is refused by the table, or, which is what is looked for, it cannot be read.
pub fn records(row: [Cell<'_>; 5], backup: [Cell<'_>; 2]) -> Result<Read, Unreadable> {
    RECORDS.with_borrow_mut(|kept| {
        let connection = match kept {
            Some(connection) => connection,
            none => none.insert(in_memory().map_err(Unreadable::Refused)?),
        };
        let transaction = connection.transaction().map_err(Unreadable::Refused)?;
        let insert =
            "INSERT INTO process (command_id, command, pid, type, args, status) VALUES (?1, ?2, ?3, ?4, ?5, 'running')";
        transaction.prepare_cached(insert).and_then(|mut insert| insert.execute(row)).map_err(Unreadable::Refused)?;
        let insert = "INSERT INTO backup (id, from_backup_id, start_time, process_id) VALUES ('a', ?1, ?2, 1)";
        transaction
            .prepare_cached(insert)
            .and_then(|mut insert| insert.execute(backup))
            .map_err(Unreadable::Refused)?;
        let interrupted = process::interrupted(&transaction).map_err(Unreadable::Read)?;
        let known = crate::records::rows::known(&transaction, "a").map_err(Unreadable::Read)?;
        // The transaction is not committed: the next one finds empty tables.
        Ok(Read { interrupted, start_time: known.and_then(|known| known.start_time) })
    })
}

/// What is read of hostile records.
#[derive(Debug)]
pub struct Read {
    /// The rows that say `running`, of this daemon's kinds.
    pub interrupted: Vec<Interrupted>,
    /// When the backup was begun.
    pub start_time: Option<String>,
}

/// Why nothing was read.
#[derive(Debug)]
pub enum Unreadable {
    /// The table does not take it: it cannot be there.
    Refused(rusqlite::Error),
    /// It is there, and a start or a request would fail on it.
    Read(rusqlite::Error),
}

fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    schema::ensure(&connection, None)?;
    Ok(connection)
}

/// The directories in `backup_dir` that the recovery would take away on the word of this row, and the working copy, or the inventory, by
/// which it would empty the data directory. None if it would touch nothing.
pub fn touched(row: &Interrupted, config: &Config) -> Option<(PathBuf, Option<PathBuf>)> {
    match Remains::of(row, config) {
        Ok(Remains::Backup { dir, .. }) => Some((dir, None)),
        Ok(Remains::Restore { dir, filling, .. }) => {
            let by = filling.map(|(Filling::Copying(by) | Filling::Moving(by))| by);
            Some((dir, by))
        }
        Ok(Remains::Elsewhere { .. }) | Err(_) => None,
    }
}
