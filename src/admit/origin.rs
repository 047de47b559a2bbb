//! What a backup is about to be taken of: whether it is the server that was meant, and whether its data descend from the base.

use std::path::Path;
use std::time::Instant;

use tracing::{debug, info};

use super::{broken, on_disk, unreadable};
use crate::command::Backup;
use crate::config::Config;
use crate::model::{BackupId, Rejection, Tool};
use crate::repository::Origin;
use crate::repository::card::{Base, Card};
use crate::repository::history::{self, Descent, Found, History, Traces};
use crate::server::Server;
use crate::server::probe::{self, ANSWER_WITHIN};
use crate::world::World;
use crate::{disk, witness};

/// Finds it out. A server that does not say what it is is asked again when its backup is whole: what the tool says of a wrong password is
/// clearer.
pub(super) async fn origin(
    wanted: &Backup,
    world: &World,
    config: &Config,
    until: Instant,
) -> Result<Origin, Rejection> {
    let within = until.saturating_duration_since(Instant::now()).min(ANSWER_WITHIN);
    let server = match probe::server(world.executor.as_ref(), config, within).await.map_err(|why| broken(&why))? {
        Ok(server) => Some(server),
        Err(why) => {
            debug!(reason = why, "the server does not describe itself");
            None
        }
    };
    if let Some(server) = &server {
        let (dir, own) = (server.data_dir.clone(), config.data_dir.clone());
        if !on_disk(&config.data_dir, until, move || disk::is_same(&dir, &own)).await? {
            return Err(Rejection::OtherServer { server: server.data_dir.clone(), data_dir: config.data_dir.clone() });
        }
    }
    if let Some(server) = &server
        && let Some(host) = server.other_host()
    {
        let within = until.saturating_duration_since(Instant::now()).min(ANSWER_WITHIN);
        let works_here = probe::works_here(world.executor.as_ref(), config, server, within).await;
        if works_here.map_err(|why| broken(&why))? == Some(false) {
            return Err(Rejection::ServerElsewhere { host: host.to_owned(), data_dir: config.data_dir.clone() });
        }
    }
    let data_dir = config.data_dir.clone();
    let redo_dir = server.as_ref().map(Server::redo_dir);
    let tool = config.flavour.tool();
    let seen = on_disk(&config.data_dir, until, move || Seen::look(&data_dir, redo_dir.as_deref(), tool)).await?;
    let base = match &wanted.base {
        Some(base) => Some(descends(base, &seen, world, config, until).await?),
        None => None,
    };
    Ok(Origin { server, history: seen.history, base })
}

/// What tells the history of the data directory.
struct Seen {
    history: Option<History>,
    found: Found,
    /// Why the marks cannot be read.
    unreadable: Option<String>,
}

impl Seen {
    /// An old log may lie where none is looked for: without a word of the server's, none counts.
    fn look(data_dir: &Path, redo_dir: Option<&Path>, tool: &Tool) -> Self {
        let (history, marks) = match History::open(data_dir) {
            Ok(Some(history)) => {
                let marks = history.marks();
                (Some(history), marks)
            }
            Ok(None) => (None, Ok(Vec::new())),
            Err(why) => (None, Err(why)),
        };
        let (marks, unreadable) = marks.map_or_else(|why| (Vec::new(), Some(why.to_string())), |marks| (marks, None));
        let found = Found {
            marks,
            restored_from: witness::uuid_of(data_dir, tool),
            redo_begins_at: redo_dir.and_then(history::redo_begins_at),
        };
        Self { history, found, unreadable }
    }
}

/// Whether the server's data descend from the base of an incremental. Where they do not, it would lack what is theirs.
async fn descends(
    base: &BackupId,
    seen: &Seen,
    world: &World,
    config: &Config,
    until: Instant,
) -> Result<Base, Rejection> {
    let (folder, tool) = (config.backup_dir.join(base.as_str()), config.flavour.tool());
    let look = move || (Card::read(&folder), witness::uuid_of(&folder, tool));
    let (card, tool_uuid) = on_disk(&config.backup_dir, until, look).await?;
    let card = card.map_err(|why| Rejection::Broken(crate::model::causes(&why)))?;
    // Where it has no card, what its tool called it is all there is.
    let unmarked =
        Traces { uuid: "", tool_uuid: tool_uuid.as_deref(), is_marked: false, to_lsn: 0, redo_begins_at: None };
    let left = card.as_ref().map_or(unmarked, Card::left);
    let as_base = |descent| {
        let unnamed = || Base { id: base.to_string(), uuid: None, proven: descent == Descent::Proven };
        card.as_ref().map_or_else(unnamed, |card| card.as_base(descent))
    };
    let refused = || Rejection::OtherHistory { base: base.clone(), data_dir: config.data_dir.clone() };
    // What was left there and cannot be looked at proves nothing, either way.
    if let Some(why) = seen.unreadable.as_ref().filter(|_| left.is_marked) {
        let dir = config.data_dir.display();
        return Err(Rejection::Broken(format!("'{dir}' cannot be searched for the mark of {base}: {why}")));
    }
    match history::descent(left, &seen.found) {
        Descent::Refuted => return Err(refused()),
        Descent::Proven => return Ok(as_base(Descent::Proven)),
        Descent::Unknown => {}
    }
    // The records know of the restores that this daemon or a predecessor has done, and of no other.
    let restored = world.records.restored_since(base.to_string(), until).await;
    let restored = restored.map_err(|why| unreadable(&why, config))?;
    if restored.is_some_and(|chain| !chain.iter().any(|id| id == base.as_str())) {
        return Err(refused());
    }
    info!(base = %base, "it is not known whether the server's data descend from the base, which left no mark in the data directory");
    Ok(as_base(Descent::Unknown))
}
