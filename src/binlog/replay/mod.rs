//! A replay: the archived binary log applied to what a chain restores, up to a moment.
//!
//! In: where the chain's last backup stands in the archive, and the moment. Out: from where to where, proved from the archive before anything is
//! done ([`find`](fn@find)); and then data that have come there ([`Run`]). A server of its own does it, as a replica that has received the files: so each
//! event is applied by what the server's makers apply it with, and no text of SQL is made of it in between.

mod client;
mod events;
mod find;
mod logs;
mod run;

use std::fmt;
use std::path::Path;

use thiserror::Error;

pub use find::{Standing, find};
pub use run::{ReplayError, Run};

use super::archive::ArchiveError;
use super::gtid::State;
use super::reader::BinlogError;
use super::transaction::Transaction;
use crate::model::{Moment, Until};

/// A place in a binary log: `mysql-bin.000042:90554`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The file.
    pub file: String,
    /// How many bytes lie before it.
    pub position: u64,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.position)
    }
}

impl std::str::FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = text.rsplit_once(':').and_then(|(file, position)| Some((file, position.parse().ok()?)));
        let (file, position) =
            place.filter(|(file, _)| !file.is_empty() && !file.contains('/')).ok_or("no FILE:POSITION")?;
        Ok(Self { file: file.to_owned(), position })
    }
}

/// A replay, from one place between transactions to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The timeline that it goes along.
    pub timeline: u32,
    /// Its files, from the first to the last.
    pub files: Vec<String>,
    /// From where, in the first.
    pub from: u64,
    /// To where, in the last.
    pub to: u64,
    /// The GTIDs that the backup has, as it says itself. None if it does not.
    pub before: Option<State>,
    /// The GTIDs that there were at the end.
    pub after: State,
    /// How many bytes are applied.
    pub bytes: u64,
    /// How many bytes the files take while they are applied: all of them, from their beginnings.
    pub room: u64,
    /// The last transaction that is applied. None if there is none, or it stands two files before.
    pub last: Option<Seen>,
    /// The first that is not. None if none is archived, or what is archived of it cannot be read.
    pub next: Option<Seen>,
}

impl Replay {
    /// Where it begins.
    pub fn begin(&self) -> At {
        At { file: self.files.first().cloned().unwrap_or_default(), position: self.from }
    }

    /// Its end, as [`Until::Place`] says it.
    pub fn place(&self) -> String {
        format!("{} {} {}", self.timeline, self.end(), self.after)
    }

    /// Where it ends.
    pub fn end(&self) -> At {
        At { file: self.files.last().cloned().unwrap_or_default(), position: self.to }
    }
}

/// A transaction, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// In which file.
    pub file: String,
    /// What it is.
    pub transaction: Transaction,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Transaction { at, time, gtid, kinds, tables, has_more } = &self.transaction;
        if let Some(gtid) = gtid {
            write!(f, "{gtid}, ")?;
        }
        if let Some(time) = Moment::of_seconds(*time) {
            write!(f, "{} UTC, ", time.to_seconds())?;
        }
        if !kinds.is_empty() {
            let more = if *has_more { " …" } else { "" };
            let tables = tables.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(f, "{} {tables}{more}, ", kinds.join(", "))?;
        }
        write!(f, "at {}:{at}", self.file)
    }
}

/// Why a moment cannot be come to.
#[derive(Debug, Error)]
pub enum NoReplay {
    /// There is no archive.
    #[error("no binary log is archived here: there is no '{}'", .0.display())]
    NoArchive(std::path::PathBuf),
    /// The backup has no place in the binary log.
    #[error(
        "backup '{0}' does not say where in the binary log it ended: log_bin was off, or it is of before there was a backup.json"
    )]
    NoPlace(String),
    /// It has one, and the archive does not.
    #[error("the archive of the binary log does not have {at}, where backup '{id}' ended")]
    NotOnTimeline {
        /// The backup.
        id: String,
        /// Where it ended.
        at: At,
    },
    /// The backup is later than the moment.
    #[error("{until} lies before the end of backup '{id}'")]
    TooEarly {
        /// The backup.
        id: String,
        /// The moment.
        until: Until,
    },
    /// The archive does not reach as far.
    #[error("the archive of the binary log reaches until {reached}, and not {until}; 'end' takes all that there is")]
    TooLate {
        /// The moment.
        until: Until,
        /// How far it reaches, UTC.
        reached: String,
    },
    /// What the command line has found is not there.
    #[error("'{0}' is no place of the archive behind the chain")]
    NoPlaceThere(String),
    /// No such transaction is archived behind the backup.
    #[error("{until} is not on timeline {timeline} of the archive, behind backup '{id}'")]
    NotThere {
        /// The backup.
        id: String,
        /// The moment.
        until: Until,
        /// The timeline that goes on from the backup.
        timeline: u32,
    },
    /// The archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// What it has of a file is not what it was.
    #[error("what is archived of '{0}' cannot be read")]
    Log(String, #[source] BinlogError),
}

impl NoReplay {
    /// Whether an earlier backup may do.
    pub fn asks_for_an_earlier_backup(&self) -> bool {
        matches!(self, Self::TooEarly { .. } | Self::NoPlace(_) | Self::NotOnTimeline { .. })
    }
}

/// That there is none in this directory.
fn no_archive(dir: &Path) -> NoReplay {
    NoReplay::NoArchive(dir.to_owned())
}
