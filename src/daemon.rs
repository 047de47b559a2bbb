//! The wiring: what is recovered, then listen, READY, accept; at the end stop accepting, end the jobs, close the records.
//!
//! Everything comes in as an argument, so that a test can own it.

use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::net::UnixListener;
use tracing::{error, info, warn};

use crate::connection;
use crate::world::World;

/// How long the records may take to be written at the end, in a database that is locked or full: less than systemd's
/// `TimeoutStopSec` in the unit.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// How long accepting pauses when the system has no descriptor left: those in use are given back by then, or not.
const NO_DESCRIPTOR: Duration = Duration::from_millis(50);

/// Serves clients until `world.shutdown`, then ends the jobs.
pub async fn run(listener: StdListener, world: Arc<World>) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    notify(&[NotifyState::Ready, NotifyState::Status("waiting for commands")]);
    info!(version = env!("CARGO_PKG_VERSION"), "ready");
    loop {
        tokio::select! {
            biased;
            () = world.shutdown.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    world.tasks.spawn(connection::serve(stream, Arc::clone(&world)));
                }
                Err(why) => {
                    error!(reason = %why, "a client could not be accepted");
                    tokio::time::sleep(NO_DESCRIPTOR).await;
                }
            },
        }
    }
    drop(listener);
    notify(&[NotifyState::Stopping, NotifyState::Status("ending the jobs")]);
    info!(tasks = world.tasks.len(), "stopping");
    world.tasks.close();
    world.tasks.wait().await;
    world.store.close(CLOSE_WITHIN).await;
    info!("stopped");
    Ok(())
}

/// Tells systemd, if it is there.
pub fn notify(states: &[NotifyState<'_>]) {
    if let Err(why) = sd_notify::notify(states) {
        warn!(reason = %why, "systemd was not told");
    }
}
