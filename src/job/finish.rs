//! The end of a job: its success made durable and recorded, or what it left taken away and its failure recorded.

use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::JobError;
use super::run::{Current, Failure, Job, blocking};
use crate::disk::below::{self, Identity, Made};
use crate::disk::data_dir::{self, Strangers};
use crate::disk::{self, own};
use crate::exec::{Finished, Outcome};
use crate::model::causes;
use crate::plan::{Destination, Goal, INVENTORY, NewBackup, Restored, Way};
use crate::records::failure::Reason;
use crate::records::{RecordsError, Success};
use crate::repository::history;
use crate::server::probe;
use crate::witness::manifest;

/// What may be so on a replica after a backup that did not end well, where the tool was told `--safe-slave-backup`.
pub(super) const REPLICA_STOPPED: &str = "--safe-slave-backup stops a replica's SQL thread, and the tool has ended without starting it again, \
    it may be: look at SHOW SLAVE STATUS, and START SLAVE SQL_THREAD";

impl Job {
    /// All steps have proved themselves: makes what they left outlast a power cut, then says so.
    pub(super) async fn complete(mut self, mut current: Current, finished: Arc<Finished>) {
        current.follow = Some(self.follow_sealing(&current));
        self.warnings = mem::take(&mut self.warned);
        let success = match self.describe(&finished).await {
            Ok(()) => self.make_durable().await,
            Err(error) => Err(error),
        };
        let success = match success {
            Ok(success) => self.publish(&mut current).await.map(|()| success),
            Err(error) => Err(error),
        };
        let success = match success {
            Ok(success) => success,
            Err(error) => return self.fail(current, Some(finished), error).await,
        };
        let ended = self.ended(&current, Some(&finished), None);
        self.claim.close();
        match self.world.records.complete(ended, success).await {
            Ok(()) => {
                self.log_end(None);
                self.leave();
            }
            // The daemon ends and the records are out of reach: the next start finds the row and decides.
            Err(RecordsError::Closed) => self.log_end(Some("the records were closed before its success was written")),
            Err(why) => {
                let text = format!("the records could not store its success: {}", causes(&why));
                self.fail(current, Some(finished), JobError::new(Reason::Records, text)).await;
            }
        }
    }

    async fn make_durable(&mut self) -> Result<Success, JobError> {
        match self.plan.goal.clone() {
            Goal::Backup(backup) => self.seal(backup).await,
            Goal::Restore(restore) => {
                match restore.destination.clone() {
                    Destination::Folder => self.keep_folder(&restore).await?,
                    Destination::DataDir { dir, way, .. } => self.keep_data_dir(&restore, dir, way).await?,
                }
                Ok(Success::Restore {
                    target: restore.target(),
                    target_path: restore.tmp_dir.display().to_string(),
                    full: restore.full,
                    timestamp: restore.timestamp,
                    start: self.start,
                })
            }
        }
    }

