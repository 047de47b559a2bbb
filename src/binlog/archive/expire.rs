//! What no backup needs any more, taken out of the archive.
//!
//! In: for each timeline the number of the first file that a backup on it needs, if any is on it. Out: an archive without the files before that; of a
//! timeline that no backup is on, and that the server does not write to any more, without any. The newest timeline keeps what it has as long as no
//! backup is on it: one that is being taken now may be. What describes a file goes first, so what dies in between leaves bytes that nobody counts,
//! and the next time takes these.

use super::{Archive, ArchiveError};

/// What was taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many files of the server.
    pub files: u64,
    /// What they took, in bytes.
    pub bytes: u64,
}

/// Takes out what is not needed: `needed` has the number of the first file of a timeline that is.
///
/// # Errors
/// The archive cannot be read or changed, or a pass is at work.
pub fn expire(archive: &Archive, needed: impl Fn(u32) -> Option<u64>) -> Result<Expired, ArchiveError> {
    let mut done = Expired::default();
    let timelines = archive.timelines()?;
    let newest = archive.written()?.map(|timeline| timeline.number);
    if timelines.is_empty() {
        return Ok(done);
    }
    let _lock = archive.lock()?;
    for timeline in timelines {
        let first = needed(timeline);
        let is_newest = newest == Some(timeline);
        if is_newest && first.is_none() {
            continue;
        }
        let mut files = archive.files(timeline)?;
        // The pass goes on from the last one.
        if is_newest {
            files.pop();
        }
        for (number, file) in files {
            if first.is_none_or(|first| number < first) {
                let Some(entry) = archive.entry(timeline, &file)? else { continue };
                done.files += 1;
                done.bytes += entry.stored;
                archive.remove(timeline, &entry)?;
            }
        }
        archive.sweep(timeline)?;
    }
    Ok(done)
}
