//! The end of a job: its success made durable and recorded, or what it left taken away and its failure recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::run::{Current, Job, blocking};
use crate::command::Target;
use crate::disk;
use crate::disk::data_dir::{self, Strangers};
use crate::exec::Finished;
use crate::plan::End;
use crate::store::{StoreError, Success};
use crate::witness::manifest;

impl Job {
    /// All steps have proved themselves: makes what they left outlast a power cut, then says so.
    pub(super) async fn complete(self, current: Current, finished: Arc<Finished>) {
        let success = match self.make_durable().await {
            Ok(success) => success,
            Err(reason) => return self.fail(current, Some(finished), reason).await,
        };
        let ended = self.ended(&current, Some(&finished), None);
        match self.world.store.complete(ended, success).await {
            Ok(()) => self.log_end(None),
            // The daemon ends and the records are out of reach: the next start finds the row and decides.
            Err(StoreError::Closed) => self.log_end(Some("the records were closed before its success was written")),
            Err(why) => {
                let reason = format!("the records did not take its success: {}", crate::chain(&why));
                self.fail(current, Some(finished), reason).await;
            }
        }
    }

    async fn make_durable(&self) -> Result<Success, String> {
        match self.plan.end.clone() {
            End::Backup { id, base, schedule_id, dir } => {
                let size = blocking(move || {
                    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
                        .and_then(|()| manifest::write(&dir))
                        .and_then(|()| disk::sync_tree(&dir))
                        .map_err(|why| format!("'{}' could not be sealed and synced to the disk: {why}", dir.display()))
                })
                .await?;
                Ok(Success::Backup { id, from: base, schedule_id, size })
            }
            End::Restore { full, timestamp, target, tmp_dir, work, data_dir } => {
                let target_path = tmp_dir.display().to_string();
                blocking(move || match target {
                    Target::Folder => disk::sync_tree(&tmp_dir)
                        .map(|_size| ())
                        .map_err(|why| format!("'{}' could not be synced to the disk: {why}", tmp_dir.display())),
                    Target::Database => {
                        data_dir::check_filled(&data_dir, &work).map_err(|why| crate::chain(&why))?;
                        data_dir::forget_aside(&data_dir).map_err(|why| crate::chain(&why))?;
                        disk::sync_tree(&data_dir).map_err(|why| {
                            format!("'{}' could not be synced to the disk: {why}", data_dir.display())
                        })?;
                        // From here on the data directory is what it shall be: without the working copy nothing undoes it.
                        disk::remove(&tmp_dir)
                            .map_err(|why| format!("'{}' cannot be removed: {why}", tmp_dir.display()))
                    }
                })
                .await?;
                Ok(Success::Restore { full, timestamp, target, target_path, start: self.start })
            }
        }
    }

    /// Something went wrong: takes away what the job left, then says so. In this order: what dies between the two leaves a
    /// row that says `running`, and the next start takes away the rest.
    pub(super) async fn fail(self, current: Current, finished: Option<Arc<Finished>>, mut reason: String) {
        if let Err(why) = self.clean_up(&current).await {
            reason.push_str("; and what it left could not be taken away: ");
            reason.push_str(&why);
        }
        let ended = self.ended(&current, finished.as_deref(), Some(&reason));
        if let Err(why) = self.world.store.fail(ended).await {
            reason.push_str("; and the records did not take it: ");
            reason.push_str(&crate::chain(&why));
        }
        self.log_end(Some(&reason));
    }

    async fn clean_up(&self, current: &Current) -> Result<(), String> {
        let filling = current.fills_data_dir;
        let end = self.plan.end.clone();
        blocking(move || {
            let (undone, dir) = match &end {
                End::Backup { dir, .. } => (Ok(()), dir),
                End::Restore { tmp_dir, work, data_dir, .. } if filling && disk::is_directory(work) => {
                    (data_dir::undo(data_dir, work, Strangers::Spare).map_err(|why| crate::chain(&why)), tmp_dir)
                }
                End::Restore { tmp_dir, .. } => (Ok(()), tmp_dir),
            };
            let removed = disk::remove(dir).map_err(|why| format!("'{}' cannot be removed: {why}", dir.display()));
            undone.and(removed)
        })
        .await
    }
}
