//! What a monitor reads of the repository.

use super::metric;
use crate::world::InRepository;

/// Nothing where there is no repository.
pub(super) fn render(text: &mut String, told: &InRepository) {
    let Some(there) = &told.held else { return };
    let mut one = |name, kind, help, value: String| metric(text, name, kind, help, &[(String::new(), value)]);
    one("repository_backups", "gauge", "Recorded backups that are whole in the repository.", there.backups.to_string());
    one("repository_bytes", "gauge", "How long their streams are there.", there.bytes.to_string());
    one("repository_objects", "gauge", "How many objects they are there.", there.objects.to_string());
    one(
        "repository_unsent_backups",
        "gauge",
        "Recorded backups that are whole here and not there.",
        there.unsent.to_string(),
    );
    if let Some(newest) = there.newest {
        let help = "When the newest backup there was begun.";
        one("repository_newest_backup_timestamp_seconds", "gauge", help, newest.to_string());
    }
    one("repository_retries_total", "counter", "Requests that were tried again.", told.retries.to_string());
    let failures = told.failures.iter().map(|(class, count)| (format!("class=\"{class}\""), count.to_string()));
    let help = "Steps to and from the repository that failed.";
    metric(text, "repository_failures_total", "counter", help, &failures.collect::<Vec<_>>());
}
