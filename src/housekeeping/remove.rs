//! Backups removed: the files, the record, and what a verification has left of them.
//!
//! In: the ids, and the word of the operator. Nothing goes before it is sure that all of them may: nobody reads one, nothing that stays needs
//! one, and each can be taken away as a whole. Then they go one by one, what was taken from another first, so that at each moment what
//! is left is whole chains. Of each, in this order:
//!
//! 1. its folder gets the name of a removal ([`removing`]), and the directory is synced;
//! 2. its row goes; the rows of what was done with it stay, they are history;
//! 3. its folder gets the name of what is being taken away ([`below::gone`]);
//! 4. the files go.
//!
//! Whoever dies in between leaves a name that says how far it came: [`finish`](super::leftover::finish) does the rest at the next start. A backup's mark in the
//! server's data directory stays, and proves nothing of another one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info, info_span, warn};

use super::leftover::removing;
use super::reconcile;
use crate::admit::on_disk;
use crate::chains::Chains;
use crate::command::Remove;
use crate::config::Config;
use crate::disk::below::{self, tree};
use crate::model::{Amount, BackupId, Rejection, causes, quoted};
use crate::records::RecordsError;
use crate::records::reader::BackupRow;
use crate::repository::hold::{self, Hold};
use crate::repository::journal::Entry;
use crate::repository::note::Note;
use crate::repository::stored;
use crate::verify::glance::Glance;
use crate::verify::kept;
use crate::world::{Claim, Held, Purpose, World};

/// How long it may take to find out whether all may go: 2 min, for a million files on a slow disk.
const LOOKED_WITHIN: Duration = Duration::from_secs(2 * 60);

/// How long the answer waits for the files to be gone: 10 min. What takes longer goes on.
const DONE_WITHIN: Duration = Duration::from_secs(10 * 60);

/// How many backups a refusal names.
const NAMED: usize = 5;

/// A backup that may go.
struct Doomed {
    id: BackupId,
    /// When it was begun, by the records: another one of this id was begun at another time.
    begun: Option<String>,
    /// What is all of it in `backup_dir`. None if its files are gone already.
    found: Option<Found>,
}

/// What is on the disk of it.
struct Found {
    /// The name of its folder, or of its stream.
    name: String,
    bytes: u64,
    /// Nobody begins to read it.
    _hold: Hold,
}

/// Removes backups, all of them or, if one may not go, none.
///
/// # Errors
/// Why nothing was removed; or what of it was, and why the rest was not.
pub(super) async fn remove(wanted: &Remove, world: &Arc<World>, begun: Instant) -> Result<String, Rejection> {
    let config = world.config();
    let mut ids: Vec<BackupId> = wanted.ids().cloned().collect();
    ids.sort();
    ids.dedup();
    let until = begun + LOOKED_WITHIN;
    // Before the records are looked at: whoever begins to read one of them after that is refused, and whoever has begun is found here.
    let claim = world.claims.claim_ids(&ids, Purpose::Removal, until).await.map_err(in_use)?;
    let doomed = look(ids, world, &config, until).await?;
    let work = go(doomed, claim, Arc::clone(world), config);
    let working = world.tasks.spawn(work.instrument(info_span!("removal", first = %wanted.first)));
    match timeout_at((begun + DONE_WITHIN).into(), working).await {
        Ok(Ok(done)) => done,
        Ok(Err(why)) => Err(Rejection::Broken(format!("an internal error: {why}"))),
        Err(_late) => Ok("the removal goes on: list shows what is left".to_owned()),
    }
}

/// Who has the backup, in words.
fn in_use(held: Held) -> Rejection {
    let by = match held.purpose {
        Purpose::Making => "it is being taken",
        Purpose::Base => "an incremental is being taken from it, or from what was taken from it",
        Purpose::Restore => "it is being restored",
        Purpose::Sending => "it is being sent to the repository",
        Purpose::Removal => "it is being removed already",
    };
    Rejection::InUse { id: held.id, by }
}

/// Finds out whether all of them may go; gives them in the order in which they do.
async fn look(
    ids: Vec<BackupId>,
    world: &World,
    config: &Arc<Config>,
    until: Instant,
) -> Result<Vec<Doomed>, Rejection> {
    let rows = world.records.backups(until).await.map_err(|why| {
        let path = config.database_path.display();
        Rejection::Broken(format!("the records in '{path}' cannot be read: {}", causes(&why)))
    })?;
    let settings = Arc::clone(config);
    on_disk(&config.backup_dir, until, move || {
        let order = in_order(&ids, rows, &settings)?;
        order.into_iter().map(|(id, begun)| examine(id, begun, &settings.backup_dir)).collect()
    })
    .await?
}

