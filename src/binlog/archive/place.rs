//! Where things lie in the archive, and how they come there: a document is there as it was or as it is now, never in part.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::entry::FORMAT;
use super::{ArchiveError, Entry, Looked, Timeline, at};
use crate::disk;

/// Its name in `backup_dir`. An id does not begin with a `.`.
pub const DIR: &str = ".binlogs";

const STATE: &str = "state.json";
const TIMELINE: &str = "timeline.json";
const NEW: &str = ".new";
/// What the name of a file's bytes ends in.
const PLAIN: &str = ".zst";
/// What that of an encrypted piece does, behind where it begins in the file, so that the pieces stand in their order in any listing.
const SEALED: &str = ".zst.age";

/// A document is smaller than this, in bytes: one of a file that was archived in 200,000 pieces.
const MAX_SIZE: u64 = 64 << 20;

/// The archive of a `backup_dir`.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: PathBuf,
    /// The file with the secret key by which encrypted pieces are read.
    pub(super) identity_file: Option<PathBuf>,
}

impl Archive {
    /// The one of this `backup_dir`, whether it is there or not.
    pub fn of(backup_dir: &Path) -> Self {
        Self { dir: backup_dir.join(DIR), identity_file: None }
    }

    /// The same, whose encrypted pieces are read with the secret key in this file.
    #[must_use]
    pub fn with_identity(self, identity_file: Option<PathBuf>) -> Self {
        Self { identity_file, ..self }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Holds it against another pass or removal, for as long as what this gives is open.
    ///
    /// # Errors
    /// One is at work, or the system's.
    pub(super) fn lock(&self) -> Result<File, ArchiveError> {
        disk::lock(&self.dir).map_err(|why| {
            if why.kind() == io::ErrorKind::WouldBlock {
                ArchiveError::Busy(self.dir.clone())
            } else {
                at(&self.dir)(why)
            }
        })
    }

    /// Makes it, if it is not there.
    pub(super) fn make(&self) -> Result<(), ArchiveError> {
        make_dir(&self.dir)
    }

    /// The last look at the server's files. None if there was none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn looked(&self) -> Result<Option<Looked>, ArchiveError> {
        read(&self.dir.join(STATE))
    }

    pub(super) fn set_looked(&self, looked: &Looked) -> Result<(), ArchiveError> {
        write(&self.dir.join(STATE), looked)
    }

    /// The numbers of the timelines, the oldest first.
    ///
    /// # Errors
    /// The system's.
    pub fn timelines(&self) -> Result<Vec<u32>, ArchiveError> {
        let mut numbers: Vec<u32> = names(&self.dir)?.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Where a timeline lies.
    pub fn timeline_dir(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:04}"))
    }

