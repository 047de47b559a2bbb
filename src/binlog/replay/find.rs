//! Where a replay ends: the moment, held against the archive, transaction by transaction where it lies.

use std::io::BufReader;

use super::{At, NoReplay, Replay, Seen, no_archive};
use crate::binlog::archive::{Archive, Archived, Entry};
use crate::binlog::gtid::State;
use crate::binlog::line::Place;
use crate::binlog::reader::Reader;
use crate::binlog::transaction::{Item, Transaction, Transactions};
use crate::model::{Moment, Until};
use crate::repository::card::Card;

/// How much is read at once, in bytes.
const BUFFER: usize = 1 << 16;

/// Where a backup stands in the archive.
pub struct Standing {
    /// The backup's id.
    id: String,
    place: Place,
    timeline: u32,
    /// Whether the timeline is the one that is written to.
    is_newest: bool,
    archive: Archive,
}

impl Standing {
    /// Where the backup that says this of itself stands.
    ///
    /// # Errors
    /// It stands nowhere, or the archive cannot be read.
    pub fn of(archive: &Archive, id: &str, card: Option<&Card>) -> Result<Self, NoReplay> {
        let timelines = archive.timelines()?;
        if timelines.is_empty() {
            return Err(no_archive(archive.dir()));
        }
        let newest = archive.written()?.map(|timeline| timeline.number);
        let place = card.and_then(Place::of).ok_or_else(|| NoReplay::NoPlace(id.to_owned()))?;
        for timeline in timelines.into_iter().rev() {
            let entry = archive.entry(timeline, &place.binlog.file)?;
            if entry.is_some_and(|entry| place.is_in(&entry)) {
                return Ok(Self {
                    id: id.to_owned(),
                    place,
                    timeline,
                    is_newest: Some(timeline) == newest,
                    archive: archive.clone(),
                });
            }
        }
        let at = At { file: place.binlog.file, position: place.binlog.position };
        Err(NoReplay::NotOnTimeline { id: id.to_owned(), at })
    }

    /// Which timeline goes on from it.
    pub fn timeline(&self) -> u32 {
        self.timeline
    }
}

/// Finds the replay that comes from where a backup stands to a moment.
///
/// # Errors
/// It cannot be come to; or the archive is damaged there.
pub fn find(from: &Standing, until: &Until) -> Result<Replay, NoReplay> {
    if let Until::Place(text) = until {
        return at(from, text);
    }
    let too_early = || NoReplay::TooEarly { id: from.id.clone(), until: until.clone() };
    // Between the backup's place in the log and its end, its last moments are told by no time.
    if let Until::Time(at) = until
        && at.seconds().floor() < from.place.end.floor()
    {
        return Err(too_early());
    }
    let mut line = Line::begin(from);
    let files = from.archive.files(from.timeline)?;
    let files = files.into_iter().map(|(_, file)| file).skip_while(|file| *file != from.place.binlog.file);
    let files = files.collect::<Vec<_>>();
    for (index, file) in files.iter().enumerate() {
        let Some(entry) = from.archive.entry(from.timeline, file)? else { break };
        let start = if index == 0 { from.place.binlog.position } else { 0 };
        if index == 0 && is_before(until, &entry.before) {
            return Err(too_early());
        }
        let may_be_here = match until {
            Until::Time(at) => entry.times.is_some_and(|(_, latest)| is_later(latest, *at)),
            Until::Through(gtid) | Until::Before(gtid) => !entry.before.has(*gtid) && entry.after.has(*gtid),
            Until::End | Until::Place(_) => false,
        };
        if may_be_here {
            let archived = Archived { timeline: from.timeline, entry };
            let found = scan(&from.archive, &archived, |transaction| is_bound(until, transaction, start))?;
            match found {
                Some(found) if found.end(until) < start => return Err(too_early()),
                Some(found) => return line.end(archived.entry, found, until, files.get(index + 1)),
                None => {}
            }
            line.add(archived.entry);
        } else {
            line.add(entry);
        }
    }
    match until {
        Until::Through(_) | Until::Before(_) => {
            Err(NoReplay::NotThere { id: from.id.clone(), until: until.clone(), timeline: from.timeline })
        }
        Until::Time(at) => {
            let looked = from.archive.looked()?.and_then(|looked| looked.complete);
            let reached = looked.filter(|_| from.is_newest).and_then(|at| Moment::read(&at));
            let reached = reached.or_else(|| line.latest().and_then(Moment::of_seconds));
            match reached {
                Some(reached) if reached >= *at => line.whole(),
                reached => {
                    let reached = reached.map_or_else(|| "nowhere".to_owned(), |at| format!("{} UTC", at.to_seconds()));
                    Err(NoReplay::TooLate { until: until.clone(), reached })
                }
            }
        }
        Until::End | Until::Place(_) => line.whole(),
    }
}

