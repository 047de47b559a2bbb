//! A data directory about to be filled: looked at once more, and cleared of what lies in the way.

use std::sync::Arc;

use super::error::JobError;
use super::run::{Job, blocking};
use crate::binlog::archive::tell_of_restore;
use crate::disk::data_dir::{self, Inventory};
use crate::disk::places::{self, Awaited};
use crate::disk::{PlaceError, links};
use crate::plan::{Destination, Goal, INVENTORY, Restored, Step, Way};
use crate::records::failure::Reason;
use crate::repository::history;
use crate::server::probe;

impl Job {
    /// Before the data directory is filled: looks again whether the server is down and the directory empty, for a prepare may have
    /// taken hours. Gives the step as it is to be run.
    pub(super) async fn make_ready(&self, mut step: Step) -> Result<Step, JobError> {
        if !step.fills_data_dir() {
            return Ok(step);
        }
        let (config, executor) = (&self.config, self.world.executor.as_ref());
        let found = probe::not_stopped(executor, config, &config.data_dir).await;
        let found = found.map_err(|why| JobError::new(Reason::Server, format!("the server cannot be asked: {why}")))?;
        if let Some(why) = found {
            let text = format!("the server is not stopped any more: nothing was copied to its data directory ({why})");
            return Err(JobError::new(Reason::Server, text));
        }
        let dir = config.data_dir.clone();
        let is_staged = matches!(&self.plan.goal, Goal::Restore(restore) if restore.staging().is_some());
        if is_staged
            || blocking(move || data_dir::has_leftovers(&dir).map_err(|why| JobError::with_causes(&why))).await?
        {
            step.pipeline.first.args.push("--force-non-empty-directories".to_owned());
        }
        Ok(step)
    }

    /// Notes what of the data directory will be the restore's own, and sets aside what lies in its way.
    pub(super) async fn clear_way(&mut self, step: &Step) -> Result<(), JobError> {
        let Goal::Restore(Restored { tmp_dir, work, marks, destination, .. }) = self.plan.goal.clone() else {
            return Ok(());
        };
        let Destination::DataDir { dir: data_dir, outside, way } = destination else { return Ok(()) };
        if !step.fills_data_dir() {
            return Ok(());
        }
        let (tree, backup_dir, filled) = (work.clone(), self.config.backup_dir.clone(), data_dir.clone());
        // With the data, so that what undoes the one undoes the other.
        blocking(move || {
            history::lay(&tree, &marks)
                .map_err(|why| JobError::at_work(&why, format!("'{}' cannot be marked: {why}", tree.display())))?;
            // Whatever comes of it: a timeline too many loses nothing.
            tell_of_restore(&backup_dir, &filled).map_err(|why| JobError::with_causes(&why))
        })
        .await?;
        let (tree, own) = (work.clone(), tmp_dir.clone());
        let awaited = blocking(move || {
            let free = || -> Result<Awaited, PlaceError> {
                let links = links::prepared(&tree)?;
                places::check_free(&outside)?;
                links::check_free(&links)?;
                Awaited::of(&tree, &outside, &links)
            };
            let awaited = free().map_err(|why| JobError::with_causes(&why))?;
            if !awaited.is_empty() {
                awaited.write(&own).map_err(|why| {
                    JobError::at_work(&why, format!("'{}' cannot be written to: {why}", own.display()))
                })?;
            }
            Ok::<_, JobError>(awaited)
        });
        self.awaited = awaited.await?;
        if way != Way::Copy {
            let (disk, shutdown) = (Arc::clone(&self.disk), self.world.shutdown.clone());
            let inventory = blocking(move || {
                // What is moved has to be on the disk before: after a power cut a file is known by its size and time of writing.
                let synced = disk.sync_tree(&work, &shutdown);
                synced.map_err(|why| {
                    JobError::at_work(&why, format!("'{}' could not be synced to the disk: {why}", work.display()))
                })?;
                let inventory = Inventory::take(&work).map_err(|why| JobError::with_causes(&why))?;
                let path = tmp_dir.join(INVENTORY);
                inventory
                    .write(&path)
                    .map_err(|why| JobError::at_work(&why, format!("'{}' cannot be written: {why}", path.display())))?;
                Ok::<_, JobError>(inventory)
            });
            // Kept from here on, for a failure after this brings back what it finds set aside.
            self.inventory = Some(Arc::new(inventory.await?));
        }
        blocking(move || data_dir::set_aside(&data_dir).map_err(|why| JobError::with_causes(&why))).await
    }
}
