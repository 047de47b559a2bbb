//! What will run, decided before anything does: ordered [`Step`]s, and what each must prove.
//!
//! In: an admitted command and the settings. Out: a [`Plan`], as a value. No I/O here: a plan can be compared, printed and
//! tested without a server, a tool or a disk.

mod arguments;
mod backup;
mod restore;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use restore::{Ground, INVENTORY, Member, RESTORES, TMP};

use crate::config::Config;
use crate::exec::Pipeline;
use crate::model::{BackupId, Target};
use crate::repository::history::Mark;
use crate::server::Outside;
use crate::witness::Proof;

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

impl Plan {
    /// Below which directory the job works: the data directory, where the working copy is made there, or `backup_dir`.
    pub fn place<'a>(&'a self, config: &'a Config) -> &'a Path {
        match &self.end {
            End::Restore { room: Some(_), data_dir, .. } => data_dir,
            End::Restore { room: None, .. } | End::Backup { .. } => &config.backup_dir,
        }
    }
}

/// One external command or pipeline, one row of `process`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub pipeline: Pipeline,
    /// What must be seen beside its exit status.
    pub proof: Proof,
}

impl Step {
    /// The folder whose files are sealed when all is over, which this step fills. A stream is hashed by the step that stores it.
    pub(crate) fn sealed_later(&self) -> Option<&Path> {
        match &self.proof {
            Proof::Backup { dir, stream: None, .. } => Some(dir),
            Proof::Backup { .. } | Proof::Copied { .. } | Proof::Prepared { .. } | Proof::Filled => None,
        }
    }
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
        /// Whether it is a stream.
        is_stream: bool,
    },
    /// A restored chain.
    Restore {
        /// The first of the chain.
        full: BackupId,
        /// When the last of the chain was begun, as the records say.
        timestamp: Option<String>,
        /// Where to.
        target: Target,
        /// The request's own directory: removed on failure, and after a database restore.
        tmp_dir: PathBuf,
        /// The directory in the data directory that has the working copy, where that is not in `tmp_dir`.
        room: Option<PathBuf>,
        /// The working copy, from which the data directory is filled.
        work: PathBuf,
        /// The data directory of a database restore.
        data_dir: PathBuf,
        /// Whether the working copy becomes the data directory, and not a copy of it.
        moves: bool,
        /// The marks by which the restored data are known.
        marks: Vec<Mark>,
        /// Where the server keeps files outside its data directory.
        outside: Vec<Outside>,
    },
}
