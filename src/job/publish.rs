//! A backup that is whole here, sent to the repository before its success is said.

use tracing::warn;

use super::error::JobError;
use super::run::{Current, Job, blocking};
use crate::housekeeping::steps::{run, sending};
use crate::model::{BackupId, Stored};
use crate::plan::{Goal, NewBackup, Phase};
use crate::records::failure::Reason;
use crate::repository::stored;

impl Job {
    /// Sends a backup to the repository. If it stays here too, that the repository cannot be reached is no failure: it is sent later.
    pub(super) async fn publish(&mut self, current: &mut Current) -> Result<(), JobError> {
        let Goal::Backup(NewBackup { id, base, .. }) = &self.plan.goal else { return Ok(()) };
        let Some(repository) = &self.config.repository else { return Ok(()) };
        current.follow = Some(self.follow_at(current, Phase::Send));
        let step = sending(&self.config.backup_dir, id, &repository.remote);
        let Some(why) = run(&self.world, step, Some(self.command_id)).await else {
            let base = base.clone();
            if let Some(base) = self.only_here(base).await {
                let text = format!(
                    "its base '{base}' is not in the repository and no stream, so it is not sent: from there alone this backup cannot be \
                     restored, take a full one"
                );
                warn!(backup_id = %id, "{text}");
                self.warnings.push(format!("warning: {text}"));
            }
            return Ok(());
        };
        if !repository.keep_local && self.world.shutdown.is_cancelled() {
            let text = "the daemon was stopped before the repository had the backup";
            return Err(JobError::new(Reason::Interrupted, text));
        }
        if !repository.keep_local {
            return Err(JobError::new(Reason::Repository, format!("the repository did not take the backup: {why}")));
        }
        let text = format!("the backup is not in the repository: {why}");
        warn!(backup_id = %id, "{text}");
        self.warnings.push(format!("warning: {text}; it is whole here, and is sent as soon as that works"));
        Ok(())
    }

    /// The base, if it is of a kind that no repository gets.
    async fn only_here(&self, base: Option<BackupId>) -> Option<BackupId> {
        let (base, backup_dir) = (base?, self.config.backup_dir.clone());
        let look = move || {
            let found = stored::look(&backup_dir, &base);
            Ok::<_, JobError>(matches!(found, Ok(Some(Stored::Directory(_) | Stored::Forwarded(_)))).then_some(base))
        };
        blocking(look).await.ok().flatten()
    }
}