    /// Seals a backup: all of it is synced to the disk, and only then has it its manifest.
    async fn seal(
        &mut self,
        NewBackup { id, base, schedule_id, dir, is_stream, .. }: NewBackup,
    ) -> Result<Success, JobError> {
        let (stop, root) = (self.world.shutdown.clone(), self.config.backup_dir.clone());
        let made = self.made.as_ref().map(Made::identity);
        let (disk, hashed) = (Arc::clone(&self.disk), mem::take(&mut self.hashed));
        let size = blocking(move || {
            check_identity(&root, &dir, made).map_err(|text| JobError::new(Reason::Other, text))?;
            let seal = |dir: &Path, stop: &CancellationToken| {
                if is_stream { manifest::draft_of_stream(dir, stop) } else { manifest::draft(dir, &hashed, stop) }
            };
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))
                .and_then(|()| own::unshare(&dir, &stop))
                .and_then(|_shared| disk.while_syncing(&dir, || seal(&dir, &stop)))
                .and_then(|()| disk.sync_tree(&dir, &stop))
                .and_then(|size| manifest::put(&dir).map(|before| size.saturating_sub(before)))
                .map_err(|why| {
                    let text = format!("'{}' could not be sealed and synced to the disk: {why}", dir.display());
                    JobError::at_work(&why, text)
                })
        })
        .await?;
        Ok(Success::Backup { id, from: base, schedule_id, size })
    }

    /// Marks and syncs a folder that stays as it is: whoever starts a server on it may do so beside the live one.
    async fn keep_folder(&self, restore: &Restored) -> Result<(), JobError> {
        let (stop, root, disk) = (self.world.shutdown.clone(), self.config.backup_dir.clone(), Arc::clone(&self.disk));
        let Restored { work, tmp_dir, marks, .. } = restore.clone();
        blocking(move || {
            below::close(&root, &work)
                .map_err(|why| JobError::at_work(&why, format!("'{}' may lead elsewhere: {why}", work.display())))?;
            history::lay(&work, &marks).and_then(|()| disk.sync_tree(&tmp_dir, &stop)).map(|_size| ()).map_err(|why| {
                JobError::at_work(&why, format!("'{}' could not be synced to the disk: {why}", tmp_dir.display()))
            })
        })
        .await
    }

    /// Sees that the data directory is whole, syncs it, and takes away what only a failure needs.
    async fn keep_data_dir(&self, restore: &Restored, data_dir: PathBuf, way: Way) -> Result<(), JobError> {
        let (stop, root, disk) = (self.world.shutdown.clone(), self.config.backup_dir.clone(), Arc::clone(&self.disk));
        let (inventory, awaited) = (self.inventory.clone(), self.awaited.clone());
        let Restored { work, tmp_dir, .. } = restore.clone();
        blocking(move || {
            let elsewhere = awaited.elsewhere();
            awaited.check_and_sync().map_err(|why| JobError::disproved(&why, causes(&why)))?;
            match inventory {
                Some(moved) => {
                    moved.check_arrived(&data_dir, &elsewhere).and_then(|()| moved.sync(&disk, &data_dir, &stop))
                }
                None => data_dir::check_filled(&data_dir, &work, &elsewhere)
                    .and_then(|()| data_dir::sync(&disk, &data_dir, &work, &stop)),
            }
            .map_err(|why| JobError::disproved(&why, causes(&why)))?;
            // From here on the data directory is what it shall be: without the working copy, or the inventory,
            // nothing undoes it, neither a failure nor the next start. What was set aside is not needed any more.
            let cannot = |text| JobError::new(Reason::Other, text);
            remove(&root, &tmp_dir).map_err(cannot)?;
            if let Way::Rename { staging: Some(staging) } = way {
                remove(&data_dir, &staging).map_err(cannot)?;
            }
            data_dir::forget_aside(&data_dir).map_err(|why| JobError::with_causes(&why))
        })
        .await
    }

    /// Something went wrong: takes away what the job left, then says so. In this order: what dies between the two leaves a
    /// row that says `running`, and the next start takes away the rest. Only a working copy whose data directory could not be
    /// undone stays until that is recorded, since it is what shows that there is something to undo.
    pub(super) async fn fail(mut self, current: Current, finished: Option<Arc<Finished>>, error: JobError) {
        if let Some(early) = self.early.take() {
            early.end().await;
        }
        // A tool that was never started has stopped nothing, and one that ended well has started it again.
        let is_broken_off = finished.as_ref().is_some_and(|finished| finished.outcome() != Outcome::Exited(0));
        let may_be_stopped = if is_broken_off && matches!(self.plan.goal, Goal::Backup(_)) {
            let config = Arc::clone(&self.config);
            blocking(move || Ok::<_, JobError>(config.stops_replication())).await == Ok(true)
        } else {
            false
        };
        let undone = self.undo(&current).await;
        let early = if undone.is_ok() { self.remove().await } else { Ok(()) };
        let aftermath = undone.clone().and(early).err();
        let aftermath = aftermath.map(|why| format!("what it left could not be removed: {why}"));
        let aftermath = aftermath.into_iter().chain(may_be_stopped.then(|| REPLICA_STOPPED.to_owned()));
        let aftermath = Some(aftermath.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty());
        let failure = Failure { reason: error.text(), aftermath: aftermath.as_deref() };
        let ended = self.ended(&current, finished.as_deref(), Some(failure));
        let said = ended.error.as_deref().unwrap_or_default();
        let told = finished.as_deref().map(Finished::stderr).unwrap_or_default();
        let class = error.class(ended.return_code, said, &told);
        // After the next start this row is counted by its words.
        debug_assert_eq!(class, Reason::of(ended.return_code, said), "{error}: {said}");
        self.world.jobs.failed(ended.begun.kind, class);
        if undone.is_ok() {
            self.claim.close();
        }
        let recorded = self.world.records.fail(ended).await.map_err(|why| causes(&why)).err();
        let late = if undone.is_err() { self.remove().await.err() } else { None };
        let said: Vec<String> =
            [Some(error.text().to_owned()), aftermath, recorded, late].into_iter().flatten().collect();
        self.log_end(Some(&said.join("; ")));
        self.leave();
    }

    /// Gives back what it has, and lets the repository be brought in step with what is recorded now.
    fn leave(self) {
        let world = Arc::clone(&self.world);
        drop(self);
        world.reconcile.notify_one();
    }

    /// Makes the data directory what it was, if the failed step was filling it.
    async fn undo(&self, current: &Current) -> Result<(), String> {
        let Goal::Restore(Restored { tmp_dir, work, destination: Destination::DataDir { dir, way, .. }, .. }) =
            self.plan.goal.clone()
        else {
            return Ok(());
        };
        if !current.fills_data_dir {
            return Ok(());
        }
        let (inventory, awaited, is_renamed) = (self.inventory.clone(), self.awaited.clone(), way != Way::Copy);
        // A server that was started meanwhile has its files under the names of the restore's.
        let stopped = probe::in_use(self.world.executor.as_ref(), &self.config, &dir).await;
        let may_run = stopped.unwrap_or_else(|why| Some(why.to_string()));
        blocking(move || {
            // Of a restore that is complete nothing is undone: without the working copy, or the inventory, it is, whatever failed after that.
            let is_complete = if is_renamed { !tmp_dir.join(INVENTORY).exists() } else { !disk::is_directory(&work) };
            if is_complete {
                return Ok(());
            }
            if let Some(why) = may_run {
                let dir = dir.display();
                return Err(format!(
                    "'{dir}' was left as it is: it may be half filled, but its server may still run ({why})"
                ));
            }
            let outside = awaited.undo().map_err(|why| causes(&why));
            let undone = match inventory {
                Some(moved) => moved.undo(&dir, Strangers::Spare),
                None if is_renamed => Ok(()),
                None => data_dir::undo(&dir, &work, Strangers::Spare),
            };
            match (undone.map_err(|why| causes(&why)), outside) {
                (Err(within), Err(outside)) => Err(format!("{within}; {outside}")),
                (within, outside) => within.and(outside),
            }
        })
        .await
    }

    /// Removes what was made for this job; nothing, if it was somebody else's.
    async fn remove(&self) -> Result<(), String> {
        let root = self.config.backup_dir.clone();
        match self.plan.goal.clone() {
            Goal::Backup(_) if self.made.is_none() => Ok(()),
            Goal::Backup(NewBackup { dir, .. }) => {
                let made = self.made.as_ref().map(Made::identity);
                blocking(move || {
                    let found = below::identity(&root, &dir);
                    if found.map_err(|why| cannot_remove(&dir, &why))?.is_some() {
                        check_identity(&root, &dir, made)?;
                    }
                    remove(&root, &dir)
                })
                .await
            }
            Goal::Restore(restore) => {
                blocking(move || {
                    let rest = match &restore.destination {
                        Destination::DataDir { dir, way: Way::Rename { staging: Some(staging) }, .. } => {
                            remove(dir, staging)
                        }
                        Destination::DataDir { .. } | Destination::Folder => Ok(()),
                    };
                    remove(&root, &restore.tmp_dir).and(rest)
                })
                .await
            }
        }
    }
}

