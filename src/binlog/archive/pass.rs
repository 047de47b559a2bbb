//! One pass: what the server's files have and the archive does not is put into it.
//!
//! In: the server's list of its files. Out: an archive that has all that was committed before the pass began, or the reason why not. A pass goes on
//! where the last one ended, however that ended, and what it has archived stays whatever comes after. Nothing of the server's is changed.

use std::fs::File;
use std::io::{self, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use super::ArchiveError;
use super::entry::{Ended, Entry, FORMAT};
use super::index::{self, Log};
use super::piece::{self, Target};
use super::place::Archive;
use super::state::{Because, Looked, Timeline};
use crate::age::Recipient;
use crate::binlog::event::Format;
use crate::binlog::gtid::State;
use crate::binlog::reader::{BinlogError, Reader};
use crate::binlog::stretch::{Behind, Stretch};
use crate::binlog::transaction::{Item, Transactions};
use crate::model::{Moment, causes};

/// How much is archived at once, in bytes: what a pass that dies has done in vain.
const MOST: u64 = 64 << 20;

/// How much is read at once, in bytes.
const BUFFER: usize = 256 * 1024;

/// How often the list is read again because a file of it was removed meanwhile.
const TRIES: usize = 3;

/// A pass to be made.
#[derive(Debug, Clone, Copy)]
pub struct Pass<'a> {
    /// The directory of the backups.
    pub backup_dir: &'a Path,
    /// The server's list of its files.
    pub index: &'a Path,
    /// Its data directory, from which that names them.
    pub data_dir: &'a Path,
    /// What it calls itself.
    pub server_uid: Option<&'a str>,
    /// To whom what is archived is encrypted; to nobody, if it is not.
    pub recipients: &'a [Recipient],
}

/// What a pass has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// The timeline that was written to last.
    pub timeline: u32,
    /// Why timelines were begun, each with its number.
    pub begun: Vec<(u32, Because)>,
    /// How many transactions were archived.
    pub transactions: u64,
    /// How many bytes of the server's files these and what is between them are.
    pub bytes: u64,
    /// What they take, compressed and maybe encrypted.
    pub stored: u64,
}

impl Pass<'_> {
    /// Makes it.
    ///
    /// # Errors
    /// Why not everything was archived, or it cannot be said.
    pub fn run(&self) -> Result<Passed, ArchiveError> {
        let archive = Archive::of(self.backup_dir);
        archive.make()?;
        // A removal is soon done; and what a process of many threads starts holds its lock too, until it is executed (flock(2), execve(2)).
        let _lock = archive.lock_soon()?;
        let now = Moment::now().to_string();
        let last = archive.looked()?;
        let mut work = Work { pass: self, archive: &archive, done: Passed::default() };
        let mut made = work.go();
        for _again in 1..TRIES {
            if !made.as_ref().is_err_and(is_removed) {
                break;
            }
            made = work.go();
        }
        let looked = Looked {
            format: FORMAT,
            at: now.clone(),
            complete: if made.is_ok() { Some(now) } else { last.and_then(|last| last.complete) },
            timeline: archive.written()?.map(|timeline| timeline.number),
            index: self.index.to_owned(),
            server_uid: self.server_uid.map(str::to_owned),
            trouble: made.as_ref().err().map(|why| causes(why)),
        };
        let said = archive.set_looked(&looked);
        let done = work.done;
        made.and(said).map(|()| done)
    }
}

/// Whether a file of the list was gone.
fn is_removed(why: &ArchiveError) -> bool {
    let source = match why {
        ArchiveError::Log { source: BinlogError::Io(source), .. } | ArchiveError::Io { source, .. } => source,
        ArchiveError::Log { .. }
        | ArchiveError::Index { .. }
        | ArchiveError::Busy(_)
        | ArchiveError::Broken { .. }
        | ArchiveError::Locked { .. }
        | ArchiveError::Store(_)
        | ArchiveError::Left { .. }
        | ArchiveError::Changed(_) => return false,
    };
    source.kind() == io::ErrorKind::NotFound
}

struct Work<'a> {
    pass: &'a Pass<'a>,
    archive: &'a Archive,
    done: Passed,
}

/// Where the archive goes on.
enum Start {
    /// With the file of this place in the list: what there is of it, and of the one before it.
    At(usize, Option<Box<Entry>>, Option<Box<Entry>>),
    /// On a new timeline.
    Anew(Because),
}

