//! A job begun, so far that its client can be told: what it writes to is opened, its first row recorded, its directory made, its first
//! program started.
//!
//! What has been made for a request that comes to nothing goes again: before the row is there by [`NewDir`](crate::disk::NewDir), after that as after any failure.
//! Each look at a disk is one that may never answer; the client is told so in time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout_at;
use tracing::{Instrument, info_span};

use super::error::JobError;
use super::run::{Current, Job};
use crate::admit::{Admitted, on_disk};
use crate::config::Config;
use crate::disk::Disk;
use crate::disk::below::{self, Made};
use crate::model::{CommandId, Rejection};
use crate::plan::{Destination, Goal, Way};
use crate::records::failure::Reason;
use crate::world::World;

/// Why a job's directory is not there.
enum NotMade {
    Failed(io::Error),
    /// It may yet be.
    Late(JoinHandle<io::Result<Made>>),
}

impl Job {
    /// Records the first step, starts it, and goes on in the background. Gives the id under which the records are found.
    ///
    /// # Errors
    /// The records did not take the row by `until`, a disk did not answer by then, or the program could not be started; nothing is left of
    /// it then, or goes as soon as the disk answers.
    pub async fn begin(
        admitted: Admitted,
        world: &Arc<World>,
        config: &Arc<Config>,
        until: Instant,
    ) -> Result<CommandId, Rejection> {
        let Admitted { plan, claim, secrets, origin, made } = admitted;
        let written = plan.written(config).to_owned();
        let disk = {
            let written = written.clone();
            on_disk(&written.clone(), until, move || Disk::of(&written)).await?
        };
        let disk = disk.map_err(|why| Rejection::Broken(format!("'{}' cannot be opened: {why}", written.display())))?;
        let mut job = Self::new(plan, (claim, secrets, origin), disk, world, config);
        let span = info_span!("job", command_id = %job.command_id);
        let recorded = job.record(until).await;
        match (made, &recorded) {
            // From now on what is there is the job's, and the row tells the next start of it.
            (Some(made), Ok(_)) => made.keep(),
            (Some(made), Err(_)) => made.discard(until).await,
            (None, _) => {}
        }
        let mut current = recorded?;
        match job.make_directory(until).await {
            Ok(()) => {}
            Err(NotMade::Failed(why)) => {
                let (rejection, error) = job.not_made(&why);
                world.tasks.spawn(async move { job.fail(current, None, error).await }.instrument(span));
                return Err(rejection);
            }
            Err(NotMade::Late(making)) => {
                let reason = format!("'{}' does not answer: check its file system", written.display());
                let rejection = Rejection::Broken(reason.clone());
                let error = JobError::new(Reason::Other, reason);
                let late = async move {
                    job.keep_made(making.await.ok().and_then(Result::ok));
                    job.fail(current, None, error).await;
                };
                world.tasks.spawn(late.instrument(span));
                return Err(rejection);
            }
        }
        match job.start(&job.plan.first, &mut current) {
            Ok(running) => {
                let command_id = job.command_id;
                world.tasks.spawn(job.run(current, running).instrument(span));
                Ok(command_id)
            }
            Err(error) => {
                let rejection = Rejection::Broken(error.to_string());
                // The client need not wait until the records have taken it.
                world.tasks.spawn(async move { job.fail(current, None, error).await }.instrument(span));
                Err(rejection)
            }
        }
    }

    /// Writes the first row.
    async fn record(&self, until: Instant) -> Result<Current, Rejection> {
        if self.world.shutdown.is_cancelled() {
            return Err(Rejection::ShuttingDown);
        }
        let begun = self.begun(&self.plan.first, self.start);
        let recorded = self.world.records.begin(begun.clone(), until).await;
        let row = recorded.map_err(|why| {
            let config = self.world.config();
            let path = config.database_path.display();
            Rejection::Broken(format!("the records in '{path}' cannot be written: {}", crate::model::causes(&why)))
        })?;
        Ok(Current::new(row, begun, &self.plan.first, self.part(&self.plan.first, self.plan.rest.len())))
    }

    /// The directory that is made once the row is there, and below which: the folder of a backup, or the one in the data directory that has a
    /// restore's working copy.
    fn directory(&self) -> Option<(PathBuf, PathBuf)> {
        match &self.plan.goal {
            Goal::Backup(backup) => Some((self.config.backup_dir.clone(), backup.dir.clone())),
            Goal::Restore(restore) => match &restore.destination {
                Destination::DataDir { dir, way: Way::Rename { staging: Some(staging) }, .. } => {
                    Some((dir.clone(), staging.clone()))
                }
                Destination::DataDir { .. } | Destination::Folder => None,
            },
        }
    }

    /// Makes it: in one step with finding out that there is none, so that what is removed after a failure is never somebody else's. The tools
    /// take an empty one as they take none.
    async fn make_directory(&mut self, until: Instant) -> Result<(), NotMade> {
        let Some((root, dir)) = self.directory() else { return Ok(()) };
        let mut making = spawn_blocking(move || below::make(&root, &dir));
        match timeout_at(until.into(), &mut making).await {
            Ok(Ok(Ok(made))) => {
                self.keep_made(Some(made));
                Ok(())
            }
            Ok(Ok(Err(why))) => Err(NotMade::Failed(why)),
            Ok(Err(panicked)) => Err(NotMade::Failed(io::Error::other(panicked))),
            Err(_late) => Err(NotMade::Late(making)),
        }
    }

    /// Only the folder of a backup is held against what was made; what is in the data directory has a name of its own.
    fn keep_made(&mut self, made: Option<Made>) {
        self.made = made.filter(|_| matches!(self.plan.goal, Goal::Backup(_)));
    }

    /// What the client and the records are told of a directory that could not be made.
    fn not_made(&self, why: &io::Error) -> (Rejection, JobError) {
        match &self.plan.goal {
            Goal::Backup(backup) if why.kind() == io::ErrorKind::AlreadyExists => {
                let taken = Rejection::AlreadyExists(backup.id.clone());
                (taken.clone(), JobError::new(Reason::Other, taken.to_string()))
            }
            Goal::Backup(_) | Goal::Restore(_) => {
                let dir = self.directory().map(|(_, dir)| dir).unwrap_or_default();
                let reason = format!("'{}' cannot be created: {why}", dir.display());
                (Rejection::Broken(reason.clone()), JobError::at_work(why, reason))
            }
        }
    }
}
