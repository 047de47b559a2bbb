//! Compression on several threads, and decompression.
//!
//! What is compressed is cut into blocks, each of which becomes a frame of Zstandard (RFC 8878) or a member of gzip (RFC 1952) of its own:
//! both formats are such pieces one after another, so `zstd -d` and `gzip -d` read the whole. They are made, and undone, side by side in
//! a [`Pool`](super::pool::Pool).

use std::io::{self, BufReader, Read, Write};

use flate2::bufread::GzDecoder;
use flate2::read::MultiGzDecoder;
use flate2::write::DeflateEncoder;
use zstd::zstd_safe::get_frame_content_size;

use super::StreamError;
use super::frames::{MOST, member};
use crate::age;
use crate::model::{Compression, Packed};

/// How a block is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    compression: Compression,
    level: i32,
}

/// What a thread keeps from one block to the next.
#[derive(Default)]
pub(super) struct Tools {
    compressor: Option<zstd::bulk::Compressor<'static>>,
    decompressor: Option<zstd::bulk::Decompressor<'static>>,
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

    /// Compresses what is kept as a piece of its own.
    pub(crate) fn piece(self, block: Vec<u8>) -> io::Result<Vec<u8>> {
        self.compress(block, &mut Tools::default())
    }

    /// Compresses a block.
    pub(super) fn compress(self, block: Vec<u8>, tools: &mut Tools) -> io::Result<Vec<u8>> {
        match self.compression {
            Compression::None => Ok(block),
            Compression::Gzip => {
                let level = flate2::Compression::new(u32::try_from(self.level).unwrap_or_default());
                let mut encoder = DeflateEncoder::new(Vec::with_capacity(block.len() / 2), level);
                encoder.write_all(&block)?;
                Ok(member(&encoder.finish()?, crc32fast::hash(&block), block.len()))
            }
            Compression::Zstd => tools.compressor(self.level)?.compress(&block),
        }
    }
}

impl Tools {
    fn compressor(&mut self, level: i32) -> io::Result<&mut zstd::bulk::Compressor<'static>> {
        if self.compressor.is_none() {
            let mut new = zstd::bulk::Compressor::new(level)?;
            // A checksum in each frame, as the command line's have.
            new.include_checksum(true)?;
            self.compressor = Some(new);
        }
        self.compressor.as_mut().ok_or_else(|| io::ErrorKind::Other.into())
    }
}

/// Decompresses a frame, as [`Frames`](super::frames::Frames) gives it out.
pub(super) fn decompress(frame: &[u8], compression: Compression, tools: &mut Tools) -> io::Result<Vec<u8>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
    match compression {
        Compression::None => Ok(frame.to_vec()),
        Compression::Gzip => {
            // What the member says of its own length is no more than a good guess.
            let told = frame.last_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length));
            let mut block = Vec::with_capacity(usize::try_from(told).unwrap_or_default().min(MOST));
            let mut decoder = GzDecoder::new(frame);
            (&mut decoder).take(MOST as u64 + 1).read_to_end(&mut block)?;
            if block.len() > MOST {
                return Err(invalid("a member of gzip becomes more than it may"));
            }
            if !decoder.into_inner().is_empty() {
                return Err(invalid("a member of gzip has another length than it says"));
            }
            Ok(block)
        }
        Compression::Zstd => {
            let size = get_frame_content_size(frame).ok().flatten().and_then(|size| usize::try_from(size).ok());
            let size = size.filter(|size| *size <= MOST).ok_or_else(|| invalid("a frame of zstd says no length"))?;
            let decompressor = match &mut tools.decompressor {
                Some(decompressor) => decompressor,
                none => none.insert(zstd::bulk::Decompressor::new()?),
            };
            decompressor.decompress(frame, size)
        }
    }
}

/// What decompresses `input` to its end, as it is read; what comes behind the last piece is an error.
pub(super) fn decompressed<'a>(
    compression: Compression,
    input: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let input = BufReader::with_capacity(256 * 1024, input);
    Ok(match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
    })
}

/// Whether the first bytes of a stream are those of what its name says.
pub(super) fn is_as_named(beginning: &[u8], wanted: Packed) -> Result<(), StreamError> {
    const PLAIN: &str = "not compressed";
    let found = if beginning.is_empty() {
        "empty"
    } else if age::MAGIC.starts_with(beginning) {
        "encrypted"
    } else if beginning.starts_with(super::chunks::MAGIC) {
        PLAIN
    } else if beginning.starts_with(&[0x1f, 0x8b]) {
        Compression::Gzip.name()
    } else if beginning.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Compression::Zstd.name()
    } else {
        "in an unknown format"
    };
    let is_plain = wanted == Packed::from(Compression::None);
    if found == if is_plain { PLAIN } else { wanted.outer() } {
        Ok(())
    } else {
        Err(StreamError::Packed { found, wanted })
    }
}
