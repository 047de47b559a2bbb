//! What the records come to, for the metrics.

use rusqlite::{Connection, Result};

use super::{IS_FULL, schema, text};
use crate::model::{JobKind, Moment};
use crate::records::failure::{Failures, Reason};

/// The last successes: those that were recorded last, whatever their times say. One whose end is in the future, because the clock was ahead
/// then, is passed over: an alert on what is old must not be silent until that time has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Digest {
    /// Of the full backups.
    pub full: Option<Latest>,
    /// Of the incremental ones.
    pub incremental: Option<Latest>,
    /// When the last restore to each target ended, in seconds since 1970.
    pub restores: Vec<(&'static str, f64)>,
}

/// A backup.
#[derive(Debug, Clone, PartialEq)]
pub struct Latest {
    /// Its id.
    pub id: String,
    /// When it ended, in seconds since 1970.
    pub end: f64,
    /// How long it took.
    pub seconds: Option<f64>,
    /// Its size in bytes, where the table has a column for it.
    pub size: Option<u64>,
}

pub(super) fn digest(connection: &Connection, now: Moment) -> Result<Digest> {
    let mut restores = Vec::new();
    for target in ["database", "folder"] {
        // Python's ORM spells it in capitals.
        let mut statement = connection.prepare_cached(
            "SELECT end_time FROM restore WHERE lower(target) = ?1 AND end_time IS NOT NULL ORDER BY id DESC",
        )?;
        let mut rows = statement.query([target])?;
        while let Some(row) = rows.next()? {
            if let Some(end) = past(text(row, 0)?, now) {
                restores.push((target, end.seconds()));
                break;
            }
        }
    }
    Ok(Digest { full: latest(connection, true, now)?, incremental: latest(connection, false, now)?, restores })
}

fn latest(connection: &Connection, is_full: bool, now: Moment) -> Result<Option<Latest>> {
    let size = if schema::has_column(connection, "backup", "size")? { "size" } else { "NULL" };
    let query = format!(
        "SELECT id, start_time, end_time, {size} FROM backup
         WHERE {IS_FULL} = ?1 AND end_time IS NOT NULL ORDER BY rowid DESC"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let mut rows = statement.query([is_full])?;
    while let Some(row) = rows.next()? {
        let (Some(id), Some(end)) = (text(row, 0)?, past(text(row, 2)?, now)) else { continue };
        let end = end.seconds();
        let start = text(row, 1)?.as_deref().and_then(Moment::read).map(Moment::seconds);
        // To the microsecond, as the records have it.
        let seconds = start.map(|start| ((end - start) * 1e6).round() / 1e6).filter(|seconds| *seconds >= 0.0);
        return Ok(Some(Latest { id, end, seconds, size: text(row, 3)?.and_then(|size| size.parse().ok()) }));
    }
    Ok(None)
}

/// A moment of the records that is not in the future.
fn past(text: Option<String>, now: Moment) -> Option<Moment> {
    Moment::read(&text?).filter(|at| !at.is_ahead_of(now))
}

/// How many jobs failed: each has one failed row.
pub(super) fn failures(connection: &Connection) -> Result<Failures> {
    let mut statement = connection.prepare_cached(
        "SELECT type, return_code, error FROM process WHERE status = 'failed' AND type IN ('backup', 'restore')",
    )?;
    let mut rows = statement.query([])?;
    let mut failures = Failures::default();
    while let Some(row) = rows.next()? {
        let kind = if text(row, 0)?.as_deref() == Some("backup") { JobKind::Backup } else { JobKind::Restore };
        let code = text(row, 1)?.and_then(|code| code.parse().ok()).unwrap_or(-1);
        failures.add(kind, Reason::of(code, &text(row, 2)?.unwrap_or_default()));
    }
    Ok(failures)
}
