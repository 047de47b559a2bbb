//! What the records come to, for the metrics.

use rusqlite::{Connection, OptionalExtension, Result};

use super::process::Kind;
use super::{schema, text, time};
use crate::metrics::{Failures, Reason};

/// The last successes.
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

pub(super) fn digest(connection: &Connection) -> Result<Digest> {
    let mut restores = Vec::new();
    for target in ["database", "folder"] {
        // Python's ORM spells it in capitals.
        let end = connection
            .prepare_cached("SELECT max(end_time) FROM restore WHERE lower(target) = ?1")?
            .query_row([target], |row| text(row, 0))?;
        restores.extend(end.and_then(|end| time::seconds(&end)).map(|end| (target, end)));
    }
    Ok(Digest { full: latest(connection, true)?, incremental: latest(connection, false)?, restores })
}

fn latest(connection: &Connection, is_full: bool) -> Result<Option<Latest>> {
    let size = if schema::has_column(connection, "backup", "size")? { "size" } else { "NULL" };
    let query = format!(
        "SELECT id, start_time, end_time, {size} FROM backup
         WHERE (from_backup_id IS NULL) = ?1 AND end_time IS NOT NULL ORDER BY end_time DESC LIMIT 1"
    );
    let found = connection.prepare_cached(&query)?.query_row([is_full], |row| {
        let (id, start, end) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        Ok((id, start, end, text(row, 3)?.and_then(|size| size.parse().ok())))
    });
    let Some((Some(id), start, Some(end), size)) = found.optional()? else { return Ok(None) };
    let (start, end) = (start.and_then(|start| time::seconds(&start)), time::seconds(&end));
    // To the microsecond, as the records have it.
    let seconds = |end: f64| start.map(|start| ((end - start) * 1e6).round() / 1e6).filter(|seconds| *seconds >= 0.0);
    Ok(end.map(|end| Latest { id, end, seconds: seconds(end), size }))
}

/// How many jobs failed: each has one failed row.
pub(super) fn failures(connection: &Connection) -> Result<Failures> {
    let mut statement = connection.prepare_cached(
        "SELECT type, return_code, error FROM process WHERE status = 'failed' AND type IN ('backup', 'restore')",
    )?;
    let mut rows = statement.query([])?;
    let mut failures = Failures::default();
    while let Some(row) = rows.next()? {
        let kind = if text(row, 0)?.as_deref() == Some("backup") { Kind::Backup } else { Kind::Restore };
        let code = text(row, 1)?.and_then(|code| code.parse().ok()).unwrap_or(-1);
        failures.add(kind, Reason::of(code, &text(row, 2)?.unwrap_or_default()));
    }
    Ok(failures)
}
