//! An object read in ranges, several on their way at once, and each again from its beginning where it broke off.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use futures_util::TryStreamExt;
use object_store::{GetOptions, GetRange, ObjectStore};

use super::{Bucket, BucketError, Class, Object, Shared, path};

/// How much is read at once, in bytes.
const RANGE: usize = 4 << 20;
/// How many ranges are on their way at once.
const AT_ONCE: usize = 4;

/// An object that is being read: all of it is of the one that was there at the beginning (`If-Match`).
#[derive(Debug)]
pub struct Download {
    shared: Arc<Shared>,
    object: Object,
    asked: u64,
    promised: VecDeque<Receiver<Result<Vec<u8>, BucketError>>>,
    piece: io::Cursor<Vec<u8>>,
    /// What does its input and output, where nobody else keeps it.
    _bucket: Option<Bucket>,
}

impl Bucket {
    /// Begins to read an object. None if there is none.
    ///
    /// # Errors
    /// The store's.
    pub fn download(&self, key: &str) -> Result<Option<Download>, BucketError> {
        let object = self.look(key)?;
        Ok(object.map(|object| Download {
            shared: Arc::clone(&self.shared),
            object,
            asked: 0,
            promised: VecDeque::new(),
            piece: io::Cursor::default(),
            _bucket: None,
        }))
    }
}

impl Download {
    /// How long the object is, in bytes.
    pub fn size(&self) -> u64 {
        self.object.size
    }

    /// The same, which keeps its bucket open.
    #[must_use]
    pub fn holding(self, bucket: Bucket) -> Self {
        Self { _bucket: Some(bucket), ..self }
    }

    /// Asks for ranges until enough are on their way.
    fn ask(&mut self) -> Result<(), BucketError> {
        while self.asked < self.object.size && self.promised.len() < AT_ONCE {
            let range = self.asked..(self.asked + RANGE as u64).min(self.object.size);
            self.asked = range.end;
            let (done, promise) = sync_channel(1);
            let (shared, object) = (Arc::clone(&self.shared), self.object.clone());
            let path = path(&object.key)?;
            thread::spawn(move || {
                let what = format!("reading bytes {} to {} of '{}'", range.start, range.end, object.key);
                let bytes = shared.call(&what, |store| {
                    let (path, range) = (path.clone(), range.clone());
                    let options = GetOptions {
                        range: Some(GetRange::Bounded(range.clone())),
                        if_match: object.etag.clone(),
                        ..GetOptions::default()
                    };
                    async move {
                        let mut parts = store.get_opts(&path, options).await?.into_stream();
                        // Taken over part by part: collected, it would be in memory twice.
                        let mut bytes = Vec::with_capacity(RANGE);
                        while let Some(part) = parts.try_next().await? {
                            bytes.extend_from_slice(&part);
                        }
                        Ok(bytes)
                    }
                });
                let wanted = range.end - range.start;
                let whole = bytes.and_then(|bytes| {
                    if bytes.len() as u64 == wanted {
                        return Ok(bytes);
                    }
                    Err(BucketError::new(Class::Broken, format!("{what}: {} bytes came", bytes.len())))
                });
                let _waits = done.send(whole.map_err(|why| {
                    // `If-Match` is answered as a key that is taken is.
                    if why.class == Class::Taken {
                        BucketError::new(Class::Changed, format!("'{}' has changed while it was read", object.key))
                    } else {
                        why
                    }
                }));
            });
            self.promised.push_back(promise);
        }
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            // Before others are asked for: their memory is as much.
            self.piece = io::Cursor::default();
            self.ask().map_err(io::Error::other)?;
            let Some(promise) = self.promised.pop_front() else { return Ok(0) };
            let piece =
                promise.recv().unwrap_or_else(|_broken| Err(BucketError::new(Class::Broken, "reading broke off")));
            self.piece = io::Cursor::new(piece.map_err(io::Error::other)?);
            self.ask().map_err(io::Error::other)?;
        }
    }
}
