//! How far backups and the archive reach together: the windows of time in which each moment can be come back to.
//!
//! In: the timelines of the archive, and where each recorded backup stands in the binary log by its `backup.json`. Out: for each timeline what it
//! has, and the backups from which it can be gone along. A backup is on a timeline if that has the bytes at its place, of a file that was begun before
//! the backup ended, and has had its GTIDs there.

use std::collections::BTreeMap;
use std::path::Path;

use super::archive::{Archive, ArchiveError, Entry, Expired, Sent, There, Timeline, erase, expire};
use super::gtid::Gtid;
use crate::bucket::Bucket;
use crate::config::Config;
use crate::model::{BackupId, Moment, causes};
use crate::records::reader::{BackupRow, Reader};
use crate::repository::card::Card;
use crate::repository::catalog;
use crate::witness::Binlog;
use crate::world::InArchive;

/// How many backups are looked at for one that the newest timeline goes on from, the newest first.
const LOOKED_AT: usize = 50;

/// By how much the clock may have been set back meanwhile, in seconds.
const CLOCK: f64 = 60.0;

/// A timeline, from its first file to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What is said of it.
    pub timeline: Timeline,
    /// Its first and its last file. None if it has none yet.
    pub files: Option<(String, String)>,
    /// How many files those are.
    pub count: usize,
    /// How many transactions they have.
    pub transactions: u64,
    /// The earliest and the latest time of one, in seconds since 1970. None if they have none.
    pub times: Option<(u32, u32)>,
    /// What they take, in bytes.
    pub stored: u64,
    /// How much of that the repository does not have. None without a repository.
    pub unsent: Option<u64>,
    /// The backups that are on it, in the order in which they were recorded.
    pub backups: Vec<String>,
}

/// All timelines, the oldest first.
///
/// # Errors
/// The archive cannot be read, or something in it cannot be understood.
pub fn windows(config: &Config, rows: &[BackupRow]) -> Result<Vec<Window>, ArchiveError> {
    let archive = Archive::of(&config.backup_dir);
    let placed: Vec<_> =
        rows.iter().filter_map(|row| Some((row.id.clone(), place(&config.backup_dir, row)?))).collect();
    let place = config.repository.as_ref().map(|repository| &repository.remote);
    let there = place.map(|_| archive.elsewhere()).transpose()?;
    let mut windows = Vec::new();
    for number in archive.timelines()? {
        let Some(timeline) = archive.timeline(number)? else { continue };
        let (mut window, mut entries) = (Window::new(timeline), BTreeMap::new());
        let sent = there.as_ref().map(|all| all.as_ref().and_then(|all| all.timelines.get(&number)));
        let is_there = |there: &&There| place.is_some_and(|place| place.is_same_place(&there.repository));
        let sent = sent.map(|there| there.filter(is_there));
        for (_, file) in archive.files(number)? {
            let Some(entry) = archive.entry(number, &file)? else { continue };
            window.add(&entry);
            if let Some(there) = sent {
                let sent = there.and_then(|there| there.files.get(&file)).copied().unwrap_or_default();
                window.unsent = Some(window.unsent.unwrap_or(0) + entry.unsent(sent));
            }
            // Of a long archive no more is kept than backups stand in.
            if placed.iter().any(|(_, place)| place.binlog.file == file) {
                entries.insert(file, entry);
            }
        }
        windows.push((window, entries));
    }
    for (id, place) in placed {
        // A server that was restored may use names and GTIDs again: the newest timeline that has them is the one.
        let is_on =
            |entries: &BTreeMap<String, Entry>| entries.get(&place.binlog.file).is_some_and(|entry| place.is_in(entry));
        if let Some((window, _)) = windows.iter_mut().rev().find(|(_, entries)| is_on(entries)) {
            window.backups.push(id);
        }
    }
    Ok(windows.into_iter().map(|(window, _)| window).collect())
}

impl Window {
    fn new(timeline: Timeline) -> Self {
        Self {
            timeline,
            files: None,
            count: 0,
            transactions: 0,
            times: None,
            stored: 0,
            unsent: None,
            backups: Vec::new(),
        }
    }

    fn add(&mut self, entry: &Entry) {
        let first = self.files.take().map_or_else(|| entry.file.clone(), |(first, _)| first);
        self.files = Some((first, entry.file.clone()));
        self.count += 1;
        self.transactions += entry.transactions;
        self.stored += entry.stored;
        let both = |(one, other): ((u32, u32), (u32, u32))| (one.0.min(other.0), one.1.max(other.1));
        self.times = self.times.zip(entry.times).map(both).or(self.times).or(entry.times);
    }
}

/// Where a backup stands.
pub(super) struct Place {
    /// In the binary log.
    pub(super) binlog: Binlog,
    /// When it had ended, in seconds since 1970.
    pub(super) end: f64,
}

/// That of a recorded backup. None if it does not say so, or had none.
pub(super) fn place(backup_dir: &Path, row: &BackupRow) -> Option<Place> {
    let id = BackupId::recorded(&row.id).ok()?;
    Place::of(&Card::read(&backup_dir.join(id.as_str())).ok()??)
}

