//! The archive of binary logs, `.binlogs` in `backup_dir`, which no backup can be called.
//!
//! ```text
//! .binlogs/state.json                    the last look at the server's files
//! .binlogs/restored.json                 the last restore of the server's data
//! .binlogs/repository.json               what of the archive is in the repository
//! .binlogs/0001/timeline.json            why this timeline was begun, and of which server it is
//! .binlogs/0001/mysql-bin.000042.json    what the archive has of a file: the only word for it
//! .binlogs/0001/mysql-bin.000042.zst     its bytes, frame after frame: zstd -d gives them
//! .binlogs/0001/mysql-bin.000042.000000004096.zst.age   or, encrypted, those of a piece of it, from this byte of the file on
//! ```
//! A **timeline** is what a server wrote without a gap: each file is the next one by its number and by the GTIDs at its head. Where that cannot be
//! shown, a new timeline is begun, and why is written into it.
//!
//! Bytes are put at the end of a `.zst` and synced before the `.json` that counts them is replaced; what lies behind the counted ones is nobody's,
//! and cut off by the next pass. So whatever dies at whichever line, what the `.json` says is there.
//!
//! With `encrypt_to` each piece is a file of the age format of its own: such files cannot be joined, and there is no key here by which they could be
//! written anew. The pieces of a file, decrypted one after the other, are what its `.zst` would be. Passes read none of them: what they go on from is
//! in the `.json`, which has no name of a table and no value.

mod document;
mod elsewhere;
mod entry;
mod expire;
mod index;
mod pass;
mod piece;
mod place;
mod read;
mod receive;
mod restored;
mod sealed;
mod send;
mod state;

pub use elsewhere::{Elsewhere, Sent, There};
pub use entry::{Ended, Entry, Piece};
pub use expire::{Expired, expire};
pub use pass::{Pass, Passed};
pub use place::{Archive, DIR};
pub use read::{Archived, ArchivedReader};
pub use receive::{Received, receive};
pub use restored::tell_of_restore;
pub use send::{SentNow, erase, send};
pub use state::{Because, Looked, Timeline};

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::reader::BinlogError;
use crate::bucket::BucketError;

/// Why a pass was broken off. What it had archived until then stays.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The system's, on a file or directory of the archive or of the server.
    #[error("'{}'", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A file of the server cannot be archived.
    #[error("the binary log '{}'", path.display())]
    Log {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: BinlogError,
    },
    /// The server's list of its files.
    #[error("'{}' {what}", path.display())]
    Index {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Another pass is at work.
    #[error("another pass is at work in '{}'", .0.display())]
    Busy(PathBuf),
    /// What describes something in the archive cannot be understood.
    #[error("'{}' {what}", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// The repository's store.
    #[error(transparent)]
    Store(#[from] BucketError),
    /// Something of what was to be erased in the repository is there.
    #[error("{why}{}", if *.count > 1 { format!("; and {} more", .count - 1) } else { String::new() })]
    Left {
        /// How much.
        count: usize,
        /// Why the first is.
        why: String,
    },
    /// What is encrypted cannot be read here.
    #[error("what is archived of '{file}' is encrypted to {to}: {why}")]
    Locked {
        /// Of which file of the server.
        file: String,
        /// To whom.
        to: String,
        /// Why not, or what to do.
        why: String,
    },
    /// A file changed while it was copied.
    #[error("'{}' was changed behind the server's back while it was read", .0.display())]
    Changed(PathBuf),
}

/// Names what the system's error is about.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io { path, source }
}