fn remove(root: &Path, dir: &Path) -> Result<(), String> {
    below::remove(root, dir).map_err(|why| cannot_remove(dir, &why))
}

fn cannot_remove(dir: &Path, why: &io::Error) -> String {
    format!("'{}' cannot be removed: {why}", dir.display())
}

/// Makes sure that the directory of this name is the one that was made for the job: another user of the backup directory's group may
/// have put a backup, or a symlink, in its place.
fn check_identity(root: &Path, dir: &Path, made: Option<Identity>) -> Result<(), String> {
    match below::identity(root, dir) {
        Ok(found) if found == made => Ok(()),
        Ok(_) => {
            Err(format!("'{}' is not the directory that was made for this backup: it was left alone", dir.display()))
        }
        Err(why) => Err(format!("'{}' cannot be examined: {why}", dir.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{below, check_identity};

    #[test]
    fn the_directory_that_was_made_is_known_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("full-1");
        let held = below::make(root.path(), &dir).unwrap();
        let made = Some(held.identity());
        let said =
            || check_identity(root.path(), &dir, made).map_err(|why| why.replace(root.path().to_str().unwrap(), "~"));
        assert_eq!(said(), Ok(()));
        fs::rename(&dir, root.path().join("moved")).unwrap();
        fs::create_dir(&dir).unwrap();
        let other = "'~/full-1' is not the directory that was made for this backup: it was left alone";
        assert_eq!(said(), Err(other.to_owned()));
        fs::remove_dir_all(root.path()).unwrap();
        assert!(said().unwrap_err().starts_with("'~/full-1' cannot be examined: "));
    }
}
