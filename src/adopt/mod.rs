//! Which backups lie in a repository without a record: what each is, what proves it, and what it was taken from.
//!
//! In: a repository. Out: [`Candidate`]s, each with its proof, or the reason why it is none; and an order in which they can be recorded, bases
//! before what was taken from them ([`order`]). Nothing is written here. [`local`] looks into `backup_dir`, [`remote`] into a bucket; a candidate says the same wherever
//! it was found, so that all else does not ask where it lies.

pub mod local;
pub mod order;
pub mod remote;
mod stream_head;

use serde::Serialize;

use crate::model::{BackupId, Moment};
use crate::repository::card::{Base, Kind, Lsns};

/// A backup that may be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: BackupId,
    /// What kind of backup it is.
    pub kind: Kind,
    /// Its own uuid. None if it has no card.
    pub uuid: Option<String>,
    /// What it says that it was taken from. None of a full one, and of one that has no card.
    pub from: Option<Base>,
    /// Its log sequence numbers. None if they are inside its stream.
    pub lsn: Option<Lsns>,
    /// When it was begun.
    pub start: Moment,
    /// When its tool had ended.
    pub end: Moment,
    /// The schedule that asked for it. None if none did, or it has no card.
    pub schedule_id: Option<i64>,
    /// In which form it lies there.
    pub form: Form,
    /// How much it takes there, in bytes; of one that was forwarded, its metadata.
    pub size: u64,
    /// By what it is believed.
    pub proof: Proof,
    /// What speaks not against it, and should be known.
    pub notes: Vec<String>,
}

/// In which form a backup lies in its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// The files themselves.
    Directory,
    /// A stream.
    Stream,
    /// A stream in a repository in an object store; here is its metadata at the most.
    Repository,
    /// The metadata of a stream that was forwarded.
    Forwarded,
}

/// By what a backup is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// By its `backup.json`, its metadata, and a manifest of all its files.
    Card,
    /// By its metadata and a manifest of all its files; it was taken before there was a `backup.json`.
    Manifest,
    /// By its metadata: a predecessor's.
    Metadata,
    /// By the first file of a stream that has its metadata at its end: the Go daemon's.
    Head,
}

impl Form {
    /// As a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Stream => "stream",
            Self::Repository => "repository",
            Self::Forwarded => "forwarded",
        }
    }
}

impl Proof {
    /// Whether a manifest has the hashes of all its files.
    pub fn is_sealed(self) -> bool {
        matches!(self, Self::Card | Self::Manifest)
    }

    /// As a person reads it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Card => "backup.json, metadata and manifest",
            Self::Manifest => "metadata and manifest",
            Self::Metadata => "metadata alone",
            Self::Head => "first file alone",
        }
    }
}

impl Candidate {
    /// What another one may be held against that was taken from it.
    pub fn described(&self) -> Described {
        Described { id: self.id.clone(), uuid: self.uuid.clone(), lsn: self.lsn }
    }
}

/// What of a backup tells whether another was taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its id.
    pub id: BackupId,
    /// Its own uuid. None if it has no card.
    pub uuid: Option<String>,
    /// Its log sequence numbers. None if they are not known.
    pub lsn: Option<Lsns>,
}

/// One that is not recorded, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Its id.
    pub id: BackupId,
    /// What is wrong with it, in words.
    pub why: String,
}
