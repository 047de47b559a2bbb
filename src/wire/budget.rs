//! How much memory the requests of all clients together may take while they come in.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Up to this size, in bytes, a request costs what its client sends: 16 KiB, which all but chains of a hundred members fit in.
pub(super) const SMALL: usize = 16 * 1024;

/// How many larger ones come in at the same time: 64, of at most 1 MiB each. The others wait for their turn, for as long as a request
/// may take.
const LARGE_AT_ONCE: usize = 64;

/// What is left of it.
#[derive(Debug)]
pub struct Budget(Semaphore);

impl Default for Budget {
    fn default() -> Self {
        Self(Semaphore::new(LARGE_AT_ONCE))
    }
}

impl Budget {
    /// Waits until a large request may come in; it may until the permit is dropped.
    pub(super) async fn large(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.acquire().await.ok()
    }
}