impl Work<'_> {
    fn go(&mut self) -> Result<(), ArchiveError> {
        let mut logs = index::read(self.pass.index, self.pass.data_dir)?;
        let restored = self.archive.restored()?;
        if let Some(restored) = &restored {
            restored.forget(&mut logs, |log| head(log).map(|(format, _)| format.time))?;
        }
        let (mut timeline, start) = match (self.archive.written()?, restored) {
            (Some(timeline), Some(restored)) if restored.is_after(&timeline.begun) => {
                (timeline.number, Start::Anew(Because::Restored { at: restored.at }))
            }
            (None, _) => (self.begin(Because::First)?, Start::At(0, None, None)),
            (Some(timeline), _) => (timeline.number, self.start(&timeline, &logs)?),
        };
        let (first, mut known, mut previous) = match start {
            Start::At(first, known, previous) => (first, known, previous),
            Start::Anew(because) => {
                timeline = self.begin(because)?;
                (0, None, None)
            }
        };
        self.done.timeline = timeline;
        for (place, log) in logs.iter().enumerate().skip(first) {
            let is_active = place + 1 == logs.len();
            let entry = if let Some(entry) = known.take() {
                *entry
            } else {
                let (format, before) = match head(log) {
                    // It has only just been made.
                    Err(ArchiveError::Log { source: BinlogError::Unbegun, .. }) if is_active => return Ok(()),
                    head => head?,
                };
                if let Some(last) = previous.take() {
                    match linked(*last, log, &before) {
                        Ok((last, is_news)) if is_news => self.archive.set_entry(timeline, &last)?,
                        Ok(_) => {}
                        Err(because) => timeline = self.begin(because)?,
                    }
                }
                Entry::new(&log.name, log.number, &format, before)
            };
            previous = Some(Box::new(self.file(timeline, log, entry, is_active)?));
        }
        Ok(())
    }

    fn begin(&mut self, because: Because) -> Result<u32, ArchiveError> {
        let number = self.archive.next_number()?;
        self.archive.begin_timeline(&Timeline {
            format: FORMAT,
            number,
            begun: Moment::now().to_string(),
            because: because.clone(),
            server_uid: self.pass.server_uid.map(str::to_owned),
            received: false,
        })?;
        self.done.timeline = number;
        self.done.begun.push((number, because));
        Ok(number)
    }

    /// Where this timeline goes on in the server's files.
    fn start(&self, timeline: &Timeline, logs: &[Log]) -> Result<Start, ArchiveError> {
        let is_other =
            timeline.server_uid.as_deref().zip(self.pass.server_uid).is_some_and(|(one, other)| one != other);
        let Some((_, name)) = self.archive.files(timeline.number)?.pop() else { return Ok(Start::At(0, None, None)) };
        let Some(last) = self.archive.entry(timeline.number, &name)? else { return Ok(Start::At(0, None, None)) };
        if is_other {
            return Ok(Start::Anew(Because::Server));
        }
        if let Some(place) = logs.iter().position(|log| log.name == last.file) {
            let Some(log) = logs.get(place) else { return Ok(Start::At(0, None, None)) };
            return Ok(if is_same(log, &last)? {
                Start::At(place, Some(Box::new(last)), None)
            } else {
                Start::Anew(Because::Changed { file: last.file })
            });
        }
        let (after, Some(next)) = (last.file.clone(), logs.first()) else { return Ok(Start::At(0, None, None)) };
        Ok(if next.base() != index::base(&last.file) || next.number <= last.number {
            Start::Anew(Because::Reset { after })
        } else if next.number == last.number + 1 {
            // Whether it goes on from there is looked at when it is read; of what had no end here something may have been removed.
            match head(next) {
                Ok((_, before))
                    if last.ended.is_none() && !(last.is_proven() && last.goes_on_in(next.number, &before)) =>
                {
                    Start::Anew(Because::Expired { after, next: next.name.clone() })
                }
                Ok(_) | Err(ArchiveError::Log { source: BinlogError::Unbegun, .. }) => {
                    Start::At(0, None, Some(Box::new(last)))
                }
                Err(why) => return Err(why),
            }
        } else {
            Start::Anew(Because::Expired { after, next: next.name.clone() })
        })
    }

    /// Archives what there is of a file. Gives what the archive has of it then.
    fn file(&mut self, timeline: u32, log: &Log, mut entry: Entry, is_active: bool) -> Result<Entry, ArchiveError> {
        while entry.ended.is_none() {
            let wrong = |source| ArchiveError::Log { path: log.path.clone(), source };
            let mut file = log.open().map_err(|why| wrong(why.into()))?;
            let stretch = stretch(&mut file, &entry).map_err(wrong)?;
            let length = stretch.end - entry.length;
            let ended = match stretch.behind {
                Behind::Rotated(_) => Some(Ended::Rotated),
                Behind::Stopped => Some(Ended::Stopped),
                Behind::More | Behind::Torn(_) | Behind::Damaged { .. } => None,
            };
            if length > 0 {
                let recipients = self.pass.recipients;
                let path = self.archive.path(timeline, &log.name, (!recipients.is_empty()).then_some(entry.length));
                let target = match recipients {
                    [] => Target::Behind(&path, entry.plain()),
                    recipients => Target::Sealed(&path, recipients),
                };
                let piece = piece::append((&mut file, &log.path), entry.length, (length, stretch.crc), target)?;
                self.done.transactions += stretch.transactions;
                self.done.bytes += piece.length;
                self.done.stored += piece.stored;
                entry = Entry { ended, ..entry.with(&stretch, piece, recipients) };
                self.archive.set_entry(timeline, &entry)?;
            }
            match stretch.behind {
                Behind::More => {}
                Behind::Damaged { at, what } if is_active => return Err(wrong(BinlogError::Damaged { at, what })),
                // Of a file that is not written any more the next one tells whether that was all.
                Behind::Torn(_) | Behind::Damaged { .. } | Behind::Rotated(_) | Behind::Stopped => break,
            }
        }
        Ok(entry)
    }
}

