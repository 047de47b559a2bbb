//! What the archive has, read again: the bytes of a file as far as they are counted, each piece held to its hash.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

use super::entry::{Entry, Piece};
use super::{Archive, ArchiveError, at};
use crate::witness::manifest::hexadecimal;

/// A file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archived {
    /// Its timeline.
    pub timeline: u32,
    /// What is said of it.
    pub entry: Entry,
}

impl Archived {
    /// Opens it for reading, from its beginning to the end of what is archived.
    ///
    /// # Errors
    /// The system's.
    pub fn open(&self, archive: &Archive) -> Result<ArchivedReader, ArchiveError> {
        let path = archive.data(self.timeline, &self.entry.file);
        let input = File::open(&path).map_err(at(&path))?;
        Ok(ArchivedReader { input, pieces: self.entry.pieces.clone().into_iter(), current: None })
    }
}

/// The bytes of a file of the archive. What was changed since it was archived is an error, and none of it is given out behind that.
pub struct ArchivedReader {
    input: File,
    pieces: std::vec::IntoIter<Piece>,
    current: Option<Current>,
}

/// The piece that is being read.
struct Current {
    decoder: zstd::stream::read::Decoder<'static, io::BufReader<Hashing>>,
    piece: Piece,
    given: u64,
    crc: crc32fast::Hasher,
}

/// The compressed bytes of a piece.
struct Hashing {
    input: io::Take<File>,
    hash: Sha256,
}

impl Read for Hashing {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(to)?;
        self.hash.update(to.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Read for ArchivedReader {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(current) = &mut self.current else {
                let Some(piece) = self.pieces.next() else { return Ok(0) };
                let input = self.input.try_clone()?.take(piece.stored);
                let hashing = Hashing { input, hash: Sha256::new() };
                let decoder = zstd::stream::read::Decoder::new(hashing)?;
                self.current = Some(Current { decoder, piece, given: 0, crc: crc32fast::Hasher::new() });
                continue;
            };
            let count = current.decoder.read(to)?;
            if count > 0 {
                current.given += count as u64;
                current.crc.update(to.get(..count).unwrap_or_default());
                return Ok(count);
            }
            if to.is_empty() {
                return Ok(0);
            }
            current.check()?;
            self.current = None;
        }
    }
}

impl Current {
    /// Holds a piece that has been read to what is said of it.
    fn check(&mut self) -> io::Result<()> {
        let hashing = self.decoder.get_mut().get_mut();
        let is_all = hashing.input.limit() == 0;
        let sha256 = hexadecimal(&hashing.hash.clone().finalize());
        let is_same = self.given == self.piece.length && self.crc.clone().finalize() == self.piece.crc32;
        if is_all && is_same && sha256 == self.piece.sha256 {
            return Ok(());
        }
        Err(io::Error::other("what is archived is not what it was"))
    }
}
