//! What a monitor reads of the archive of the binary log.

use super::metric;
use crate::world::InArchive;

/// Nothing where the binary log is not archived.
pub(super) fn render(text: &mut String, known: Option<&InArchive>) {
    let Some(known) = known else { return };
    let mut one = |name, kind, help, value: Option<String>| {
        if let Some(value) = value {
            metric(text, name, kind, help, &[(String::new(), value)]);
        }
    };
    let until = "Up to when a backup and the archived binary log reach together.";
    one("recoverable_until_timestamp_seconds", "gauge", until, known.recoverable_until.map(|at| at.to_string()));
    let until = "Up to when all that was committed is archived.";
    one("binlog_archived_until_timestamp_seconds", "gauge", until, known.archived_until.map(|at| at.to_string()));
    let gaps = "Timelines of the binary log before which transactions may be missing.";
    one("binlog_gaps", "gauge", gaps, Some(known.gaps.to_string()));
    let failures = "Passes that did not archive all of the binary log.";
    one("binlog_failures_total", "counter", failures, Some(known.failures.to_string()));
}
