//! The hidden steps that bring the repository in step with what is here. The daemon runs them as it runs the backup tool, but without a row.

use std::path::Path;
use std::time::Duration;

use crate::bucket::Class;
use crate::exec::{Finished, Invocation, Outcome, Terms};
use crate::model::{BackupId, CommandId, Remote};
use crate::plan::REACHING;
use crate::repository::journal::Entry;
use crate::world::World;

/// How long a step that was told to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// The class of a failure that is not the store's.
const OTHER: &str = "other";

/// The step that sends a stored backup to `remote`.
pub(crate) fn sending(backup_dir: &Path, id: &BackupId, remote: &Remote) -> Invocation {
    let mut args = vec!["send".to_owned(), format!("--backup-dir={}", backup_dir.display()), format!("--id={id}")];
    args.extend(remote.args());
    Invocation::own(args).inheriting(&REACHING)
}

/// The step that puts what describes a backup of `remote` into `backup_dir`.
pub(crate) fn receiving(backup_dir: &Path, id: &BackupId, remote: &Remote) -> Invocation {
    let mut args = vec!["receive".to_owned(), format!("--backup-dir={}", backup_dir.display()), format!("--id={id}")];
    args.extend(remote.args());
    Invocation::own(args).inheriting(&REACHING)
}

/// The step that takes away what `remote` has of a backup.
pub(crate) fn erasing(entry: &Entry, remote: &Remote) -> Invocation {
    let mut args = vec!["erase".to_owned(), format!("--id={}", entry.id), format!("--uuid={}", entry.uuid)];
    args.extend(remote.args());
    Invocation::own(args).inheriting(&REACHING)
}

/// The step that brings `remote` in step with the archive of the binary log: it sends what is not there, or erases what is not here any more.
pub(crate) fn sending_binlogs(backup_dir: &Path, remote: &Remote, erases: bool) -> Invocation {
    let mut args = vec!["send-binlogs".to_owned(), format!("--backup-dir={}", backup_dir.display())];
    args.extend(erases.then(|| "--erase".to_owned()));
    args.extend(remote.args());
    Invocation::own(args).inheriting(&REACHING)
}

/// Why one of these steps did not do it. None if it did.
pub(super) fn refused(finished: &Finished) -> Option<String> {
    if finished.outcome() == Outcome::Exited(0) {
        return None;
    }
    let stderr = finished.stderr();
    // Its last line is its reason, without the name of the step.
    let said = stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    let said = said.split_once(": ").map_or(said, |(_, said)| said);
    Some(if said.is_empty() { finished.outcome().to_string() } else { said.to_owned() })
}

/// Runs one of them to its end, as long as the daemon does. Gives why it did not do it.
pub(crate) async fn run(world: &World, step: Invocation, command_id: Option<CommandId>) -> Option<String> {
    let cancel = world.shutdown.clone();
    let terms = Terms { command_id, cancel, grace: GRACE, watch: None, last_line: None, select: None };
    match world.executor.start(&step.into(), terms) {
        Err(why) => Some(why.to_string()),
        Ok(mut running) => {
            let finished = running.finished().await;
            let why = refused(&finished);
            // What the daemon ended itself is no failure.
            let failure = why.as_deref().filter(|_| !world.shutdown.is_cancelled());
            world
                .told
                .ended(retries(&finished.stderr()), failure.map(|why| Class::told(why).map_or(OTHER, Class::as_str)));
            why
        }
    }
}

/// How often a step says that it tried something again.
fn retries(said: &str) -> u64 {
    let count = said.split_once(" requests tried again").and_then(|(before, _)| before.rsplit(' ').next());
    count.and_then(|count| count.parse().ok()).unwrap_or_default()
}