impl Place {
    /// Where the backup stands that says this of itself. None if it does not say so, or had none.
    pub(super) fn of(card: &Card) -> Option<Self> {
        Some(Self { binlog: card.binlog.clone()?, end: Moment::read(&card.end)?.seconds() })
    }

    /// Whether this file of a timeline has it.
    pub(super) fn is_in(&self, entry: &Entry) -> bool {
        let gtids = self.binlog.gtid.as_deref().unwrap_or_default().split(',').map(str::trim);
        let mut gtids = gtids.filter_map(|gtid| gtid.parse::<Gtid>().ok());
        // The clock may have been set back a little meanwhile.
        let is_before = f64::from(entry.begun) <= self.end + CLOCK;
        is_before && self.binlog.position <= entry.length && gtids.all(|gtid| entry.after.has(gtid))
    }
}

/// Takes out of the archive what no recorded backup needs.
///
/// # Errors
/// It cannot be read or changed; or a backup does not say where in the binary log it stands, which may be anywhere.
pub fn expire_unneeded(config: &Config, rows: &[BackupRow]) -> Result<Expired, String> {
    let archive = Archive::of(&config.backup_dir);
    let mut placed = Vec::new();
    for row in rows {
        let Ok(id) = BackupId::recorded(&row.id) else { continue };
        Card::read(&config.backup_dir.join(id.as_str())).map_err(|why| causes(&why))?;
        placed.extend(place(&config.backup_dir, row));
    }
    let mut needed: BTreeMap<u32, u64> = BTreeMap::new();
    let timelines = archive.timelines().map_err(|why| causes(&why))?;
    for place in &placed {
        for timeline in timelines.iter().rev() {
            let entry = archive.entry(*timeline, &place.binlog.file).map_err(|why| causes(&why))?;
            if let Some(entry) = entry.filter(|entry| place.is_in(entry)) {
                let first = needed.entry(*timeline).or_insert(entry.number);
                *first = entry.number.min(*first);
                break;
            }
        }
    }
    expire(&archive, |timeline| needed.get(&timeline).copied()).map_err(|why| causes(&why))
}

/// Erases in the repository what is not in the archive any more and what no backup that the repository has needs. Gives what is left there and why.
///
/// # Errors
/// The store's; or the archive cannot be read.
pub fn erase_unneeded(archive: &Archive, bucket: &Bucket) -> Result<Vec<String>, ArchiveError> {
    let mut listed = None;
    erase(archive, bucket, |there| {
        let listed = match &mut listed {
            Some(listed) => listed,
            none => none.insert(catalog::list(bucket)?),
        };
        let needed = listed.iter().filter_map(|listed| match &listed.card {
            Ok(card) => first_needed(card, there),
            // It may stand anywhere.
            Err(_) => Some(0),
        });
        Ok(needed.min())
    })
}

/// The number of the first file of a timeline that a backup needs, as far as the repository tells. None if it is not on it.
fn first_needed(card: &Card, there: &There) -> Option<u64> {
    let (binlog, end) = (card.binlog.as_ref()?, Moment::read(&card.end)?.seconds());
    let Sent { length, begun, .. } = there.files.get(&binlog.file)?;
    let is_on_it = binlog.position <= *length && f64::from(*begun) <= end + CLOCK;
    binlog.file.rsplit_once('.').filter(|_| is_on_it)?.1.parse().ok()
}

/// What a monitor is told. None if the archive cannot be read.
pub fn summary(config: &Config) -> Option<InArchive> {
    let archive = Archive::of(&config.backup_dir);
    let looked = archive.looked().ok()??;
    let timelines = archive.timelines().ok()?;
    let known = timelines.iter().filter_map(|number| archive.timeline(*number).ok()?);
    let known: Vec<_> = known.collect();
    let gaps = known.iter().filter(|timeline| timeline.because.is_gap()).count() as u64;
    let timeline = known.iter().rfind(|timeline| !timeline.received).map(|timeline| timeline.number);
    let there = config.repository.as_ref().and_then(|_| archive.elsewhere().ok()?);
    let archived_until = looked.complete.as_deref().and_then(Moment::read).map(Moment::seconds);
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.backups(false)).unwrap_or_default();
    let mut newest_end: Option<f64> = None;
    let mut is_on_it = false;
    for row in rows.iter().rev().take(LOOKED_AT) {
        let end = row.end_time.as_deref().and_then(Moment::read).map(Moment::seconds);
        newest_end = newest_end.into_iter().chain(end).reduce(f64::max);
        let Some((place, number)) = place(&config.backup_dir, row).zip(timeline) else { continue };
        let entry = archive.entry(number, &place.binlog.file).ok().flatten();
        if entry.is_some_and(|entry| place.is_in(&entry)) {
            is_on_it = true;
            break;
        }
    }
    Some(InArchive {
        timeline,
        complete: looked.complete,
        archived_until,
        recoverable_until: if is_on_it { archived_until } else { newest_end },
        sent_until: there.and_then(|there| Moment::read(&there.complete?)).map(Moment::seconds),
        gaps,
        failures: 0,
    })
}
