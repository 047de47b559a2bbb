//! Compression on several threads, and decompression.
//!
//! What is compressed is cut into blocks, each of which becomes a frame of Zstandard (RFC 8878) or a member of gzip (RFC 1952) of its own:
//! both formats are such pieces one after another, so `zstd -d` and `gzip -d` read the whole. The blocks are compressed side by side and
//! come out in their order. As many are under way as there are threads, and one more, so memory is bounded: for each a block and what
//! becomes of it.

use std::io::{self, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::Scope;

use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use crate::model::Compression;

/// How a block is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    compression: Compression,
    level: i32,
}

/// The level of zstd where none is set. What it costs and saves beside others: docs/how-it-works.md, "Streams".
const ZSTD: i32 = 1;
/// The level of gzip where none is set.
const GZIP: i32 = 3;

impl Codec {
    /// This compression at this level, or at the one that it has by itself.
    pub fn new(compression: Compression, level: Option<i32>) -> Self {
        let own = match compression {
            Compression::None => 0,
            Compression::Gzip => GZIP,
            Compression::Zstd => ZSTD,
        };
        Self { compression, level: level.unwrap_or(own) }
    }

    /// A block as a piece of its own.
    pub(crate) fn compress(self, block: Vec<u8>) -> io::Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(block),
            Compression::Gzip => {
                let level = flate2::Compression::new(u32::try_from(self.level).unwrap_or_default());
                let mut encoder = GzEncoder::new(Vec::with_capacity(block.len() / 2), level);
                encoder.write_all(&block)?;
                encoder.finish()
            }
            Compression::Zstd => {
                let mut encoder = zstd::bulk::Compressor::new(self.level)?;
                // A checksum in each frame, as the command line's have.
                encoder.include_checksum(true)?;
                encoder.compress(&block)
            }
        }
    }

    /// What decompresses `input` to its end; what comes behind the last piece is an error.
    pub fn decompress<'a>(self, input: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
        let input = BufReader::with_capacity(256 * 1024, input);
        Ok(match self.compression {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        })
    }
}

/// A block on its way: the place where what becomes of it will be.
type Promise = Receiver<io::Result<Vec<u8>>>;

/// A block to compress, and who is told what becomes of it.
type Work = (Vec<u8>, SyncSender<io::Result<Vec<u8>>>);

/// Takes blocks in.
pub(super) struct Blocks {
    work: SyncSender<Work>,
    order: SyncSender<Promise>,
}

/// Gives out what became of the blocks, in their order.
pub(super) struct Pieces(Receiver<Promise>);

/// Starts `threads` threads that compress.
pub(super) fn compressing<'scope>(scope: &'scope Scope<'scope, '_>, codec: Codec, threads: usize) -> (Blocks, Pieces) {
    let (work, waiting) = sync_channel::<Work>(0);
    // The one that is being written is out of the channel.
    let (order, ordered) = sync_channel(threads);
    let waiting = std::sync::Arc::new(Mutex::new(waiting));
    for _ in 0..threads.max(1) {
        let waiting = std::sync::Arc::clone(&waiting);
        scope.spawn(move || {
            loop {
                // Bound to a name, so that the lock is not held while compressing.
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((block, done)) = next else { return };
                let _nobody_waits = done.send(codec.compress(block));
            }
        });
    }
    (Blocks { work, order }, Pieces(ordered))
}

impl Blocks {
    /// Takes in a block. Waits as long as too many are under way; false, if what becomes of it is wanted no more.
    pub(super) fn put(&self, block: Vec<u8>) -> bool {
        let (done, promise) = sync_channel(1);
        self.order.send(promise).is_ok() && self.work.send((block, done)).is_ok()
    }
}

impl Iterator for Pieces {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let promise = self.0.recv().ok()?;
        // Only a thread that broke off leaves a promise unkept.
        Some(promise.recv().unwrap_or_else(|_broken| Err(io::Error::other("compressing broke off"))))
    }
}

/// What the first bytes of a stream are those of.
pub(super) fn sniff(beginning: &[u8]) -> (Option<Compression>, &'static str) {
    if beginning.is_empty() {
        (None, "empty")
    } else if beginning.starts_with(super::chunks::MAGIC) {
        (Some(Compression::None), "not compressed")
    } else if beginning.starts_with(&[0x1f, 0x8b]) {
        (Some(Compression::Gzip), "gzip")
    } else if beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        (Some(Compression::Zstd), "zstd")
    } else {
        (None, "in an unknown format")
    }
}
