//! What a client may ask for, as values that cannot hold an unchecked argument.
//!
//! In: a [`Request`](crate::wire::Request). Out: an [`Order`], or a [`Rejection`](crate::model::Rejection). [`parse`] looks at shapes alone;
//! [`admit`](crate::admit) holds a command against the world.

pub mod parse;

use crate::model::{BackupId, Target, Until};

/// What one request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// A job, which is accepted and then runs: what the APIs ask for, too.
    Job(Command),
    /// Something that is answered when it is done, and has no rows of its own. Only root and the daemon's own user may ask for it.
    Housekeeping(Housekeeping),
}

/// What keeps the stored backups and their records in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Housekeeping {
    /// `remove_backup`.
    Remove(Remove),
    /// `adopt_backup`.
    Adopt(Adopt),
}

/// A backup that lies in `backup_dir` without a record, and is to have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopt {
    /// Its id.
    pub id: BackupId,
    /// What an incremental was taken from. None where it says that itself.
    pub from: Option<BackupId>,
}

/// Backups to remove: all of them, or none if one of them may not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// The first of them.
    pub first: BackupId,
    /// The others. Each is removed once, and what was taken from another before that, in whatever order they are named.
    pub others: Vec<BackupId>,
}

impl Remove {
    /// All that is to go.
    pub fn ids(&self) -> impl Iterator<Item = &BackupId> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl Order {
    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Job(command) => command.name(),
            Self::Housekeeping(Housekeeping::Remove(_)) => parse::REMOVE_BACKUP,
            Self::Housekeeping(Housekeeping::Adopt(_)) => parse::ADOPT_BACKUP,
        }
    }

    /// The backup that a log line is about.
    pub fn subject(&self) -> &BackupId {
        match self {
            Self::Job(command) => command.subject(),
            Self::Housekeeping(Housekeeping::Remove(remove)) => &remove.first,
            Self::Housekeeping(Housekeeping::Adopt(adopt)) => &adopt.id,
        }
    }
}

/// One of the three jobs; nothing else is ever run on a client's word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `full_backup` (no base) or `incremental_backup`.
    Backup(Backup),
    /// `restore_backup`.
    Restore(Restore),
}

/// A backup to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Its id.
    pub id: BackupId,
    /// What an incremental is taken from; a full backup has none.
    pub base: Option<BackupId>,
    /// The schedule of the API that asked for it.
    pub schedule_id: Option<i64>,
}

/// A chain to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    /// The first of the chain.
    pub full: BackupId,
    /// Those after it, in the order in which they were taken.
    pub incrementals: Vec<BackupId>,
    /// Where to.
    pub target: Target,
    /// Up to where the archived binary log is replayed on it. None for the backup as it is.
    pub until: Option<Until>,
}

impl Restore {
    /// The whole chain, oldest first.
    pub fn chain(&self) -> impl Iterator<Item = &BackupId> {
        std::iter::once(&self.full).chain(&self.incrementals)
    }

    /// The youngest of the chain: the moment that is restored.
    pub fn last(&self) -> &BackupId {
        self.incrementals.last().unwrap_or(&self.full)
    }
}

impl Command {
    /// The name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Backup(Backup { base: None, .. }) => parse::FULL_BACKUP,
            Self::Backup(_) => parse::INCREMENTAL_BACKUP,
            Self::Restore(_) => parse::RESTORE_BACKUP,
        }
    }

    /// The backup that a log line is about: the one to take, or the last of the chain to restore.
    pub fn subject(&self) -> &BackupId {
        match self {
            Self::Backup(backup) => &backup.id,
            Self::Restore(restore) => restore.last(),
        }
    }
}
