//! A bucket behind the daemon of a sweep: what it holds, byte by byte, against what is recorded.
//!
//! In: a daemon that is ready and has no job under way. Out: every promise of a repository that is broken, in words. Waits until nothing is on
//! its way there; changes nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::stored::MANIFEST;
use crate::harness::boto::Boto;
use crate::harness::bucket::{Bucket, Login};
use crate::harness::radosgw::{Radosgw, RealBucket};
use crate::harness::{PATIENCE, TestEnv};

/// What a backup says of itself.
const CARD: &str = "backup.json";
/// That a backup is whole in the bucket.
const NOTE: &str = "repository.json";

/// Which store keeps the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The tests' own, in this process.
    Fakes,
    /// Ceph's, in a container.
    Radosgw,
}

enum Store {
    Own(Bucket),
    /// What was read of it is not read again: the hash, by the key and the length.
    Real(RealBucket, Box<RefCell<Boto>>, RefCell<BTreeMap<(String, u64), String>>),
}

/// The bucket of a sweep.
pub(crate) struct Offsite {
    store: Store,
    /// Backups whose record and folder somebody took away past the daemon: what the bucket has of them stays, whole.
    pub(super) left: BTreeSet<String>,
    /// How often it was looked at, and how many backups were whole there, in all.
    pub(super) looks: Cell<u32>,
    pub(super) seen: Cell<usize>,
}

impl Offsite {
    /// Makes a bucket and lets the daemon, which is not yet started, keep its backups there. None, and a skip: there is no such store here.
    pub(super) fn set_up(kind: Kind, env: &mut TestEnv) -> Option<Self> {
        let store = match kind {
            Kind::Fakes => Store::Own(Bucket::start()),
            Kind::Radosgw => {
                let gateway = Radosgw::shared()?;
                Store::Real(gateway.bucket(), Box::new(RefCell::new(Boto::start()?)), RefCell::default())
            }
        };
        let offsite = Self { store, left: BTreeSet::new(), looks: Cell::new(0), seen: Cell::new(0) };
        let (login, file) = (offsite.login().clone(), env.path("repository.credentials"));
        login.write_credentials(&file);
        for (key, value) in [("stream", "true"), ("compression", "zstd"), ("keep_local", "false")] {
            env.set(key, value);
        }
        env.set("repository", &format!("s3://{}/db1", login.bucket));
        env.set("repository_endpoint", &login.endpoint);
        env.set("repository_credentials_file", &file.display().to_string());
        Some(offsite)
    }

    fn login(&self) -> &Login {
        match &self.store {
            Store::Own(bucket) => bucket.login(),
            Store::Real(bucket, ..) => bucket.login(),
        }
    }

    fn keys(&self) -> BTreeMap<String, u64> {
        match &self.store {
            Store::Own(bucket) => bucket.keys(),
            Store::Real(bucket, boto, _) => boto.borrow_mut().keys(bucket.login()),
        }
    }

    fn uploads(&self) -> Vec<String> {
        match &self.store {
            Store::Own(bucket) => bucket.uploads().into_iter().map(|upload| upload.key).collect(),
            Store::Real(bucket, boto, _) => boto.borrow_mut().uploads(bucket.login()),
        }
    }

    fn read(&self, key: &str) -> Option<Vec<u8>> {
        match &self.store {
            Store::Own(bucket) => bucket.read(key),
            Store::Real(bucket, boto, _) => boto.borrow_mut().read(bucket.login(), key),
        }
    }

    fn hash(&self, key: &str, size: u64) -> Option<String> {
        let of = || self.read(key).map(|bytes| hexadecimal(&bytes));
        let Store::Real(.., known) = &self.store else { return of() };
        let name = (key.to_owned(), size);
        if !known.borrow().contains_key(&name) {
            known.borrow_mut().insert(name.clone(), of()?);
        }
        known.borrow().get(&name).cloned()
    }

    /// Every promise that is broken, once nothing is on its way.
    pub(super) fn broken(&self, env: &TestEnv, recorded: &[String]) -> Vec<String> {
        self.looks.set(self.looks.get() + 1);
        let until = Instant::now() + PATIENCE;
        while let Some(why) = under_way(env, recorded) {
            if Instant::now() > until {
                return vec![format!("the repository is not in step after {PATIENCE:?}: {why}")];
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let mut broken = Vec::new();
        let mut keys = self.keys();
        for id in recorded {
            let local = |name: &str| fs::read(env.backup(id).join(name)).ok();
            match self.whole(id, &mut keys) {
                Ok((card, manifest))
                    if Some(&card) != local(CARD).as_ref() || Some(&manifest) != local(MANIFEST).as_ref() =>
                {
                    broken.push(format!("the bucket has another backup {id} than is recorded"));
                }
                Ok(_) => self.seen.set(self.seen.get() + 1),
                Err(why) => broken.push(format!("the backup {id} is recorded and not whole in the bucket: {why}")),
            }
        }
        for id in &self.left {
            if let Err(why) = self.whole(id, &mut keys) {
                broken.push(format!("the backup {id} was left in the bucket and is not whole there: {why}"));
            }
        }
        broken.extend(keys.keys().map(|key| format!("'{key}' in the bucket is of no recorded backup")));
        broken.extend(self.uploads().iter().map(|key| format!("an upload of '{key}' is left open")));
        broken
    }

    /// Looks whether every byte is there that a backup's `backup.json` and manifest name, and takes its keys out of these. Gives both.
    fn whole(&self, id: &str, keys: &mut BTreeMap<String, u64>) -> Result<(Vec<u8>, Vec<u8>), String> {
        let key = format!("db1/v1/{id}/{CARD}");
        let card = self.read(&key).ok_or("it has no backup.json")?;
        keys.remove(&key);
        let described: Value = serde_json::from_slice(&card).map_err(|why| why.to_string())?;
        let below = format!("db1/v1/{id}/{}", described["uuid"].as_str().ok_or("its backup.json has no uuid")?);
        let sealed = format!("{below}/{MANIFEST}");
        let manifest = self.read(&sealed).ok_or("it has no manifest")?;
        keys.remove(&sealed);
        let text = String::from_utf8_lossy(&manifest).into_owned();
        let mut has_stream = false;
        for (hash, name) in text.lines().filter_map(|line| line.split_once("  ")) {
            let found = if name == CARD {
                Some(hexadecimal(&card))
            } else {
                let key = format!("{below}/{name}");
                keys.remove(&key).and_then(|size| self.hash(&key, size))
            };
            if found.as_deref() != Some(hash) {
                return Err(format!("its '{name}' has the hash {found:?}, and not {hash}"));
            }
            has_stream |= name.contains(".xbstream");
        }
        if has_stream { Ok((card, manifest)) } else { Err("its manifest names no stream".to_owned()) }
    }
}

/// What is still on its way to the bucket, or is to be taken away there. None if nothing is.
fn under_way(env: &TestEnv, recorded: &[String]) -> Option<String> {
    let entries = fs::read_dir(env.path("backups/.sending")).into_iter().flatten().flatten();
    let entry = entries.map(|entry| fs::read_to_string(entry.path()).unwrap_or_default()).next();
    let unsent = || recorded.iter().find(|id| !env.backup(id).join(NOTE).exists());
    entry.or_else(|| unsent().map(|id| format!("{id} is not sent")))
}

/// Removes the stream of a backup from its folder, if it is there too.
pub(super) fn remove_stream(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        if entry.file_name().to_string_lossy().contains(".xbstream") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
