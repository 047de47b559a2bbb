//! The wiring: what is recovered, then listen, READY, accept; at the end stop accepting, end the jobs, close the records.
//!
//! Everything comes in as an argument, so that a test can own it.

mod listening;
pub mod watch;

use std::io;
use std::mem;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use sd_notify::NotifyState;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::housekeeping::{binlogs, reconcile};
use crate::world::{Jobs, World};
use crate::{connection, metrics};
use listening::Listening;
use watch::Listeners;

/// How long the records may take to be written at the end, in a database that is locked or full: less than systemd's
/// `TimeoutStopSec` in the unit.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// How long the jobs may take to end: 75 s, so that with the records' time it is less than the `TimeoutStopSec` of the unit (120 s).
const END_WITHIN: Duration = Duration::from_secs(75);

/// How long the metrics may take to be written at the end.
const KEEP_WITHIN: Duration = Duration::from_secs(2);

/// How long accepting pauses when the system has no descriptor left: those in use are given back by then, or not.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// Clients that are served at the same time, at most; the others wait to be accepted.
const MOST_CLIENTS: u64 = 4096;

/// What of the descriptors is not for clients: the records, the log, the jobs.
const RESERVED: u64 = 64;

/// What a client may need of them: its connection, and the pipes of a ping.
const EACH: u64 = 4;

/// Serves clients, at `first` and at the listeners that take its place, until `world.shutdown`; then ends the jobs.
pub async fn run(first: StdListener, listeners: Listeners, world: Arc<World>) -> io::Result<()> {
    let mut listening = Listening::new(first, listeners)?;
    notify(&[NotifyState::Ready, NotifyState::Status("idle")]);
    info!(version = env!("CARGO_PKG_VERSION"), "ready");
    let enough = CancellationToken::new();
    let keeping = tokio::spawn(metrics::keep(Arc::clone(&world), enough.clone()));
    let reconciling = tokio::spawn(reconcile::keep(Arc::clone(&world), enough.clone()));
    let archiving = tokio::spawn(binlogs::keep(Arc::clone(&world), enough.clone()));
    let telling = tokio::spawn(tell(Arc::clone(&world.jobs)));
    let seats = Arc::new(Semaphore::new(seats()));
    let mut is_failing = false;
    loop {
        tokio::select! {
            biased;
            () = world.shutdown.cancelled() => break,
            (seat, accepted) = accept(&mut listening, &seats) => match accepted {
                Ok(stream) => {
                    is_failing = false;
                    let world = Arc::clone(&world);
                    world.clone().tasks.spawn(async move {
                        connection::serve(stream, world).await;
                        drop(seat);
                    });
                }
                Err(why) => {
                    // Said once, however long it lasts.
                    if !mem::replace(&mut is_failing, true) {
                        error!(reason = %why, "a client could not be accepted");
                    }
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                }
            },
        }
    }
    drop(listening);
    telling.abort();
    notify(&[NotifyState::Stopping, NotifyState::Status("ending the jobs")]);
    info!(tasks = world.tasks.len(), "stopping");
    world.tasks.close();
    if timeout(END_WITHIN, world.tasks.wait()).await.is_err() {
        warn!(
            tasks = world.tasks.len(),
            seconds = END_WITHIN.as_secs(),
            "the jobs did not end in time: the next start cleans up after them"
        );
    }
    enough.cancel();
    let _kept = timeout(KEEP_WITHIN, keeping).await;
    let _in_step = timeout(KEEP_WITHIN, reconciling).await;
    let _archived = timeout(KEEP_WITHIN, archiving).await;
    world.records.close(CLOSE_WITHIN).await;
    info!("stopped");
    Ok(())
}

/// How many clients are served at the same time, so that those who connect leave descriptors for what is done for them.
fn seats() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let seats = (limit.saturating_sub(RESERVED) / EACH).clamp(1, MOST_CLIENTS);
    usize::try_from(seats).unwrap_or(usize::MAX)
}

/// Accepts a client once there is a seat.
async fn accept(
    listening: &mut Listening,
    seats: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, io::Result<UnixStream>) {
    // It is never closed.
    let seat = Arc::clone(seats).acquire_owned().await.ok();
    (seat, listening.accept().await)
}

/// Tells systemd, if it is there, what the jobs are at, whenever that changes. A manager that does not read keeps nobody else waiting.
async fn tell(jobs: Arc<Jobs>) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let (mut told, mut is_failing) = ("idle".to_owned(), false);
    loop {
        jobs.changed().await;
        let status = jobs.status();
        if status != told {
            told.clone_from(&status);
            let said = spawn_blocking(move || sd_notify::notify(&[NotifyState::Status(&status)])).await;
            if let Ok(Err(why)) = said
                && !mem::replace(&mut is_failing, true)
            {
                warn!(reason = %why, "systemd could not be told what runs");
            }
        }
    }
}

/// Tells systemd, if it is there.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        warn!(reason = %why, "systemd could not be notified");
    }
}
