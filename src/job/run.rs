//! A plan's steps, in order, until the last or the first failure.

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::config::credentials::Secrets;
use crate::disk::Disk;
use crate::disk::below::Made;
use crate::disk::data_dir::Inventory;
use crate::disk::places::Awaited;
use crate::disk::writeback::WritingAhead;
use crate::exec::{Finished, LastLine, NotStarted, Outcome, Running, Terms};
use crate::model::{CommandId, Moment, Packed};
use crate::plan::{Phase, Plan, Progress, Step};
use crate::records::failure::Reason;
use crate::records::process::{Begun, Ended};
use crate::repository::Origin;
use crate::witness::early_hashes::HashingAhead;
use crate::witness::findings::WARNING;
use crate::witness::hashed::Hashed;
use crate::witness::live::Live;
use crate::witness::{self, Checkpoints, Doubt, Proof, findings, hints};
use crate::world::{Claim, JobStatus, World};

use super::applied;
use super::early::Early;
use super::error::JobError;
use super::follow::{Follow, Following};
use super::progress::Part;

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
    pub(super) status: JobStatus,
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
    /// What its success is told with, a line each.
    pub(super) warnings: Vec<String>,
    /// What its steps have warned of so far, a line each.
    pub(super) warned: Vec<String>,
    /// The next step, where it runs already.
    pub(super) early: Option<Early>,
}

/// A step that has a row.
pub(super) struct Current {
    pub(super) row: i64,
    begun: Begun,
    pid: u32,
    /// Which step it is.
    pub(super) part: Part,
    /// What its program says while it runs.
    pub(super) last_line: LastLine,
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
    pub(super) fn new(row: i64, begun: Begun, step: &Step, part: Part) -> Self {
        Self {
            row,
            begun,
            pid: 0,
            part,
            last_line: LastLine::default(),
            follow: None,
            fills_data_dir: step.fills_data_dir(),
        }
    }
}

impl Job {
    /// A job of which nothing has happened yet.
    pub(super) fn new(
        plan: Plan,
        (claim, secrets, origin): (Claim, Secrets, Origin),
        disk: Disk,
        world: &Arc<World>,
        config: &Arc<Config>,
    ) -> Self {
        let status = world.jobs.enter(plan.kind(), plan.subject());
        Self {
            command_id: CommandId::random(),
            plan,
            world: Arc::clone(world),
            config: Arc::clone(config),
            secrets,
            claim,
            status,
            made: None,
            disk: Arc::new(disk),
            copied: None,
            hashed: Hashed::default(),
            origin,
            inventory: None,
            awaited: Awaited::default(),
            start: Moment::now(),
            begun_at: Instant::now(),
            live: Live::begin(&config.data_dir),
            warnings: Vec::new(),
            warned: Vec::new(),
            early: None,
        }
    }

    pub(super) async fn run(mut self, mut current: Current, mut running: Running) {
        let mut step = self.plan.first.clone();
        let mut rest = self.plan.rest.clone().into_iter();
        loop {
            let writing = step.stays.clone().map(WritingAhead::begin);
            let hashing =
                step.sealed_later().map(|dir| HashingAhead::begin(dir.to_owned(), running.pid, &self.world.shutdown));
            self.early = rest.as_slice().first().and_then(|next| self.begin_early(next));
            let finished = running.finished().await;
            current.follow = None;
            if let Some(writing) = writing {
                writing.end().await;
            }
            self.hear(&step, &finished);
            if let Err(error) = self.check(&step, &finished).await {
                // Nobody waits for the hashes of what is no backup.
                drop(hashing);
                return self.fail(current, Some(finished), error).await;
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
                Err(error) => (next, Err(error)),
            };
            let begun = self.begun(&next, self.early.as_ref().map_or_else(Moment::now, Early::start));
            let ended = self.ended(&current, Some(&finished), None);
            let row = match self.world.records.advance(ended, begun.clone()).await {
                Ok(row) => row,
                Err(why) => {
                    let text = format!("the records cannot be written: {}", crate::model::causes(&why));
                    return self.fail(current, Some(finished), JobError::new(Reason::Records, text)).await;
                }
            };
            current = Current::new(row, begun, &next, self.part(&next, rest.len()));
            // The way is cleared only now that the row is there: it tells the next start that something was set aside.
            let ready = match ready {
                Ok(()) => self.clear_way(&next).await,
                Err(error) => {
                    // What is there by now is somebody else's.
                    current.fills_data_dir = false;
                    Err(error)
                }
            };
            let started = match ready {
                Ok(()) => match self.early.take() {
                    Some(early) => Ok(self.go_on_with(early, &next, &mut current)),
                    None => self.start(&next, &mut current),
                },
                Err(error) => Err(error),
            };
            running = match started {
                Ok(running) => running,
                Err(error) => return self.fail(current, None, error).await,
            };
            step = next;
        }
    }

    /// Starts a step whose row is written.
    pub(super) fn start(&self, step: &Step, current: &mut Current) -> Result<Running, JobError> {
        if self.world.shutdown.is_cancelled() {
            return Err(JobError::new(Reason::Interrupted, "the daemon was stopped before this step began"));
        }
        let started = self.launch(step, self.world.shutdown.clone(), current.last_line.clone());
        let running = started.map_err(|why| JobError::new(Reason::Tool, why.to_string()))?;
        info!(pid = running.pid, command = %step.pipeline, "started");
        self.started(step, running.pid, current);
        Ok(running)
    }

