//! Units of work done side by side on a few threads, what becomes of them given out in their order.
//!
//! One pool serves the stages of a stream that come one after another: what is decrypted is then decompressed, by the same threads. A worker
//! waits for nothing but work, so no stage can hold up another for good. Memory is bounded by each [`Queue`]: as many units are under way
//! in it as there are threads, and one more.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use super::codec::Tools;

/// What is done to a unit.
type Job<'scope> = Box<dyn FnOnce(&mut Tools) -> io::Result<Vec<u8>> + Send + 'scope>;

/// The place where what becomes of a unit will be.
type Promise = Receiver<io::Result<Vec<u8>>>;

/// A unit, and who is told what becomes of it.
type Work<'scope> = (Job<'scope>, SyncSender<io::Result<Vec<u8>>>);

/// Threads that work. They end when it and all its queues are dropped.
pub(super) struct Pool<'scope> {
    work: SyncSender<Work<'scope>>,
    threads: usize,
}

/// Takes units in.
pub(super) struct Queue<'scope> {
    work: SyncSender<Work<'scope>>,
    order: SyncSender<Promise>,
}

/// Gives out what became of the units, in their order.
pub(super) struct Pieces(Receiver<Promise>);

impl<'scope> Pool<'scope> {
    /// Starts so many threads; one at the least.
    pub(super) fn start(scope: &'scope Scope<'scope, '_>, threads: usize) -> Self {
        let threads = threads.max(1);
        let (work, waiting) = sync_channel::<Work<'scope>>(0);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..threads {
            let waiting = Arc::clone(&waiting);
            scope.spawn(move || {
                let mut tools = Tools::default();
                loop {
                    // Bound to a name, so that the lock is not held while working.
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((job, done)) = next else { return };
                    let _nobody_waits = done.send(job(&mut tools));
                }
            });
        }
        Self { work, threads }
    }

    /// A stage of its own.
    pub(super) fn queue(&self) -> (Queue<'scope>, Pieces) {
        // The one that is taken out is out of the channel.
        self.queue_of(self.threads)
    }

    /// A stage of its own in which so many units wait.
    pub(super) fn queue_of(&self, depth: usize) -> (Queue<'scope>, Pieces) {
        let (order, ordered) = sync_channel(depth);
        (Queue { work: self.work.clone(), order }, Pieces(ordered))
    }
}

impl<'scope> Queue<'scope> {
    /// Takes in a unit. Waits as long as too many are under way; false, if what becomes of it is wanted no more.
    pub(super) fn put(&self, job: impl FnOnce(&mut Tools) -> io::Result<Vec<u8>> + Send + 'scope) -> bool {
        let (done, promise) = sync_channel(1);
        self.order.send(promise).is_ok() && self.work.send((Box::new(job), done)).is_ok()
    }

    /// Takes in what needs no work.
    pub(super) fn put_done(&self, piece: io::Result<Vec<u8>>) -> bool {
        let (done, promise) = sync_channel(1);
        let _waits = done.send(piece);
        self.order.send(promise).is_ok()
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let promise = self.0.recv().ok()?;
        // Only a thread that broke off leaves a promise unkept.
        Some(promise.recv().unwrap_or_else(|_broken| Err(io::Error::other("working on it broke off"))))
    }
}

/// Pieces one after another, as a reader; an error ends them.
pub(super) struct Joined<P> {
    pieces: P,
    piece: io::Cursor<Vec<u8>>,
}

impl<P> Joined<P> {
    pub(super) fn new(pieces: P) -> Self {
        Self { pieces, piece: io::Cursor::default() }
    }
}

impl<P: Iterator<Item = io::Result<Vec<u8>>>> io::Read for Joined<P> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.piece.read(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            let Some(next) = self.pieces.next() else { return Ok(0) };
            self.piece = io::Cursor::new(next?);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::thread;

    use super::{Joined, Pool};

    #[test]
    fn what_becomes_of_units_comes_in_their_order_through_stages_of_one_pool() {
        for threads in [0, 1, 3] {
            let sum = thread::scope(|scope| {
                let pool = Pool::start(scope, threads);
                let (first, doubled) = pool.queue();
                let (second, both) = pool.queue();
                scope.spawn(move || (0..200_u8).all(|number| first.put(move |_| Ok(vec![number, number]))));
                scope.spawn(move || {
                    doubled.map(Result::unwrap).all(|piece| {
                        second.put_done(Ok(Vec::new()))
                            && second.put(move |_| Ok(piece.iter().rev().copied().collect()))
                    })
                });
                drop(pool);
                let mut bytes = Vec::new();
                Joined::new(both).read_to_end(&mut bytes).unwrap();
                bytes
            });
            assert_eq!(sum, (0..200).flat_map(|number| [number, number]).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn an_error_comes_at_its_place_and_who_listens_no_more_ends_the_work() {
        thread::scope(|scope| {
            let pool = Pool::start(scope, 2);
            let (queue, pieces) = pool.queue();
            let feeding = scope.spawn(move || {
                assert!(queue.put(|_| Ok(vec![1])) && queue.put(|_| Err(io::Error::other("it is broken"))));
                while queue.put(|_| Ok(vec![2])) {}
            });
            let mut bytes = Vec::new();
            let mut joined = Joined::new(pieces);
            assert_eq!(joined.read_to_end(&mut bytes).unwrap_err().to_string(), "it is broken");
            assert_eq!(bytes, [1]);
            drop(joined);
            feeding.join().unwrap();
        });
    }
}
