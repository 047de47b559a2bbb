//! Arguments and environments that several steps have in common.

use crate::model::BackupId;

/// What of the daemon's own environment a step is given that speaks to an object store: who we are, and which way it goes.
pub const REACHING: [&str; 15] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
];

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
