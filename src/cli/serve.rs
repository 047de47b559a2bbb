//! `serve`: the daemon.

use std::fs::File;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::exit::Failure;
use super::operator::unreadable::database_hint;
use crate::config::{Config, credentials};
use crate::daemon::watch::Watch;
use crate::exec::LocalExecutor;
use crate::job::recover;
use crate::logging::Log;
use crate::records::{Records, RecordsError};
use crate::wire::socket::{Socket, SocketError};
use crate::world::World;
use crate::{daemon, disk};

/// How long a start waits for what somebody else holds before it is refused: 2 s. A daemon that is killed while it starts a
/// program leaves a child that holds its locks and its socket until it has become that program: milliseconds, or what a busy
/// machine makes of them. Until then it does not carry the request's id either, by which the recovery knows it.
const LET_GO_WITHIN: Duration = Duration::from_secs(2);

/// How often it looks meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// How long looks at a disk that nobody waits for any more may take at the end: 2 s.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Runs the daemon until SIGTERM or SIGINT.
pub(super) fn serve(config_path: &Path, socket_path: &Path) -> Result<(), Failure> {
    let config = Config::load(config_path).map_err(|why| Failure::new(&why, why.hint()))?;
    let (log, opened) = Log::install(&config.log_file, config.log_level);
    if let Err(why) = opened {
        warn!(file = %config.log_file.display(), reason = %why, "the log file cannot be written, logging to stderr alone");
    }
    warn_of_exposure(&config);
    if let Some((text, hint)) = super::operator::check::inside(&config) {
        warn!(hint, "{text}");
    }
    raise_descriptors();
    // One thread for all clients and jobs: they wait, and what works on the disk has threads of its own.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|why| Failure::new(&why, "the system has no resources left for the daemon"))?;
    let mut lock = None;
    let served = runtime.block_on(run(config, log, config_path, socket_path, &mut lock));
    // A thread that waits for a disk that does not answer ends with the process. Until then no other daemon may begin where it is at work: the system
    // lets go of the lock when the last thread is gone.
    runtime.shutdown_timeout(LEAVE_WITHIN);
    mem::forget(lock);
    served
}

async fn run(
    config: Config,
    log: Log,
    config_path: &Path,
    socket_path: &Path,
    lock: &mut Option<File>,
) -> Result<(), Failure> {
    let signals =
        Signals::new().map_err(|why| Failure::new(&why, "the system has no resources left for the daemon"))?;
    *lock = Some(lock_backup_dir(&config).await?);
    let is_taken = |why: &RecordsError| matches!(why, RecordsError::Taken);
    let store = once_let_go("the database", || Records::open(&config.database_path, config.records_for), is_taken)
        .await
        .map_err(|why| {
            let hint = match why {
                RecordsError::Taken => "stop the other daemon first, or give this one another database_path".to_owned(),
                RecordsError::Sqlite(_) | RecordsError::Io(_) | RecordsError::Closed => {
                    database_hint(&config.database_path)
                }
            };
            Failure::new(&why, hint)
        })?;
    let executor = Arc::new(LocalExecutor);
    // The socket first: a daemon that answers there, a predecessor that takes none of the locks, keeps its jobs. Who connects
    // from here on is served once the past is cleared away.
    let is_taken = |why: &SocketError| matches!(why, SocketError::Taken(_));
    let bound = once_let_go("the socket", || Socket::bind(socket_path), is_taken).await;
    let (socket, listener) = bound.map_err(|why| Failure::new(&why, why.hint()))?;
    if let Err(why) = recover::recover(&store, &config, executor.as_ref()).await {
        if let Err(why) = socket.remove() {
            warn!(reason = %why, "the socket could not be removed");
        }
        return Err(Failure::new(&why, "look at the processes that the records show as running, then start again"));
    }
    let world = Arc::new(World::new(config, store, executor));
    let (watch, listeners) = Watch::begin(socket, Arc::clone(&world.jobs))
        .map_err(|why| Failure::new(&why, "the system has no resources left for the daemon"))?;
    let listening = tokio::spawn(signals.heed(Arc::clone(&world), log, config_path.to_owned(), watch));
    let served = daemon::run(listener, listeners, world).await;
    listening.abort();
    served.map_err(|why| Failure::new(&why, "this is not expected: please report it"))
}

/// Takes what a daemon has to have for itself; where somebody holds it, as soon as it is let go.
///
/// # Errors
/// It cannot be had, or it was not let go in time: the last reason.
async fn once_let_go<T, E>(
    what: &'static str,
    mut take: impl FnMut() -> Result<T, E>,
    is_taken: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let begun = Instant::now();
    let mut taken = take();
    if taken.as_ref().is_err_and(&is_taken) {
        info!(what, "another daemon, or the rest of one that has just died, still holds it: waiting");
    }
    while begun.elapsed() < LET_GO_WITHIN && taken.as_ref().is_err_and(&is_taken) {
        tokio::time::sleep(LOOK_AGAIN).await;
        taken = take();
    }
    taken
}

