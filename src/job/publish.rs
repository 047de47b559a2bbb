//! A backup that is whole here, sent to the repository before its success is said.

use tracing::warn;

use super::error::JobError;
use super::run::{Current, Job};
use crate::housekeeping::steps::{run, sending};
use crate::plan::{Goal, NewBackup, Phase};
use crate::records::failure::Reason;

impl Job {
    /// Sends a backup to the repository. If it stays here too, that the repository cannot be reached is no failure: it is sent later.
    pub(super) async fn publish(&mut self, current: &mut Current) -> Result<(), JobError> {
        let Goal::Backup(NewBackup { id, .. }) = &self.plan.goal else { return Ok(()) };
        let Some(repository) = &self.config.repository else { return Ok(()) };
        current.follow = Some(self.follow_at(current, Phase::Send));
        let step = sending(&self.config.backup_dir, id, &repository.remote);
        let Some(why) = run(&self.world, step, Some(self.command_id)).await else { return Ok(()) };
        if !repository.keep_local {
            return Err(JobError::new(Reason::Repository, format!("the repository did not take the backup: {why}")));
        }
        let text = format!("the backup is not in the repository: {why}");
        warn!(backup_id = %id, "{text}");
        self.warnings.push(format!("warning: {text}; it is whole here, and is sent as soon as that works"));
        Ok(())
    }
}
