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
    let until = "Up to when all that was committed is in the repository.";
    one("binlog_repository_until_timestamp_seconds", "gauge", until, known.sent_until.map(|at| at.to_string()));
    let gaps = "Timelines of the binary log before which transactions may be missing.";
    one("binlog_gaps", "gauge", gaps, Some(known.gaps.to_string()));
    let failures = "Passes that did not archive all of the binary log.";
    one("binlog_failures_total", "counter", failures, Some(known.failures.to_string()));
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::world::InArchive;

    #[test]
    fn what_is_known_is_told_and_what_is_not_is_left_out() {
        let text = |known: Option<&InArchive>| {
            let mut text = String::new();
            render(&mut text, known);
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            lines.map(|line| line.replace("dbcalm_", "")).collect::<Vec<_>>().join("; ")
        };
        assert_eq!(text(None), "");
        assert_eq!(text(Some(&InArchive::default())), "binlog_gaps 0; binlog_failures_total 0");
        let known = InArchive {
            archived_until: Some(20.5),
            recoverable_until: Some(10.0),
            sent_until: Some(15.0),
            gaps: 1,
            failures: 2,
            ..InArchive::default()
        };
        let until = "recoverable_until_timestamp_seconds 10; binlog_archived_until_timestamp_seconds 20.5";
        let rest = "binlog_repository_until_timestamp_seconds 15; binlog_gaps 1; binlog_failures_total 2";
        assert_eq!(text(Some(&known)), format!("{until}; {rest}"));
    }
}
