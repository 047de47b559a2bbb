//! A backup that is whole here, sent to the repository before its success is said.

use tracing::warn;

use super::error::JobError;
use super::run::{GRACE, Job};
use crate::exec::{Finished, Invocation, Outcome, Terms};
use crate::model::{BackupId, Remote};
use crate::plan::{Goal, NewBackup, REACHING};
use crate::records::failure::Reason;
use crate::repository::journal::Entry;

/// The step that sends a stored backup to `remote`.
pub(super) fn sending(backup_dir: &std::path::Path, id: &BackupId, remote: &Remote) -> Invocation {
    let mut args = vec!["send".to_owned(), format!("--backup-dir={}", backup_dir.display()), format!("--id={id}")];
    args.extend(remote.args());
    Invocation::own(args).inheriting(&REACHING)
}

/// The step that takes away what `remote` has of a backup.
pub(super) fn erasing(entry: &Entry, remote: &Remote) -> Invocation {
    let mut args = vec!["erase".to_owned(), format!("--id={}", entry.id), format!("--uuid={}", entry.uuid)];
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

impl Job {
    /// Sends a backup to the repository. If it stays here too, that the repository cannot be reached is no failure: it is sent later.
    pub(super) async fn publish(&mut self) -> Result<(), JobError> {
        let Goal::Backup(NewBackup { id, .. }) = &self.plan.goal else { return Ok(()) };
        let Some(repository) = &self.config.repository else { return Ok(()) };
        let step = sending(&self.config.backup_dir, id, &repository.remote);
        let (cancel, command_id) = (self.world.shutdown.clone(), Some(self.command_id));
        let terms = Terms { command_id, cancel, grace: GRACE, watch: None, last_line: None, select: None };
        let why = match self.world.executor.start(&step.into(), terms) {
            Err(why) => Some(why.to_string()),
            Ok(mut running) => refused(&*running.finished().await),
        };
        let Some(why) = why else { return Ok(()) };
        if !repository.keep_local {
            return Err(JobError::new(Reason::Repository, format!("the repository did not take the backup: {why}")));
        }
        let text = format!("the backup is not in the repository: {why}");
        warn!(backup_id = %id, "{text}");
        self.warnings.push(format!("warning: {text}; it is whole here, and is sent as soon as that works"));
        Ok(())
    }
}
