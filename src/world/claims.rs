//! Which ids and which data directories are taken by requests in flight, and what for.
//!
//! What reads a stored backup takes its id too, beside others that read it; what makes or removes one has its id for itself.
//!
//! A job that has only its last record left to write is closing. Who reads that record may ask for the same id at once, so a request
//! that finds it taken waits until the job is over, and is not refused on account of a job that its client has seen the end of.

use std::collections::HashMap;
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
    next: u64,
    ids: HashMap<BackupId, Vec<Holder>>,
    data_dirs: HashMap<PathBuf, Holding>,
}

/// What a request has an id for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To make it: a new backup.
    Making,
    /// To take an incremental from it, or from what was taken from it.
    Base,
    /// To restore it.
    Restore,
    /// To send it to the repository.
    Sending,
    /// To remove it.
    Removal,
}

impl Purpose {
    /// Whether two requests may have one id at the same time: for these both.
    fn agrees_with(self, other: Self) -> bool {
        let reads = |purpose| matches!(purpose, Self::Base | Self::Restore | Self::Sending);
        reads(self) && reads(other)
    }
}

/// An id that another request has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The id.
    pub id: BackupId,
    /// What the other has it for.
    pub purpose: Purpose,
}

/// One who has an id.
#[derive(Debug)]
struct Holder {
    /// Whose claim it is.
    number: u64,
    purpose: Purpose,
    stage: Holding,
}

/// How far the job is that has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holding {
    UnderWay,
    Closing,
}

/// What is taken for one request; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    claims: Arc<Claims>,
    what: Vec<What>,
}

#[derive(Debug)]
enum What {
    /// By the claim of this number.
    Id(BackupId, u64),
    DataDir(PathBuf),
}

impl Claims {
    /// Takes an id for a new backup; None if another request has it, or has not given it back by `until` although its job is closing.
    pub async fn claim_id(self: &Arc<Self>, id: &BackupId, until: Instant) -> Option<Claim> {
        self.claim_ids(std::slice::from_ref(id), Purpose::Making, until).await.ok()
    }

    /// Takes ids, all or none.
    ///
    /// # Errors
    /// Another request has one of them for what does not go with this, as for [`claim_id`](Self::claim_id).
    pub async fn claim_ids(
        self: &Arc<Self>,
        ids: &[BackupId],
        purpose: Purpose,
        until: Instant,
    ) -> Result<Claim, Held> {
        let number = self.take(until, |taken| taken.take_ids(ids, purpose)).await?;
        Ok(self.claim(ids.iter().map(|id| What::Id(id.clone(), number)).collect()))
    }

    /// Whether a request in flight has this id.
    pub fn is_taken(&self, id: &str) -> bool {
        self.lock().ids.keys().any(|taken| taken.as_str() == id)
    }

    /// Takes a data directory for a restore; none, as for an id.
    pub async fn claim_data_dir(self: &Arc<Self>, dir: &Path, until: Instant) -> Option<Claim> {
        self.take(until, |taken| taken.take_data_dir(dir)).await.ok()?;
        Some(self.claim(vec![What::DataDir(dir.to_owned())]))
    }

    /// For what needs nothing of its own.
    pub fn claim_nothing(self: &Arc<Self>) -> Claim {
        self.claim(Vec::new())
    }

    async fn take<T, E>(&self, until: Instant, take: impl Fn(&mut Taken) -> Result<T, (E, Holding)>) -> Result<T, E> {
        loop {
            let given_back = self.given_back.notified();
            // Bound to a name, so that the lock is not held while waiting.
            let taken = take(&mut self.lock());
            let held = match taken {
                Ok(taken) => return Ok(taken),
                Err((held, Holding::UnderWay)) => return Err(held),
                Err((held, Holding::Closing)) => held,
            };
            if timeout_at(until.into(), given_back).await.is_err() {
                return Err(held);
            }
        }
    }

