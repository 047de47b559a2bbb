//! A plan's steps, in order, until the last or the first failure.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{Instrument, error, info, info_span, warn};

use crate::command::admit::Admitted;
use crate::command::{CommandId, Rejection, Target};
use crate::config::Config;
use crate::config::credentials::Secrets;
use crate::disk::Disk;
use crate::disk::ahead::WritingAhead;
use crate::disk::below::{self, Made};
use crate::disk::data_dir::Inventory;
use crate::disk::places::Awaited;
use crate::exec::{Finished, Heard, Outcome, Running, Terms, Watch};
use crate::plan::{End, Plan, Proof, Step};
use crate::repository::Origin;
use crate::store::process::{Begun, Ended, Kind};
use crate::store::time::Moment;
use crate::witness::ahead::{Hashed, HashingAhead};
use crate::witness::live::Live;
use crate::witness::{self, Checkpoints, told};
use crate::world::World;

use super::Claim;
use super::board::Seat;
use super::follow::Follow;
use super::progress::{Part, Phase};

/// How long a tool that was told to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// One request's work under way.
pub struct Job {
    pub(super) command_id: CommandId,
    pub(super) plan: Plan,
    pub(super) world: Arc<World>,
    pub(super) config: Arc<Config>,
    pub(super) secrets: Secrets,
    /// Given back when the job is over, with its records written.
    pub(super) claim: Claim,
    /// Where it says what it is at.
    pub(super) seat: Seat,
    /// The directory of a backup, once it is made.
    pub(super) made: Option<Made>,
    /// Where what it leaves is written.
    pub(super) disk: Arc<Disk>,
    /// The checkpoints of what was copied last.
    copied: Option<Checkpoints>,
    /// What is known of a backup's files before it is sealed.
    pub(super) hashed: Hashed,
    /// What a backup is taken of.
    pub(super) origin: Origin,
    /// What is moved to the data directory, once that is about to begin.
    pub(super) inventory: Option<Arc<Inventory>>,
    /// What comes outside the data directory, once it is about to be filled.
    pub(super) awaited: Awaited,
    pub(super) start: Moment,
    pub(super) begun_at: Instant,
    /// What the backup is held against in the end.
    live: Live,
}

/// A step that has a row.
pub(super) struct Current {
    pub(super) row: i64,
    begun: Begun,
    pid: u32,
    /// Which step it is.
    pub(super) part: Part,
    /// What its program says while it runs.
    pub(super) heard: Heard,
    /// Tells how far it is, for as long as it is there.
    pub(super) follow: Option<Follow>,
    /// Whether it writes into the data directory, so that its failure has to be undone there.
    pub(super) fills_data_dir: bool,
}

/// Why a step is a failure.
#[derive(Clone, Copy)]
pub(super) struct Failure<'a> {
    pub(super) reason: &'a str,
    /// What is still there that should not be.
    pub(super) aftermath: Option<&'a str>,
}

impl Current {
    fn new(row: i64, begun: Begun, step: &Step, part: Part) -> Self {
        let fills_data_dir = step.proof == Proof::Filled;
        Self { row, begun, pid: 0, part, heard: Heard::default(), follow: None, fills_data_dir }
    }
}

impl Job {
    /// Records the first step, starts it, and goes on in the background. Gives the id under which the records are found.
    ///
    /// # Errors
    /// The records did not take the row by `until`, or the program could not be started; nothing is left of it then.
    pub async fn begin(
        admitted: Admitted,
        world: &Arc<World>,
        config: &Arc<Config>,
        until: Instant,
    ) -> Result<CommandId, Rejection> {
        let Admitted { plan, claim, secrets, origin } = admitted;
        let command_id = CommandId::random();
        let written = match &plan.end {
            End::Restore { target: Target::Database, data_dir, .. } => data_dir,
            End::Restore { .. } | End::Backup { .. } => &config.backup_dir,
        };
        let disk = Disk::of(written);
        let disk = disk.map_err(|why| Rejection::Broken(format!("'{}' cannot be opened: {why}", written.display())));
        let disk = Arc::new(disk?);
        let (kind, id) = match &plan.end {
            End::Backup { id, .. } => (Kind::Backup, id),
            End::Restore { full, .. } => (Kind::Restore, full),
        };
        let seat = world.board.enter(kind, id);
        let mut job = Self {
            command_id,
            plan,
            world: Arc::clone(world),
            config: Arc::clone(config),
            secrets,
            claim,
            seat,
            made: None,
            disk,
            copied: None,
            hashed: Hashed::default(),
            origin,
            inventory: None,
            awaited: Awaited::default(),
            start: Moment::now(),
            begun_at: Instant::now(),
            live: Live::begin(&config.data_dir),
        };
        let span = info_span!("job", command_id = %command_id);
        if world.shutdown.is_cancelled() {
            job.forget_directory();
            return Err(Rejection::ShuttingDown);
        }
        let begun = job.begun(&job.plan.first, job.start);
        let row = match world.store.begin(begun.clone(), until).await {
            Ok(row) => row,
            Err(why) => {
                let why = Rejection::Broken(format!("the records cannot be written: {}", crate::chain(&why)));
                job.forget_directory();
                return Err(why);
            }
        };
        let mut current = Current::new(row, begun, &job.plan.first, job.part(&job.plan.first, job.plan.rest.len()));
        if let Err(why) = job.make_directory() {
            let (rejection, reason) = match &job.plan.end {
                End::Backup { id, .. } if why.kind() == io::ErrorKind::AlreadyExists => {
                    let taken = Rejection::AlreadyExists(id.clone());
                    (taken.clone(), taken.to_string())
                }
                End::Backup { dir, .. }
                | End::Restore { room: Some(dir), .. }
                | End::Restore { room: None, tmp_dir: dir, .. } => {
                    let reason = format!("'{}' cannot be made: {why}", dir.display());
                    (Rejection::Broken(reason.clone()), reason)
                }
            };
            world.tasks.spawn(async move { job.fail(current, None, reason).await }.instrument(span));
            return Err(rejection);
        }
        match job.start(&job.plan.first, &mut current) {
            Ok(running) => {
                world.tasks.spawn(job.run(current, running).instrument(span));
                Ok(command_id)
            }
            Err(reason) => {
                let rejection = Rejection::Broken(reason.clone());
                // The client need not wait until the records have taken it.
                world.tasks.spawn(async move { job.fail(current, None, reason).await }.instrument(span));
                Err(rejection)
            }
        }
    }

