//! What will run, decided before anything does: ordered [`Step`]s, and what each must prove.
//!
//! In: an admitted command and the settings. Out: a [`Plan`], as a value. No I/O here: a plan can be compared, printed and
//! tested without a server, a tool or a disk.

mod backup;
mod restore;
#[cfg(test)]
mod tests;
pub mod tool;
pub mod version;

use std::path::PathBuf;

pub use restore::{Ground, RESTORES, TMP};

use crate::command::BackupId;
use crate::command::Target;
use crate::exec::Invocation;

/// One request's work: its steps in order, and what their success is recorded as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The request's arguments, as JSON, for the records.
    pub args: String,
    /// The external commands, in order; the first one's row is the request's admission.
    pub first: Step,
    /// Those after the first.
    pub rest: Vec<Step>,
    /// What the whole amounts to.
    pub end: End,
}

/// One external command, one row of `process`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub invocation: Invocation,
    /// What must be seen beside its exit status.
    pub proof: Proof,
}

/// What a step has to show, beside exit status 0, before it counts as a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The private copy of a stored backup is what its manifest says.
    Copied {
        /// The copy.
        copy: PathBuf,
    },
    /// `completed OK!`, and metadata that parses and fits the base's LSNs.
    Backup {
        /// The new backup's folder.
        dir: PathBuf,
        /// The folder of what it was taken from.
        base: Option<PathBuf>,
    },
    /// `completed OK!`, the redo log of `member` read to its end, and checkpoints of `work` that have come to the member's.
    Prepared {
        /// The working copy.
        work: PathBuf,
        /// The private copy of the incremental that was applied, to be removed afterwards; none where the full backup was
        /// prepared.
        applied: Option<PathBuf>,
        /// The stored backup whose LSNs the working copy must have reached.
        member: PathBuf,
        /// Whether nothing is to be applied after it.
        last: bool,
    },
    /// `completed OK!`.
    CopiedBack,
}

/// What the success of all steps is recorded as, and what a failure must take away again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// A new backup in `dir`.
    Backup {
        /// Its id.
        id: BackupId,
        /// What it was taken from.
        base: Option<BackupId>,
        /// The schedule that asked for it.
        schedule_id: Option<i64>,
        /// Its folder, removed on failure.
        dir: PathBuf,
    },
    /// A restored chain.
    Restore {
        /// The first of the chain.
        full: BackupId,
        /// When the last of the chain was begun, as the records say.
        timestamp: Option<String>,
        /// Where to.
        target: Target,
        /// The request's own directory, with the working copy in it: removed on failure, and after a database restore.
        tmp_dir: PathBuf,
        /// The working copy in it, from which the data directory is filled.
        work: PathBuf,
        /// The data directory of a database restore.
        data_dir: PathBuf,
    },
}
