//! A reader that is read ahead of on a thread of its own, so that what it does goes on beside what is done with it.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// How many pieces may wait.
const PIECES: usize = 4;

/// What was read ahead.
pub(super) struct Ahead {
    filled: Receiver<io::Result<Vec<u8>>>,
    empty: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    taken: usize,
}

/// Reads `input` on a thread. The thread gives the reader back when it has come to the end, or when nobody listens any more.
pub(super) fn read_ahead<'scope, R: Read + Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    mut input: R,
) -> (Ahead, ScopedJoinHandle<'scope, R>) {
    let (fill, filled) = sync_channel(PIECES);
    let (empty, emptied) = sync_channel::<Vec<u8>>(PIECES + 2);
    let reading = scope.spawn(move || {
        loop {
            let mut piece = emptied.try_recv().unwrap_or_else(|_none_yet| Vec::with_capacity(PIECE));
            piece.clear();
            let read = (&mut input).take(PIECE as u64).read_to_end(&mut piece);
            let is_over = !matches!(read, Ok(1..));
            // What was read before an error comes before it.
            let is_wanted = piece.is_empty() || fill.send(Ok(piece)).is_ok();
            if let Err(why) = read {
                let _nobody_listens = fill.send(Err(why));
            }
            if is_over || !is_wanted {
                return input;
            }
        }
    });
    (Ahead { filled, empty, piece: Vec::new(), taken: 0 }, reading)
}

impl Read for Ahead {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.piece.len() {
            match self.filled.recv() {
                Ok(next) => {
                    let emptied = std::mem::replace(&mut self.piece, next?);
                    let _the_reader_is_done = self.empty.try_send(emptied);
                    self.taken = 0;
                }
                Err(_at_the_end) => return Ok(0),
            }
        }
        let there = self.piece.get(self.taken..).unwrap_or_default();
        let count = there.len().min(bytes.len());
        if let (Some(to), Some(from)) = (bytes.get_mut(..count), there.get(..count)) {
            to.copy_from_slice(from);
        }
        self.taken += count;
        Ok(count)
    }
}
