//! At start: what a daemon that died left behind is ended, taken away and recorded as failed.
//!
//! In: the records and the settings, with no other daemon at work. Out: no row says `running`, no process of an earlier
//! daemon lives, and nothing of an unfinished backup or restore is left. Each step can be broken off and done again: the row
//! is ended last.

pub(crate) mod remains;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use remains::{Filling, Remains, is_restore_name, left};
use thiserror::Error;
use tracing::{info, warn};

use super::finish::REPLICA_STOPPED;
use super::run::blocking;
use crate::config::Config;
use crate::disk::data_dir::{self, Inventory, RESTORING, Strangers};
use crate::disk::places::Awaited;
use crate::disk::{self, below};
use crate::exec::CommandExecutor;
use crate::exec::orphans::{self, Mark};
use crate::housekeeping::leftover;
use crate::plan::{RESTORES, TMP};
use crate::records::process::Interrupted;
use crate::records::{Records, RecordsError};
use crate::repository::catalog::RECEIVING;
use crate::repository::stored;
use crate::server::probe;

/// What is recorded of a command whose daemon died.
const REASON: &str = "the daemon was gone before this command ended: it was stopped, and what it left was removed";

/// How long after INT an orphan is killed.
const GRACE: Duration = Duration::from_secs(5);

/// Why the daemon cannot begin.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// The records cannot be read or written.
    #[error("the records cannot tell what an earlier daemon left running")]
    Records(#[from] RecordsError),
    /// A process of an earlier daemon would not end.
    #[error("a process that an earlier daemon left cannot be ended: {0}")]
    Orphans(String),
}

/// Cleans up after a daemon that died.
pub async fn recover(store: &Records, config: &Config, executor: &dyn CommandExecutor) -> Result<(), RecoverError> {
    let rows = store.interrupted().await?;
    let mut kept = Vec::new();
    if !rows.is_empty() {
        // Every command of every daemon works on something in backup_dir. By its arguments no other process is ended: whoever
        // may write the records knows the server's too.
        let place = format!("{}/", config.backup_dir.display());
        let command =
            |row: &Interrupted| if row.command.contains(&place) { row.command.clone() } else { String::new() };
        let marks = rows
            .iter()
            .map(|row| Mark { command_id: row.command_id.clone(), pid: row.pid, command: command(row) })
            .collect::<Vec<_>>();
        let ended = blocking(move || orphans::end(&marks, GRACE).map_err(|why| why.to_string())).await;
        let ended = ended.map_err(RecoverError::Orphans)?;
        for row in rows {
            let mut reason = match take_away(&row, store, config, executor).await? {
                Ok(()) => REASON.to_owned(),
                Err(Leftover { why, keep }) => {
                    kept.extend(keep);
                    format!("the daemon was gone before this command ended; {why}")
                }
            };
            if row.kind == "backup" && stops_replication(&row, config).await {
                reason.push_str("; ");
                reason.push_str(REPLICA_STOPPED);
            }
            warn!(command_id = row.command_id, orphans = ended, reason, "ended a command of an earlier daemon");
            store.end_interrupted(row.row, reason).await?;
        }
    }
    leftover::finish(store, config, Instant::now() + GRACE).await?;
    sweep(config, &kept);
    Ok(())
}

/// Whether the tool of this row was told to stop a replica's SQL thread: by its command, or by the credentials file as it is now.
async fn stops_replication(row: &Interrupted, config: &Config) -> bool {
    let config = config.clone();
    row.command.split(' ').any(crate::config::stops_replication)
        || blocking(move || Ok::<_, String>(config.stops_replication())).await == Ok(true)
}

/// What could not be taken away.
struct Leftover {
    /// For the row.
    why: String,
    /// A working copy that is kept once more: it tells what of the data directory could not be undone yet.
    keep: Option<PathBuf>,
}

impl From<String> for Leftover {
    fn from(why: String) -> Self {
        Self { why, keep: None }
    }
}

/// Takes away what the command of this row left. The inner error is what could not be, for the row.
async fn take_away(
    row: &Interrupted,
    store: &Records,
    config: &Config,
    executor: &dyn CommandExecutor,
) -> Result<Result<(), Leftover>, RecordsError> {
    let remains = match Remains::of(row, config) {
        Ok(remains) => remains,
        Err(why) => return Ok(Err(why.into())),
    };
    match remains {
        Remains::Backup { id, dir } => {
            // A backup that is recorded is whole, whatever this row says.
            if store.known(vec![id.to_string()], Instant::now() + GRACE).await?.contains_key(id.as_str()) {
                return Ok(Err(left(&dir).into()));
            }
            let removed = remove(config.backup_dir.clone(), dir).await;
            // The Go daemon wrote over what lay in its stream's place: whether it is this row's, nobody can tell.
            let (root, look) = (config.backup_dir.clone(), id.clone());
            let beside =
                blocking(move || Ok::<_, String>(stored::look(&root, &look).ok().flatten())).await.ok().flatten();
            let kept = beside.map_or(Ok(()), |stored| Err(left(stored.path())));
            Ok(removed.and(kept).map_err(Leftover::from))
        }
        Remains::Elsewhere { dir, data_dir } => {
            let why = format!(
                "the data directory '{}' was left as it is: it is not the one in the settings",
                data_dir.display()
            );
            Ok(Err(Leftover { why, keep: Some(dir) }))
        }
        Remains::Restore { dir, room, filling } => {
            if let Some(filling) = filling
                && let Err(why) = empty_data_dir(&dir, filling, config, executor).await
            {
                // The directory goes only after the row is ended: without it, the data directory would pass for complete.
                return Ok(Err(why));
            }
            let rest = remove(config.data_dir.clone(), room).await;
            Ok(remove(config.backup_dir.clone(), dir).await.and(rest).map_err(Leftover::from))
        }
    }
}

