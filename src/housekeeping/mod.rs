//! What the operator has done while he waits for the answer: no job with rows of its own, and nothing that a client of the APIs may ask for.
//!
//! In: a [`Housekeeping`] order. Out: what was done, in a line; or why nothing was, or not all. Each kind has a file of its own, and bounds
//! its own time: the operator's command line waits longer than that.

mod adopt;
pub mod binlogs;
pub(crate) mod leftover;
pub mod reconcile;
mod remove;
pub(crate) mod steps;

use std::sync::Arc;
use std::time::Instant;

use crate::command::Housekeeping;
use crate::model::Rejection;
use crate::world::World;

/// Does what is wanted; `begun` is when the request was whole. At the daemon's end nobody waits for it: what must not be broken off has a task
/// of its own.
///
/// # Errors
/// Why it was not done.
pub async fn run(wanted: &Housekeeping, world: &Arc<World>, begun: Instant) -> Result<String, Rejection> {
    let work = async {
        match wanted {
            Housekeeping::Remove(wanted) => {
                let mut done = remove::remove(wanted, world, begun).await?;
                done.extend(binlogs::expire(world).await);
                Ok(done)
            }
            Housekeeping::Adopt(wanted) => adopt::adopt(wanted, world, begun).await,
        }
    };
    tokio::select! {
        biased;
        () = world.shutdown.cancelled() => Err(Rejection::ShuttingDown),
        done = work => done,
    }
}
