//! Where things lie in the archive, and how they come there: a document is there as it was or as it is now, never in part.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::document::{read, sync_parent, write};
use super::elsewhere::Elsewhere;
use super::restored::Restored;
use super::{ArchiveError, Entry, Looked, Timeline, at};
use crate::disk;
use crate::model::Remote;

/// Its name in `backup_dir`. An id does not begin with a `.`.
pub const DIR: &str = ".binlogs";

const STATE: &str = "state.json";
const RESTORED: &str = "restored.json";
const TIMELINE: &str = "timeline.json";
const ELSEWHERE: &str = "repository.json";
/// The name of a timeline that is being received.
const RECEIVING: &str = "receiving";
const LOCK: &str = "repository.lock";
/// What the name of a file's bytes ends in.
pub(super) const PLAIN: &str = ".zst";
/// What that of an encrypted piece does, behind where it begins in the file, so that the pieces stand in their order in any listing.
pub(super) const SEALED: &str = ".zst.age";

/// For how long somebody else at work is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// After how long it is looked again.
const PAUSE: Duration = Duration::from_millis(20);

/// The archive of a `backup_dir`.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: PathBuf,
    /// The file with the secret key by which encrypted pieces are read.
    pub(super) identity_file: Option<PathBuf>,
    /// The repository of the settings, where bytes are read that are not here.
    pub(super) repository: Option<Remote>,
}

impl Archive {
    /// The one of this `backup_dir`, whether it is there or not.
    pub fn of(backup_dir: &Path) -> Self {
        Self { dir: backup_dir.join(DIR), identity_file: None, repository: None }
    }

    /// The same, whose encrypted pieces are read with the secret key in this file.
    #[must_use]
    pub fn with_identity(self, identity_file: Option<PathBuf>) -> Self {
        Self { identity_file, ..self }
    }

    /// The same, of which what is not here is read from this repository: not in the daemon, which speaks to no store.
    #[must_use]
    pub fn with_repository(self, repository: Option<Remote>) -> Self {
        Self { repository, ..self }
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
        lock(&self.dir)
    }

    /// The same, and waits for that one a while.
    pub(super) fn lock_soon(&self) -> Result<File, ArchiveError> {
        locked(&self.dir)
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

    /// The last restore of the server's data. None if there was none.
    pub(super) fn restored(&self) -> Result<Option<Restored>, ArchiveError> {
        read(&self.dir.join(RESTORED))
    }

    pub(super) fn set_restored(&self, restored: &Restored) -> Result<(), ArchiveError> {
        write(&self.dir.join(RESTORED), restored)
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

    /// The timeline that is written to. None if there is none.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn written(&self) -> Result<Option<Timeline>, ArchiveError> {
        for number in self.timelines()?.into_iter().rev() {
            if let Some(timeline) = self.timeline(number)?.filter(|timeline| !timeline.received) {
                return Ok(Some(timeline));
            }
        }
        Ok(None)
    }

    /// The number of the next timeline. One that was only about to be begun is none.
    pub(super) fn next_number(&self) -> Result<u32, ArchiveError> {
        for number in self.timelines()?.into_iter().rev() {
            if self.timeline(number)?.is_some() {
                return Ok(number + 1);
            }
        }
        Ok(1)
    }

    /// What of the archive is in the repository. None if nothing ever was.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn elsewhere(&self) -> Result<Option<Elsewhere>, ArchiveError> {
        read(&self.dir.join(ELSEWHERE))
    }

    pub(super) fn set_elsewhere(&self, elsewhere: &Elsewhere) -> Result<(), ArchiveError> {
        write(&self.dir.join(ELSEWHERE), elsewhere)
    }

    /// Holds what is said of the repository against another who sends, erases or receives; waits for that one a while.
    pub(super) fn lock_elsewhere(&self) -> Result<File, ArchiveError> {
        let path = self.dir.join(LOCK);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o640).open(&path);
        opened.map_err(at(&path))?;
        locked(&path)
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

    /// Puts a whole timeline into the archive: it has its name only when all of it is there.
    pub(super) fn put_timeline(&self, timeline: &Timeline, entries: &[Entry]) -> Result<(), ArchiveError> {
        let (new, dir) = (self.dir.join(RECEIVING), self.timeline_dir(timeline.number));
        remove_all(&new)?;
        make_dir(&new)?;
        for entry in entries {
            write(&new.join(format!("{}.json", entry.file)), entry)?;
        }
        write(&new.join(TIMELINE), timeline)?;
        // One that was only about to be begun has nothing that counts.
        remove_all(&dir)?;
        fs::rename(&new, &dir).and_then(|()| sync_parent(&dir)).map_err(at(&dir))
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

fn lock(path: &Path) -> Result<File, ArchiveError> {
    disk::lock(path).map_err(|why| {
        if why.kind() == io::ErrorKind::WouldBlock { ArchiveError::Busy(path.to_owned()) } else { at(path)(why) }
    })
}

/// Tries to lock until it works, or [`PATIENCE`] is over.
fn locked(path: &Path) -> Result<File, ArchiveError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match lock(path) {
            Err(ArchiveError::Busy(_)) if Instant::now() < until => thread::sleep(PAUSE),
            done => return done,
        }
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

fn remove_all(dir: &Path) -> Result<(), ArchiveError> {
    match fs::remove_dir_all(dir) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(at(dir)(why)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn make_dir(dir: &Path) -> Result<(), ArchiveError> {
    match DirBuilder::new().mode(0o750).create(dir) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        made => made.and_then(|()| sync_parent(dir)).map_err(at(dir)),
    }
}