/// The replay to a place that was found before, by what the archive says of its files alone.
fn at(from: &Standing, text: &str) -> Result<Replay, NoReplay> {
    let unknown = || NoReplay::NoPlaceThere(text.to_owned());
    let mut words = text.split(' ');
    let timeline: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(unknown)?;
    let to: At = words.next().and_then(|word| word.parse().ok()).ok_or_else(unknown)?;
    let after: State = words.next().and_then(|word| word.parse().ok()).ok_or_else(unknown)?;
    if timeline != from.timeline || words.next().is_some() {
        return Err(unknown());
    }
    let mut line = Line::begin(from);
    let files = from.archive.files(timeline)?.into_iter().map(|(_, file)| file);
    for file in files.skip_while(|file| *file != from.place.binlog.file) {
        let entry = from.archive.entry(timeline, &file)?.ok_or_else(unknown)?;
        let is_last = file == to.file;
        let is_there = !is_last || to.position <= entry.length;
        line.add(entry);
        if is_last {
            let is_behind = line.entries.len() > 1 || to.position >= from.place.binlog.position;
            return if is_there && is_behind {
                Ok(line.replay(to.position, after, None, None))
            } else {
                Err(unknown())
            };
        }
    }
    Err(unknown())
}

/// Whether the moment lies before a file that begins with this state.
fn is_before(until: &Until, before: &State) -> bool {
    match until {
        Until::Through(gtid) | Until::Before(gtid) => before.has(*gtid),
        Until::Time(_) | Until::End | Until::Place(_) => false,
    }
}

/// Whether an event of this second is later than a moment: one of its own second is not.
fn is_later(time: u32, at: Moment) -> bool {
    f64::from(time) > at.seconds()
}

/// Whether a moment is told by this transaction, on the way that begins at `start`.
fn is_bound(until: &Until, transaction: &Transaction, start: u64) -> bool {
    match until {
        // An earlier one of a later time says nothing: times are those of the beginnings, and the order is that of the commits.
        Until::Time(at) => transaction.at >= start && is_later(transaction.time, *at),
        Until::Through(gtid) | Until::Before(gtid) => transaction.gtid == Some(*gtid),
        Until::End | Until::Place(_) => false,
    }
}

/// A transaction that tells the moment, and what is around it.
struct Found {
    before: Option<Transaction>,
    /// The state in front of it.
    state: State,
    bound: Transaction,
    /// Where it ends.
    end: u64,
    after: Option<Transaction>,
}

impl Found {
    /// Where the replay ends by it.
    fn end(&self, until: &Until) -> u64 {
        if matches!(until, Until::Through(_)) { self.end } else { self.bound.at }
    }
}

/// Reads a file up to the first transaction that is wanted, and to the one behind it.
fn scan(
    archive: &Archive,
    file: &Archived,
    is_wanted: impl Fn(&Transaction) -> bool,
) -> Result<Option<Found>, NoReplay> {
    let mut all = Reading::open(archive, file)?;
    let (mut before, mut state) = (None, file.entry.before.clone());
    while let Some(transaction) = all.next()? {
        if is_wanted(&transaction) {
            let end = all.at();
            return Ok(Some(Found { before, state, bound: transaction, end, after: all.next()? }));
        }
        if let Some(gtid) = transaction.gtid {
            state.add(gtid);
        }
        before = Some(transaction);
    }
    Ok(None)
}

/// The transactions of an archived file.
struct Reading<'a> {
    file: &'a str,
    all: Transactions<BufReader<crate::binlog::archive::ArchivedReader>>,
}

impl<'a> Reading<'a> {
    fn open(archive: &Archive, file: &'a Archived) -> Result<Self, NoReplay> {
        let input = BufReader::with_capacity(BUFFER, file.open(archive)?);
        let name = file.entry.file.as_str();
        let reader = Reader::begin(input).map_err(|why| NoReplay::Log(name.to_owned(), why))?;
        Ok(Self { file: name, all: Transactions::new(reader, true) })
    }

