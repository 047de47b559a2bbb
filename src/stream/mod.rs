//! Streams of a backup: verified and stored while the tool writes them, and extracted again.
//!
//! In: what `mariabackup --backup --stream=xbstream` writes, or a stored stream. Out: a stored stream with its hash in a manifest, or the
//! files. Exit status 0 of a tool that streams says little: its reader may have died on the last byte, and a stream that was cut between
//! two chunks looks whole (seen with mbstream 10.11.19, which extracts it and ends with status 0). So every chunk is checked as it goes by,
//! and at the end that every file has ended and the backup's metadata has come; the same again when it is extracted.
//!
//! Nothing here knows of the daemon: both are subcommands of the same program, run as any other external command is.

mod busy;
pub mod chunks;
mod codec;
mod extract;
mod frames;
mod head;
mod holes;
pub mod inspect;
mod pack;
mod pool;
mod store;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

pub use busy::Busy;
pub use codec::Codec;
pub use extract::{Extract, Extracted};
pub use head::Head;
pub use pack::{Packing, Unpacking, pack, unpack};
pub use store::{Destination, Store, Stored};
use thiserror::Error;

use crate::age::AgeError;
use crate::bucket::BucketError;
use crate::config::identity_file::IdentityFileError;
use crate::model::Packed;

/// Why a stream is not stored, or not extracted.
#[derive(Debug, Error)]
pub enum StreamError {
    /// It breaks a rule of the format, or does not hold a whole backup.
    #[error("the stream is not whole: at byte {at}: {what}")]
    Broken {
        /// Where in the stream, uncompressed, in bytes.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// It is not packed as its name says.
    #[error("the stream is {found}, not {} as its name says", wanted.outer())]
    Packed {
        /// What its first bytes are those of.
        found: &'static str,
        /// What its name says.
        wanted: Packed,
    },
    /// No identity comes from the file that is named.
    #[error(transparent)]
    Identity(IdentityFileError),
    /// It is encrypted, and nobody can look into it here.
    #[error("it is encrypted, and there is no identity to decrypt it with")]
    Locked,
    /// It cannot be decrypted, since it is for others or was changed.
    #[error("the stream cannot be decrypted")]
    Sealed(#[source] AgeError),
    /// Its hash is not the one of its manifest.
    #[error("'{0}' has changed since the backup was taken")]
    Changed(String),
    /// The manifest has no line for it.
    #[error("the manifest '{}' does not name '{name}'", path.display())]
    NotNamed {
        /// The manifest.
        path: PathBuf,
        /// The stream.
        name: String,
    },
    /// It cannot be kept in the repository.
    #[error(transparent)]
    Repository(BucketError),
    /// It cannot be read.
    #[error("the stream cannot be read")]
    Read(#[source] io::Error),
    /// Something cannot be written.
    #[error("'{}' cannot be written", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn cannot_write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StreamError {
    let path = path.into();
    move |source| StreamError::Write { path, source }
}

/// What ends a stream on its way to who takes it apart, other than what decompresses it.
#[derive(Debug, Error)]
enum Fault {
    /// It cannot be read.
    #[error("it cannot be read")]
    Unread(#[source] io::Error),
    /// It cannot be encrypted or decrypted.
    #[error(transparent)]
    Sealed(AgeError),
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

impl Fault {
    /// What an error at this byte of the stream, uncompressed, says of it: what a decoder finds is wrong with it is no fault of the disk.
    fn of(why: io::Error, at: u64) -> StreamError {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        let is_decoders = |why: &io::Error| {
            why.raw_os_error().is_none() && matches!(why.kind(), InvalidData | InvalidInput | Other | UnexpectedEof)
        };
        match why.downcast::<Self>() {
            Err(why) if is_decoders(&why) => {
                StreamError::Broken { at, what: format!("it cannot be decompressed: {why}") }
            }
            Ok(Self::Sealed(why)) => StreamError::Sealed(why),
            Ok(Self::Unread(why)) | Err(why) => StreamError::Read(why),
        }
    }
}
