//! What the repository has of archives, described here again: on a new machine, or after the loss of `backup_dir`.
//!
//! In: a bucket. Out: timelines in the archive, each with what it has of each file; the bytes stay there, and are read from there. What is missing
//! there is a gap here: files that do not go on from each other come on timelines of their own. Nothing is added to these here: what the server
//! of this machine writes has another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::document::{MAX_SIZE, parse};
use super::elsewhere::{Elsewhere, SAID, Sent, TIMELINE, There, WHOLE};
use super::entry::{Ended, Entry};
use super::send::known;
use super::state::{Because, Timeline};
use super::{Archive, ArchiveError};
use crate::bucket::{Bucket, BucketError};
use crate::disk::workers;

/// How many files are asked for at once.
const AT_ONCE: usize = 8;

/// What was received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// How many timelines.
    pub timelines: u64,
    /// What was there and could not be understood.
    pub refused: Vec<String>,
}

/// Describes here what is not described yet, or not any more.
///
/// # Errors
/// The store's; or the archive cannot be read or written.
pub fn receive(archive: &Archive, bucket: &Bucket) -> Result<Received, ArchiveError> {
    let uuids = bucket.names(&bucket.remote().binlogs())?;
    if uuids.is_empty() {
        return Ok(Received::default());
    }
    archive.make()?;
    let _lock = archive.lock_elsewhere()?;
    let all = known(archive)?;
    let mut receiving = Receiving { archive, bucket, all, done: Received::default() };
    for uuid in uuids.into_iter().filter(|uuid| uuid.parse::<uuid::Uuid>().is_ok()) {
        receiving.one(uuid)?;
    }
    Ok(receiving.done)
}

struct Receiving<'a> {
    archive: &'a Archive,
    bucket: &'a Bucket,
    all: Elsewhere,
    done: Received,
}

impl Receiving<'_> {
    /// Receives what is below this uuid.
    fn one(&mut self, uuid: String) -> Result<(), ArchiveError> {
        let remote = self.bucket.remote();
        let (mut numbers, mut here) = (Vec::new(), BTreeMap::new());
        let is_same = |there: &There| there.uuid == uuid && there.repository.is_same_place(remote);
        let known: Vec<u32> =
            self.all.timelines.iter().filter(|(_, there)| is_same(there)).map(|(number, _)| *number).collect();
        for number in known {
            match self.archive.timeline(number)? {
                // It was sent from here.
                Some(timeline) if !timeline.received => return Ok(()),
                Some(_) => numbers.push(number),
                // Who received it before died before it was here.
                None => drop(self.all.timelines.remove(&number)),
            }
        }
        for number in &numbers {
            for (_, file) in self.archive.files(*number)? {
                // What has ended is the same there.
                here.extend(
                    self.archive.entry(*number, &file)?.filter(|entry| entry.ended.is_some()).map(|it| (file, it)),
                );
            }
        }
        let there = There { repository: remote.clone(), uuid, files: BTreeMap::new() };
        let key = format!("{}{TIMELINE}", there.root(remote));
        // The one who sends it may only have begun.
        let Some(text) = self.bucket.read(&key, MAX_SIZE)? else { return Ok(()) };
        match understood(&key, &text) {
            Ok(timeline) => {
                let runs = runs(files(self.bucket, &there, &here, &mut self.done.refused)?);
                self.put(&timeline, &there, &numbers, runs)
            }
            Err(why) => {
                self.done.refused.push(why);
                Ok(())
            }
        }
    }

    /// Puts what was received into the archive: into the timelines of these numbers, as far as it belongs to them, or into new ones.
    fn put(&mut self, timeline: &Timeline, there: &There, numbers: &[u32], runs: Vec<Run>) -> Result<(), ArchiveError> {
        // A pass begins none meanwhile.
        let _lock = self.archive.lock_soon()?;
        let mut next = self.archive.next_number()?;
        let mut received = Vec::new();
        for run in runs {
            let has_some = |number: &&u32| {
                let files = self.all.timelines.get(number).map(|there| &there.files);
                files.is_some_and(|files| run.entries.iter().any(|entry| files.contains_key(&entry.file)))
            };
            let known = numbers.iter().find(has_some).copied();
            let number = known.unwrap_or(next);
            next += u32::from(known.is_none());
            let (timeline, entries) = run.into_timeline(number, timeline);
            let sent = |entry: &Entry| Sent { length: entry.length, begun: entry.begun, closed: true };
            let files = entries.iter().map(|entry| (entry.file.clone(), sent(entry)));
            self.all.timelines.entry(number).or_insert_with(|| there.clone()).files.extend(files);
            received.push((timeline, entries, known.is_some()));
        }
        // What is noted and not here is received by the next; what is here and not noted would be taken for our own.
        self.archive.set_elsewhere(&self.all)?;
        for (timeline, entries, is_known) in received {
            if is_known {
                self.add(timeline.number, &entries)?;
            } else {
                self.archive.put_timeline(&timeline, &entries)?;
                self.done.timelines += 1;
            }
        }
        Ok(())
    }

    /// Adds to a timeline that is here what it does not have: at each moment its files go on from each other.
    fn add(&self, number: u32, entries: &[Entry]) -> Result<(), ArchiveError> {
        let first = self.archive.files(number)?.first().map(|(first, _)| *first);
        let (before, behind): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| first.is_some_and(|first| entry.number < first));
        for entry in before.into_iter().rev().chain(behind) {
            if self.archive.entry(number, &entry.file)?.as_ref() != Some(entry) {
                self.archive.set_entry(number, entry)?;
            }
        }
        Ok(())
    }
}

