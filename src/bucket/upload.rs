//! An object written in equal parts, several on their way at once.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use object_store::PutPayload;
use object_store::multipart::{MultipartStore, PartId};

use super::uploads::Underway;
use super::{Bucket, BucketError, Class, Shared, path};

/// The most parts that an object may have (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
const PARTS: u64 = 10_000;
/// The smallest part that we send, in bytes; the store wants 5 MiB, but of the last.
const SMALLEST: u64 = 8 << 20;
/// The largest, in bytes: 10,000 of them are 5 TB, the largest object.
const LARGEST: u64 = 512 << 20;
/// How much memory all parts may take that are filled or on their way, in bytes, where that is two at the least.
const MEMORY: u64 = 96 << 20;
/// The most parts on their way at once.
const AT_ONCE: u64 = 4;

/// How large each part is, and how many may be on their way at once beside the one that is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts {
    size: usize,
    at_once: usize,
}

impl Parts {
    /// For an object that may become so large, in bytes.
    fn of(expected: u64) -> Self {
        let size = expected.div_ceil(PARTS - 1).next_multiple_of(1 << 20).clamp(SMALLEST, LARGEST);
        let at_once = (MEMORY / size).saturating_sub(1).clamp(1, AT_ONCE);
        Self { size: usize::try_from(size).unwrap_or(usize::MAX), at_once: usize::try_from(at_once).unwrap_or(1) }
    }
}

/// What becomes of a part.
type Promise = Receiver<Result<PartId, BucketError>>;

/// An object on its way. Dropped before it is finished, it is left as it is: whoever began it knows its id.
#[derive(Debug)]
pub struct Upload {
    shared: Arc<Shared>,
    underway: Underway,
    parts: Parts,
    part: Vec<u8>,
    sent: Vec<PartId>,
    promised: std::collections::VecDeque<Promise>,
    begun: usize,
    size: u64,
}

impl Bucket {
    /// Begins an object that may become so large, in bytes. What is begun and neither finished nor aborted is found by [`Bucket::uploads`].
    ///
    /// # Errors
    /// The store's.
    pub fn upload(&self, key: &str, expected: u64) -> Result<Upload, BucketError> {
        let path = path(key)?;
        let id = self.shared.call(&format!("beginning '{key}'"), |store| {
            let path = path.clone();
            async move { store.create_multipart(&path).await }
        })?;
        let underway = Underway { key: key.to_owned(), id };
        Ok(Upload {
            shared: Arc::clone(&self.shared),
            underway,
            parts: Parts::of(expected),
            part: Vec::new(),
            sent: Vec::new(),
            promised: std::collections::VecDeque::new(),
            begun: 0,
            size: 0,
        })
    }
}

impl Upload {
    /// How many parts were begun.
    pub fn parts(&self) -> usize {
        self.begun
    }

    fn send(&mut self) -> Result<(), BucketError> {
        while self.promised.len() >= self.parts.at_once {
            self.settle()?;
        }
        let bytes = PutPayload::from(mem::take(&mut self.part));
        let (key, index) = (self.underway.key.clone(), self.begun);
        if index as u64 >= PARTS {
            return Err(BucketError::new(
                Class::Broken,
                format!("'{key}' has more than {PARTS} parts: it has become larger than was expected"),
            ));
        }
        self.size += bytes.content_length() as u64;
        let (shared, underway) = (Arc::clone(&self.shared), self.underway.clone());
        let (done, promise) = sync_channel(1);
        let path = path(&key)?;
        // A thread for each part on its way: what waits between two tries waits there.
        thread::spawn(move || {
            let _waits = done.send(shared.call(&format!("writing part {} of '{key}'", index + 1), |store| {
                let (path, id, bytes) = (path.clone(), underway.id.clone(), bytes.clone());
                async move { store.put_part(&path, &id, index, bytes).await }
            }));
        });
        self.begun += 1;
        self.promised.push_back(promise);
        Ok(())
    }

    /// Waits for the oldest part on its way.
    fn settle(&mut self) -> Result<(), BucketError> {
        let Some(promise) = self.promised.pop_front() else { return Ok(()) };
        let sent =
            promise.recv().unwrap_or_else(|_broken| Err(BucketError::new(Class::Broken, "sending a part broke off")));
        self.sent.push(sent?);
        Ok(())
    }

    /// Sends the rest and completes the object; gives its length in bytes, as the store has it.
    ///
    /// # Errors
    /// The store's, or it has another length than what was sent. Nothing is aborted.
    pub fn finish(mut self) -> Result<u64, BucketError> {
        if !self.part.is_empty() || self.begun == 0 {
            self.send()?;
        }
        while !self.promised.is_empty() {
            self.settle()?;
        }
        let key = self.underway.key.clone();
        let path = path(&key)?;
        let parts = mem::take(&mut self.sent);
        let completed = self.shared.call(&format!("completing '{key}'"), |store| {
            let (path, id, parts) = (path.clone(), self.underway.id.clone(), parts.clone());
            async move { store.complete_multipart(&path, &id, parts).await.map(drop) }
        });
        // An answer that was lost, or one that was an error in disguise: what the store has counts.
        let there = self.shared.call(&format!("looking for '{key}'"), |store| {
            let path = path.clone();
            let head = object_store::GetOptions { head: true, ..object_store::GetOptions::default() };
            async move { object_store::ObjectStore::get_opts(&store, &path, head).await.map(|found| found.meta.size) }
        });
        match (completed, super::absent(there)?) {
            (_, Some(size)) if size == self.size => Ok(size),
            (Err(why), _) => Err(why),
            (Ok(()), Some(size)) => Err(BucketError::new(
                Class::Broken,
                format!("'{key}' has {size} bytes in the store, but {} were sent", self.size),
            )),
            (Ok(()), None) => {
                Err(BucketError::new(Class::Broken, format!("the store took '{key}' and does not have it")))
            }
        }
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.part.capacity() == 0 {
            self.part.reserve_exact(self.parts.size);
        }
        let count = bytes.len().min(self.parts.size - self.part.len());
        self.part.extend_from_slice(bytes.get(..count).unwrap_or_default());
        if self.part.len() == self.parts.size {
            self.send().map_err(io::Error::other)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn ten_thousand_equal_parts_suffice_and_few_are_in_memory() {
        for (expected, size, at_once) in [
            (0, 8 << 20, 4),
            (80_000_000_000, 8 << 20, 4),
            (100 << 30, 11 << 20, 4),
            (500_000_000_000, 48 << 20, 1),
            (5_000_000_000_000, 477 << 20, 1),
        ] {
            let parts = Parts::of(expected);
            assert_eq!((parts.size, parts.at_once), (size, at_once), "{expected}");
            assert!(parts.size as u64 * 9_999 >= expected.min(5_000_000_000_000));
        }
    }
}