    fn claim(self: &Arc<Self>, what: Vec<What>) -> Claim {
        Claim { claims: Arc::clone(self), what }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Takes all of these ids, or says who is in the way, first of all one who will be for long. Gives the claim's number.
    fn take_ids(&mut self, ids: &[BackupId], purpose: Purpose) -> Result<u64, (Held, Holding)> {
        let mut closing = None;
        for id in ids {
            let others = self.ids.get(id).into_iter().flatten().filter(|other| !other.purpose.agrees_with(purpose));
            for other in others {
                let held = (Held { id: id.clone(), purpose: other.purpose }, other.stage);
                if other.stage == Holding::UnderWay {
                    return Err(held);
                }
                closing = Some(held);
            }
        }
        if let Some(held) = closing {
            return Err(held);
        }
        let number = self.next;
        self.next += 1;
        for id in ids {
            let holder = Holder { number, purpose, stage: Holding::UnderWay };
            self.ids.entry(id.clone()).or_default().push(holder);
        }
        Ok(number)
    }

    /// Takes a data directory, unless it is taken.
    fn take_data_dir(&mut self, dir: &Path) -> Result<(), ((), Holding)> {
        if let Some(stage) = self.data_dirs.get(dir) {
            return Err(((), *stage));
        }
        self.data_dirs.insert(dir.to_owned(), Holding::UnderWay);
        Ok(())
    }
}

impl Claim {
    /// Both as one, with one end.
    #[must_use]
    pub fn with(mut self, mut other: Self) -> Self {
        self.what.append(&mut other.what);
        self
    }

    /// Says that the job is done but for its last record.
    pub fn close(&self) {
        let mut taken = self.claims.lock();
        for what in &self.what {
            match what {
                What::Id(id, number) => {
                    for holder in taken.ids.get_mut(id).into_iter().flatten() {
                        if holder.number == *number {
                            holder.stage = Holding::Closing;
                        }
                    }
                }
                What::DataDir(dir) => {
                    if let Some(stage) = taken.data_dirs.get_mut(dir) {
                        *stage = Holding::Closing;
                    }
                }
            }
        }
    }

    /// Never gives it back, for as long as this process lives: what the next start has to mend first is not used before.
    pub fn keep_for_good(mut self) {
        self.what.clear();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.claims.lock();
        for what in &self.what {
            match what {
                What::Id(id, number) => {
                    let left = taken.ids.get_mut(id).map(|holders| {
                        holders.retain(|holder| holder.number != *number);
                        holders.len()
                    });
                    if left == Some(0) {
                        taken.ids.remove(id);
                    }
                }
                What::DataDir(dir) => {
                    taken.data_dirs.remove(dir);
                }
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

    use super::{Claims, Held, Purpose};
    use crate::model::BackupId;

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

    #[tokio::test(start_paused = true)]
    async fn who_reads_agrees_with_who_reads_and_with_nobody_else() {
        let ids: Vec<BackupId> = ["a", "b"].map(|id| id.parse().unwrap()).to_vec();
        let all = [Purpose::Making, Purpose::Base, Purpose::Restore, Purpose::Sending, Purpose::Removal];
        for first in all {
            for second in all {
                let claims = Arc::new(Claims::default());
                let held = claims.claim_ids(&ids, first, soon()).await.unwrap();
                let other = claims.claim_ids(&ids[1..], second, soon()).await.map(drop);
                let agree = first != Purpose::Making && first != Purpose::Removal;
                let agree = agree && second != Purpose::Making && second != Purpose::Removal;
                let in_the_way = Held { id: ids[1].clone(), purpose: first };
                assert_eq!(other, if agree { Ok(()) } else { Err(in_the_way) }, "{first:?}, then {second:?}");
                drop(held);
                assert!(claims.claim_ids(&ids, second, soon()).await.is_ok());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_ids_all_are_taken_or_none_and_two_readers_end_one_by_one() {
        let ids: Vec<BackupId> = ["a", "b"].map(|id| id.parse().unwrap()).to_vec();
        let claims = Arc::new(Claims::default());
        let removal = claims.claim_ids(&ids[1..], Purpose::Removal, soon()).await.unwrap();
        assert!(claims.claim_ids(&ids, Purpose::Restore, soon()).await.is_err());
        let readers = [
            claims.claim_ids(&ids[..1], Purpose::Restore, soon()).await.unwrap(),
            claims.claim_ids(&ids[..1], Purpose::Base, soon()).await.unwrap().with(removal),
        ];
        let [restore, base] = readers;
        drop(restore);
        let held = claims.claim_ids(&ids, Purpose::Removal, soon()).await.unwrap_err();
        assert_eq!(held, Held { id: ids[0].clone(), purpose: Purpose::Base });
        base.close();
        drop(base);
        let removal = claims.claim_ids(&ids, Purpose::Removal, soon()).await.unwrap();
        removal.keep_for_good();
        assert!(claims.claim_ids(&ids[..1], Purpose::Base, soon()).await.is_err());
    }
}
