//! The repository kept in step with the records: what is recorded and not there is sent, what is there in part and not recorded is taken away.
//!
//! In: the journal of what was begun there, the records, `backup_dir`. Each look is made anew, so a daemon that died, a store that was away
//! and a setting that came later are the same to it: what remains to be done is done, one backup at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::steps::{erasing, run, sending};
use crate::config::Config;
use crate::model::{BackupId, Moment, Remote, Stored};
use crate::records::reader::Reader;
use crate::repository::card::{Card, Form};
use crate::repository::journal::Entry;
use crate::repository::note::Note;
use crate::repository::stored;
use crate::witness::manifest;
use crate::world::{InRepositoryHeld as Held, Purpose, World};

/// After how long it looks again, where nothing woke it.
const EVERY: Duration = Duration::from_secs(300);

/// After how many backups those that are there are counted anew.
const COUNTED: usize = 16;

/// What remains to be done for a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Work {
    /// It is recorded and not in the repository; its own uuid.
    Send(BackupId, String),
    /// It was begun there and is not recorded.
    Erase(Entry),
    /// All is done but for its entry.
    Forget(Entry),
}

/// Keeps them in step until `stop`.
pub async fn keep(world: Arc<World>, stop: CancellationToken) {
    let mut said = HashMap::new();
    loop {
        round(&world, &mut said).await;
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = world.reconcile.notified() => {}
            () = sleep(EVERY) => {}
        }
    }
}

/// Does what there is to do. `said` has the last reason of each that did not work, so that the log has each once.
async fn round(world: &Arc<World>, said: &mut HashMap<String, String>) {
    let config = world.config();
    let look = {
        let config = Arc::clone(&config);
        spawn_blocking(move || remaining(&config))
    };
    let works = look.await.unwrap_or_default();
    count(world, &config).await;
    let mut left_to_do = works.len();
    for work in works {
        left_to_do -= 1;
        if world.shutdown.is_cancelled() {
            return;
        }
        let id = match &work {
            Work::Send(id, _) => id.to_string(),
            Work::Erase(entry) | Work::Forget(entry) => entry.id.clone(),
        };
        // Who takes it, or restores it, is not disturbed: there will be another round.
        if world.claims.is_taken(&id) {
            continue;
        }
        let (what, left) = match work {
            Work::Forget(entry) => {
                // A removal that begins now writes the same entry anew: it waits, or has the id already.
                let Ok(id) = entry.id.parse::<BackupId>() else { continue };
                let Ok(claim) = world.claims.claim_ids(&[id], Purpose::Sending, Instant::now()).await else { continue };
                claim.close();
                forget(&config, entry.uuid).await;
                continue;
            }
            Work::Send(id, uuid) => {
                let Some(repository) = &config.repository else { continue };
                // Held to the end: a removal that came in between would erase what this goes on to write.
                let claim = world.claims.claim_ids(std::slice::from_ref(&id), Purpose::Sending, Instant::now()).await;
                let Ok(_claim) = claim else { continue };
                let left = run(world, sending(&config.backup_dir, &id, &repository.remote), None).await;
                if left.is_none() {
                    forget(&config, uuid).await;
                }
                ("send", left)
            }
            Work::Erase(entry) => {
                // Since the look, which may be long ago, the backup may have been completed: its id is given back after its record is
                // written, so what is not recorded now, and was not held a moment ago, is none.
                let (settings, looked_at) = (Arc::clone(&config), entry.clone());
                let still = spawn_blocking(move || standing_now(&settings, &looked_at)).await;
                if !matches!(still, Ok(Some(Standing::Gone))) {
                    continue;
                }
                ("erase", erase(world, &config, entry).await)
            }
        };
        // Each count reads all that is recorded: of a long list it is made now and then, and at the end.
        if left_to_do.is_multiple_of(COUNTED) {
            count(world, &config).await;
        }
        // A failure is news too.
        world.jobs.look_again();
        match left {
            None => {
                said.remove(&id);
                info!(backup_id = id, "{what}: done");
            }
            // It goes on at the next start.
            Some(_) if world.shutdown.is_cancelled() => return,
            Some(why) => {
                if said.insert(id.clone(), why.clone()).as_ref() != Some(&why) {
                    let again =
                        if what == "erase" && is_denied(&why) { "what is there stays" } else { "it is tried again" };
                    warn!(backup_id = id, reason = why, "{what}: not done, {again}");
                }
            }
        }
    }
}

/// Tells a monitor what is there.
async fn count(world: &Arc<World>, config: &Arc<Config>) {
    let settings = Arc::clone(config);
    let held = spawn_blocking(move || held(&settings)).await.unwrap_or_default();
    if world.told.found(held) {
        world.jobs.look_again();
    }
}

