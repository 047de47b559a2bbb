//! A backup that lies in `backup_dir` without a record is given one: on nobody's word but its own.
//!
//! What lies there is looked at anew, whatever the operator's command line has seen; its base has to be recorded. Then all rows come in one
//! transaction. Before that nothing is written anywhere, so a death leaves either a backup that is recorded or one that can be adopted again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::spawn_blocking;
use tracing::info;

use super::steps;
use crate::admit::on_disk;
use crate::adopt::local::Local;
use crate::adopt::{Candidate, Described, Form, order};
use crate::command::{Adopt, Backup};
use crate::config::Config;
use crate::disk::below;
use crate::model::{BackupId, CommandId, Moment, Rejection, causes};
use crate::plan::recorded_args;
use crate::records::Known;
use crate::records::adopt::{Adopted, Adoption};
use crate::records::reader::{ADOPT, FORWARDED, STREAM};
use crate::repository::card::Card;
use crate::repository::stored;
use crate::world::World;

/// How long a look at all that a manifest names may take: 10 min, less than the operator's command line waits.
const LOOK_WITHIN: Duration = Duration::from_secs(600);

/// How long the records, and another request that has the id, are waited for.
const WITHIN: Duration = Duration::from_secs(5);

/// Records a backup.
///
/// # Errors
/// It is not there, is recorded already, or does not prove itself; or its base is not recorded, or is another.
pub(super) async fn adopt(wanted: &Adopt, world: &Arc<World>, begun: Instant) -> Result<String, Rejection> {
    let (config, id) = (world.config(), wanted.id.clone());
    let refused = |why: String| Rejection::NotAdoptable { id: id.clone(), why };
    // Held to the end: no backup is taken and none removed under it meanwhile.
    let claim = world.claims.claim_id(&id, begun + WITHIN).await;
    let _claim = claim.ok_or_else(|| refused("another request has this id".to_owned()))?;
    let recorded = known(&id, world, &config).await?;
    let is_received = (recorded.is_none() || config.repository.is_some())
        && receive(&id, world, &config, begun + LOOK_WITHIN).await?;
    match recorded {
        None => {}
        Some(recorded) if is_received => return again(&id, &recorded, &config).await,
        Some(_) => return Err(Rejection::AlreadyExists(id.clone())),
    }
    let looked = looked(wanted, &config, begun + LOOK_WITHIN).await?;
    let unreadable = |why: io::Error| Rejection::Broken(format!("'{id}' cannot be examined: {why}"));
    let Some(found) = looked.map_err(unreadable)? else { return Err(Rejection::BackupNotFound(id.clone())) };
    let (candidate, base) = found.map_err(refused)?;
    let mut known = Vec::new();
    if let Some(base) = base
        && is_known(&base.id, world, &config).await?
    {
        known.push(base);
    }
    let from = order::base(&candidate, wanted.from.as_ref(), &known).map_err(refused)?;
    let said = candidate.proof.as_str();
    let adopted = rows(candidate, from);
    let done = world.records.adopt(adopted, Instant::now() + WITHIN).await.map_err(|why| {
        let path = config.database_path.display();
        Rejection::Broken(format!("the records in '{path}' cannot be written: {}", causes(&why)))
    })?;
    match done {
        Adoption::Done => Ok(format!("adopted '{id}' by its {said}")),
        Adoption::Exists => Err(Rejection::AlreadyExists(id.clone())),
        Adoption::Without(gone) => Err(refused(format!("'{gone}', which it needs, is not recorded"))),
    }
}

/// A backup whose record was there and whose files were gone is described here again; another one of its id is not.
async fn again(id: &BackupId, recorded: &Known, config: &Arc<Config>) -> Result<String, Rejection> {
    let (backup_dir, folder) = (config.backup_dir.clone(), config.backup_dir.join(id.as_str()));
    let begun = recorded.start_time.clone();
    let compared = spawn_blocking(move || {
        let card = Card::read(&folder).ok().flatten();
        let is_it = card.is_some_and(|card| begun.is_some_and(|begun| Moment::spelt(begun) == card.start));
        if is_it { Ok(true) } else { below::remove(&backup_dir, &folder).map(|()| false) }
    });
    match compared.await {
        Ok(Ok(true)) => Ok(format!("'{id}' is recorded, and described here again: its stream is in the repository")),
        Ok(Ok(false)) => {
            let why = "it is recorded as another backup than the one that the repository has".to_owned();
            Err(Rejection::NotAdoptable { id: id.clone(), why })
        }
        Ok(Err(why)) => Err(Rejection::Broken(format!("'{id}' cannot be removed again: {why}"))),
        Err(panicked) => Err(Rejection::Broken(format!("an internal error: {panicked}"))),
    }
}

