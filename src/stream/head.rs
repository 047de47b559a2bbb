//! The beginning of a stored stream: which files come first.

use std::io::{self, Read};
use std::path::PathBuf;

use super::StreamError;
use super::chunks::Chunks;
use super::codec::{decompressed, is_as_named};
use crate::model::Packed;

/// The files at the beginning of a stream.
pub struct Head<'a> {
    chunks: Chunks<Box<dyn Read + Send + 'a>>,
    buffer: Vec<u8>,
    /// Up to which byte is looked, uncompressed.
    end: u64,
}

impl<'a> Head<'a> {
    /// Opens the stream `input` of this name, by the ending of which it is compressed; no more than about `length` bytes of it are read.
    ///
    /// # Errors
    /// It is not packed as its name says, is encrypted, or cannot be read.
    pub fn open(name: &str, mut input: impl Read + Send + 'a, length: u64) -> Result<Self, StreamError> {
        let wanted = Packed::of_name(name);
        let mut beginning = Vec::new();
        (&mut input).take(8).read_to_end(&mut beginning).map_err(StreamError::Read)?;
        is_as_named(&beginning, wanted)?;
        if wanted.is_encrypted {
            return Err(StreamError::Locked);
        }
        let input = io::Cursor::new(beginning).chain(input);
        let plain = decompressed(wanted.compression, input).map_err(StreamError::Read)?;
        Ok(Self { chunks: Chunks::new(plain), buffer: Vec::new(), end: length })
    }

    /// The file of the next chunk. None at the end of what is looked at.
    ///
    /// # Errors
    /// It is no whole chunk, or cannot be read.
    pub fn next_file(&mut self) -> Result<Option<PathBuf>, StreamError> {
        if self.chunks.at() >= self.end {
            return Ok(None);
        }
        self.buffer.clear();
        Ok(self.chunks.next(&mut self.buffer)?.map(|chunk| chunk.path))
    }
}
