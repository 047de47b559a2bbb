//! What every stored stream goes through, whatever is in it: compressed, encrypted, hashed, kept; and the way back.
//!
//! In: bytes. Out: a stream that `age -d`, if it is encrypted, and `zstd -d` or `gzip -d` read, with its length and its hash. The way back
//! begins with the same hash, of what was stored, so that it is looked at without a key. Each direction works on several threads with bounded memory, and reads and writes in order.

use std::io::{self, Read, Write};
use std::thread::{self, Scope, ScopedJoinHandle};

use sha2::{Digest, Sha256};

use super::busy::Busy;
use super::codec::{Codec, decompress, decompressed};
use super::frames::{Frames, Next};
use super::pool::{Joined, Pieces, Pool, Queue};
use super::{Fault, StreamError};
use crate::age::{self, AgeError, CHUNK, Identity, Recipient, SEALED};
use crate::model::{Compression, Lengths, Packed};
use crate::witness::manifest;

/// How much is compressed as one, in bytes.
pub(super) const BLOCK: usize = 2 << 20;
/// How much is read at once, in bytes.
const PIECE: usize = 1 << 20;
/// How many pieces that were read may wait.
const PIECES: usize = 4;
/// After how many bytes the disk is told to begin writing them: it has little left to do at the end.
const BEGIN_WRITING: u64 = 16 << 20;

/// How many chunks are encrypted or decrypted as one: 1 MiB.
const CHUNKS: usize = 16;

/// How a stream is packed.
#[derive(Debug, Clone)]
pub struct Packing {
    /// How it is compressed.
    pub codec: Codec,
    /// To whom it is encrypted; to nobody, if it is not.
    pub recipients: Vec<Recipient>,
    /// On how many threads.
    pub threads: usize,
}

/// Takes in what is to be packed, and cuts it into blocks.
pub(super) struct Blocks<'scope> {
    /// What is not yet a whole block, and whatever is appended to it.
    pub(super) open: Vec<u8>,
    codec: Codec,
    queue: Queue<'scope>,
    busy: &'scope Busy,
}

/// Starts the threads that pack.
pub(super) fn packing<'scope>(
    scope: &'scope Scope<'scope, '_>,
    packing: &Packing,
    busy: &'scope Busy,
) -> (Blocks<'scope>, Pieces) {
    let pool = Pool::start(scope, packing.threads);
    let (queue, compressed) = pool.queue();
    let pieces = if packing.recipients.is_empty() {
        compressed
    } else {
        let (queue, sealed) = pool.queue();
        let recipients = packing.recipients.clone();
        scope.spawn(move || seal_all(compressed, &recipients, &queue, busy));
        sealed
    };
    (Blocks { open: Vec::with_capacity(2 * BLOCK), codec: packing.codec, queue, busy }, pieces)
}

impl Blocks<'_> {
    /// Passes on the blocks that are whole. Waits as long as too many are under way; false, if what becomes of them is wanted no more.
    pub(super) fn put_whole(&mut self) -> bool {
        let whole = self.open.len() / BLOCK * BLOCK;
        if whole == 0 {
            return true;
        }
        let is_wanted = self.open.get(..whole).unwrap_or_default().chunks(BLOCK).all(|block| self.put(block.to_vec()));
        self.open.drain(..whole);
        is_wanted
    }

    /// Passes on all that is left.
    pub(super) fn put_rest(&mut self) -> bool {
        let is_wanted = self.put_whole();
        let rest = std::mem::take(&mut self.open);
        is_wanted && (rest.is_empty() || self.put(rest))
    }

    /// Lets what comes of it break off, so that nobody takes it for whole.
    pub(super) fn break_off(&self) {
        let _nobody_listens = self.queue.put_done(Err(io::Error::other("what is packed broke off")));
    }

    fn put(&self, block: Vec<u8>) -> bool {
        let (codec, busy) = (self.codec, self.busy);
        self.queue.put(move |tools| busy.with("compressing", || codec.compress(block, tools)))
    }
}