    /// What is said of a timeline. None if it was only about to be begun.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn timeline(&self, number: u32) -> Result<Option<Timeline>, ArchiveError> {
        read(&self.timeline_dir(number).join(TIMELINE))
    }

    pub(super) fn begin_timeline(&self, timeline: &Timeline) -> Result<(), ArchiveError> {
        let dir = self.timeline_dir(timeline.number);
        make_dir(&dir)?;
        write(&dir.join(TIMELINE), timeline)
    }

    /// The files of which a timeline has something, the oldest first.
    ///
    /// # Errors
    /// The system's.
    pub fn files(&self, timeline: u32) -> Result<Vec<(u64, String)>, ArchiveError> {
        let names = names(&self.timeline_dir(timeline))?;
        let files = names.iter().filter_map(|name| name.strip_suffix(".json")).filter_map(|file| {
            let number = file.rsplit_once('.')?.1.parse().ok()?;
            Some((number, file.to_owned()))
        });
        let mut files: Vec<_> = files.collect();
        files.sort_unstable();
        Ok(files)
    }

    /// What a timeline has of a file. None if it has nothing.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn entry(&self, timeline: u32, file: &str) -> Result<Option<Entry>, ArchiveError> {
        read(&self.said(timeline, file))
    }

    pub(super) fn set_entry(&self, timeline: u32, entry: &Entry) -> Result<(), ArchiveError> {
        write(&self.said(timeline, &entry.file), entry)
    }

    /// Where it is said what there is of a file.
    pub(super) fn said(&self, timeline: u32, file: &str) -> PathBuf {
        self.timeline_dir(timeline).join(format!("{file}.json"))
    }

    /// Takes away bytes that nothing counts: of a removal that was broken off, or a first piece. No pass may be at work.
    pub(super) fn sweep(&self, timeline: u32) -> Result<(), ArchiveError> {
        let dir = self.timeline_dir(timeline);
        let all: BTreeSet<String> = names(&dir)?.into_iter().collect();
        for (name, file) in all.iter().filter_map(|name| Some((name, file_of(name)?))) {
            if !all.contains(&format!("{file}.json")) {
                let path = dir.join(name);
                fs::remove_file(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    /// Takes away what is archived of a file: what describes it first, so that what dies in between leaves bytes that nobody counts.
    pub(super) fn remove(&self, timeline: u32, entry: &Entry) -> Result<(), ArchiveError> {
        let said = self.said(timeline, &entry.file);
        fs::remove_file(&said).and_then(|()| sync_parent(&said)).map_err(at(&said))?;
        let sealed = entry.placed().filter(|(_, piece)| piece.to.is_some()).map(|(begin, _)| Some(begin));
        for path in sealed.chain([None]).map(|begin| self.path(timeline, &entry.file, begin)) {
            match fs::remove_file(&path) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(at(&path)(why)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Where the bytes of a file are that are not encrypted.
    pub fn data(&self, timeline: u32, file: &str) -> PathBuf {
        self.path(timeline, file, None)
    }

    /// The same, or where the encrypted piece is that begins there.
    pub(super) fn path(&self, timeline: u32, file: &str, sealed: Option<u64>) -> PathBuf {
        let name = match sealed {
            None => format!("{file}{PLAIN}"),
            Some(begin) => format!("{file}.{begin:012}{SEALED}"),
        };
        self.timeline_dir(timeline).join(name)
    }
}

/// The file whose bytes have this name. None if it is no such name.
fn file_of(name: &str) -> Option<&str> {
    match name.strip_suffix(SEALED) {
        Some(sealed) => sealed.rsplit_once('.').map(|(file, _)| file),
        None => name.strip_suffix(PLAIN),
    }
}

/// The names of what is in a directory; of one that is not there, none.
fn names(dir: &Path) -> Result<Vec<String>, ArchiveError> {
    match fs::read_dir(dir) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(why) => Err(at(dir)(why)),
        Ok(entries) => {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
            names.collect::<io::Result<_>>().map_err(at(dir))
        }
    }
}

fn make_dir(dir: &Path) -> Result<(), ArchiveError> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made.and_then(|()| sync_parent(dir)).map_err(at(dir)),
    }
}

/// Syncs the directory that a file or directory is in.
pub(super) fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ArchiveError> {
    let mut text = Vec::new();
    let file = match File::open(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(at(path))?,
    };
    file.take(MAX_SIZE).read_to_end(&mut text).map_err(at(path))?;
    parse(&text).map(Some).map_err(|what| ArchiveError::Broken { path: path.to_owned(), what })
}

fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    #[derive(serde::Deserialize)]
    struct Head {
        format: u32,
    }
    let head: Head = serde_json::from_slice(text).map_err(|why| format!("cannot be understood: {why}"))?;
    if head.format > FORMAT {
        let format = head.format;
        return Err(format!(
            "has format {format}, but this program knows only up to {FORMAT}: use a newer dbcalm-db-cmd"
        ));
    }
    serde_json::from_slice(text).map_err(|why| format!("cannot be understood: {why}"))
}

/// Puts a document where it belongs, on the disk.
fn write(path: &Path, document: &impl Serialize) -> Result<(), ArchiveError> {
    let mut text = serde_json::to_vec_pretty(document).map_err(|why| at(path)(why.into()))?;
    text.push(b'\n');
    let mut new = path.as_os_str().to_owned();
    new.push(NEW);
    let new = PathBuf::from(new);
    let written = || -> io::Result<()> {
        match fs::remove_file(&new) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_parent(path)
    };
    written().map_err(|why| {
        let _gone = fs::remove_file(&new);
        at(path)(why)
    })
}
