//! A private copy of a stored backup, held against its manifest while it is made.
//!
//! In: a backup's folder. Out: a directory with the same files, or the first reason why what is stored is not what was stored. The bytes are
//! read once: hashed, and written by the same thread; several threads copy several files. Where the file system can let two files share their
//! blocks (btrfs, XFS), nothing is written at all. Of what is stored nothing is followed, and nothing is changed.

pub(crate) mod source;

use std::collections::{BTreeMap, HashSet};
use std::fs::{DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;
use sha2::{Digest, Sha256};
use source::{Entry, Files, Source};
use thiserror::Error;

use crate::disk::{links, workers};
use crate::repository::card;
use crate::witness::hashed::Hash;
use crate::witness::{findings, manifest};

/// How much is read at once, in bytes.
const PIECE: usize = 256 * 1024;

/// A copy to make.
#[derive(Debug, Clone, Copy)]
pub struct Copying<'a> {
    /// The backup's folder.
    pub from: &'a Path,
    /// The directory to make.
    pub into: &'a Path,
    /// How many threads copy.
    pub threads: usize,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// How many files.
    pub files: usize,
    /// How many of them share their blocks with what is stored.
    pub shared: usize,
    /// How long they are in all, in bytes.
    pub bytes: u64,
    /// How many links to tables outside the data directory were left out: others may have written them.
    pub links: usize,
}

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum CopyError {
    /// A file of a stored backup is not what it was when the backup was taken, or is gone.
    #[error("'{}' has changed since the backup was taken", .0.display())]
    Damaged(PathBuf),
    /// A symlink, or what else is no file, in a stored backup.
    #[error("'{}' is not a plain file, and a tool that works on it might change the stored backup", .0.display())]
    NoFile(PathBuf),
    /// An incremental that was applied itself, and not a copy of it.
    #[error("the incremental has been consumed, since '{}' has lost its delta: an earlier restore applied it in place", .0.display())]
    Consumed(PathBuf),
    /// What is stored cannot be read.
    #[error("'{}' cannot be read", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The copy cannot be written.
    #[error("'{}' cannot be written", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn cannot_read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.into();
    move |source| CopyError::Read { path, source }
}

fn cannot_write(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> CopyError {
    let path = path.into();
    move |source| CopyError::Write { path, source }
}

impl Copying<'_> {
    /// Copies.
    ///
    /// # Errors
    /// What is stored is not what it was, or cannot be read; or the copy cannot be written. What was copied by then is left.
    pub fn run(&self) -> Result<Copied, CopyError> {
        let source = Source::open(self.from).map_err(cannot_read(self.from))?;
        let tree = source.tree()?;
        if let Some(other) = tree.others.first() {
            return Err(CopyError::NoFile(other.clone()));
        }
        let wanted = self.manifest(&source)?;
        let mut files = tree.files;
        files.retain(|entry| entry.path.as_os_str() != manifest::NAME);
        if let Some(wanted) = &wanted {
            let there: HashSet<_> = files.iter().map(|entry| &entry.path).collect();
            if let Some(gone) = wanted.keys().find(|path| !there.contains(path)) {
                return Err(CopyError::Damaged(gone.clone()));
            }
        }
        // What a backup says of itself is not the server's.
        files.retain(|entry| entry.path.as_os_str() != card::NAME);
        if let Some(widow) = widow(&files) {
            return Err(CopyError::Consumed(widow));
        }
        // The daemon's own, which no server has to do with.
        files.retain(|entry| entry.path.as_os_str() != findings::BARE);
        let all = files.len();
        let mut vouched = Ok(());
        files.retain(|entry| {
            !links::is_link(&entry.path)
                || source.is_vouched(&entry.path).unwrap_or_else(|why| {
                    vouched = Err(cannot_read(self.from.join(&entry.path))(why));
                    false
                })
        });
        vouched?;
        let left = all - files.len();
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path).map_err(cannot_write(path));
        make(self.into)?;
        tree.directories.iter().try_for_each(|dir| make(&self.into.join(dir)))?;
        let copied = self.copy_all(&source, &mut files, wanted.as_ref())?;
        Ok(Copied { files: files.len(), links: left, ..copied })
    }

    /// The hashes that the files must have; None if the backup has no manifest.
    fn manifest(&self, source: &Source) -> Result<Option<BTreeMap<PathBuf, Hash>>, CopyError> {
        let name = Path::new(manifest::NAME);
        let mut text = Vec::new();
        match source.file(name).and_then(|mut file| file.read_to_end(&mut text)) {
            Ok(_) => manifest::parse(&text).map(Some).ok_or_else(|| CopyError::Damaged(name.to_owned())),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(cannot_read(self.from.join(name))(why)),
        }
    }

    fn copy_all(
        &self,
        source: &Source,
        files: &mut [Entry],
        wanted: Option<&BTreeMap<PathBuf, Hash>>,
    ) -> Result<Copied, CopyError> {
        let shares = AtomicBool::new(true);
        let batches = workers::batches(files, |entry| (&entry.path, entry.size));
        let own = || (source.files(), vec![0; PIECE]);
        let work = |(files, buffer): &mut (Files<'_>, Vec<u8>), batch: &&[Entry]| {
            let mut copied = Copied::default();
            for Entry { path, .. } in *batch {
                let from = files.open(path).map_err(cannot_read(self.from.join(path)))?;
                let (hash, bytes, is_shared) = self.copy_one(&from, path, buffer, &shares)?;
                // What a manifest does not name came later, and no tool minds it.
                if wanted.and_then(|wanted| wanted.get(path)).is_some_and(|wanted| *wanted != hash) {
                    return Err(CopyError::Damaged(path.clone()));
                }
                copied.bytes += bytes;
                copied.shared += usize::from(is_shared);
            }
            Ok(copied)
        };
        let parts = workers::each_with(self.threads.max(1), &batches, own, work)?;
        let add = |sum: Copied, part: Copied| Copied {
            bytes: sum.bytes + part.bytes,
            shared: sum.shared + part.shared,
            ..sum
        };
        Ok(parts.into_iter().fold(Copied::default(), add))
    }

    /// Copies a file; gives its hash, its length in bytes, and whether it shares its blocks with the original, which is no more tried once
    /// the file system does not.
    fn copy_one(
        &self,
        (from, there): &(File, Metadata),
        path: &Path,
        buffer: &mut [u8],
        shares: &AtomicBool,
    ) -> Result<(Hash, u64, bool), CopyError> {
        let (stored, own) = (self.from.join(path), self.into.join(path));
        let to = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&own);
        let to = to.map_err(cannot_write(&own))?;
        let is_shared = shares.load(Ordering::Relaxed) && share(from, &to, shares);
        let mut hasher = Sha256::new();
        let length = there.len();
        // A block is of 512 bytes here, whatever the file system's are (stat(2)).
        let has_holes = there.blocks() * 512 < length;
        let mut at = 0;
        while at < length {
            let data = if has_holes { next_data(from, at, length).map_err(cannot_read(&stored))? } else { at..length };
            let mut input = from;
            let mut output = &to;
            if has_holes {
                hash_zeros(&mut hasher, data.start - at, buffer);
                input.seek(SeekFrom::Start(data.start)).map_err(cannot_read(&stored))?;
            }
            if has_holes && !is_shared {
                output.seek(SeekFrom::Start(data.start)).map_err(cannot_write(&own))?;
            }
            at = data.start;
            while at < data.end {
                let count = usize::try_from(data.end - at).unwrap_or(usize::MAX).min(buffer.len());
                let piece = buffer.get_mut(..count).unwrap_or_default();
                let read = input.read(piece).map_err(cannot_read(&stored))?;
                if read == 0 {
                    return Err(CopyError::Damaged(path.to_owned()));
                }
                let piece = piece.get(..read).unwrap_or_default();
                hasher.update(piece);
                if !is_shared {
                    output.write_all(piece).map_err(cannot_write(&own))?;
                }
                at += read as u64;
            }
        }
        if has_holes && !is_shared {
            // One at the end.
            to.set_len(length).map_err(cannot_write(&own))?;
        }
        Ok((manifest::hexadecimal(&hasher.finalize()), length, is_shared))
    }
}

