//! Which ids and which data directories are taken by requests in flight.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::command::BackupId;

/// What is taken.
#[derive(Debug, Default)]
pub struct Registry {
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    ids: HashSet<BackupId>,
    data_dirs: HashSet<PathBuf>,
}

/// Something taken; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    registry: Arc<Registry>,
    what: What,
}

#[derive(Debug)]
enum What {
    Nothing,
    Id(BackupId),
    DataDir(PathBuf),
}

impl Registry {
    /// Takes an id for a new backup; none, if another request has it.
    pub fn claim_id(self: &Arc<Self>, id: &BackupId) -> Option<Claim> {
        self.lock().ids.insert(id.clone()).then(|| self.claim(What::Id(id.clone())))
    }

    /// Takes a data directory for a restore; none, if another request has it.
    pub fn claim_data_dir(self: &Arc<Self>, dir: &Path) -> Option<Claim> {
        self.lock().data_dirs.insert(dir.to_owned()).then(|| self.claim(What::DataDir(dir.to_owned())))
    }

    /// For what needs nothing of its own.
    pub fn claim_nothing(self: &Arc<Self>) -> Claim {
        self.claim(What::Nothing)
    }

    fn claim(self: &Arc<Self>, what: What) -> Claim {
        Claim { registry: Arc::clone(self), what }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut taken = self.registry.lock();
        match &self.what {
            What::Nothing => {}
            What::Id(id) => {
                taken.ids.remove(id);
            }
            What::DataDir(dir) => {
                taken.data_dirs.remove(dir);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::Registry;

    #[test]
    fn what_is_taken_is_taken_once_and_given_back() {
        let registry = Arc::new(Registry::default());
        let id = "full-1".parse().unwrap();
        let claim = registry.claim_id(&id);
        assert!(claim.is_some());
        assert!(registry.claim_id(&id).is_none());
        assert!(registry.claim_id(&"full-2".parse().unwrap()).is_some());
        drop(claim);
        assert!(registry.claim_id(&id).is_some());
        let dir = registry.claim_data_dir(Path::new("/d"));
        assert!(dir.is_some() && registry.claim_data_dir(Path::new("/d")).is_none());
    }
}