    /// Starts a step's programs.
    pub(super) fn launch(
        &self,
        step: &Step,
        cancel: CancellationToken,
        last_line: LastLine,
    ) -> Result<Running, NotStarted> {
        let (watch, last_line) = (step.proof.watch(self.config.flavour.tool()), Some(last_line));
        let terms = Terms { command_id: Some(self.command_id), cancel, grace: GRACE, watch, last_line, select: None };
        self.world.executor.start(&step.pipeline, terms)
    }

    /// Tells the row that its step runs, and follows it.
    pub(super) fn started(&self, step: &Step, pid: u32, current: &mut Current) {
        current.pid = pid;
        self.world.records.started(current.row, self.command_id.to_string(), pid);
        current.follow = Some(Follow::begin(self.following(current), step.progress.clone()));
    }

    /// Which step it is, behind which come so many.
    pub(super) fn part(&self, step: &Step, left: usize) -> Part {
        let of = self.plan.rest.len() + 1;
        Part { number: of - left, of, phase: step.phase }
    }

    /// Takes up what our own program warns of: the last of a pipeline is.
    fn hear(&mut self, step: &Step, finished: &Finished) {
        if matches!(step.proof, Proof::Copied { .. } | Proof::Replayed) {
            for text in finished.stages().last().into_iter().flat_map(|stage| &stage.stderr.watched) {
                let text = text.trim_end();
                warn!("{text}");
                self.warned.push(format!("{WARNING}{text}"));
            }
        }
    }

    /// Holds what a step left against what it had to prove, and takes away what only it needed.
    async fn check(&mut self, step: &Step, finished: &Arc<Finished>) -> Result<(), JobError> {
        let (proof, finished, tool) = (step.proof.clone(), Arc::clone(finished), self.config.flavour.tool());
        let (copied, place) = (self.copied.take(), self.plan.place(&self.config).to_owned());
        let live = self.live.clone();
        self.copied = blocking(move || {
            let copied = witness::check_step(&proof, &finished, copied.as_ref(), tool);
            let copied = copied.map_err(|doubt| doubted(&doubt))?;
            if let Proof::Backup { dir, base, stream } = &proof {
                let bare = witness::whole_tables(dir, (base.is_some(), stream.as_deref()), &finished, &live);
                let bare = bare.map_err(|doubt| doubted(&doubt))?;
                let is_hidden = stream.as_deref().is_some_and(|name| Packed::of_name(name).is_encrypted);
                for table in &bare {
                    warn!("{table}: the server had it like that, and so has the backup");
                }
                findings::note_bare(dir, &bare, is_hidden)
                    .map_err(|why| JobError::at_work(&why, format!("'{}' cannot be written: {why}", dir.display())))?;
            }
            if let Proof::Prepared { work, applied: Some(copy), .. } = &proof {
                applied::done_with(&place, work, copy)?;
            }
            Ok::<_, JobError>(copied)
        })
        .await?;
        Ok(())
    }

    /// Tells what comes after the last step: its result is read once more and synced, which may take as long.
    pub(super) fn follow_sealing(&self, current: &Current) -> Follow {
        self.follow_at(current, Phase::Seal)
    }

    /// Tells what it is at behind the last step.
    pub(super) fn follow_at(&self, current: &Current, phase: Phase) -> Follow {
        let part = Part { phase, ..current.part };
        Follow::begin(Following { part, ..self.following(current) }, Progress::Unknown)
    }

    fn following(&self, current: &Current) -> Following {
        Following {
            part: current.part,
            row: current.row,
            command_id: self.command_id.to_string(),
            last_line: current.last_line.clone(),
            say: Box::new(self.status.reporter()),
            records: self.world.records.clone(),
            backup_dir: self.config.backup_dir.clone(),
            is_wanted: self.config.progress,
        }
    }

    pub(super) fn begun(&self, step: &Step, start: Moment) -> Begun {
        Begun {
            command: step.pipeline.to_string(),
            command_id: self.command_id.to_string(),
            kind: self.plan.kind(),
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
            None => (join(&[&self.warnings.join("\n"), &stdout, &stderr]), None),
            Some(Failure { reason, aftermath }) => {
                // What the tool says of its own failure is the reason; else it is ours, and its words come after it.
                let own = finished.is_some_and(|finished| matches!(finished.outcome(), Outcome::Exited(1..)));
                let reason = if own && !stderr.is_empty() {
                    let hint = finished.and_then(|finished| hints::hint(&finished.stderr()));
                    hint.map(|hint| format!("{}: {hint}", clean(reason))).unwrap_or_default()
                } else {
                    clean(reason)
                };
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
        let (what, id) = (self.plan.kind().as_str(), self.plan.subject());
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

/// What a doubt fails a job with: what a program says of itself is its own class.
fn doubted(doubt: &Doubt) -> JobError {
    let text = crate::model::causes(doubt);
    if matches!(doubt, Doubt::Outcome(_)) { JobError::of_program(text) } else { JobError::disproved(doubt, text) }
}

/// What was to block on the disk panicked.
#[derive(Debug, Error)]
#[error("an internal error: {0}")]
pub(crate) struct Panicked(#[from] JoinError);

impl From<Panicked> for String {
    fn from(why: Panicked) -> Self {
        why.to_string()
    }
}

/// Does what blocks on the disk where it blocks nobody else.
pub(crate) async fn blocking<T: Send + 'static, E: From<Panicked> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|why| Err(Panicked(why).into()))
}
