//! Whether a command may be done now: it is held against the records, the credentials, the server and the data directory.
//!
//! In: a [`Command`] and the [`World`]. Out: an [`Admitted`] command with everything its plan is made from, and with what it
//! needs taken for it; or the first reason against it, in the order of the contract: records, credentials, server, data
//! directory; and last, whether there plainly is no room. Nothing is recorded and no backup is touched.

mod chain;
mod in_time;
mod memory;
mod moment;
mod origin;
#[cfg(test)]
mod properties;
mod target;
mod unlock;

pub(crate) use in_time::on_disk;
use in_time::{shortage, within};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use tracing::warn;
use uuid::Uuid;

use crate::command::{Backup, Command, Restore};
use crate::config::credentials::{self, Secrets};
use crate::config::{Config, one_server, option_files};
use crate::disk::data_dir::RESTORING;
use crate::disk::space::{self, Space, Staging};
use crate::disk::{self, NewDir};
use crate::model::{BackupId, Compression, Flavour, Moment, Rejection, Stored, Target, Version};
use crate::plan::{Destination, Member, Plan, RestoreInputs, Way};
use crate::records::{Known, RecordsError};
use crate::repository::card::Card;
use crate::repository::{Origin, stored};
use crate::server::answer;
use crate::server::probe::{self, Ping};
use crate::world::{Claim, Held, Purpose, World};

/// A command that may be done, and what it needs for that.
#[derive(Debug)]
pub struct Admitted {
    /// What will run.
    pub plan: Plan,
    /// What is taken for it until it ends.
    pub claim: Claim,
    /// What must not appear in its records.
    pub secrets: Secrets,
    /// What a backup is taken of.
    pub origin: Origin,
    /// The directory that was made for a restore.
    pub made: Option<NewDir>,
}

/// Holds a command against the world.
///
/// `until` is when the client has to have its answer, so that the records are not waited for longer.
pub async fn admit(command: &Command, world: &World, config: &Config, until: Instant) -> Result<Admitted, Rejection> {
    if world.shutdown.is_cancelled() {
        return Err(Rejection::ShuttingDown);
    }
    match command {
        Command::Backup(wanted) => backup(wanted, world, config, until).await,
        Command::Restore(wanted) => restore(wanted, world, config, until).await,
    }
}

async fn backup(wanted: &Backup, world: &World, config: &Config, until: Instant) -> Result<Admitted, Rejection> {
    let known = known(world, std::iter::once(&wanted.id), until).await?;
    let base = match &wanted.base {
        Some(base) => chain::claim_base(base, world, config, until).await?,
        None => world.claims.claim_nothing(),
    };
    let exists = || Rejection::AlreadyExists(wanted.id.clone());
    // Taken before the world is looked at any further: of two requests at once, one comes later than the other.
    let claim = world.claims.claim_id(&wanted.id, until).await.ok_or_else(exists)?.with(base);
    let dir = config.backup_dir.join(wanted.id.as_str());
    let is_there = move || fs::symlink_metadata(dir).is_ok();
    if known.contains_key(wanted.id.as_str()) || on_disk(&config.backup_dir, until, is_there).await? {
        return Err(exists());
    }
    let secrets = credentials(config, until).await?;
    let file = config.credentials.clone();
    let settings = config.clone();
    let look = move || (option_files::objection(&file), one_server::objection(&file, &settings));
    match on_disk(&config.credentials, until, look).await? {
        (Some(objection), _) => return Err(Rejection::LessThanWhole(objection)),
        (None, Some(objection)) => return Err(Rejection::TwoServers(objection)),
        (None, None) => {}
    }
    match probe::ping(world.executor.as_ref(), config).await.map_err(|why| broken(&why))? {
        Ping::Up => {}
        Ping::Down | Ping::Unknown => return Err(Rejection::ServerNotRunning),
        Ping::Other(reason) => return Err(Rejection::NotReached { hint: answer::hint(&reason), reason }),
    }
    let dir = config.backup_dir.clone();
    on_disk(&config.backup_dir, until, move || disk::is_writable(&dir)).await?.map_err(|why| {
        Rejection::Broken(format!("backup_dir '{}' cannot be used: {why}", config.backup_dir.display()))
    })?;
    // Of an incremental, or of a stream that is compressed or forwarded, nobody knows before how large it will be, and of another
    // host's disks nothing is known at all.
    let is_plain = config
        .streaming
        .as_ref()
        .is_none_or(|streaming| streaming.compression == Compression::None && streaming.forward.is_none());
    if wanted.base.is_none() && is_plain && config.is_local() {
        let (data_dir, dir) = (config.data_dir.clone(), config.backup_dir.clone());
        let is_stream = config.streaming.is_some();
        if let Some(shortage) = shortage(until, move || space::for_backup(&data_dir, &dir, is_stream)).await {
            return Err(Rejection::NoRoomForBackup(shortage));
        }
    }
    let bin = backup_bin(config)?;
    let origin = origin::origin(wanted, world, config, until).await?;
    // Only xtrabackup calls something otherwise, and a full backup needs nothing of that.
    let is_asked = config.flavour == Flavour::MySql && wanted.base.is_some();
    let said = if is_asked { version(world, &bin, until).await? } else { String::new() };
    let names = config.flavour.option_names(&said);
    Ok(Admitted { plan: Plan::backup(wanted, Uuid::new_v4(), &bin, names, config), claim, secrets, origin, made: None })
}

