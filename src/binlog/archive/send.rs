//! The repository brought in step with the archive: what is not there is sent, and what is not here any more is erased there.
//!
//! In: an archive and a bucket. Out: the same objects there, and in `repository.json` how far. Whatever dies in between, the same again goes on: bytes
//! without a description count for nobody, and what is there already is found there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

use sha2::{Digest as _, Sha256};

use super::document::{MAX_SIZE, parse, text};
use super::elsewhere::{Elsewhere, SAID, Sent, TIMELINE, There, WHOLE, piece_name};
use super::entry::{Entry, FORMAT, Piece};
use super::state::Timeline;
use super::{Archive, ArchiveError, at};
use crate::bucket::{Bucket, BucketError, Class};
use crate::model::{Moment, causes};
use crate::witness::manifest::hexadecimal;

/// A piece that is longer is sent in parts, in bytes: it is not held in memory.
const IN_ONE: u64 = 64 << 20;

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentNow {
    /// How many pieces were sent.
    pub pieces: u64,
    /// How many bytes these are.
    pub bytes: u64,
}

/// Sends what is not there yet.
///
/// # Errors
/// The store's; or something of the archive cannot be read, or is not what it was: the rest is sent then.
pub fn send(archive: &Archive, bucket: &Bucket) -> Result<SentNow, ArchiveError> {
    // Before that nothing is there to be sent.
    let Some(looked) = archive.looked()? else { return Ok(SentNow::default()) };
    let _lock = archive.lock_elsewhere()?;
    let mut all = known(archive)?;
    let mut sending = Sending { archive, bucket, done: SentNow::default(), unread: None };
    let mut sent = sending.timelines(&mut all);
    if let (Ok(()), Some(why)) = (&sent, sending.unread.take()) {
        sent = Err(why);
    }
    if sent.is_ok() {
        all.complete = looked.complete;
    }
    all.trouble = sent.as_ref().err().map(|why| causes(why));
    all.at = Moment::now().to_string();
    let said = archive.set_elsewhere(&all);
    sent.and(said).map(|()| sending.done)
}

pub(super) fn known(archive: &Archive) -> Result<Elsewhere, ArchiveError> {
    let none =
        || Elsewhere { format: FORMAT, at: String::new(), complete: None, trouble: None, timelines: BTreeMap::new() };
    Ok(archive.elsewhere()?.unwrap_or_else(none))
}

struct Sending<'a> {
    archive: &'a Archive,
    bucket: &'a Bucket,
    done: SentNow,
    /// What of the archive could not be sent.
    unread: Option<ArchiveError>,
}

