//! That the server's data were restored: what it writes from then on does not go on from what it had written.
//!
//! Where the binary log lies outside the data directory, the server itself goes on in it with the next number and the next GTID, as if nothing
//! had been undone (seen with 10.11.19). So a restore leaves word here before it fills the data directory, and the next pass begins a timeline.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::entry::FORMAT;
use super::index::{self, Log};
use super::{Archive, ArchiveError};
use crate::model::Moment;

/// The last restore of the server's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Restored {
    /// How this document is laid out: 1.
    pub(super) format: u32,
    /// When: UTC, as in the records.
    pub(super) at: String,
    /// The last file of the binary log that there was then. None if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<String>,
}

/// Leaves word that the data directory is about to be filled from backups. Without an archive there is nobody to tell.
///
/// # Errors
/// It cannot be written.
pub fn tell_of_restore(backup_dir: &Path, data_dir: &Path) -> Result<(), ArchiveError> {
    let archive = Archive::of(backup_dir);
    let Some(looked) = archive.looked()? else { return Ok(()) };
    // In a data directory that was emptied there is none.
    let logs = index::read(&looked.index, data_dir).unwrap_or_default();
    let last = logs.last().map(|log| log.name.clone());
    archive.set_restored(&Restored { format: FORMAT, at: Moment::now().to_string(), last })
}

impl Restored {
    /// Whether it came after this moment.
    pub(super) fn is_after(&self, moment: &str) -> bool {
        let (at, moment) = (Moment::read(&self.at), Moment::read(moment));
        at.zip(moment).is_some_and(|(at, moment)| at > moment)
    }

    /// Takes those away that there were then. `begun` says when a file was begun, in seconds since 1970: a server that has lost its list of files
    /// begins with the first number again.
    pub(super) fn forget(
        &self,
        logs: &mut Vec<Log>,
        begun: impl Fn(&Log) -> Result<u32, ArchiveError>,
    ) -> Result<(), ArchiveError> {
        let Some((last, at)) = self.last.as_deref().zip(Moment::read(&self.at)) else { return Ok(()) };
        let number = index::number(last);
        let is_old = |log: &Log| log.base() == index::base(last) && Some(log.number) <= number;
        let Some(place) = logs.iter().rposition(is_old) else { return Ok(()) };
        if let Some(log) = logs.get(place)
            && f64::from(begun(log)?) <= at.seconds()
        {
            logs.drain(..=place);
        }
        Ok(())
    }
}
