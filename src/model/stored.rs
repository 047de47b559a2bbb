//! A stored backup, in whichever form it is: a directory, a stream, or a stream that was forwarded elsewhere.
//!
//! Names and shapes alone; [`repository::stored`](crate::repository::stored) looks which of them is there.

use std::path::PathBuf;

use super::{BackupId, Packed, Remote};

/// The name of a backup's stream: in its folder, and in `backup_dir` itself where the Go daemon put it.
pub fn stream_name(id: &BackupId, packed: Packed) -> String {
    format!("backup-{id}.xbstream{}", packed.ending())
}

/// Where a backup is, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The files themselves, in this directory.
    Directory(PathBuf),
    /// A stream.
    Stream(Stream),
    /// A stream that lies in a repository alone, with its key there; its folder has the metadata and the manifest.
    Remote(Stream, Box<RemoteStream>),
    /// A stream that was forwarded, of which its folder has only the metadata and the manifest.
    Forwarded(Stream),
}

/// A stream of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Where it is, or would be had it not been forwarded.
    pub path: PathBuf,
    /// Its name, the ending of which says how it is packed.
    pub name: String,
    /// The manifest that has its hash; a stream of the Go daemon has none.
    pub manifest: Option<PathBuf>,
    /// Where the same stream lies in a repository. None if it was not sent, or lies there alone.
    pub copy: Option<Box<RemoteStream>>,
}

/// Where a stream lies that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteStream {
    /// In which repository.
    pub repository: Remote,
    /// Under which key.
    pub key: String,
    /// How long it is there, in bytes.
    pub size: u64,
}

impl Stream {
    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        Packed::of_name(&self.name).is_encrypted
    }
}

impl Stored {
    /// The path by which people know it.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Directory(path) => path,
            Self::Stream(stream) | Self::Remote(stream, _) | Self::Forwarded(stream) => &stream.path,
        }
    }
}
