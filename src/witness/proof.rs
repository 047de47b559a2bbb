//! What a step has to show.

use std::path::PathBuf;

use super::findings;
use crate::exec::Watch;
use crate::model::Tool;

/// What a step has to show, beside exit status 0, before it counts as a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The private copy of a stored backup is what its manifest says, which the program that made it has seen to; and its metadata is
    /// that of a backup of this kind, with a redo log that has room for what it promises.
    Copied {
        /// The copy.
        copy: PathBuf,
        /// What is stored, for people.
        member: PathBuf,
        /// Whether it is an incremental.
        is_incremental: bool,
    },
    /// `completed OK!`, and metadata that parses and fits the base's LSNs.
    Backup {
        /// The new backup's folder.
        dir: PathBuf,
        /// The folder of what it was taken from.
        base: Option<PathBuf>,
        /// The name of its stream; None if the folder holds the files themselves.
        stream: Option<String>,
    },
    /// `completed OK!`, the redo log read to its end, and checkpoints of `work` that have come to those of the copy that was made in
    /// the step before.
    Prepared {
        /// The working copy.
        work: PathBuf,
        /// The private copy of the incremental that was applied, to be removed afterwards; None if the full backup was
        /// prepared.
        applied: Option<PathBuf>,
        /// What is stored, for people.
        member: PathBuf,
        /// Whether nothing is to be applied after it.
        last: bool,
    },
    /// `completed OK!`: the binary log was applied, to the transaction that it had to come to.
    Replayed,
    /// `completed OK!`: the data directory has been filled.
    Filled,
}

impl Proof {
    /// What the program has to be heard saying, to be held against this.
    pub(crate) fn watch(&self, tool: &Tool) -> Option<Watch> {
        match self {
            Self::Prepared { .. } => tool.redo_end.map(Watch::Text),
            Self::Backup { .. } => Some(Watch::Part(findings::kept_line)),
            Self::Copied { .. } | Self::Replayed => Some(Watch::Part(findings::warning)),
            Self::Filled => None,
        }
    }
}