impl Sending<'_> {
    fn timelines(&mut self, all: &mut Elsewhere) -> Result<(), ArchiveError> {
        let remote = self.bucket.remote().clone();
        for number in self.archive.timelines()? {
            let Some(timeline) = self.archive.timeline(number)?.filter(|timeline| !timeline.received) else { continue };
            let files = self.archive.files(number)?;
            if files.is_empty() {
                continue;
            }
            let is_there = all.timelines.get(&number).is_some_and(|there| there.repository.is_same_place(&remote));
            if !is_there {
                // What it is called there is on the disk before its first byte is.
                all.timelines.insert(number, There::new(&remote));
                self.archive.set_elsewhere(all)?;
            }
            while let Some(there) = all.timelines.get_mut(&number) {
                match self.timeline(&timeline, &files, there) {
                    Err(ArchiveError::Store(why)) if why.class == Class::Taken => {
                        *there = There::new(&remote);
                        self.archive.set_elsewhere(all)?;
                    }
                    Err(why) => {
                        // What was sent by then need not be looked for again.
                        self.archive.set_elsewhere(all)?;
                        return Err(why);
                    }
                    Ok(is_news) => {
                        if is_news {
                            self.archive.set_elsewhere(all)?;
                        }
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends what is missing of a timeline. Gives whether there was something.
    fn timeline(
        &mut self,
        timeline: &Timeline,
        files: &[(u64, String)],
        there: &mut There,
    ) -> Result<bool, ArchiveError> {
        let mut is_news = false;
        if there.files.is_empty() {
            let key = format!("{}{TIMELINE}", there.root(self.bucket.remote()));
            self.bucket.put_new(&key, &text(timeline).map_err(at(self.archive.dir()))?)?;
        }
        for (_, file) in files {
            let Some(entry) = self.archive.entry(timeline.number, file)? else { continue };
            let sent = there.files.get(file).copied().unwrap_or_default();
            let below = there.below(self.bucket.remote(), file);
            match self.file(timeline.number, &entry, sent, &below, |sent| {
                is_news = true;
                there.files.insert(file.clone(), sent);
            }) {
                Err(ArchiveError::Store(why)) => return Err(why.into()),
                // Of a file that was removed meanwhile there is nothing to send.
                Err(why) if self.archive.entry(timeline.number, file)?.is_some() => self.unread = Some(why),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(is_news)
    }

    /// Sends what is missing of a file, and tells how far it is.
    fn file(
        &mut self,
        timeline: u32,
        entry: &Entry,
        mut sent: Sent,
        below: &str,
        mut tell: impl FnMut(Sent),
    ) -> Result<(), ArchiveError> {
        sent.begun = entry.begun;
        while sent.length < entry.length {
            let from = sent.length;
            let key = format!("{below}{from:012}{SAID}");
            sent.length = if let Some(there) = self.bucket.read(&key, MAX_SIZE)? {
                // Sent before, by somebody who died before he could note it.
                is_beginning(&there, entry, from).ok_or_else(|| taken(&key))?
            } else {
                let unsent = || entry.placed().filter(|(begin, _)| *begin >= from);
                for piece in unsent() {
                    self.piece(timeline, entry, piece, below)?;
                }
                let said = Entry { pieces: unsent().map(|(_, piece)| piece.clone()).collect(), ..entry.clone() };
                self.bucket.put_new(&key, &text(&said).map_err(at(self.archive.dir()))?)?;
                entry.length
            };
            tell(sent);
        }
        if entry.ended.is_some() && !sent.closed {
            self.bucket.put_new(&format!("{below}{WHOLE}"), &text(entry).map_err(at(self.archive.dir()))?)?;
            sent.closed = true;
            tell(sent);
        }
        Ok(())
    }

    fn piece(
        &mut self,
        timeline: u32,
        entry: &Entry,
        (begin, piece): (u64, &Piece),
        below: &str,
    ) -> Result<(), ArchiveError> {
        let key = format!("{below}{}", piece_name(begin, piece));
        let path = self.archive.path(timeline, &entry.file, piece.to.map(|_| begin));
        // Those that are not encrypted stand one behind the other.
        let before = entry.placed().filter(|(at, before)| *at < begin && before.to.is_none());
        let from = if piece.to.is_none() { before.map(|(_, before)| before.stored).sum() } else { 0 };
        let changed = || ArchiveError::Broken {
            path: path.clone(),
            what: "is not what was archived, and is not sent".to_owned(),
        };
        let mut input = File::open(&path).map_err(at(&path))?;
        input.seek(SeekFrom::Start(from)).map_err(at(&path))?;
        let mut input = input.take(piece.stored);
        if piece.stored <= IN_ONE {
            let mut bytes = Vec::new();
            input.read_to_end(&mut bytes).map_err(at(&path))?;
            if hexadecimal(&Sha256::digest(&bytes)) != piece.sha256 {
                return Err(changed());
            }
            self.bucket.put_new(&key, &bytes)?;
        } else {
            let (mut upload, mut hash, mut part) =
                (self.bucket.upload(&key, piece.stored)?, Sha256::new(), vec![0; 1 << 20]);
            loop {
                let count = input.read(&mut part).map_err(at(&path))?;
                let bytes = part.get(..count).unwrap_or_default();
                if bytes.is_empty() {
                    break;
                }
                hash.update(bytes);
                upload.write_all(bytes).map_err(at(&path))?;
            }
            if hexadecimal(&hash.finalize()) != piece.sha256 {
                return Err(changed());
            }
            upload.finish()?;
        }
        self.done.pieces += 1;
        self.done.bytes += piece.stored;
        Ok(())
    }
}

fn taken(key: &str) -> BucketError {
    BucketError::new(Class::Taken, format!("'{key}' describes something else than what is here"))
}

/// Where what is described there ends, if it is the pieces of this file from there on. None if it is something else.
fn is_beginning(text: &[u8], entry: &Entry, from: u64) -> Option<u64> {
    let there: Entry = parse(text).ok()?;
    let mut ours = entry.placed().skip_while(|(begin, _)| *begin < from);
    let is_same = there.pieces.iter().all(|piece| {
        let names = |entry: &Entry, piece: &Piece| piece.to.map(|set| entry.recipients.get(set).cloned());
        ours.next().is_some_and(|(_, own)| {
            (own.length, &own.sha256, names(entry, own)) == (piece.length, &piece.sha256, names(&there, piece))
        })
    });
    let end = from + there.pieces.iter().map(|piece| piece.length).sum::<u64>();
    (is_same && end > from && there.file == entry.file && there.length == end).then_some(end)
}

/// Erases there what is not here any more, but for what a backup in the repository needs: `needed` has the number of the first such file of a
/// timeline, if there is a backup on it. Gives what is left there and why.
///
/// # Errors
/// The store's, where it cannot even be asked; or the archive cannot be read.
pub fn erase(
    archive: &Archive,
    bucket: &Bucket,
    mut needed: impl FnMut(&There) -> Result<Option<u64>, ArchiveError>,
) -> Result<Vec<String>, ArchiveError> {
    let _lock = archive.lock_elsewhere()?;
    let mut all = known(archive)?;
    let (remote, mut left) = (bucket.remote(), Vec::new());
    for (number, there) in &mut all.timelines {
        if !there.repository.is_same_place(remote) {
            continue;
        }
        let here: Vec<_> = archive.files(*number)?.into_iter().map(|(_, file)| file).collect();
        let is_received = archive.timeline(*number)?.is_some_and(|timeline| timeline.received);
        let mut gone: Vec<_> = there.files.keys().filter(|file| !here.contains(file)).cloned().collect();
        if gone.is_empty() {
            continue;
        }
        match needed(there)? {
            Some(first) => gone.retain(|file| number_of(file).is_some_and(|number| number < first)),
            // The one who wrote it may be alive, and take a backup on it.
            None if is_received => {
                let what =
                    "was received from there, and whoever wrote it may need it: remove it by hand if nobody does";
                left.push(format!("'{}' {what}", there.root(remote)));
                continue;
            }
            None => {}
        }
        for file in gone {
            match erase_below(bucket, &there.below(remote, &file)) {
                Ok(()) => drop(there.files.remove(&file)),
                Err(why) => {
                    left.push(why.to_string());
                    break;
                }
            }
        }
        if there.files.is_empty() && here.is_empty() {
            left.extend(bucket.remove(&format!("{}{TIMELINE}", there.root(remote))).err().map(|why| why.to_string()));
        }
    }
    archive.set_elsewhere(&all)?;
    Ok(left)
}

fn number_of(file: &str) -> Option<u64> {
    file.rsplit_once('.')?.1.parse().ok()
}

/// What describes comes first: what is left then counts for nobody.
fn erase_below(bucket: &Bucket, below: &str) -> Result<(), BucketError> {
    let (said, bytes): (Vec<_>, Vec<_>) =
        bucket.objects(below)?.into_iter().partition(|object| object.key.ends_with(SAID));
    // The one of all of it before those of its pieces.
    for object in said.iter().rev().chain(&bytes) {
        bucket.remove(&object.key)?;
    }
    for upload in bucket.uploads(below)? {
        bucket.abort(&upload)?;
    }
    Ok(())
}