fn understood<T: DeserializeOwned>(key: &str, text: &[u8]) -> Result<T, String> {
    parse(text).map_err(|what| ArchiveError::Broken { path: PathBuf::from(key), what }.to_string())
}

/// What the repository has of each file of a timeline: of those that are described here already it is not asked.
fn files(
    bucket: &Bucket,
    there: &There,
    here: &BTreeMap<String, Entry>,
    refused: &mut Vec<String>,
) -> Result<Vec<Entry>, BucketError> {
    let names = bucket.names(&there.root(bucket.remote()))?;
    let read = |name: &String| {
        let known = here.get(name).map(|entry| Ok(Ok(Some(entry.clone()))));
        Ok::<_, std::io::Error>(known.unwrap_or_else(|| file(bucket, &there.below(bucket.remote(), name), name)))
    };
    let mut found = Vec::new();
    for read in workers::each(AT_ONCE, &names, read).unwrap_or_default() {
        match read? {
            Ok(entry) => found.extend(entry),
            Err(why) => refused.push(why),
        }
    }
    found.sort_by_key(|entry| entry.number);
    Ok(found)
}

/// What there is of a file, from its beginning on as far as nothing is missing. None if its beginning is missing.
fn file(bucket: &Bucket, below: &str, name: &str) -> Result<Result<Option<Entry>, String>, BucketError> {
    let whole = format!("{below}{WHOLE}");
    if let Some(text) = bucket.read(&whole, MAX_SIZE)? {
        return Ok(understood(&whole, &text).and_then(|entry| named(entry, name, &whole)).map(Some));
    }
    let mut found: Option<Entry> = None;
    for object in bucket.objects(below)?.iter().filter(|object| object.key.ends_with(SAID)) {
        let length = found.as_ref().map_or(0, |entry| entry.length);
        if object.key != format!("{below}{length:012}{SAID}") {
            break;
        }
        let Some(text) = bucket.read(&object.key, MAX_SIZE)? else { break };
        let next = match understood(&object.key, &text).and_then(|entry| named(entry, name, &object.key)) {
            Ok(next) => next,
            Err(why) => return Ok(Err(why)),
        };
        let pieces = found.map(|entry| entry.pieces).unwrap_or_default().into_iter().chain(next.pieces.clone());
        found = Some(Entry { pieces: pieces.collect(), ..next });
    }
    Ok(Ok(found.filter(|entry| entry.length == entry.pieces.iter().map(|piece| piece.length).sum::<u64>())))
}

/// It becomes a name here, and has to be the one that it has there.
fn named(entry: Entry, name: &str, key: &str) -> Result<Entry, String> {
    let number = name.rsplit_once('.').and_then(|(_, digits)| digits.parse::<u64>().ok());
    let is_plain = !name.starts_with('.') && !name.contains('/') && name.chars().all(|c| !c.is_control());
    if is_plain && entry.file == name && number == Some(entry.number) {
        Ok(entry)
    } else {
        Err(format!("'{key}' is not of the file that its key names"))
    }
}

/// Files that go on from each other.
#[derive(Default)]
struct Run {
    /// The file before them that does not lead to them. None if there is none.
    after: Option<String>,
    entries: Vec<Entry>,
}

impl Run {
    /// As a timeline of this number.
    fn into_timeline(self, number: u32, there: &Timeline) -> (Timeline, Vec<Entry>) {
        let mut entries = self.entries;
        let next = entries.first().map(|entry| entry.file.clone()).unwrap_or_default();
        let because = self.after.map_or_else(|| there.because.clone(), |after| Because::Expired { after, next });
        // What another comes after had ended.
        let count = entries.len().saturating_sub(1);
        for entry in entries.iter_mut().take(count) {
            entry.ended.get_or_insert(Ended::Cut);
        }
        (Timeline { number, because, received: true, ..there.clone() }, entries)
    }
}

fn runs(entries: Vec<Entry>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for entry in entries {
        match runs.last_mut() {
            Some(run) if run.entries.last().is_some_and(|last| last.leads_to(&entry)) => run.entries.push(entry),
            last => {
                let after = last.and_then(|run| run.entries.last()).map(|entry| entry.file.clone());
                runs.push(Run { after, entries: vec![entry] });
            }
        }
    }
    runs
}
