//! The binary log archived, every so often: the step that does it, and what is known of it afterwards.
//!
//! In: the settings, what the server says of its binary log, what the archive says of itself. Out: the archive as it is now, what a monitor is told,
//! and a line in the log when that changes. The step has no row: it would be one every minute. A server that is stopped is no reason to wait: what it
//! has written last is still there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::steps::{refused, run, sending_binlogs};
use crate::binlog::archive::{Archive, Because, Expired};
use crate::binlog::line;
use crate::binlog::source::Source;
use crate::config::Config;
use crate::disk;
use crate::exec::{Invocation, Outcome, Terms};
use crate::model::{Amount, JobKind, causes};
use crate::records::reader::Reader;
use crate::server::Server;
use crate::server::probe::{self, ANSWER_WITHIN};
use crate::world::{InArchive, World};

/// How long a step that was told to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// After how long it is looked whether there is something to do, where nothing is to be done.
const ASLEEP: Duration = Duration::from_secs(60);

/// Archives until `stop`.
pub async fn keep(world: Arc<World>, stop: CancellationToken) {
    let mut keeper = Keeper { world, source: None, said: None, timeline: None };
    let mut sender = Sender::default();
    loop {
        let config = keeper.world.config();
        let pause = match &config.binlogs {
            None => {
                if keeper.world.archive.tell(None) {
                    keeper.world.jobs.look_again();
                }
                ASLEEP
            }
            Some(binlogs) => {
                keeper.round(&config).await;
                sender.round(&keeper.world, &config).await;
                binlogs.interval
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
    }
}

/// Sends the archive to the repository, beside the passes: a store that is away holds up none of them.
#[derive(Default)]
struct Sender {
    /// The step under way. Gives why not everything was sent.
    step: Option<JoinHandle<Option<String>>>,
    /// Why that was so last. None if everything was.
    said: Option<String>,
}

impl Sender {
    /// Begins to send what there is, unless that is under way.
    async fn round(&mut self, world: &Arc<World>, config: &Arc<Config>) {
        if self.step.as_ref().is_some_and(|step| !step.is_finished()) {
            return;
        }
        if let Some(step) = self.step.take() {
            self.tell(step.await.unwrap_or_else(|why| Some(why.to_string())));
        }
        let Some(repository) = &config.repository else { return };
        let (step, world) = (sending_binlogs(&config.backup_dir, &repository.remote, false), Arc::clone(world));
        let config = Arc::clone(config);
        self.step = Some(tokio::spawn(async move {
            let trouble = run(&world, step, None).await;
            let known = spawn_blocking(move || line::summary(&config)).await.ok().flatten();
            let known = known.map(|known| InArchive { failures: world.archive.failures(false), ..known });
            if known.is_some() && world.archive.tell(known) {
                world.jobs.look_again();
            }
            // What the daemon ended itself is no failure.
            trouble.filter(|_| !world.shutdown.is_cancelled())
        }));
    }

    fn tell(&mut self, trouble: Option<String>) {
        match (&trouble, &self.said) {
            (Some(why), said) if said.as_ref() != Some(why) => {
                warn!(reason = why, "the archived binary log is not sent to the repository, it is tried again");
            }
            (None, Some(_)) => info!("the archived binary log is sent to the repository again"),
            (Some(_), _) | (None, None) => {}
        }
        self.said = trouble;
    }
}

struct Keeper {
    world: Arc<World>,
    /// Where the server's binary log was when it last said so.
    source: Option<Source>,
    /// Why it was not archived last. None if it was.
    said: Option<String>,
    /// The timeline that was last written to.
    timeline: Option<u32>,
}

impl Keeper {
    /// Archives what there is, and tells how that went.
    async fn round(&mut self, config: &Arc<Config>) {
        let before = self.known(config).await;
        if self.timeline.is_none() {
            self.timeline = before.as_ref().and_then(|known| known.timeline);
        }
        let trouble = match self.find(config).await {
            Err(why) => Some(why),
            Ok(source) => self.step(config, &source).await,
        };
        if self.world.shutdown.is_cancelled() {
            return;
        }
        let mut known = self.known(config).await.unwrap_or_default();
        known.failures = self.world.archive.failures(trouble.is_some());
        self.tell_of_timeline(config, known.timeline).await;
        let until = known.complete.clone();
        match (&trouble, &self.said) {
            (Some(why), said) if said.as_ref() != Some(why) => {
                let archived_until = until.as_deref().unwrap_or("never");
                warn!(reason = why, archived_until, "the binary log is not archived, it is tried again");
            }
            (None, Some(_)) => info!("the binary log is archived again"),
            (Some(_), _) | (None, None) => {}
        }
        self.said = trouble;
        if self.world.archive.tell(Some(known)) {
            self.world.jobs.look_again();
        }
    }

    /// Where the binary log is: as the server says, or has last said, or as the archive has it.
    async fn find(&mut self, config: &Arc<Config>) -> Result<Source, String> {
        let executor = self.world.executor.as_ref();
        let silent = match probe::server(executor, config, ANSWER_WITHIN).await {
            Ok(Ok(server)) => {
                let source = self.of(config, &server).await?;
                self.source = Some(source.clone());
                return Ok(source);
            }
            Ok(Err(why)) => format!("the server does not say where its binary log is: {why}"),
            Err(why) => why.to_string(),
        };
        // A server that was stopped has written until then.
        if self.source.is_none() {
            self.source = last_source(config).await;
        }
        self.source.clone().ok_or(silent)
    }

    /// That of a server that answers, if it is the one of the settings.
    async fn of(&self, config: &Arc<Config>, server: &Server) -> Result<Source, String> {
        let executor = self.world.executor.as_ref();
        let (its, own) = (server.data_dir.clone(), config.data_dir.clone());
        if !spawn_blocking(move || disk::is_same(&its, &own)).await.unwrap_or(false) {
            let its = server.data_dir.display();
            return Err(format!("the server that answers has its data in '{its}', which is not data_dir"));
        }
        if let Some(host) = server.other_host()
            && !matches!(probe::works_here(executor, config, server, ANSWER_WITHIN).await, Ok(Some(true)))
        {
            return Err(format!(
                "the server that answers runs on host '{host}', maybe with other files than those here"
            ));
        }
        Source::of(server).map_err(|(why, _)| why)
    }

    /// Runs the step. Gives why it did not archive everything.
    async fn step(&self, config: &Config, source: &Source) -> Option<String> {
        let cancel = self.world.shutdown.clone();
        let terms = Terms { command_id: None, cancel, grace: GRACE, watch: None, last_line: None, select: None };
        match self.world.executor.start(&archiving(config, source).into(), terms) {
            Err(why) => Some(why.to_string()),
            Ok(mut running) => {
                let finished = running.finished().await;
                if finished.outcome() == Outcome::Exited(0) { None } else { refused(&finished) }
            }
        }
    }

    /// What the archive says of itself. None if it says nothing.
    async fn known(&self, config: &Arc<Config>) -> Option<InArchive> {
        let config = Arc::clone(config);
        spawn_blocking(move || line::summary(&config)).await.ok()?
    }

    /// Says that a new timeline was begun, and why.
    async fn tell_of_timeline(&mut self, config: &Config, now: Option<u32>) {
        let (Some(now), before) = (now, self.timeline.unwrap_or(0)) else { return };
        self.timeline = Some(now);
        let archive = Archive::of(&config.backup_dir);
        for number in before + 1..=now {
            let archive = archive.clone();
            let read = spawn_blocking(move || archive.timeline(number).map_err(|why| causes(&why))).await;
            let Ok(Ok(Some(timeline))) = read else { continue };
            if timeline.received {
                continue;
            }
            let because = timeline.because;
            match because {
                Because::First => info!("the archive of the binary log is begun"),
                Because::Expired { .. }
                | Because::Apart { .. }
                | Because::Changed { .. }
                | Because::Reset { .. }
                | Because::Server
                | Because::Restored { .. } => {
                    warn!(timeline = number, reason = %because, "a new timeline of the binary log is begun: take a full backup");
                }
            }
        }
    }
}

/// Where the binary log was, by the archive.
async fn last_source(config: &Arc<Config>) -> Option<Source> {
    let config = Arc::clone(config);
    let read =
        move || Archive::of(&config.backup_dir).looked().ok().flatten().map(|looked| (looked, config.data_dir.clone()));
    let (looked, data_dir): (_, PathBuf) = spawn_blocking(read).await.ok()??;
    Some(Source { index: looked.index, data_dir, server_uid: looked.server_uid })
}

/// Takes out of the archive what no backup needs any more. Gives what there is to say of it, to go behind what was said before.
pub(super) async fn expire(world: &Arc<World>) -> Option<String> {
    let config = world.config();
    config.binlogs?;
    // One that is being taken stands somewhere, and is not recorded yet.
    if world.jobs.running(JobKind::Backup) > 0 {
        return None;
    }
    let settings = Arc::clone(&config);
    let look = move || {
        let rows = Reader::open(&settings.database_path).and_then(|reader| reader.backups(false));
        rows.map_err(|why| causes(&why)).and_then(|rows| line::expire_unneeded(&settings, &rows))
    };
    match spawn_blocking(look).await {
        Err(_) => None,
        Ok(Ok(Expired { files, bytes })) => {
            let here = format!("; and {files} archived binary logs that no backup needs, {}", Amount(bytes));
            let here = (files > 0).then_some(here);
            let Some(repository) = &config.repository else { return here };
            // What could not be erased before is tried again.
            let step = sending_binlogs(&config.backup_dir, &repository.remote, true);
            let left = run(world, step, None).await;
            let left = left.map(|why| format!("; of what {} has of them something is left: {why}", repository.remote));
            here.into_iter().chain(left).reduce(|said, more| said + &more)
        }
        // The next removal does it.
        Ok(Err(reason)) => {
            info!(reason, "no archived binary log is removed");
            None
        }
    }
}

/// The step.
fn archiving(config: &Config, source: &Source) -> Invocation {
    let mut args = vec![
        "archive-binlogs".to_owned(),
        format!("--backup-dir={}", config.backup_dir.display()),
        format!("--index={}", source.index.display()),
        format!("--data-dir={}", source.data_dir.display()),
    ];
    let recipients = config.streaming.iter().flat_map(|streaming| &streaming.recipients);
    args.extend(recipients.map(|recipient| format!("--recipient={recipient}")));
    args.extend(source.server_uid.as_ref().map(|uid| format!("--server-uid={uid}")));
    Invocation::own(args)
}
