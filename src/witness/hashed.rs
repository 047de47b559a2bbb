//! Hashes of files, and what each file was when it was hashed.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// SHA-256, in lower-case hexadecimal.
pub(crate) type Hash = String;

/// What a file is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Hashes of finished files, by their paths in the backup.
#[derive(Debug, Default)]
pub struct Hashed(HashMap<PathBuf, (Stamp, Hash)>);

impl Stamp {
    pub(super) fn of(there: &Metadata) -> Self {
        Self {
            inode: (there.dev(), there.ino()),
            size: there.size(),
            modified: (there.mtime(), there.mtime_nsec()),
            changed: (there.ctime(), there.ctime_nsec()),
        }
    }

    /// Its device's number, and its own.
    pub(super) fn inode(self) -> (u64, u64) {
        self.inode
    }

    /// In bytes.
    pub(super) fn size(self) -> u64 {
        self.size
    }
}

impl Hashed {
    /// The hash of a file that still is what it was when it was hashed.
    pub(super) fn of(&self, path: &Path, stamp: Stamp) -> Option<&Hash> {
        self.0.get(path).filter(|(then, _)| *then == stamp).map(|(_, hash)| hash)
    }

    /// Whether a file has been hashed that was shorter than this then, in bytes, whatever it is by now.
    pub(super) fn has_shorter(&self, path: &Path, length: u64) -> bool {
        self.0.get(path).is_some_and(|(then, _)| then.size < length)
    }

    /// Takes the hash of a file that was this when it was hashed.
    pub(super) fn insert(&mut self, path: PathBuf, stamp: Stamp, hash: Hash) {
        self.0.insert(path, (stamp, hash));
    }
}
