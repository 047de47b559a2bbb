//! The moment that a restore is to end at, behind the backup.

use std::fmt;

use super::{Gtid, Moment};

/// Up to where the archived binary log is replayed on what a chain restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Until {
    /// To the last transaction before the first one that is later than this, in the order in which they were committed.
    Time(Moment),
    /// To this transaction, and with it.
    Through(Gtid),
    /// To the transaction before this one.
    Before(Gtid),
    /// To the last transaction that is archived.
    End,
    /// To a place that the operator's command line has found, as it says it.
    Place(String),
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(at) => write!(f, "{} UTC", at.to_seconds()),
            Self::Through(gtid) => write!(f, "{gtid}"),
            Self::Before(gtid) => write!(f, "the transaction before {gtid}"),
            Self::End => f.write_str("the end of the archive"),
            Self::Place(place) => f.write_str(place),
        }
    }
}
