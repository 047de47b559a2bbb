//! What is known of the repository, for a monitor: what was found there last, and what went wrong on the way since the daemon began.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is known of the repository. Nothing as long as there is none.
#[derive(Debug, Default)]
pub struct Told(Mutex<InRepository>);

/// The figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InRepository {
    /// What is there. None if there is no repository, or it was not looked for yet.
    pub held: Option<Held>,
    /// How often a request was tried again.
    pub retries: u64,
    /// How often a step failed, by its class.
    pub failures: BTreeMap<&'static str, u64>,
}

/// What is there of what is recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Held {
    /// How many backups.
    pub backups: u64,
    /// How many backups are whole here and not there.
    pub unsent: u64,
    /// How long the streams are, in bytes.
    pub bytes: u64,
    /// How many objects they are with all that describes them.
    pub objects: u64,
    /// When the newest of them was begun, in seconds of Unix. None if there are none.
    pub newest: Option<f64>,
}

impl Told {
    /// The figures as they are.
    pub fn all(&self) -> InRepository {
        self.lock().clone()
    }

    /// Says what is there; gives whether that is news.
    pub fn found(&self, held: Option<Held>) -> bool {
        let mut told = self.lock();
        std::mem::replace(&mut told.held, held) != held
    }

    /// Says how a step went: how often it tried again, and why it failed.
    pub fn ended(&self, retries: u64, failure: Option<&'static str>) {
        let mut told = self.lock();
        told.retries += retries;
        if let Some(class) = failure {
            *told.failures.entry(class).or_default() += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, InRepository> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
