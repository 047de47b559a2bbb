//! What will run, decided before anything does: ordered [`Step`]s, what each must prove, and what all of them come to.
//!
//! In: an admitted command and the settings. Out: a [`Plan`], as a value. No I/O here: a plan can be compared, printed and
//! tested without a server, a tool or a disk.

mod arguments;
mod backup;
mod phase;
mod restore;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use arguments::REACHING;
pub use backup::recorded_args;
pub use phase::Phase;
pub use restore::{INVENTORY, Member, RESTORES, RestoreInputs, TMP};

use uuid::Uuid;

use crate::config::Config;
use crate::exec::Pipeline;
use crate::model::{BackupId, JobKind, Packed, Target};
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
    /// What the whole comes to.
    pub goal: Goal,
}

impl Plan {
    /// What kind of work it is.
    pub fn kind(&self) -> JobKind {
        match self.goal {
            Goal::Backup(_) => JobKind::Backup,
            Goal::Restore(_) => JobKind::Restore,
        }
    }

    /// The backup that the log names: the new one, or the first of the chain.
    pub fn subject(&self) -> &BackupId {
        match &self.goal {
            Goal::Backup(backup) => &backup.id,
            Goal::Restore(restore) => &restore.full,
        }
    }

    /// Where the result is written: `backup_dir`, or the data directory.
    pub fn written<'a>(&'a self, config: &'a Config) -> &'a Path {
        match &self.goal {
            Goal::Restore(Restored { destination: Destination::DataDir { dir, .. }, .. }) => dir,
            Goal::Restore(_) | Goal::Backup(_) => &config.backup_dir,
        }
    }

    /// Below which directory the job works: the data directory if the working copy is made there, or `backup_dir`.
    pub fn place<'a>(&'a self, config: &'a Config) -> &'a Path {
        match &self.goal {
            Goal::Restore(restore) if restore.staging().is_some() => self.written(config),
            Goal::Restore(_) | Goal::Backup(_) => &config.backup_dir,
        }
    }
}

/// One external command or pipeline, one row of `process`; and what has to be known of it while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What runs.
    pub pipeline: Pipeline,
    /// What it is at, for people.
    pub phase: Phase,
    /// Where it is seen how far it is.
    pub progress: Progress,
    /// The directory in which it writes what will stay, so that this is on the disk soon after the program has ended. None if nothing stays, or
    /// the program sees to it.
    pub stays: Option<PathBuf>,
    /// Whether it may begin while the step before it still runs, of which it needs nothing; there is room for what both write.
    pub is_early: bool,
    /// What must be seen beside its exit status.
    pub proof: Proof,
}

impl Step {
    /// The folder whose files are sealed when all is over, which this step fills. A stream is hashed by the step that stores it.
    pub(crate) fn sealed_later(&self) -> Option<&Path> {
        match &self.proof {
            Proof::Backup { dir, stream: None, .. } => Some(dir),
            Proof::Backup { .. } | Proof::Copied { .. } | Proof::Prepared { .. } | Proof::Replayed | Proof::Filled => {
                None
            }
        }
    }

    /// Whether it writes into the data directory.
    pub fn fills_data_dir(&self) -> bool {
        self.proof == Proof::Filled
    }
}

/// Where it is seen how far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// By how much is in and below this directory.
    Below(PathBuf, Expected),
    /// By what its program says.
    Said,
    /// Nowhere.
    Unknown,
}

/// How much a step is expected to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nobody knows.
    Unknown,
    /// As much as there is here.
    Like(PathBuf),
    /// As much as the newest full backup, if it has the same form: a stream that is packed so, or a directory.
    LikeTheLast(Option<Packed>),
}

/// What the success of all steps is recorded as, and what a failure must take away again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A new backup.
    Backup(NewBackup),
    /// A restored chain.
    Restore(Restored),
}

/// A new backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBackup {
    /// Its id.
    pub id: BackupId,
    /// Its own, which no other ever has.
    pub uuid: Uuid,
    /// What it was taken from.
    pub base: Option<BackupId>,
    /// The schedule that asked for it.
    pub schedule_id: Option<i64>,
    /// Its folder, removed on failure.
    pub dir: PathBuf,
    /// Whether it is a stream.
    pub is_stream: bool,
}

/// A restored chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The first of the chain.
    pub full: BackupId,
    /// When the last of the chain was begun, as the records say.
    pub timestamp: Option<String>,
    /// The request's own directory: removed on failure, and after a database restore.
    pub tmp_dir: PathBuf,
    /// The working copy.
    pub work: PathBuf,
    /// The marks by which the restored data are known.
    pub marks: Vec<Mark>,
    /// Where to.
    pub destination: Destination,
}

/// Where a chain is restored to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The request's own directory, where the working copy stays.
    Folder,
    /// The server's data directory.
    DataDir {
        /// Which.
        dir: PathBuf,
        /// Where the server keeps files outside it.
        outside: Vec<Outside>,
        /// How it is filled.
        way: Way,
    },
}

/// How a data directory is filled from a working copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// The working copy becomes the data directory, by renames.
    Rename {
        /// The directory in the data directory that has the working copy. None if that is in the request's own directory.
        staging: Option<PathBuf>,
    },
    /// It is copied.
    Copy,
}

impl Restored {
    /// Where to, as the records have it.
    pub fn target(&self) -> Target {
        match self.destination {
            Destination::Folder => Target::Folder,
            Destination::DataDir { .. } => Target::Database,
        }
    }

    /// The directory in the data directory that has the working copy.
    pub fn staging(&self) -> Option<&Path> {
        match &self.destination {
            Destination::DataDir { way: Way::Rename { staging }, .. } => staging.as_deref(),
            Destination::DataDir { way: Way::Copy, .. } | Destination::Folder => None,
        }
    }
}
