//! Looks at disks that may never answer, within the time that a client waits.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tracing::debug;

use crate::model::{Rejection, Shortage};

/// How long it may take to find out what room there is: 1 s of the 4.5 s that a client's answer may take.
const MEASURE_WITHIN: Duration = Duration::from_secs(1);

/// How many looks there may be at once: 64, far less than the threads that the runtime has for what blocks (512), so that clients who ask
/// for what is on a dead disk leave some to the jobs.
static LOOKS: Semaphore = Semaphore::const_new(64);

/// Looks at a disk where it keeps no other client waiting, and for no longer than this one waits: a network's disk may not
/// answer for hours.
pub(crate) async fn on_disk<T: Send + 'static>(
    place: &Path,
    until: Instant,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Rejection> {
    let looking = async {
        // It is never closed. A look that hangs keeps its permit, as it keeps its thread.
        let permit = LOOKS.acquire().await;
        spawn_blocking(move || {
            let _until_then = permit;
            look()
        })
        .await
    };
    match timeout_at(until.into(), looking).await {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(why)) => Err(Rejection::Broken(format!("an internal error: {why}"))),
        Err(_no_answer) => {
            Err(Rejection::Broken(format!("'{}' does not answer: look at its file system", place.display())))
        }
    }
}

/// What plainly lacks, if it can be measured in the little time that an estimate is worth.
pub(super) async fn shortage(
    until: Instant,
    measure: impl FnOnce() -> io::Result<Option<Shortage>> + Send + 'static,
) -> Option<Shortage> {
    within(until, measure).await.flatten()
}

/// What room there is, as far as that can be told in a little time.
pub(super) async fn within<T: Send + 'static>(
    until: Instant,
    measure: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Option<T> {
    let deadline = until.min(Instant::now() + MEASURE_WITHIN);
    match timeout_at(deadline.into(), spawn_blocking(measure)).await {
        Ok(Ok(Ok(measured))) => Some(measured),
        Ok(Ok(Err(why))) => {
            debug!(reason = %why, "what room there is cannot be measured");
            None
        }
        Ok(Err(_)) | Err(_) => {
            debug!("what room there is could not be measured in time");
            None
        }
    }
}
