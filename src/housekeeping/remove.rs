//! Backups removed.

use std::sync::Arc;
use std::time::Instant;

use crate::command::Remove;
use crate::model::Rejection;
use crate::world::World;

/// Removes backups.
///
/// # Errors
/// Why not.
#[expect(clippy::unused_async, reason = "it is not built yet")]
pub(super) async fn remove(wanted: &Remove, _world: &Arc<World>, _begun: Instant) -> Result<String, Rejection> {
    Err(Rejection::Broken(format!("'{}' is not removed: this is not built yet", wanted.first)))
}
