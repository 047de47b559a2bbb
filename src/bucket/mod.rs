//! Objects in a store of S3's kind: written in parts, read in ranges, listed and removed.
//!
//! In: a [`Remote`] and keys. Out: bytes, or a [`BucketError`] with its class. The hidden steps and the operator's commands use it, in
//! processes of their own: the daemon opens no connection and reads no secret. The client is the crate `object_store`; here are the retries,
//! each signed anew, since that client sends a retry as it was signed first. All calls block; a thread of its own does the input and output.

mod client;
mod credentials;
mod download;
mod error;
mod seen;
mod upload;
mod uploads;

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::client::HttpClient;
use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore, PutMode, PutPayload};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub use download::Download;
pub use error::{BucketError, Class};
pub use upload::Upload;
pub use uploads::Underway;

use crate::model::Remote;

/// How often and for how long a request is tried again that the store, or the way to it, has failed.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// After how long no other try is begun.
    pub until: Duration,
    /// How long the first pause is; each one after it is twice as long, up to 20 s.
    pub pause: Duration,
}

impl Patience {
    /// The longest pause between two tries.
    const LONGEST: Duration = Duration::from_secs(20);
    /// For a step that nobody waits for: an outage of 3 minutes.
    pub const LONG: Self = Self { until: Duration::from_secs(180), pause: Duration::from_millis(250) };
    /// For a command that somebody waits for.
    pub const SHORT: Self = Self { until: Duration::from_secs(8), pause: Duration::from_millis(250) };
}

/// An object, as the store tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key.
    pub key: String,
    /// Its length in bytes.
    pub size: u64,
    /// What changes with its content. None if the store does not say it.
    pub etag: Option<String>,
}

/// A bucket that is open.
#[derive(Debug)]
pub struct Bucket {
    shared: Arc<Shared>,
    /// Ends the thread when it is dropped.
    ending: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What requests on several threads have in common.
#[derive(Debug)]
struct Shared {
    store: AmazonS3,
    http: HttpClient,
    remote: Remote,
    handle: Handle,
    patience: Patience,
    retries: AtomicU64,
    /// What was tried again last, and why.
    last: Mutex<Option<String>>,
}

impl Bucket {
    /// Reads the secret and makes ready to speak to the store; nothing is sent yet.
    ///
    /// # Errors
    /// The secret or the certificates cannot be read, or the address is none.
    pub fn open(remote: &Remote, patience: Patience) -> Result<Self, BucketError> {
        let (ready, is_ready) = mpsc::sync_channel(1);
        let (ending, end) = oneshot::channel();
        // One thread for all input and output: hashing and encrypting go at more than 0.5 GB/s on it, and memory stays small.
        let thread =
            thread::Builder::new().name("bucket".to_owned()).spawn(move || {
                match Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => {
                        let _waits = ready.send(Ok(runtime.handle().clone()));
                        let _dropped = runtime.block_on(end);
                    }
                    Err(why) => {
                        let _waits = ready.send(Err(why));
                    }
                }
            });
        let broken = |why: &dyn std::fmt::Display| BucketError::new(Class::Settings, why.to_string());
        let thread = thread.map_err(|why| broken(&why))?;
        let handle = is_ready.recv().map_err(|why| broken(&why))?.map_err(|why| broken(&why))?;
        let (store, http) = client::new(remote)?;
        let shared = Shared {
            store,
            http,
            remote: remote.clone(),
            handle,
            patience,
            retries: AtomicU64::new(0),
            last: Mutex::default(),
        };
        Ok(Self { shared: Arc::new(shared), ending: Some(ending), thread: Some(thread) })
    }

    /// Where it is.
    pub fn remote(&self) -> &Remote {
        &self.shared.remote
    }

    /// How often something was tried again.
    pub fn retries(&self) -> u64 {
        self.shared.retries.load(Ordering::Relaxed)
    }

    /// What was tried again last, and why. None if nothing was.
    pub fn last_retry(&self) -> Option<String> {
        self.shared.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes an object whole.
    ///
    /// # Errors
    /// The store's.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<(), BucketError> {
        self.write(key, bytes, &PutMode::Overwrite)
    }

    /// Writes an object of a key that has none: `If-None-Match: *`. The same bytes under the key are no other's, since the answer to an
    /// earlier try may have been lost.
    ///
    /// # Errors
    /// The store's; [`Class::Taken`] if the key has another object.
    pub fn put_new(&self, key: &str, bytes: &[u8]) -> Result<(), BucketError> {
        match self.write(key, bytes, &PutMode::Create) {
            Err(why) if why.class == Class::Taken => {
                let is_as_long = self.look(key)?.is_some_and(|there| there.size == bytes.len() as u64);
                let is_ours = is_as_long && self.read(key, bytes.len() as u64)?.is_some_and(|there| there == bytes);
                if is_ours { Ok(()) } else { Err(why) }
            }
            done => done,
        }
    }

    fn write(&self, key: &str, bytes: &[u8], mode: &PutMode) -> Result<(), BucketError> {
        let (path, payload) = (path(key)?, PutPayload::from(bytes.to_vec()));
        self.shared.call(&format!("writing '{key}'"), |store| {
            let (path, payload, mode) = (path.clone(), payload.clone(), mode.clone());
            async move { store.put_opts(&path, payload, mode.into()).await.map(drop) }
        })
    }

