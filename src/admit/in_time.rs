//! Looks at disks that may never answer, within the time that a client waits.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;
use tracing::debug;

use crate::model::{Rejection, Shortage};

/// How long it may take to find out what room there is: 1 s of the 4.5 s that a client's answer may take.
const MEASURE_WITHIN: Duration = Duration::from_secs(1);

/// How many looks there may be at one place at once: 16. The places are few, and the runtime has 512 threads for what blocks: clients who ask for what
/// is on a dead disk leave most of them to the jobs, and keep nobody from another disk.
const LOOKS: usize = 16;

/// The permits for each place.
static PLACES: LazyLock<Mutex<HashMap<PathBuf, Arc<Semaphore>>>> = LazyLock::new(Mutex::default);

/// How many may measure at once; an estimate that has to wait is worth nothing.
static MEASURING: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(LOOKS)));

fn looks_at(place: &Path) -> Arc<Semaphore> {
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(places.entry(place.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(LOOKS))))
}

/// Looks at a disk where it keeps no other client waiting, and for no longer than this one waits: a network's disk may not
/// answer for hours.
pub(crate) async fn on_disk<T: Send + 'static>(
    place: &Path,
    until: Instant,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Rejection> {
    let looking = async {
        // It is never closed. A look that hangs keeps its permit, as it keeps its thread.
        let permit = looks_at(place).acquire_owned().await;
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
            Err(Rejection::Broken(format!("'{}' does not answer: check its file system", place.display())))
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
    let measuring = async {
        let permit = Arc::clone(&MEASURING).acquire_owned().await;
        spawn_blocking(move || {
            let _until_then = permit;
            measure()
        })
        .await
    };
    match timeout_at(deadline.into(), measuring).await {
        Ok(Ok(Ok(measured))) => Some(measured),
        Ok(Ok(Err(why))) => {
            debug!(reason = %why, "the free space cannot be measured");
            None
        }
        Ok(Err(_)) | Err(_) => {
            debug!("the free space could not be measured in time");
            None
        }
    }
}
