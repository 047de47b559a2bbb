//! A stored backup, read from a descriptor on: no symlink in it is followed, also one that is put there meanwhile.

use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};

use super::{CopyError, cannot_read};
use crate::disk::links;

/// The folder of a backup, open.
#[derive(Debug)]
pub(crate) struct Source {
    folder: OwnedFd,
    path: PathBuf,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Relative to the folder.
    pub(crate) path: PathBuf,
    /// In bytes.
    pub(crate) size: u64,
}

/// What is in it.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Each after the one that it is in.
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) files: Vec<Entry>,
    /// What is neither.
    pub(crate) others: Vec<PathBuf>,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Source {
    /// Opens a backup's folder.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { folder: openat(CWD, path, DIRECTORY, Mode::empty())?, path: path.to_owned() })
    }

    /// The path of what is in it, for people.
    pub(crate) fn whole(&self, relative: &Path) -> PathBuf {
        self.path.join(relative)
    }

    /// Everything that is in it.
    pub(crate) fn tree(&self) -> Result<Tree, CopyError> {
        let mut tree = Tree::default();
        let mut open = vec![PathBuf::new()];
        while let Some(relative) = open.pop() {
            let read = self.list(&relative).map_err(cannot_read(self.path.join(&relative)))?;
            for (name, kind, size) in read {
                let path = relative.join(name);
                match kind {
                    FileType::Directory => {
                        tree.directories.push(path.clone());
                        open.push(path);
                    }
                    FileType::RegularFile => tree.files.push(Entry { path, size }),
                    FileType::Symlink
                    | FileType::Fifo
                    | FileType::Socket
                    | FileType::CharacterDevice
                    | FileType::BlockDevice
                    | FileType::Unknown => tree.others.push(path),
                }
            }
        }
        Ok(tree)
    }

    fn list(&self, relative: &Path) -> io::Result<Vec<(OsString, FileType, u64)>> {
        let dir = self.descend(relative)?;
        let mut found = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name != "." && name != ".." {
                let there = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let size = u64::try_from(there.st_size).unwrap_or_default();
                found.push((name.to_owned(), FileType::from_raw_mode(there.st_mode), size));
            }
        }
        Ok(found)
    }

    fn descend(&self, relative: &Path) -> io::Result<OwnedFd> {
        let mut dir = openat(&self.folder, ".", DIRECTORY, Mode::empty())?;
        for part in relative.components() {
            let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
            dir = openat(&dir, name, DIRECTORY, Mode::empty())?;
        }
        Ok(dir)
    }

    /// Whether nobody but the daemon's user and root can have written a file in it, or put it there.
    pub(crate) fn is_vouched(&self, relative: &Path) -> io::Result<bool> {
        let mut is_own = links::is_own(&self.folder)?;
        for dir in relative.ancestors().skip(1).filter(|dir| *dir != Path::new("")) {
            is_own &= links::is_own(&self.descend(dir)?)?;
        }
        Ok(is_own && links::is_own(&self.file(relative)?.into())?)
    }

    /// Opens a file in it to read.
    pub(crate) fn file(&self, relative: &Path) -> io::Result<File> {
        self.files().open(relative).map(|(file, _)| file)
    }

    /// Opens files in it one after the other.
    pub(crate) fn files(&self) -> Files<'_> {
        Files { source: self, last: None }
    }
}

/// The files of a backup, to be opened one after the other: the directory of the last is held open for the next.
#[derive(Debug)]
pub(crate) struct Files<'a> {
    source: &'a Source,
    last: Option<(PathBuf, OwnedFd)>,
}

impl Files<'_> {
    /// Opens one to read; gives what it is, too.
    pub(crate) fn open(&mut self, relative: &Path) -> io::Result<(File, Metadata)> {
        let parent = relative.parent().unwrap_or(Path::new(""));
        let dir = match self.last.take() {
            Some((last, dir)) if last == parent => dir,
            Some(_) | None => self.source.descend(parent)?,
        };
        let name = relative.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        // A fifo that was put there would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = openat(&dir, name, flags, Mode::empty());
        self.last = Some((parent.to_owned(), dir));
        let file = File::from(opened?);
        let there = file.metadata()?;
        if there.is_file() { Ok((file, there)) } else { Err(io::Error::other("it is not a plain file")) }
    }
}