/// What is there of what is recorded. None if there is no repository, or the records cannot be read.
fn held(config: &Config) -> Option<Held> {
    config.repository.as_ref()?;
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.backups(false)).ok()?;
    let mut held = Held::default();
    for row in rows {
        let Ok(id) = BackupId::recorded(&row.id) else { continue };
        let folder = config.backup_dir.join(id.as_str());
        if let Some(note) = Note::read(&folder) {
            held.backups += 1;
            held.bytes += note.size;
            // What the manifest names, and itself.
            held.objects += manifest::names(&folder).map_or(0, |names| names.len() as u64 + 1);
            let begun = row.start_time.as_deref().and_then(Moment::read).map(Moment::seconds);
            held.newest = held.newest.into_iter().chain(begun).reduce(f64::max);
        } else if unsent(config, &id, false).is_some() {
            held.unsent += 1;
        }
    }
    Some(held)
}

/// Takes away what a repository has of a backup that is not recorded any more, and its entry. Gives why something is left there: what the
/// key may not remove stays, and what could not be reached is tried again.
pub(crate) async fn erase(world: &World, config: &Config, entry: Entry) -> Option<String> {
    let left = run(world, erasing(&entry, &reached(config, &entry.repository)), None).await;
    if left.as_deref().is_none_or(is_denied) {
        forget(config, entry.uuid).await;
    }
    left
}

/// Whether a key has no right to remove, which it will not have a moment later. One that is unknown, has expired or signs wrong is another
/// matter: it is mended, and then what was begun is taken away.
fn is_denied(why: &str) -> bool {
    why.starts_with("removing '") && why.contains("the store answered 403 AccessDenied")
}

async fn forget(config: &Config, uuid: String) {
    let backup_dir = config.backup_dir.clone();
    let removed = spawn_blocking(move || Entry::remove(&backup_dir, &uuid)).await;
    if let Err(reason) = removed.unwrap_or_else(|why| Err(std::io::Error::other(why))) {
        warn!(%reason, "what was noted of a backup on its way cannot be removed");
    }
}

/// How a place is reached that was noted.
fn reached(config: &Config, place: &Remote) -> Remote {
    config.repository.as_ref().map_or_else(|| place.clone(), |repository| repository.remote.reaching(place))
}

/// What remains to be done, bases before what was taken from them. Nothing if the records cannot be read: nothing is taken away then.
fn remaining(config: &Config) -> Vec<Work> {
    let entries = Entry::all(&config.backup_dir);
    if entries.is_empty() && config.repository.is_none() {
        return Vec::new();
    }
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.backups(false));
    let Ok(rows) = rows else { return Vec::new() };
    let recorded: HashSet<_> = rows.iter().map(|row| row.id.as_str()).collect();
    let mut works = Vec::new();
    let mut begun = HashSet::new();
    for entry in entries {
        let Ok(id) = entry.id.parse::<BackupId>() else { continue };
        match standing(config, &entry, recorded.contains(id.as_str())) {
            Standing::Gone => works.push(Work::Erase(entry)),
            Standing::Sent => works.push(Work::Forget(entry)),
            Standing::Unsent => {
                begun.insert(id);
            }
            Standing::Halved => {}
        }
    }
    if config.repository.is_some() {
        let ids = rows.iter().filter_map(|row| BackupId::recorded(&row.id).ok());
        works.extend(ids.filter_map(|id| {
            let uuid = unsent(config, &id, begun.contains(&id))?;
            Some(Work::Send(id, uuid))
        }));
    }
    works
}

/// What a backup is that was begun in a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It failed, or was removed.
    Gone,
    /// Recorded, and whole there.
    Sent,
    /// Recorded, and not whole there.
    Unsent,
    /// Whole there, and here all that describes it, without a record; or recorded, and not described here. Nothing that fails leaves that: one
    /// half was lost, and can be made again by an adoption.
    Halved,
}

fn standing(config: &Config, entry: &Entry, is_recorded: bool) -> Standing {
    let folder = config.backup_dir.join(&entry.id);
    match Card::read(&folder) {
        Ok(Some(card)) if card.uuid == entry.uuid => {}
        Ok(Some(_another)) => return Standing::Gone,
        // What is recorded may be this one, whose folder somebody has lost: what is there is then the only copy.
        Ok(None) => return if is_recorded { Standing::Halved } else { Standing::Gone },
        Err(_unreadable) => return Standing::Halved,
    }
    match (is_recorded, Note::read(&folder).is_some()) {
        (true, true) => Standing::Sent,
        (true, false) => Standing::Unsent,
        (false, true) => Standing::Halved,
        (false, false) => Standing::Gone,
    }
}

/// The same by the records as they are now. None if they cannot be read.
fn standing_now(config: &Config, entry: &Entry) -> Option<Standing> {
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.backups(false)).ok()?;
    Some(standing(config, entry, rows.iter().any(|row| row.id == entry.id)))
}

/// The own uuid of a backup that can be sent and was not: a stream that is here, or one that was `begun` there. None if it is none.
fn unsent(config: &Config, id: &BackupId, begun: bool) -> Option<String> {
    let folder = config.backup_dir.join(id.as_str());
    let is_here = || matches!(stored::look(&config.backup_dir, id), Ok(Some(Stored::Stream(stream))) if stream.manifest.is_some());
    let is_unsent = Note::read(&folder).is_none() && (begun || is_here());
    let card =
        Card::read(&folder).ok().flatten().filter(|card| is_unsent && matches!(card.form, Form::Stream { .. }))?;
    Some(card.uuid)
}