/// Encrypts what was compressed. What breaks off has no last chunk.
fn seal_all<'scope>(compressed: Pieces, recipients: &[Recipient], queue: &Queue<'scope>, busy: &'scope Busy) {
    let (head, key) = match age::begin(recipients) {
        Ok(begun) => begun,
        Err(why) => {
            let _nobody_listens = queue.put_done(Err(Fault::Sealed(why).into()));
            return;
        }
    };
    let put = |number: u64, unit: Vec<u8>, is_last| {
        let key = key.clone();
        let seal = move || key.seal(number, &unit, is_last).map_err(|why| Fault::Sealed(why).into());
        queue.put(move |_| busy.with("encrypting", seal))
    };
    let (mut open, mut number, mut is_wanted) = (Vec::with_capacity(2 * BLOCK), 0, queue.put_done(Ok(head)));
    for piece in compressed {
        match piece {
            Ok(piece) => open.extend_from_slice(&piece),
            Err(why) => {
                let _nobody_listens = queue.put_done(Err(why));
                return;
            }
        }
        // Only what something follows is not the last.
        while is_wanted && open.len() > CHUNKS * CHUNK {
            let rest = open.split_off(CHUNKS * CHUNK);
            is_wanted = put(number, std::mem::replace(&mut open, rest), false);
            number += CHUNKS as u64;
        }
        if !is_wanted {
            return;
        }
    }
    put(number, open, true);
}

/// Writes the pieces, in their order, and calls `begin` with what the disk may begin to write; gives how many bytes they had, and their hash.
pub(super) fn write_all(
    pieces: Pieces,
    output: &mut impl Write,
    begin: &dyn Fn(u64, u64) -> io::Result<()>,
    busy: &Busy,
) -> io::Result<(u64, String)> {
    let (mut hasher, mut written, mut sent) = (Sha256::new(), 0, 0);
    for piece in pieces {
        let piece = piece?;
        busy.with("writing", || output.write_all(&piece))?;
        busy.with("hashing", || hasher.update(&piece));
        written += piece.len() as u64;
        if written - sent >= BEGIN_WRITING {
            begin(sent, written)?;
            sent = written;
        }
    }
    Ok((written, manifest::hexadecimal(&hasher.finalize())))
}

/// Packs all of `input`, whatever it is, into `output`. Gives both lengths, and the SHA-256 of what was written in hexadecimal digits.
///
/// # Errors
/// It cannot be read or written.
pub fn pack(
    input: &mut impl Read,
    output: &mut (impl Write + Send),
    how: &Packing,
    busy: &Busy,
) -> io::Result<(Lengths, String)> {
    thread::scope(|scope| {
        let (mut blocks, pieces) = packing(scope, how, busy);
        let writing = scope.spawn(move || write_all(pieces, output, &|_, _| Ok(()), busy));
        let mut data = 0;
        let read = loop {
            match input.take(PIECE as u64).read_to_end(&mut blocks.open) {
                Ok(0) => break Ok(blocks.put_rest()),
                Ok(count) => {
                    data += count as u64;
                    if !blocks.put_whole() {
                        break Ok(false);
                    }
                }
                Err(why) => {
                    blocks.break_off();
                    break Err(why);
                }
            }
        };
        drop(blocks);
        let written = writing.join().unwrap_or_else(|_panicked| Err(io::Error::other("writing broke off")));
        read?;
        let (stored, hash) = written?;
        Ok((Lengths { stored, data }, hash))
    })
}

/// How a stream is unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Unpacking<'a> {
    /// How it was packed.
    pub packed: Packed,
    /// By whom it is decrypted, if it is encrypted.
    pub identities: &'a [Identity],
    /// On how many threads.
    pub threads: usize,
}

/// Starts the threads that undo it. Gives what was packed, and the hash of what is stored, which is of all of it once that was taken to its end.
pub(super) fn unpacking<'scope>(
    scope: &'scope Scope<'scope, '_>,
    input: impl Read + Send + 'scope,
    how: Unpacking<'scope>,
    busy: &'scope Busy,
) -> (Pieces, ScopedJoinHandle<'scope, String>) {
    let pool = Pool::start(scope, how.threads);
    let (queue, stored) = pool.queue_of(PIECES);
    let hashing = scope.spawn(move || read_all(input, &queue, busy));
    let opened = if how.packed.is_encrypted {
        let (queue, opened) = pool.queue();
        scope.spawn(move || open_all(stored, how.identities, &queue, busy));
        opened
    } else {
        stored
    };
    let plain = match how.packed.compression {
        Compression::None => opened,
        compression @ (Compression::Gzip | Compression::Zstd) => {
            let (queue, plain) = pool.queue();
            scope.spawn(move || undo_frames(opened, compression, &queue, busy));
            plain
        }
    };
    (plain, hashing)
}