/// What was taken from another before that; each with when it was begun. Nothing may need one of them that stays.
fn in_order(
    ids: &[BackupId],
    rows: Vec<BackupRow>,
    config: &Config,
) -> Result<Vec<(BackupId, Option<String>)>, Rejection> {
    let glance = Glance { backup_dir: &config.backup_dir, flavour: config.flavour };
    let chains = Chains::new(rows, std::collections::HashSet::new(), |base, child| glance.is_base(base, child));
    let is_to_go = |row: &BackupRow| ids.binary_search_by(|id| id.as_str().cmp(&row.id)).is_ok();
    for id in ids {
        if chains.get(id.as_str()).is_none() {
            return Err(Rejection::BackupNotFound(id.clone()));
        }
        let needing: Vec<_> = chains.needed_by(id.as_str()).into_iter().filter(|row| !is_to_go(row)).collect();
        if !needing.is_empty() {
            let named: Vec<_> = needing.iter().take(NAMED).map(|row| row.id.as_str()).collect();
            let more = needing.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return Err(Rejection::Needed { id: id.clone(), by: format!("{}{more}", named.join(", ")) });
        }
    }
    let tree = chains.tree();
    let order = tree.iter().rev().filter(|node| is_to_go(node.row));
    // Each is one of `ids`, which are ids.
    Ok(order.filter_map(|node| Some((BackupId::recorded(&node.row.id).ok()?, node.row.start_time.clone()))).collect())
}

/// Looks at one: what of it is there, that nobody reads it, and that all of it can be taken away.
fn examine(id: BackupId, begun: Option<String>, backup_dir: &Path) -> Result<Doomed, Rejection> {
    let broken = |why: &io::Error| {
        let path = backup_dir.join(id.as_str()).display().to_string();
        // A predecessor ran as root.
        let hint = if why.kind() == io::ErrorKind::PermissionDenied {
            format!("; as root: chown -R {} {}", rustix::process::geteuid(), quoted(&path))
        } else {
            String::new()
        };
        Rejection::Broken(format!("'{path}' cannot be removed: {why}{hint}"))
    };
    let Some(stored) = stored::look(backup_dir, &id).map_err(|why| broken(&why))? else {
        return Ok(Doomed { id, begun, found: None });
    };
    let whole: PathBuf = hold::whole(backup_dir, &id, &stored);
    let hold = match hold::remove(&whole) {
        Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
            return Err(Rejection::InUse { id, by: "a verification reads it" });
        }
        held => held.map_err(|why| broken(&why))?,
    };
    let surveyed = tree::survey(backup_dir, &whole).map_err(|why| broken(&why))?;
    let name = whole.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found = surveyed.map(|(bytes, _)| Found { name, bytes, _hold: hold });
    Ok(Doomed { id, begun, found })
}

/// Removes what may go. Their ids are given back in the end.
///
/// What a repository has of a backup goes after what is here. That it has something is in the journal before anything goes, so that a
/// repository that is away, and a daemon that dies, lose no trace of it.
async fn go(doomed: Vec<Doomed>, claim: Claim, world: Arc<World>, config: Arc<Config>) -> Result<String, Rejection> {
    let (mut removed, mut bytes, mut ended) = (Vec::new(), 0, Ok(()));
    let mut elsewhere = Vec::new();
    for one in doomed {
        let (id, size) = (one.id.to_string(), one.found.as_ref().map_or(0, |found| found.bytes));
        let entry = match noted(&one.id, &config).await {
            Ok(entry) => entry,
            Err(why) => {
                ended = Err((id, NotGone::Recorded(why)));
                break;
            }
        };
        let done = go_one(one, &world, &config).await;
        // Without its row it is removed, whatever became of the files.
        if !matches!(done, Err(NotGone::Recorded(_))) {
            removed.push(id.clone());
        }
        match done {
            Ok(()) => {
                info!(backup_id = id, bytes = size, "removed");
                bytes += size;
                if let Some(entry) = entry {
                    let place = entry.repository.to_string();
                    elsewhere.push((id, place, reconcile::erase(&world, &config, entry).await));
                }
            }
            Err(why) => {
                ended = Err((id, why));
                break;
            }
        }
    }
    let (database, ids) = (config.database_path.clone(), removed.clone());
    let forgotten = spawn_blocking(move || kept::forget(&database, &ids)).await;
    if let Ok(Err(why)) = forgotten {
        info!(reason = %why, "what a verification has left of them stays until the next one");
    }
    world.jobs.look_again();
    let done = format!("{}{}", said(&removed, bytes), said_elsewhere(&elsewhere));
    let Err((id, why)) = ended else { return Ok(done) };
    let before = if removed.is_empty() { String::new() } else { format!("{done}; ") };
    let text = match &why {
        NotGone::Recorded(why) => format!("{before}'{id}' is not removed: {why}"),
        NotGone::Named(why) | NotGone::Files(why) => {
            format!("{before}of '{id}' files are left, which the next start of the daemon removes: {why}")
        }
        NotGone::Stopped => format!("{before}of '{id}' files are left, which the next start of the daemon removes"),
    };
    warn!(backup_id = id, reason = text, "a removal is not complete");
    if matches!(why, NotGone::Named(_)) {
        // The next start would take a new backup's record for that of the one that was removed.
        claim.keep_for_good();
    }
    Err(Rejection::Broken(text))
}