    /// The next one. None behind the last.
    fn next(&mut self) -> Result<Option<Transaction>, NoReplay> {
        loop {
            match self.all.item().map_err(|why| NoReplay::Log(self.file.to_owned(), why))? {
                Some(Item::Transaction(transaction)) => return Ok(Some(transaction)),
                Some(Item::Before(_) | Item::Rotate(_) | Item::Stop | Item::Other) => {}
                None => return Ok(None),
            }
        }
    }

    /// Where the next one begins.
    fn at(&self) -> u64 {
        self.all.reader().at()
    }
}

/// The way from where a backup stands, file by file.
struct Line<'a> {
    from: &'a Standing,
    entries: Vec<Entry>,
}

impl<'a> Line<'a> {
    fn begin(from: &'a Standing) -> Self {
        Self { from, entries: Vec::new() }
    }

    fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    /// The latest time of a transaction, in seconds since 1970.
    fn latest(&self) -> Option<u32> {
        self.entries.iter().filter_map(|entry| entry.times).map(|(_, latest)| latest).max()
    }

    /// To the end of the archive.
    fn whole(self) -> Result<Replay, NoReplay> {
        let last = self.last()?;
        let Some(entry) = self.entries.last() else {
            return Err(NoReplay::NoArchive(self.from.archive.dir().to_owned()));
        };
        let (to, after) = (entry.length, entry.after.clone());
        Ok(self.replay(to, after, last, None))
    }

    /// To a transaction of this file.
    fn end(
        mut self,
        entry: Entry,
        found: Found,
        until: &Until,
        next_file: Option<&String>,
    ) -> Result<Replay, NoReplay> {
        let file = entry.file.clone();
        let seen = |transaction| Seen { file: file.clone(), transaction };
        let to = found.end(until);
        let before = match found.before {
            Some(before) => Some(seen(before)),
            None => self.last()?,
        };
        self.entries.push(entry);
        let mut state = found.state;
        let (last, next) = if matches!(until, Until::Through(_)) {
            if let Some(gtid) = found.bound.gtid {
                state.add(gtid);
            }
            let next = match found.after {
                Some(after) => Some(seen(after)),
                // What is not replayed is only told.
                None => next_file.and_then(|file| self.first(file).ok()?),
            };
            (Some(seen(found.bound)), next)
        } else {
            (before, Some(seen(found.bound)))
        };
        Ok(self.replay(to, state, last, next))
    }

    /// The first transaction of a file.
    fn first(&self, file: &str) -> Result<Option<Seen>, NoReplay> {
        let Some(entry) = self.from.archive.entry(self.from.timeline, file)? else { return Ok(None) };
        let archived = Archived { timeline: self.from.timeline, entry };
        let first = Reading::open(&self.from.archive, &archived)?.next()?;
        Ok(first.map(|transaction| Seen { file: file.to_owned(), transaction }))
    }

    /// The last transaction of the last file.
    fn last(&self) -> Result<Option<Seen>, NoReplay> {
        let Some(entry) = self.entries.last().filter(|entry| entry.transactions > 0) else { return Ok(None) };
        let file = Archived { timeline: self.from.timeline, entry: entry.clone() };
        let (mut all, mut last) = (Reading::open(&self.from.archive, &file)?, None);
        while let Some(transaction) = all.next()? {
            last = Some(Seen { file: entry.file.clone(), transaction });
        }
        Ok(last)
    }

    fn replay(self, to: u64, after: State, last: Option<Seen>, next: Option<Seen>) -> Replay {
        let from = self.from.place.binlog.position;
        let before_last = self.entries.len().saturating_sub(1);
        let whole: u64 = self.entries.iter().take(before_last).map(|entry| entry.length).sum();
        // What the backup has already is not applied.
        let is_applied = |seen: &Seen| seen.file != self.from.place.binlog.file || seen.transaction.at >= from;
        Replay {
            timeline: self.from.timeline,
            files: self.entries.iter().map(|entry| entry.file.clone()).collect(),
            from,
            to,
            before: self.from.place.binlog.gtid.as_deref().and_then(|gtid| gtid.replace(' ', "").parse().ok()),
            after,
            bytes: (whole + to).saturating_sub(from),
            room: whole + to,
            last: last.filter(is_applied),
            next,
        }
    }
}

#[cfg(test)]
mod tests;