async fn lock_backup_dir(config: &Config) -> Result<File, Failure> {
    let dir = &config.backup_dir;
    let failure = |text: String, hint: String| Failure::because(text, hint);
    disk::is_writable(dir).map_err(|why| {
        failure(
            format!("backup_dir '{}' cannot be used: {why}", dir.display()),
            format!("create it for this daemon's user: install -d -o mysql -g dbcalm -m 2770 '{}'", dir.display()),
        )
    })?;
    let is_taken = |why: &io::Error| why.kind() == io::ErrorKind::WouldBlock;
    once_let_go("backup_dir", || disk::lock(dir), is_taken).await.map_err(|why| {
        if is_taken(&why) {
            return failure(
                format!("another daemon works in backup_dir '{}'", dir.display()),
                "stop the other daemon first, or give this one another backup_dir".to_owned(),
            );
        }
        failure(
            format!("backup_dir '{}' cannot be locked: {why}", dir.display()),
            "it must be on a file system that supports flock".to_owned(),
        )
    })
}

/// A password that everybody may read is said once a start, and at each change of the settings.
fn warn_of_exposure(config: &Config) {
    if let Some(exposure) = credentials::exposure(&config.credentials) {
        let file = config.credentials.display();
        warn!("the credentials file '{file}' {exposure}: chmod 0640 '{file}'");
    }
}

/// A descriptor a client: as many as the system allows.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(why) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        warn!(reason = %why, "the limit of open files could not be raised");
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Heeds signals until one ends the daemon.
    async fn heed(mut self, world: Arc<World>, log: Log, config_path: PathBuf, watch: Watch) {
        let log = Arc::new(log);
        let mut reading: Option<Reading> = None;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                // One that comes meanwhile is heeded afterwards.
                _ = self.hangup.recv(), if reading.is_none() => {
                    reading = Some(Reading::begin(&world, &log, &config_path));
                }
                () = over(&mut reading) => reading = None,
            }
        }
        // Nobody finds the socket from here on, and those who are connected get their answer.
        watch.end().await;
        world.shutdown.cancel();
    }
}

/// How long the settings may be read before somebody is told: 5 s.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// The settings are read again, on a thread of their own: the file, the log and a directory service that knows the names of
/// `allowed_users` may all be somewhere that does not answer, and neither a client nor the end of the daemon waits for that.
struct Reading {
    done: oneshot::Receiver<()>,
    is_told: bool,
}

impl Reading {
    fn begin(world: &Arc<World>, log: &Arc<Log>, config_path: &Path) -> Self {
        let (ended, done) = oneshot::channel();
        let (world, log, path) = (Arc::clone(world), Arc::clone(log), config_path.to_owned());
        let read = move || {
            reload(&world, &log, &path);
            drop(ended);
        };
        if let Err(why) = thread::Builder::new().name("settings".to_owned()).spawn(read) {
            error!(reason = %why, "the settings cannot be read: the old ones stay in force");
        }
        Self { done, is_told: false }
    }
}

/// Waits until the settings are read; for ever, where nobody reads them.
///
/// # Cancel safety
/// Dropped, it loses nothing.
async fn over(reading: &mut Option<Reading>) {
    let Some(Reading { done, is_told }) = reading else { return std::future::pending().await };
    if !*is_told {
        if tokio::time::timeout(READ_WITHIN, &mut *done).await.is_ok() {
            return;
        }
        *is_told = true;
        warn!(
            "the settings are still being read, since a file or a directory service does not answer: the old ones stay in force"
        );
    }
    // Its end is that the other side is gone.
    let _gone = done.await;
}

/// Puts the settings in force as they are now; bad ones change nothing.
fn reload(world: &World, log: &Log, config_path: &Path) {
    let mut config = match Config::load(config_path) {
        Ok(config) => config,
        Err(why) => {
            // The log may have been rotated all the same.
            change_log(log, &world.config());
            error!(reason = %crate::model::causes(&why), hint = why.hint(), "the settings are bad: the old ones stay in force");
            return;
        }
    };
    let old = world.config();
    for (key, old, new) in [
        ("database_path", &old.database_path, &mut config.database_path),
        ("backup_dir", &old.backup_dir, &mut config.backup_dir),
    ] {
        if old != new {
            warn!(key, "this setting takes effect at the next start: the old value stays in force");
            new.clone_from(old);
        }
    }
    change_log(log, &config);
    warn_of_exposure(&config);
    world.set_config(config);
    world.jobs.look_again();
    info!("the settings were read again");
}

/// Opens the log file anew, with the level of the settings.
fn change_log(log: &Log, config: &Config) {
    if let Err(why) = log.change(&config.log_file, config.log_level) {
        warn!(file = %config.log_file.display(), reason = %why, "the log file cannot be written");
    }
}