async fn restore(wanted: &Restore, world: &World, config: &Config, until: Instant) -> Result<Admitted, Rejection> {
    let known = known(world, wanted.chain(), until).await?;
    check_chain(wanted, &known)?;
    // Taken before the disk is looked at: what is removed before that is not found there, and what is found is not removed.
    let ids: Vec<_> = wanted.chain().cloned().collect();
    let reading = world.claims.claim_ids(&ids, Purpose::Restore, until).await;
    let reading = reading.map_err(|held| in_the_way(held, Rejection::BackupNotFound))?;
    let (chain, cards) = find_chain(wanted, &known, config, until).await?;
    unlock::check(&chain, &cards, config, until).await?;
    let replay = moment::replay(wanted, &cards, config, until).await?;
    let marks: Vec<_> = cards.iter().flatten().map(|(card, _)| card.mark()).collect();
    let last = cards.last().and_then(Option::as_ref);
    let server = last.map(|(card, _)| &card.server);
    chain::check_bases(wanted, &known, config, until).await?;
    let (claim, secrets) = match wanted.target {
        Target::Folder => {
            let file = config.credentials.clone();
            let read = on_disk(&config.credentials, until, move || credentials::read(&file)).await?;
            (world.claims.claim_nothing(), read.unwrap_or_default())
        }
        Target::Database => target::data_dir(wanted, &chain, last, (world, config), until).await?,
    };
    let claim = claim.with(reading);
    let bin = backup_bin(config)?;
    let said = version(world, &bin, until).await?;
    let parent = wanted.target.parent(&config.backup_dir);
    let members = chain.iter().zip(&cards).map(|(member, card)| space::Member {
        path: member.stored.path().clone(),
        // What somebody else may have written says nothing of it.
        footprint: card.as_ref().filter(|(_, is_vouched)| *is_vouched).and_then(|(card, _)| card.footprint()),
    });
    let members = members.collect::<Vec<_>>();
    let data_dir = (wanted.target == Target::Database).then(|| config.data_dir.clone());
    let work = parent.clone();
    let measured = within(until, move || space::for_restore(&members, &work, data_dir.as_deref())).await;
    let unknown = Space { staging: Staging::Apart, shortage: None, size: u64::MAX, has_room_ahead: false };
    let Space { staging, shortage, size, has_room_ahead } = measured.unwrap_or(unknown);
    let beside = if staging == Staging::Inside || size == u64::MAX { 0 } else { size };
    let shortage = match (&replay, shortage) {
        (Some(replay), None) => moment::shortage(&parent, replay, beside, until).await,
        (_, shortage) => shortage,
    };
    if let Some(shortage) = shortage {
        return Err(Rejection::NoRoomForRestore(shortage));
    }
    // The chain has a first member: the command has.
    let Some((full, incrementals)) = chain.split_first() else {
        return Err(Rejection::BackupNotFound(wanted.full.clone()));
    };
    let making = {
        let (root, parent) = (config.backup_dir.clone(), parent.clone());
        move || NewDir::make(&root, &parent, &Moment::now().directory_name())
    };
    let made = on_disk(&parent, until, making)
        .await?
        .map_err(|why| Rejection::Broken(format!("no directory can be created in '{}': {why}", parent.display())))?;
    let destination = match wanted.target {
        Target::Folder => Destination::Folder,
        Target::Database => Destination::DataDir {
            dir: config.data_dir.clone(),
            outside: server.map(|server| server.places_in(&config.data_dir)).unwrap_or_default(),
            way: way(staging, made.path(), config),
        },
    };
    let inputs = RestoreInputs {
        bin: &bin,
        version: Version::parse(&said),
        names: config.flavour.option_names(&said),
        full,
        incrementals,
        tmp_dir: made.path(),
        destination: &destination,
        memory: memory::for_prepare(config.use_memory.min(size)),
        has_room_ahead,
        timestamp: known.get(wanted.last().as_str()).and_then(|last| last.start_time.as_deref()),
        marks: &marks,
        server,
        replay: replay.as_ref(),
    };
    let plan = Plan::restore(wanted, inputs, config);
    Ok(Admitted { plan, claim, secrets, origin: Origin::default(), made: Some(made) })
}

/// Why a stored backup cannot be read: it is being removed, or is none yet.
fn in_the_way(held: Held, not_found: impl FnOnce(BackupId) -> Rejection) -> Rejection {
    match held.purpose {
        Purpose::Removal => Rejection::BeingRemoved(held.id),
        Purpose::Making | Purpose::Base | Purpose::Restore | Purpose::Sending => not_found(held.id),
    }
}

