//! What is known of the archive of the binary log, for a monitor.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of the archive. Nothing as long as there is none.
#[derive(Debug, Default)]
pub struct Told(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: Option<InArchive>,
    failures: u64,
}

/// The figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InArchive {
    /// The timeline that is written to. None if there is none.
    pub timeline: Option<u32>,
    /// Up to when everything is archived that was committed: UTC, as in the records. None if that is not known.
    pub complete: Option<String>,
    /// The same in seconds since 1970.
    pub archived_until: Option<f64>,
    /// Up to when a backup and the archive together reach. None if no backup does.
    pub recoverable_until: Option<f64>,
    /// Up to when everything is in the repository that was committed. None without one, or if nothing is.
    pub sent_until: Option<f64>,
    /// How many timelines were begun because transactions may be missing before them.
    pub gaps: u64,
    /// How many passes since the daemon began did not archive everything.
    pub failures: u64,
}

impl Told {
    /// What is known.
    pub fn known(&self) -> Option<InArchive> {
        self.lock().known.clone()
    }

    /// Says what is known; gives whether that is news.
    pub fn tell(&self, known: Option<InArchive>) -> bool {
        let mut state = self.lock();
        let is_news = state.known != known;
        state.known = known;
        is_news
    }

    /// Counts a pass; gives how many have failed until now.
    pub fn failures(&self, has_failed: bool) -> u64 {
        let mut state = self.lock();
        state.failures += u64::from(has_failed);
        state.failures
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