    /// Makes the room in the data directory for a restore; or the folder of a backup: in one step with finding out that there is none, so that what is removed after a failure
    /// is never somebody else's. The tools take an empty one as they take none.
    fn make_directory(&mut self) -> io::Result<()> {
        match &self.plan.end {
            End::Backup { dir, .. } => self.made = Some(below::make(&self.config.backup_dir, dir)?),
            // Only now: its row tells the next start that it may be there.
            End::Restore { room: Some(room), data_dir, .. } => {
                below::make(data_dir, room)?;
            }
            End::Restore { room: None, .. } => {}
        }
        Ok(())
    }

    /// Nothing has run and nothing is recorded; only the directory of a restore is there, and empty.
    fn forget_directory(&self) {
        if let End::Restore { tmp_dir, .. } = &self.plan.end {
            let _left_for_the_next_start = fs::remove_dir(tmp_dir);
        }
    }

    async fn run(mut self, mut current: Current, mut running: Running) {
        let mut step = self.plan.first.clone();
        let mut rest = self.plan.rest.clone().into_iter();
        loop {
            let writing = self.written_ahead(&step).map(WritingAhead::begin);
            let hashing = step.sealed_later().map(|dir| HashingAhead::begin(dir.to_owned(), &self.world.shutdown));
            let finished = running.finished().await;
            current.follow = None;
            if let Some(writing) = writing {
                writing.end().await;
            }
            if let Err(reason) = self.check(&step, &finished).await {
                // Nobody waits for the hashes of what is no backup.
                drop(hashing);
                return self.fail(current, Some(finished), reason).await;
            }
            if let Some(hashing) = hashing {
                self.hashed = hashing.end().await;
            }
            let Some(next) = rest.next() else {
                return self.complete(current, finished).await;
            };
            // A step that cannot be made ready has its row like any other, and that row says why.
            let (next, ready) = match self.make_ready(next.clone()).await {
                Ok(next) => (next, Ok(())),
                Err(reason) => (next, Err(reason)),
            };
            let begun = self.begun(&next, Moment::now());
            let ended = self.ended(&current, Some(&finished), None);
            let row = match self.world.store.advance(ended, begun.clone()).await {
                Ok(row) => row,
                Err(why) => {
                    let reason = format!("the records cannot be written: {}", crate::chain(&why));
                    return self.fail(current, Some(finished), reason).await;
                }
            };
            current = Current::new(row, begun, &next, self.part(&next, rest.len()));
            // The way is cleared only now that the row is there: it tells the next start that something was set aside.
            let ready = match ready {
                Ok(()) => self.clear_way(&next).await,
                Err(reason) => Err(reason),
            };
            running = match ready.and_then(|()| self.start(&next, &mut current)) {
                Ok(running) => running,
                Err(reason) => return self.fail(current, None, reason).await,
            };
            step = next;
        }
    }

    /// Where a step writes what will stay. A stream is written ahead by the step that stores it.
    fn written_ahead(&self, step: &Step) -> Option<PathBuf> {
        match (&step.proof, &self.plan.end) {
            (Proof::Backup { dir, stream: None, .. }, _) => Some(dir.clone()),
            (Proof::Copied { copy, .. }, End::Restore { work, target, moves, .. }) => {
                (copy == work && (*moves || *target == Target::Folder)).then(|| work.clone())
            }
            (Proof::Filled, End::Restore { data_dir, moves: false, .. }) => Some(data_dir.clone()),
            _ => None,
        }
    }