/// Reads to the end, and gives the hash of what was read.
fn read_all(mut input: impl Read, queue: &Queue<'_>, busy: &Busy) -> String {
    let mut hasher = Sha256::new();
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = busy.with("reading", || (&mut input).take(PIECE as u64).read_to_end(&mut piece));
        busy.with("hashing", || hasher.update(&piece));
        let is_over = piece.is_empty();
        // What was read before an error comes before it.
        let is_wanted = is_over || queue.put_done(Ok(piece));
        let is_read = match read {
            Ok(_) => true,
            Err(why) => {
                let _nobody_listens = queue.put_done(Err(Fault::Unread(why).into()));
                false
            }
        };
        if is_over || !is_wanted || !is_read {
            return manifest::hexadecimal(&hasher.finalize());
        }
    }
}

/// Decrypts what is stored.
fn open_all<'scope>(stored: Pieces, identities: &[Identity], queue: &Queue<'scope>, busy: &'scope Busy) {
    if let Err(why) = open_each(Joined::new(stored), identities, queue, busy) {
        let _nobody_listens = queue.put_done(Err(why));
    }
}

fn open_each<'scope>(
    mut input: impl Read,
    identities: &[Identity],
    queue: &Queue<'scope>,
    busy: &'scope Busy,
) -> io::Result<()> {
    let sealed = |why: AgeError| io::Error::from(Fault::Sealed(why));
    let opened = age::open(&mut input, identities)?.map_err(sealed)?;
    let mut read = || {
        let mut unit = Vec::with_capacity(CHUNKS * SEALED);
        (&mut input).take((CHUNKS * SEALED) as u64).read_to_end(&mut unit).map(|_| unit)
    };
    let (mut unit, mut number) = (read()?, 0);
    loop {
        let next = read()?;
        let (key, is_last) = (opened.key.clone(), next.is_empty());
        let open = move || key.open(number, &unit, is_last).map_err(sealed);
        if !queue.put(move |_| busy.with("decrypting", open)) || is_last {
            return Ok(());
        }
        unit = next;
        number += CHUNKS as u64;
    }
}

/// Decompresses frame by frame, and what cannot be cut into frames as it is read.
fn undo_frames<'scope>(stored: Pieces, compression: Compression, queue: &Queue<'scope>, busy: &'scope Busy) {
    let mut frames = Frames::new(Joined::new(stored), compression);
    loop {
        match frames.next() {
            Ok(Next::Frame(frame)) => {
                let undo = move |tools: &mut _| busy.with("decompressing", || decompress(&frame, compression, tools));
                if !queue.put(undo) {
                    return;
                }
            }
            Ok(Next::End) => return,
            Ok(Next::Rest) => break,
            Err(why) => {
                let _nobody_listens = queue.put_done(Err(why));
                return;
            }
        }
    }
    let mut rest = match decompressed(compression, frames.into_rest()) {
        Ok(rest) => rest,
        Err(why) => {
            let _nobody_listens = queue.put_done(Err(why));
            return;
        }
    };
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        let read = busy.with("decompressing", || (&mut rest).take(PIECE as u64).read_to_end(&mut piece));
        let is_over = piece.is_empty() || read.is_err();
        let is_wanted = piece.is_empty() || queue.put_done(Ok(piece));
        if let Err(why) = read {
            let _nobody_listens = queue.put_done(Err(why));
        }
        if is_over || !is_wanted {
            return;
        }
    }
}

/// Unpacks all of `input` into `output`. Gives both lengths, and the SHA-256 of what was read in hexadecimal digits.
///
/// # Errors
/// It cannot be read, is not what [`pack`] writes, or cannot be written. What was written by then is left.
pub fn unpack(
    input: impl Read + Send,
    output: &mut impl Write,
    how: Unpacking<'_>,
    busy: &Busy,
) -> Result<(u64, String), StreamError> {
    thread::scope(|scope| {
        let (plain, hashing) = unpacking(scope, input, how, busy);
        let mut data = 0;
        let written = plain.into_iter().try_for_each(|piece| {
            let piece = piece.map_err(|why| Fault::of(why, data))?;
            data += piece.len() as u64;
            busy.with("writing", || output.write_all(&piece)).map_err(super::cannot_write("output"))
        });
        let hash = hashing.join().unwrap_or_default();
        written.map(|()| (data, hash))
    })
}
