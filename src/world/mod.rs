//! What every request is held against and run with: the settings, the records, the executor, and who holds what.

mod archive;
mod claims;
mod jobs;
mod told;

use std::sync::{Arc, PoisonError, RwLock};

pub use archive::{InArchive, Told as ToldOfArchive};
pub use claims::{Claim, Claims, Held, Purpose};
pub(crate) use jobs::JobStatus;
pub use jobs::Jobs;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
pub use told::{Held as InRepositoryHeld, InRepository, Told};

use crate::config::Config;
use crate::config::access::Lists;
use crate::exec::CommandExecutor;
use crate::records::Records;
use crate::wire::Budget;

/// The daemon's surroundings, one for all requests.
pub struct World {
    config: RwLock<Arc<Config>>,
    /// The records.
    pub records: Records,
    /// What starts programs.
    pub executor: Arc<dyn CommandExecutor>,
    /// Which ids and data directories are taken by requests in flight.
    pub claims: Arc<Claims>,
    /// What the jobs in flight are at.
    pub jobs: Arc<Jobs>,
    /// The system's lists of groups, as far as somebody waits for one.
    pub(crate) lists: Lists,
    /// How much the requests that come in may take.
    pub budget: Budget,
    /// Everything that runs and must be waited for at the end: connections and jobs.
    pub tasks: TaskTracker,
    /// What is known of the repository.
    pub told: Told,
    /// What is known of the archive of the binary log.
    pub archive: ToldOfArchive,
    /// Told when the repository may not be in step with the records.
    pub reconcile: Notify,
    /// Told when the daemon is to stop.
    pub shutdown: CancellationToken,
}

impl World {
    /// A world without requests.
    pub fn new(config: Config, records: Records, executor: Arc<dyn CommandExecutor>) -> Self {
        Self {
            config: RwLock::new(Arc::new(config)),
            records,
            executor,
            claims: Arc::default(),
            jobs: Arc::default(),
            lists: Lists::default(),
            budget: Budget::default(),
            tasks: TaskTracker::new(),
            told: Told::default(),
            archive: ToldOfArchive::default(),
            reconcile: Notify::new(),
            shutdown: CancellationToken::new(),
        }
    }

    /// The settings in force; a request keeps those it began with.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other settings in force.
    pub fn set_config(&self, config: Config) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
    }
}
