//! A stored backup, in whichever form it is: a directory, a stream, or a stream that was forwarded elsewhere.
//!
//! Names and shapes alone; [`disk::stored`](crate::disk::stored) looks which of them is there.

use std::path::PathBuf;

use crate::command::BackupId;

/// What a stream is compressed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Nothing.
    None,
    /// gzip, RFC 1952.
    Gzip,
    /// Zstandard, RFC 8878.
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::None, Self::Gzip, Self::Zstd];

    /// What a stream's name ends in.
    pub fn ending(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        }
    }

    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The lowest and the highest level that may be set; none, where there is nothing to set.
    pub fn levels(self) -> Option<(i32, i32)> {
        match self {
            Self::None => None,
            Self::Gzip => Some((1, 9)),
            Self::Zstd => Some((1, 19)),
        }
    }
}

/// The name of a backup's stream: in its folder, and in `backup_dir` itself where the Go daemon put it.
pub fn stream_name(id: &BackupId, compression: Compression) -> String {
    format!("backup-{id}.xbstream{}", compression.ending())
}

/// Where a backup is, and as what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// The files themselves, in this directory.
    Directory(PathBuf),
    /// A stream.
    Stream(Stream),
    /// A stream that was forwarded, of which its folder has only the metadata and the manifest.
    Forwarded(Stream),
}

/// A stream of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Where it is, or would be had it not been forwarded.
    pub path: PathBuf,
    /// Its name, the ending of which says how it is compressed.
    pub name: String,
    /// The manifest that has its hash; a stream of the Go daemon has none.
    pub manifest: Option<PathBuf>,
}

impl Stored {
    /// The path by which people know it.
    pub fn path(&self) -> &PathBuf {
        match self {
            Self::Directory(path) => path,
            Self::Stream(stream) | Self::Forwarded(stream) => &stream.path,
        }
    }
}