    /// Starts a step whose row is written.
    fn start(&self, step: &Step, current: &mut Current) -> Result<Running, String> {
        if self.world.shutdown.is_cancelled() {
            return Err("the daemon was stopped before it could be started".to_owned());
        }
        let watch = match step.proof {
            Proof::Prepared { .. } => self.config.flavour.tool().redo_end.map(Watch::Text),
            Proof::Backup { .. } => Some(Watch::Part(told::told)),
            Proof::Copied { .. } | Proof::Filled => None,
        };
        let (cancel, heard) = (self.world.shutdown.clone(), Some(current.heard.clone()));
        let terms = Terms { command_id: Some(self.command_id), cancel, grace: GRACE, watch, heard, select: None };
        let running = self.world.executor.start(&step.pipeline, terms).map_err(|why| why.to_string())?;
        current.pid = running.pid;
        self.world.store.started(current.row, self.command_id.to_string(), running.pid);
        info!(pid = running.pid, command = %step.pipeline, "started");
        current.follow = Some(self.follow(step, current));
        Ok(running)
    }

    /// Which step it is, behind which come so many.
    fn part(&self, step: &Step, left: usize) -> Part {
        let of = self.plan.rest.len() + 1;
        Part { number: of - left, of, phase: Phase::of(step, &self.plan) }
    }

    /// Holds what a step left against what it had to prove, and takes away what only it needed.
    async fn check(&mut self, step: &Step, finished: &Arc<Finished>) -> Result<(), String> {
        let (proof, finished, tool) = (step.proof.clone(), Arc::clone(finished), self.config.flavour.tool());
        let (copied, place) = (self.copied.take(), self.plan.place(&self.config).to_owned());
        let live = self.live.clone();
        self.copied = blocking(move || {
            let copied = witness::verify(&proof, &finished, copied.as_ref(), tool);
            let copied = copied.map_err(|doubt| crate::chain(&doubt))?;
            if let Proof::Backup { dir, stream, .. } = &proof {
                let bare = witness::whole_tables(dir, stream.as_deref(), &finished, &live);
                let bare = bare.map_err(|doubt| crate::chain(&doubt))?;
                for table in &bare {
                    warn!("{table}: it was like that on the server, and is in the backup");
                }
                told::note_bare(dir, &bare).map_err(|why| format!("'{}' cannot be written: {why}", dir.display()))?;
            }
            if let Proof::Prepared { applied: Some(copy), .. } = &proof {
                below::remove(&place, copy).map_err(|why| format!("'{}' cannot be removed: {why}", copy.display()))?;
            }
            Ok(copied)
        })
        .await?;
        Ok(())
    }

    pub(super) fn begun(&self, step: &Step, start: Moment) -> Begun {
        Begun {
            command: step.pipeline.to_string(),
            command_id: self.command_id.to_string(),
            kind: match self.plan.end {
                End::Backup { .. } => Kind::Backup,
                End::Restore { .. } => Kind::Restore,
            },
            args: self.plan.args.clone(),
            start,
        }
    }

    /// What the records are told of a step that is over.
    pub(super) fn ended(&self, current: &Current, finished: Option<&Finished>, failure: Option<Failure<'_>>) -> Ended {
        let clean = |text: &str| super::scrub::scrub(text, &self.secrets);
        let (stdout, stderr) =
            finished.map(|finished| (clean(&finished.stdout.text), clean(&finished.stderr()))).unwrap_or_default();
        let (output, error) = match failure {
            None => (join(&[&stdout, &stderr]), None),
            Some(Failure { reason, aftermath }) => {
                // What the tool says of its own failure is the reason; else it is ours, and its words come after it.
                let own = finished.is_some_and(|finished| matches!(finished.outcome(), Outcome::Exited(1..)));
                let reason = if own && !stderr.is_empty() { String::new() } else { clean(reason) };
                (join(&[&stdout]), join(&[&reason, &stderr, aftermath.unwrap_or_default()]))
            }
        };
        Ended {
            row: current.row,
            begun: current.begun.clone(),
            pid: i64::from(current.pid),
            return_code: finished.map_or(-1, |finished| finished.outcome().return_code()),
            output,
            error,
            end: Moment::now(),
        }
    }

    /// Says in the log how it went, for those who do not read the records.
    pub(super) fn log_end(&self, failure: Option<&str>) {
        let seconds = self.begun_at.elapsed().as_secs_f64();
        let (what, id) = match &self.plan.end {
            End::Backup { id, .. } => ("backup", id),
            End::Restore { full, .. } => ("restore", full),
        };
        match failure {
            None => info!(backup_id = %id, seconds, "{what} succeeded"),
            Some(reason) => error!(backup_id = %id, seconds, reason, "{what} failed"),
        }
    }
}

/// The texts that are not empty, a line break between them; nothing is none.
fn join(texts: &[&str]) -> Option<String> {
    let texts: Vec<_> = texts.iter().map(|text| text.trim_end_matches('\n')).filter(|text| !text.is_empty()).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// Does what blocks on the disk where it blocks nobody else.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|why| Err(format!("an internal error: {why}")))
}
