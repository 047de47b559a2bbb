//! The repository kept in step with the records: what is recorded and not there is sent, what is there in part and not recorded is taken away.
//!
//! In: the journal of what was begun there, the records, `backup_dir`. Each look is made anew, so a daemon that died, a store that was away
//! and a setting that came later are the same to it: what remains to be done is done, one backup at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::publish::{erasing, refused, sending};
use super::run::{GRACE, blocking};
use crate::config::Config;
use crate::exec::{Invocation, Terms};
use crate::model::{BackupId, Remote, Stored};
use crate::records::reader::Reader;
use crate::repository::card::{Card, Form};
use crate::repository::journal::Entry;
use crate::repository::note::Note;
use crate::repository::stored;
use crate::world::World;

/// After how long it looks again, where nothing woke it.
const EVERY: Duration = Duration::from_secs(300);

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
        blocking(move || Ok::<_, String>(remaining(&config)))
    };
    let works = look.await.unwrap_or_default();
    for work in works {
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
        let (step, uuid) = match work {
            Work::Forget(entry) => {
                forget(&config, entry.uuid).await;
                continue;
            }
            Work::Send(id, uuid) => {
                let Some(repository) = &config.repository else { continue };
                (sending(&config.backup_dir, &id, &repository.remote), uuid)
            }
            Work::Erase(entry) => (erasing(&entry, &reached(&config, &entry.repository)), entry.uuid),
        };
        let what = step.args.first().cloned().unwrap_or_default();
        match run(world, step).await {
            None => {
                said.remove(&id);
                info!(backup_id = id, "{what}: done");
                forget(&config, uuid).await;
            }
            // It goes on at the next start.
            Some(_) if world.shutdown.is_cancelled() => return,
            Some(why) => {
                if said.insert(id.clone(), why.clone()).as_ref() != Some(&why) {
                    warn!(backup_id = id, reason = why, "{what}: not done, it is tried again");
                }
            }
        }
    }
}

async fn run(world: &World, step: Invocation) -> Option<String> {
    let cancel = world.shutdown.clone();
    let terms = Terms { command_id: None, cancel, grace: GRACE, watch: None, last_line: None, select: None };
    match world.executor.start(&step.into(), terms) {
        Err(why) => Some(why.to_string()),
        Ok(mut running) => refused(&*running.finished().await),
    }
}

async fn forget(config: &Config, uuid: String) {
    let backup_dir = config.backup_dir.clone();
    let removed = blocking(move || Entry::remove(&backup_dir, &uuid).map_err(|why| why.to_string())).await;
    if let Err(reason) = removed {
        warn!(reason, "what was noted of a backup on its way cannot be removed");
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
        let folder = config.backup_dir.join(id.as_str());
        let is_its = || Card::read(&folder).ok().flatten().is_some_and(|card| card.uuid == entry.uuid);
        if !(recorded.contains(id.as_str()) && is_its()) {
            works.push(Work::Erase(entry));
        } else if Note::read(&folder).is_some() {
            works.push(Work::Forget(entry));
        } else {
            begun.insert(id);
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

/// The own uuid of a backup that can be sent and was not: a stream that is here, or one that was `begun` there. None if it is none.
fn unsent(config: &Config, id: &BackupId, begun: bool) -> Option<String> {
    let folder = config.backup_dir.join(id.as_str());
    let is_here = || matches!(stored::look(&config.backup_dir, id), Ok(Some(Stored::Stream(stream))) if stream.manifest.is_some());
    let is_unsent = Note::read(&folder).is_none() && (begun || is_here());
    let card =
        Card::read(&folder).ok().flatten().filter(|card| is_unsent && matches!(card.form, Form::Stream { .. }))?;
    Some(card.uuid)
}