/// Whether a file goes on from the one before it, of which the end is marked then, if it had none of its own: what stood behind its last
/// transaction is known to be nothing. The second is whether it was marked.
fn linked(mut last: Entry, log: &Log, before: &State) -> Result<(Entry, bool), Because> {
    let goes_on = last.goes_on_in(log.number, before) && index::base(&last.file) == log.base();
    match last.ended {
        Some(_) if goes_on => Ok((last, false)),
        None if goes_on && last.is_proven() => {
            last.ended = Some(Ended::Cut);
            Ok((last, true))
        }
        _ => Err(Because::Apart { after: last.file, next: log.name.clone() }),
    }
}

/// What a file says at its head.
fn head(log: &Log) -> Result<(Format, State), ArchiveError> {
    let wrong = |source| ArchiveError::Log { path: log.path.clone(), source };
    let file = log.open().map_err(|why| wrong(why.into()))?;
    let reader = Reader::begin(BufReader::new(file)).map_err(wrong)?;
    let format = reader.format().clone();
    let mut items = Transactions::new(reader, false);
    loop {
        match items.item().map_err(wrong)? {
            Some(Item::Before(state)) => return Ok((format, state)),
            Some(Item::Other) => {}
            None => return Err(wrong(BinlogError::Unbegun)),
            Some(Item::Transaction(_) | Item::Rotate(_) | Item::Stop) => {
                let (at, what) = (items.reader().at(), "no state of the GTIDs stands at the head of the file");
                return Err(wrong(BinlogError::Damaged { at, what }));
            }
        }
    }
}

/// Whether a file of the server is still the one that was archived: it begins so, and has what was archived last where it was.
fn is_same(log: &Log, entry: &Entry) -> Result<bool, ArchiveError> {
    let wrong = |source| ArchiveError::Log { path: log.path.clone(), source };
    let mut file = log.open().map_err(|why| wrong(why.into()))?;
    match Reader::begin(BufReader::new(&file)) {
        Ok(reader) if entry.is_of(reader.format()) => {}
        Ok(_) | Err(BinlogError::Unbegun | BinlogError::Unknown | BinlogError::Damaged { .. }) => return Ok(false),
        Err(why) => return Err(wrong(why)),
    }
    let Some(last) = entry.pieces.last() else { return Ok(true) };
    let crc = piece::crc_of(&mut file, entry.length.saturating_sub(last.length), last.length);
    Ok(crc.map_err(|why| wrong(why.into()))? == Some(last.crc32))
}

/// The next stretch of a file.
fn stretch(file: &mut File, entry: &Entry) -> Result<Stretch, BinlogError> {
    file.seek(SeekFrom::Start(entry.length))?;
    let input = BufReader::with_capacity(BUFFER, &*file);
    if entry.length == 0 {
        return Stretch::read(Reader::begin(input)?, None, MOST);
    }
    Stretch::read(Reader::resume(input, entry.as_format(), entry.length), Some(&entry.after), MOST)
}
