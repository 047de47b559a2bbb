//! What is asked of the daemon, as values: drawn by chance, sent as JSON, told in the journal.

use std::fmt;

use crate::harness::daemon::restore_request;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    /// A backup, from a base if it is an incremental.
    Backup { id: String, base: Option<String> },
    /// A restore of a chain to the data directory or to a folder.
    Restore { chain: Vec<String>, target: &'static str },
}

/// What the daemon said to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Accepted, with the id under which its records are found.
    Accepted(String),
    /// Refused, as it had to be.
    Refused,
    /// Nothing: the daemon died first.
    Nothing,
}

/// The target of a restore to the data directory.
pub(crate) const DATABASE: &str = "database";
/// The target of a restore to a folder.
pub(crate) const FOLDER: &str = "folder";

impl Request {
    /// How it is sent.
    pub(crate) fn json(&self) -> String {
        match self {
            Self::Backup { id, base: None } => format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#),
            Self::Backup { id, base: Some(base) } => {
                format!(r#"{{"cmd":"incremental_backup","args":{{"id":"{id}","from_backup_id":"{base}"}}}}"#)
            }
            Self::Restore { chain, target } => {
                restore_request(&chain.iter().map(String::as_str).collect::<Vec<_>>(), target)
            }
        }
    }

    /// How often it calls the backup tool.
    pub(crate) fn calls(&self) -> usize {
        match self {
            Self::Backup { .. } => 1,
            Self::Restore { chain, target } => chain.len() + usize::from(*target == DATABASE),
        }
    }

    /// Whether it fills the data directory.
    pub(crate) fn is_of_database(&self) -> bool {
        matches!(self, Self::Restore { target, .. } if *target == DATABASE)
    }

    /// Whether it needs a running server.
    pub(crate) fn is_backup(&self) -> bool {
        matches!(self, Self::Backup { .. })
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup { id, base: None } => write!(f, "full {id}"),
            Self::Backup { id, base: Some(base) } => write!(f, "incremental {id} from {base}"),
            Self::Restore { chain, target } => write!(f, "restore of {} to {target}", chain.join("+")),
        }
    }
}