/// How the data directory is filled from a working copy that is made there.
fn way(staging: Staging, tmp_dir: &Path, config: &Config) -> Way {
    match staging {
        Staging::Beside => Way::Rename { staging: None },
        Staging::Inside => {
            let name = tmp_dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
            Way::Rename { staging: Some(config.data_dir.join(format!("{RESTORING}{name}"))) }
        }
        Staging::Apart => Way::Copy,
    }
}

/// Where each backup of a chain is, and as what; and what it says of itself, with whether that is surely the daemon's own word.
async fn find_chain(
    wanted: &Restore,
    known: &HashMap<String, Known>,
    config: &Config,
    until: Instant,
) -> Result<(Vec<Member>, Vec<Option<(Card, bool)>>), Rejection> {
    let (dir, ids) = (config.backup_dir.clone(), wanted.chain().cloned().collect::<Vec<_>>());
    let look = move || {
        let each = ids.into_iter().map(|id| {
            // What a newer program wrote, or what is damaged, stands in the way of no restore: the data prove themselves.
            let card = Card::read_vouched(&dir.join(id.as_str())).ok().flatten();
            stored::look(&dir, &id).map(|found| (id, found, card))
        });
        each.collect::<io::Result<Vec<_>>>()
    };
    let found = on_disk(&config.backup_dir, until, look).await?.map_err(|why| broken(&why))?;
    let (found, cards): (Vec<_>, Vec<_>) = found.into_iter().map(|(id, found, card)| ((id, found), card)).unzip();
    let member = |(id, found): (BackupId, Option<Stored>)| {
        let stored = found.ok_or_else(|| Rejection::BackupNotFound(id.clone()))?;
        // Only this daemon forwards; and the operator's command, to a shell on another host maybe, gets no id that one understands.
        if matches!(stored, Stored::Forwarded(_)) && (config.fetch.is_none() || !id.may_be_new()) {
            return Err(Rejection::Forwarded(id));
        }
        let base = known.get(id.as_str()).and_then(|known| known.from.as_deref());
        let base = base.and_then(|base| BackupId::recorded(base).ok());
        Ok(Member { id, base, stored })
    };
    Ok((found.into_iter().map(member).collect::<Result<_, _>>()?, cards))
}

/// What the records know of these backups.
async fn known(
    world: &World,
    ids: impl Iterator<Item = &BackupId>,
    until: Instant,
) -> Result<HashMap<String, Known>, Rejection> {
    let ids = ids.map(ToString::to_string).collect();
    let known = world.records.known(ids, until).await;
    known.map_err(|why| unreadable(&why, &world.config()))
}

fn unreadable(why: &RecordsError, config: &Config) -> Rejection {
    let path = config.database_path.display();
    Rejection::Broken(format!("the records in '{path}' cannot be read: {}", crate::model::causes(why)))
}

/// A chain is a full backup and then, each in turn, an incremental that was taken from the one before it.
fn check_chain(wanted: &Restore, known: &HashMap<String, Known>) -> Result<(), Rejection> {
    let mut before: Option<&BackupId> = None;
    if let Some(unknown) = wanted.chain().find(|id| !known.contains_key(id.as_str())) {
        return Err(Rejection::BackupNotFound(unknown.clone()));
    }
    for id in wanted.chain() {
        let from = known.get(id.as_str()).and_then(|known| known.from.as_deref());
        if from != before.map(BackupId::as_str) {
            return Err(Rejection::Malformed(match (before, from) {
                (None, Some(from)) => {
                    format!("id_list is not a chain: it begins with {id}, an incremental from {from}")
                }
                (Some(before), Some(from)) => {
                    format!("id_list is not a chain: {id} was taken from {from}, not from {before}")
                }
                (_, None) => format!("id_list is not a chain: {id} is a full backup and can only come first"),
            }));
        }
        before = Some(id);
    }
    Ok(())
}

async fn credentials(config: &Config, until: Instant) -> Result<Secrets, Rejection> {
    let file = config.credentials.clone();
    on_disk(&config.credentials, until, move || credentials::read(&file)).await?.map_err(|why| {
        warn!(file = %config.credentials.display(), reason = %crate::model::causes(&why), "no credentials");
        Rejection::Credentials
    })
}

async fn version(world: &World, bin: &str, until: Instant) -> Result<String, Rejection> {
    probe::version(world.executor.as_ref(), bin, until.saturating_duration_since(Instant::now()))
        .await
        .map_err(|why| Rejection::Broken(why.to_string()))
}

fn backup_bin(config: &Config) -> Result<String, Rejection> {
    let tool = config.flavour.tool();
    probe::find(config.backup_bin.as_deref(), tool.backup_candidates).ok_or_else(|| {
        Rejection::Broken(format!("no backup tool is installed (package {}), and backup_bin is not set", tool.package))
    })
}

fn broken(why: &std::io::Error) -> Rejection {
    Rejection::Broken(why.to_string())
}

#[cfg(test)]
mod tests;