/// Makes the data directory what it was, if nobody has used it since. The restore's directory goes when that is done, or when the
/// restore is complete: without the working copy, or the inventory, there is nothing to undo.
async fn empty_data_dir(
    own: &Path,
    filling: Filling,
    config: &Config,
    executor: &dyn CommandExecutor,
) -> Result<(), Leftover> {
    let dir = config.data_dir.clone();
    let left = |why: &str| format!("the data directory '{}' was left as it is: {why}", dir.display());
    let undo: Undo = match filling {
        Filling::Copying(work) if disk::is_directory(&work) => {
            let own = own.to_owned();
            Box::new(move |dir| {
                // A note that cannot be read shows nothing, so what lies there is a stranger's.
                let others = Awaited::read(&own).ok().flatten().map(|awaited| awaited.come_into(dir));
                data_dir::undo_beside(dir, &work, Strangers::Respect, &others.unwrap_or_default())
                    .map_err(|why| crate::model::causes(&why))
            })
        }
        Filling::Moving(path) if path.exists() => Box::new(move |dir| {
            let read = Inventory::read(&path).map_err(|why| format!("'{}' cannot be read: {why}", path.display()))?;
            let undone = read.map_or(Ok(()), |moved| moved.undo(dir, Strangers::Respect));
            undone.map_err(|why| crate::model::causes(&why))
        }),
        Filling::Copying(_) | Filling::Moving(_) => {
            if data_dir::check_empty(&dir).is_ok() {
                return Ok(());
            }
            // What was set aside stays too: it costs room alone, and a working copy that somebody removed by hand looks the same.
            let why = "its working copy is gone, as after a complete restore whose record alone is missing";
            return Err(left(why).into());
        }
    };
    let found = probe::in_use(executor, config, &dir).await;
    if let Some(reason) = found.unwrap_or_else(|why| Some(why.to_string())) {
        let why = left(&format!("it may be half filled, but its server may still run ({reason})"));
        return Err(Leftover { why, keep: Some(own.to_owned()) });
    }
    let target = dir.clone();
    blocking(move || undo(&target)).await.map_err(|why| left(&why))?;
    let own = own.to_owned();
    let outside = blocking(move || {
        let awaited = Awaited::read(&own).map_err(|why| format!("'{}' cannot be read: {why}", own.display()))?;
        awaited.map_or(Ok(()), |awaited| awaited.undo()).map_err(|why| crate::model::causes(&why))
    });
    outside.await.map_err(|why| format!("what came outside the data directory was left as it is: {why}").into())
}

/// How a data directory is emptied again.
type Undo = Box<dyn FnOnce(&Path) -> Result<(), String> + Send>;

async fn remove(root: PathBuf, dir: PathBuf) -> Result<(), String> {
    blocking(move || below::remove(&root, &dir).map_err(|why| format!("'{}' cannot be removed: {why}", dir.display())))
        .await
}

/// Removes what no row tells of: working copies of database restores, half removed directories, and empty ones of folder
/// restores that never began. What cannot be removed stays, and is said.
fn sweep(config: &Config, kept: &[PathBuf]) {
    let report = |what: io::Result<usize>, place: &str| match what {
        Ok(0) => {}
        Ok(count) => info!(count, place, "removed what an earlier daemon left"),
        Err(why) => warn!(reason = %why, place, "what an earlier daemon left cannot be removed"),
    };
    for place in ["", TMP, RESTORES] {
        report(below::sweep_gone(&config.backup_dir, Path::new(place)), place);
    }
    let is_kept = |name: &str| kept.iter().any(|kept| kept.file_name() == Some(OsStr::new(name)));
    let is_to_go = |name: &str| is_restore_name(name) && !is_kept(name);
    report(below::sweep(&config.backup_dir, Path::new(TMP), &is_to_go), TMP);
    // Only an empty one can be removed this way; a restored folder stays.
    report(below::sweep_empty(&config.backup_dir, Path::new(RESTORES), &is_restore_name), RESTORES);
    let is_received = |name: &str| name.starts_with(RECEIVING);
    report(below::sweep(&config.backup_dir, Path::new(""), &is_received), "backup_dir");
    let is_room = |name: &str| name.strip_prefix(RESTORING).is_some_and(is_to_go);
    report(below::sweep(&config.data_dir, Path::new(""), &is_room), "data_dir");
}

#[cfg(test)]
mod tests;