    /// What the store says of an object. None if there is none.
    ///
    /// # Errors
    /// The store's.
    pub fn look(&self, key: &str) -> Result<Option<Object>, BucketError> {
        let path = path(key)?;
        let found = self.shared.call(&format!("looking for '{key}'"), |store| {
            let path = path.clone();
            async move {
                store.get_opts(&path, GetOptions { head: true, ..GetOptions::default() }).await.map(|found| found.meta)
            }
        });
        absent(found.map(|meta| Object { key: key.to_owned(), size: meta.size, etag: meta.e_tag }))
    }

    /// An object's bytes, which are at most so many. None if there is none.
    ///
    /// # Errors
    /// The store's, or it is larger.
    pub fn read(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, BucketError> {
        let path = path(key)?;
        let found = self.shared.call(&format!("reading '{key}'"), |store| {
            let path = path.clone();
            async move {
                let found = store.get_opts(&path, GetOptions::default()).await?;
                if found.meta.size > most {
                    return Ok(None);
                }
                Ok(Some(found.bytes().await?))
            }
        });
        match absent(found)? {
            None => Ok(None),
            Some(None) => Err(BucketError::new(Class::Broken, format!("'{key}' is larger than {most} bytes"))),
            Some(Some(bytes)) => Ok(Some(bytes.to_vec())),
        }
    }

    /// The names directly below a key that ends in `/`: those that have something below them.
    ///
    /// # Errors
    /// The store's.
    pub fn names(&self, below: &str) -> Result<Vec<String>, BucketError> {
        let (_, prefixes) = self.list(below, Some("/"))?;
        let name = |key: String| Some(key.strip_prefix(below)?.trim_end_matches('/').to_owned());
        Ok(prefixes.into_iter().filter_map(name).collect())
    }

    /// All objects below a key that ends in `/`.
    ///
    /// # Errors
    /// The store's.
    pub fn objects(&self, below: &str) -> Result<Vec<Object>, BucketError> {
        self.list(below, None).map(|(objects, _)| objects)
    }

    fn list(&self, below: &str, delimiter: Option<&'static str>) -> Result<(Vec<Object>, Vec<String>), BucketError> {
        let (mut objects, mut prefixes, mut token) = (Vec::new(), Vec::new(), None);
        loop {
            let page = self.shared.call(&format!("listing '{below}'"), |store| {
                let (below, token) = (below.to_owned(), token.clone());
                let options = PaginatedListOptions {
                    delimiter: delimiter.map(Into::into),
                    page_token: token,
                    ..PaginatedListOptions::default()
                };
                async move { store.list_paginated(Some(&below), options).await }
            })?;
            objects.extend(page.result.objects.into_iter().map(|meta| Object {
                key: meta.location.into(),
                size: meta.size,
                etag: meta.e_tag,
            }));
            prefixes.extend(page.result.common_prefixes.into_iter().map(String::from));
            token = page.page_token;
            if token.is_none() {
                return Ok((objects, prefixes));
            }
        }
    }

    /// Removes an object; one that is not there is removed.
    ///
    /// # Errors
    /// The store's.
    pub fn remove(&self, key: &str) -> Result<(), BucketError> {
        let path = path(key)?;
        let removed = self.shared.call(&format!("removing '{key}'"), |store| {
            let path = path.clone();
            async move {
                let one = futures_util::stream::once(async move { Ok(path) });
                store.delete_stream(Box::pin(one)).try_collect::<Vec<_>>().await.map(drop)
            }
        });
        absent(removed).map(drop)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        drop(self.ending.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

impl Shared {
    /// Does one request, from any thread but that of the input and output, and again as long as that may help.
    fn call<T, F>(self: &Arc<Self>, what: &str, request: impl Fn(AmazonS3) -> F) -> Result<T, BucketError>
    where
        T: Send + 'static,
        F: Future<Output = object_store::Result<T>> + Send + 'static,
    {
        let (begun, mut pause) = (Instant::now(), self.patience.pause);
        loop {
            let (done, is_done) = mpsc::sync_channel(1);
            let request = request(self.store.clone());
            self.handle.spawn(async move {
                let _waits = done.send(seen::watched(request).await);
            });
            let outcome = is_done.recv();
            let Ok((outcome, seen)) = outcome else {
                return Err(BucketError::new(Class::Broken, format!("{what} broke off")));
            };
            let why = match outcome {
                Ok(done) => return Ok(done),
                Err(why) => BucketError::of(what, &why, seen.as_ref()),
            };
            if !why.class.may_pass() || begun.elapsed() + pause > self.patience.until {
                return Err(why);
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
            thread::sleep(jittered(pause));
            pause = (pause * 2).min(Patience::LONGEST);
        }
    }
}

/// Half of a pause to the whole of it, so that many who failed at once do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let [byte, ..] = *uuid::Uuid::new_v4().as_bytes();
    pause / 2 + pause / 512 * u32::from(byte)
}

/// What is not there is none.
fn absent<T>(found: Result<T, BucketError>) -> Result<Option<T>, BucketError> {
    match found {
        Err(why) if why.class == Class::NotFound => Ok(None),
        found => found.map(Some),
    }
}

fn path(key: &str) -> Result<Path, BucketError> {
    Path::parse(key).map_err(|why| BucketError::new(Class::Broken, format!("'{key}' is no key: {why}")))
}
