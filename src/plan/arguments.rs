//! Arguments and environments that several steps have in common.

use crate::model::BackupId;

/// How many threads a tool copies with; one is what it has by itself.
pub(super) fn parallel(threads: u16) -> Option<String> {
    (threads > 1).then(|| format!("--parallel={threads}"))
}

/// What the operator's own command is told of the backup that it forwards or fetches.
pub(super) fn backup_environment(id: &BackupId, base: Option<&BackupId>) -> Vec<(&'static str, String)> {
    let kind = if base.is_some() { "incremental" } else { "full" };
    let mut environment = vec![("DBCALM_BACKUP_ID", id.to_string()), ("DBCALM_BACKUP_TYPE", kind.to_owned())];
    environment.push(("DBCALM_FROM_BACKUP_ID", base.map(ToString::to_string).unwrap_or_default()));
    environment
}
