//! Which ids and which data directories are taken by requests in flight.
//!
//! A job that has only its last record left to write is closing. Who reads that record may ask for the same id at once, so a request
//! that finds it taken waits until the job is over, and is not refused on account of a job that its client has seen the end of.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::time::timeout_at;

use crate::model::BackupId;

/// What is taken.
#[derive(Debug, Default)]
pub struct Claims {
    taken: Mutex<Taken>,
    /// Something was given back.
    given_back: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    ids: HashMap<BackupId, Holding>,
    data_dirs: HashMap<PathBuf, Holding>,
}

/// How far the job is that has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    UnderWay,
    Closing,
}

/// Something taken; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Arc<Claims>,
    what: What,
}

#[derive(Debug)]
enum What {
    Nothing,
    Id(BackupId),
    DataDir(PathBuf),
}

impl Claims {
    /// Takes an id for a new backup; None if another request has it, or has not given it back by `until` although its job is closing.
    pub async fn claim_id(self: &Arc<Self>, id: &BackupId, until: Instant) -> Option<Claim> {
        self.take(until, |taken| insert(&mut taken.ids, id)).await.then(|| self.claim(What::Id(id.clone())))
    }

    /// Whether a request in flight has this id.
    pub fn is_taken(&self, id: &str) -> bool {
        self.lock().ids.keys().any(|taken| taken.as_str() == id)
    }

    /// Takes a data directory for a restore; none, as for an id.
    pub async fn claim_data_dir(self: &Arc<Self>, dir: &Path, until: Instant) -> Option<Claim> {
        let dir = dir.to_owned();
        self.take(until, |taken| insert(&mut taken.data_dirs, &dir))
            .await
            .then(|| self.claim(What::DataDir(dir.clone())))
    }

    /// For what needs nothing of its own.
    pub fn claim_nothing(self: &Arc<Self>) -> Claim {
        self.claim(What::Nothing)
    }

    async fn take(&self, until: Instant, insert: impl Fn(&mut Taken) -> Result<(), Holding>) -> bool {
        loop {
            let given_back = self.given_back.notified();
            // Bound to a name, so that the lock is not held while waiting.
            let inserted = insert(&mut self.lock());
            match inserted {
                Ok(()) => return true,
                Err(Holding::UnderWay) => return false,
                Err(Holding::Closing) => {}
            }
            if timeout_at(until.into(), given_back).await.is_err() {
                return false;
            }
        }
    }

    fn claim(self: &Arc<Self>, what: What) -> Claim {
        Claim { claims: Arc::clone(self), what }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a key in, unless it is there.
fn insert<K: Clone + Eq + Hash>(taken: &mut HashMap<K, Holding>, key: &K) -> Result<(), Holding> {
    if let Some(stage) = taken.get(key) {
        return Err(*stage);
    }
    taken.insert(key.clone(), Holding::UnderWay);
    Ok(())
}

impl Claim {
    /// Says that the job is done but for its last record.
    pub fn close(&self) {
        let mut taken = self.claims.lock();
        let stage = match &self.what {
            What::Nothing => None,
            What::Id(id) => taken.ids.get_mut(id),
            What::DataDir(dir) => taken.data_dirs.get_mut(dir),
        };
        if let Some(stage) = stage {
            *stage = Holding::Closing;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.claims.lock();
        match &self.what {
            What::Nothing => {}
            What::Id(id) => {
                taken.ids.remove(id);
            }
            What::DataDir(dir) => {
                taken.data_dirs.remove(dir);
            }
        }
        drop(taken);
        self.claims.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::Claims;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_is_taken_once_and_given_back() {
        let claims = Arc::new(Claims::default());
        let id = "full-1".parse().unwrap();
        let claim = claims.claim_id(&id, soon()).await;
        assert!(claim.is_some());
        assert!(claims.claim_id(&id, soon()).await.is_none());
        assert!(claims.claim_id(&"full-2".parse().unwrap(), soon()).await.is_some());
        drop(claim);
        assert!(claims.claim_id(&id, soon()).await.is_some());
        let dir = claims.claim_data_dir(Path::new("/d"), soon()).await;
        assert!(dir.is_some() && claims.claim_data_dir(Path::new("/d"), soon()).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_job_that_has_only_its_last_record_to_write_is_waited_for() {
        let claims = Arc::new(Claims::default());
        let id = "full-1".parse().unwrap();
        let claim = claims.claim_id(&id, soon()).await.unwrap();
        claim.close();
        let second = {
            let (claims, id) = (Arc::clone(&claims), id.clone());
            tokio::spawn(async move { claims.claim_id(&id, soon()).await })
        };
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "it waits");
        drop(claim);
        let second = second.await.unwrap();
        assert!(second.is_some());

        second.as_ref().unwrap().close();
        assert!(claims.claim_id(&id, soon()).await.is_none(), "but not for ever");
    }
}