/// Fetches what describes a backup that is not here, if there is a repository; gives whether it did. One that is not there either is told as any
/// other.
async fn receive(id: &BackupId, world: &World, config: &Config, until: Instant) -> Result<bool, Rejection> {
    let Some(repository) = &config.repository else { return Ok(false) };
    let (backup_dir, looked_for) = (config.backup_dir.clone(), id.clone());
    let look = move || stored::look(&backup_dir, &looked_for);
    match on_disk(&config.backup_dir, until, look).await? {
        Ok(None) => {}
        // What cannot be looked at is told next.
        Ok(Some(_)) | Err(_) => return Ok(false),
    }
    let step = steps::receiving(&config.backup_dir, id, &repository.remote);
    match steps::run(world, step, None).await {
        None => Ok(true),
        Some(why) => Err(Rejection::NotAdoptable { id: id.clone(), why }),
    }
}

/// What lies there, and what tells of its base.
type Looked = io::Result<Option<Result<(Candidate, Option<Described>), String>>>;

async fn looked(wanted: &Adopt, config: &Config, until: Instant) -> Result<Looked, Rejection> {
    let (Adopt { id, from }, dir, flavour) = (wanted.clone(), config.backup_dir.clone(), config.flavour);
    let look = move || {
        let local = Local { backup_dir: &dir, flavour };
        let with_base = |candidate: Candidate| {
            let named = candidate.from.as_ref().and_then(|named| BackupId::recorded(&named.id).ok());
            let base = named.or(from).map(|base| local.described(&base));
            (candidate, base)
        };
        local.look(&id).map(|found| found.map(|found| found.map(with_base)))
    };
    on_disk(&config.backup_dir, until, look).await
}

async fn is_known(id: &BackupId, world: &World, config: &Config) -> Result<bool, Rejection> {
    known(id, world, config).await.map(|known| known.is_some())
}

async fn known(id: &BackupId, world: &World, config: &Config) -> Result<Option<Known>, Rejection> {
    let known = world.records.known(vec![id.to_string()], Instant::now() + WITHIN).await;
    let mut known = known.map_err(|why| {
        let path = config.database_path.display();
        Rejection::Broken(format!("the records in '{path}' cannot be read: {}", causes(&why)))
    })?;
    Ok(known.remove(id.as_str()))
}

/// What is recorded of it. Its row of `process` is that of no program: the command says that it was adopted, and what the records must know of a
/// stream.
fn rows(candidate: Candidate, from: Option<BackupId>) -> Adopted {
    let command_id = CommandId::random();
    for note in &candidate.notes {
        info!(backup_id = %candidate.id, %command_id, "adopted: {note}");
    }
    let Candidate { id, start, end, schedule_id, form, size, proof, notes, .. } = candidate;
    let base = from.as_ref().map(|from| format!(" --from {from}")).unwrap_or_default();
    let kept = match form {
        Form::Stream | Form::Repository if proof.is_sealed() => format!(" {STREAM}"),
        Form::Forwarded if proof.is_sealed() => format!(" {FORWARDED}"),
        Form::Stream | Form::Repository | Form::Forwarded | Form::Directory => String::new(),
    };
    let command = format!("{ADOPT}{id}{base}{kept}");
    let told = format!("adopted at {} UTC by its {}", Moment::now(), proof.as_str());
    let notes = notes.into_iter().map(|note| format!("warning: {note}"));
    let output = std::iter::once(told).chain(notes).collect::<Vec<_>>().join("\n");
    let backup = Backup { id, base: from, schedule_id };
    Adopted {
        args: recorded_args(&backup),
        id: backup.id,
        from: backup.base,
        schedule_id,
        start,
        end,
        size,
        command,
        command_id,
        output,
    }
}
