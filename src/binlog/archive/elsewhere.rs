//! What of the archive is in the repository, and where there.
//!
//! ```text
//! <prefix>/v1/.binlogs/<uuid>/timeline.json                         of which timeline this is
//! <prefix>/v1/.binlogs/<uuid>/mysql-bin.000042/000000004096.zst.age   a piece: its bytes, as they are here
//! <prefix>/v1/.binlogs/<uuid>/mysql-bin.000042/000000004096.json      that piece, and those that were sent with it
//! <prefix>/v1/.binlogs/<uuid>/mysql-bin.000042/whole.json             all of a file that has ended
//! ```
//! Each object is written once and never changed. What describes pieces comes after them, so what it names is there. A timeline has a uuid of its own
//! there, which `repository.json` says: two hosts under one prefix write below different keys. Where something else is under a key than what is here,
//! as of a machine that was cloned, the timeline gets another uuid and is sent anew: nothing of the other is overwritten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::entry::Piece;
use super::place::{PLAIN, SEALED};
use super::{Archive, ArchiveError};
use crate::bucket::{Bucket, BucketError, Class, Download, Patience};
use crate::model::Remote;

/// What the key of a timeline's description ends in.
pub(super) const TIMELINE: &str = "timeline.json";
/// What that of a file that has ended does.
pub(super) const WHOLE: &str = "whole.json";
/// What those of the other descriptions end in.
pub(super) const SAID: &str = ".json";

/// What of the archive is in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// How this document is laid out: 1.
    pub format: u32,
    /// When something was sent last, or was tried to be: UTC, as in the records.
    pub at: String,
    /// Up to when all that was committed is there. None if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<String>,
    /// Why it is behind. None if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Each timeline of which something is there, by its number here.
    pub timelines: BTreeMap<u32, There>,
}

/// A timeline in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct There {
    /// Which repository.
    pub repository: Remote,
    /// What the timeline is called there.
    pub uuid: String,
    /// The files of which something is there.
    pub files: BTreeMap<String, Sent>,
}

/// How far a file was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// How many of the file's bytes.
    pub length: u64,
    /// When the file was begun, in seconds since 1970.
    pub begun: u32,
    /// Whether it has ended, and that is said there.
    pub closed: bool,
}

impl There {
    /// A timeline of which nothing is there yet.
    pub(super) fn new(repository: &Remote) -> Self {
        let uuid = uuid::Uuid::new_v4().to_string();
        Self { repository: repository.clone(), uuid, files: BTreeMap::new() }
    }

    /// The key below which everything of it is.
    pub(super) fn root(&self, remote: &Remote) -> String {
        format!("{}{}/", remote.binlogs(), self.uuid)
    }

    /// The key below which everything of a file is.
    pub(super) fn below(&self, remote: &Remote, file: &str) -> String {
        format!("{}{file}/", self.root(remote))
    }
}

/// What the key of a piece ends in, whose bytes begin there in the file.
pub(super) fn piece_name(begin: u64, piece: &Piece) -> String {
    format!("{begin:012}{}", if piece.to.is_some() { SEALED } else { PLAIN })
}

/// Where a timeline is read in the repository.
pub(super) struct Place {
    bucket: Bucket,
    there: There,
}

impl Place {
    /// That of a timeline. None if the repository of the settings does not have it.
    pub(super) fn of(archive: &Archive, timeline: u32) -> Result<Option<Self>, ArchiveError> {
        let Some(remote) = &archive.repository else { return Ok(None) };
        let there = archive.elsewhere()?.and_then(|mut all| all.timelines.remove(&timeline));
        // The key and its secret are those of the settings, and for no other place.
        let Some(there) = there.filter(|there| there.repository.is_same_place(remote)) else { return Ok(None) };
        Ok(Some(Self { bucket: Bucket::open(remote, Patience::SHORT)?, there }))
    }

    /// Begins to read a piece.
    pub(super) fn open(&self, file: &str, begin: u64, piece: &Piece) -> Result<Download, BucketError> {
        let key = format!("{}{}", self.there.below(self.bucket.remote(), file), piece_name(begin, piece));
        let none = || BucketError::new(Class::NotFound, format!("{} has no '{key}'", self.bucket.remote()));
        self.bucket.download(&key)?.ok_or_else(none)
    }
}
