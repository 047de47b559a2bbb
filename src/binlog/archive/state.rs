//! What is said of a timeline, and of the last look at the server's files.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// How this document is laid out: 1.
    pub format: u32,
    /// Its number.
    pub number: u32,
    /// When it was begun: UTC, as in the records.
    pub begun: String,
    /// Why.
    pub because: Because,
    /// What the server calls itself. None if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uid: Option<String>,
    /// Whether it came from the repository: nothing is added to it here, and its bytes are there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub received: bool,
}

/// Why a timeline was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "lowercase")]
pub enum Because {
    /// It is the first.
    First,
    /// The server had removed files before they were archived.
    Expired {
        /// The last that is archived, or in part.
        after: String,
        /// The first that is there.
        next: String,
    },
    /// Files are there, but one does not go on from the one before it.
    Apart {
        /// The one before.
        after: String,
        /// The one that does not go on from it.
        next: String,
    },
    /// The file that was archived last is another now: the server lost what it had written, or was restored.
    Changed {
        /// Which.
        file: String,
    },
    /// The server's files begin anew: `RESET MASTER`, a new data directory, another name.
    Reset {
        /// The last that is archived.
        after: String,
    },
    /// The server calls itself otherwise.
    Server,
    /// The server's data were restored: what it had written is undone, in whole or in part.
    Restored {
        /// When: UTC, as in the records.
        at: String,
    },
}

impl Because {
    /// Whether transactions may be missing between the timeline before and this one.
    pub fn is_gap(&self) -> bool {
        matches!(self, Self::Expired { .. } | Self::Apart { .. })
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => write!(f, "it is the first"),
            Self::Expired { after, next } => write!(
                f,
                "the server removed binary logs before they were archived: '{after}' is the last one here, '{next}' the first one there"
            ),
            Self::Apart { after, next } => {
                write!(
                    f,
                    "'{next}' does not go on from the transactions of '{after}', so some are missing between them"
                )
            }
            Self::Changed { file } => {
                write!(
                    f,
                    "'{file}' is not the file any more that was archived: the server was restored, or lost what it had written"
                )
            }
            Self::Reset { after } => write!(f, "the server's binary logs begin anew, where '{after}' was the last"),
            Self::Server => write!(f, "the server is another one"),
            Self::Restored { at } => {
                write!(f, "the server was restored at {} UTC", at.split('.').next().unwrap_or_default())
            }
        }
    }
}

/// The last look at the server's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// How this document is laid out: 1.
    pub format: u32,
    /// When it was begun: UTC, as in the records.
    pub at: String,
    /// When the last one was begun after which everything was archived that had been committed before. None if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<String>,
    /// The timeline that is written to. None if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// The server's list of its files.
    pub index: PathBuf,
    /// What the server calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_uid: Option<String>,
    /// Why the archive is behind. None if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}