/// What was removed, in a line.
fn said(removed: &[String], bytes: u64) -> String {
    let named: Vec<_> = removed.iter().take(NAMED).map(String::as_str).collect();
    let more = removed.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("removed {}{more}: {} freed", named.join(", "), Amount(bytes))
}

/// Writes into the journal what a repository has of a backup. None if it has nothing.
async fn noted(id: &BackupId, config: &Arc<Config>) -> Result<Option<Entry>, String> {
    let (backup_dir, id) = (config.backup_dir.clone(), id.clone());
    let writing = spawn_blocking(move || {
        let Some(note) = Note::read(&backup_dir.join(id.as_str())) else { return Ok(None) };
        let entry = Entry::new(&id, &note.uuid, &note.repository);
        entry.write(&backup_dir).map(|()| Some(entry))
    });
    match writing.await {
        Ok(written) => written.map_err(|why| format!("what the repository has of it cannot be noted: {why}")),
        Err(panicked) => Err(format!("an internal error: {panicked}")),
    }
}

/// What became of what repositories had, in a line that goes on.
fn said_elsewhere(elsewhere: &[(String, String, Option<String>)]) -> String {
    let gone = elsewhere.iter().filter(|(_, _, left)| left.is_none()).count();
    let gone = match gone {
        0 => String::new(),
        1 => "; nothing of it is left in the repository".to_owned(),
        gone => format!("; nothing of these {gone} is left in the repository"),
    };
    let left = elsewhere.iter().filter_map(|(id, place, left)| Some((id, place, left.as_ref()?))).collect::<Vec<_>>();
    let named = left.iter().take(NAMED).map(|(id, place, why)| format!("; {place} still has '{id}': {why}"));
    let more = left.len().saturating_sub(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{gone}{}{more}", named.collect::<String>())
}

/// How far a removal came that was not done.
enum NotGone {
    /// The backup is what it was.
    Recorded(String),
    /// Its record is gone, and its files still have the name by which that is to go.
    Named(String),
    /// Its record is gone, and some of its files are not.
    Files(String),
    /// The same, since the daemon ends.
    Stopped,
}

async fn go_one(one: Doomed, world: &World, config: &Config) -> Result<(), NotGone> {
    if world.shutdown.is_cancelled() {
        return Err(NotGone::Recorded(Rejection::ShuttingDown.to_string()));
    }
    let Doomed { id, begun, found } = one;
    let root = &config.backup_dir;
    let name = found.as_ref().map(|found| found.name.clone());
    if let Some(name) = &name {
        let (from, to) = (name.clone(), removing(name));
        let renamed = on_tree(root, move |root| {
            tree::rename(root, &from, &to).inspect_err(|_| {
                // Where its sync alone has failed, it has the new name.
                let _back = tree::rename(root, &to, &from);
            })
        });
        renamed.await.map_err(NotGone::Recorded)?;
    }
    if let Err(why) = world.records.remove_backup(id.to_string(), begun, None).await {
        // Closed, the records may have taken it or not: the next start looks.
        if let (Some(name), false) = (&name, matches!(why, RecordsError::Closed)) {
            let (from, to) = (removing(name), name.clone());
            let back = on_tree(root, move |root| tree::rename(root, &from, &to)).await;
            let lost = |also: String| NotGone::Named(format!("{}; {also}", causes(&why)));
            back.map_err(lost)?;
        }
        return Err(NotGone::Recorded(causes(&why)));
    }
    let Some(name) = name else { return Ok(()) };
    let (from, to) = (removing(&name), below::gone(&name));
    let renamed = to.clone();
    // Files that could not be taken away once, and were called so.
    on_tree(root, move |root| {
        tree::erase(root, &renamed, &CancellationToken::new())?;
        tree::rename(root, &from, &renamed)
    })
    .await
    .map_err(NotGone::Named)?;
    let stop = world.shutdown.clone();
    let erased = on_tree(root, move |root| tree::erase(root, &to, &stop)).await;
    erased.map_err(|why| if world.shutdown.is_cancelled() { NotGone::Stopped } else { NotGone::Files(why) })
}

/// Does something in `backup_dir` where it blocks nobody else.
async fn on_tree(root: &Path, work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static) -> Result<(), String> {
    let dir = root.to_owned();
    match spawn_blocking(move || work(&dir)).await {
        Ok(done) => done.map_err(|why| why.to_string()),
        Err(panicked) => Err(format!("an internal error: {panicked}")),
    }
}