/// Has a file share its blocks with the original, if it can. That none here can is noted: a file system that knows nothing of it, and one
/// other than the original's.
fn share(from: &File, to: &File, shares: &AtomicBool) -> bool {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => true,
        Err(why) => {
            if matches!(why, Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::NOSYS) {
                shares.store(false, Ordering::Relaxed);
            }
            false
        }
    }
}

/// The next part of a file, at or behind `at`, that is no hole; nothing at its end, if there is none. Page compression leaves holes.
fn next_data(file: &File, at: u64, length: u64) -> io::Result<std::ops::Range<u64>> {
    let start = match rustix::fs::seek(file, rustix::fs::SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(length..length),
        // A file system that knows no holes.
        Err(Errno::INVAL) => return Ok(at..length),
        Err(why) => return Err(why.into()),
    };
    let end = rustix::fs::seek(file, rustix::fs::SeekFrom::Hole(start))?;
    Ok(start.min(length)..end.min(length))
}

fn hash_zeros(hasher: &mut Sha256, mut count: u64, buffer: &mut [u8]) {
    if count > 0 {
        buffer.fill(0);
    }
    while count > 0 {
        let piece = usize::try_from(count).unwrap_or(usize::MAX).min(buffer.len());
        hasher.update(buffer.get(..piece).unwrap_or_default());
        count -= piece as u64;
    }
}

/// A `.meta` whose `.delta` is gone: an apply removes each delta and leaves its meta (seen with mariadb-backup 10.5.23, 10.11.19 and
/// 11.8.6). A predecessor applied the stored incremental itself: what it left can be applied again, and loses its tables.
pub(crate) fn widow(files: &[Entry]) -> Option<PathBuf> {
    widow_of(files.iter().map(|entry| entry.path.as_path()))
}

/// The same, of the paths of files.
pub(crate) fn widow_of<'a>(paths: impl Iterator<Item = &'a Path> + Clone) -> Option<PathBuf> {
    let is = |path: &&Path, wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
    let deltas: HashSet<_> = paths.clone().filter(|path| is(path, "delta")).collect();
    let mut metas = paths.filter(|path| is(path, "meta"));
    metas.find(|meta| !deltas.contains(meta.with_extension("delta").as_path())).map(Path::to_owned)
}

#[cfg(test)]
mod tests;
