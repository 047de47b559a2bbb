//! The format of a stream of files, `xbstream`: what mariadb-backup and mbstream 10.11.19 write and read.
//!
//! A stream is chunks one after another, with no head and no tail, so one that is cut between two chunks cannot be told
//! from a whole one. A chunk is the magic, a byte of flags (0), a byte for its type, and the path with its length (u32)
//! before it; a payload has further its length and its offset in the file (u64 each) and its CRC-32 (u32, zlib's). All
//! numbers are little-endian.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::io::{self, Read, Write};

/// What every chunk begins with.
const MAGIC: &[u8; 8] = b"XBSTCK01";
/// The length of what comes before the path.
const HEAD: usize = 14;
/// The most that a payload of the real tools holds: 10 MiB.
const PAYLOAD: usize = 10 << 20;
/// The length from which on the real tool takes no path: 512.
const PATH_LIMIT: u32 = 512;

/// Writes a whole file: its payloads, of which an empty file has none, and its end.
pub(crate) fn write_file(to: &mut impl Write, path: &str, content: &[u8]) -> io::Result<()> {
    let mut offset = 0_u64;
    for payload in content.chunks(PAYLOAD) {
        let length = payload.len() as u64;
        let mut chunk = head(b'P', path)?;
        chunk.extend(length.to_le_bytes());
        chunk.extend(offset.to_le_bytes());
        chunk.extend(crc32fast::hash(payload).to_le_bytes());
        chunk.extend(payload);
        to.write_all(&chunk)?;
        offset += length;
    }
    to.write_all(&head(b'E', path)?)?;
    to.flush()
}

/// The flag of a chunk whose type need not be known.
const IGNORABLE: u8 = 1;

fn head(kind: u8, path: &str) -> io::Result<Vec<u8>> {
    let length = u32::try_from(path.len()).map_err(io::Error::other)?;
    Ok([MAGIC.as_slice(), &[0, kind], &length.to_le_bytes(), path.as_bytes()].concat())
}

/// A chunk as it was read; its checksum is not compared yet.
pub(crate) struct Chunk {
    /// The file it belongs to.
    pub(crate) path: String,
    /// What it brings; nothing where it ends its file.
    pub(crate) payload: Option<Payload>,
}

/// A part of a file.
pub(crate) struct Payload {
    /// Where in the file it begins.
    pub(crate) offset: u64,
    bytes: Vec<u8>,
    checksum: u32,
    checksum_at: u64,
}

impl Payload {
    /// The bytes, if they are those that the checksum was made of; else what the real tool says.
    pub(crate) fn checked(&self) -> Result<&[u8], String> {
        let found = crc32fast::hash(&self.bytes);
        if found == self.checksum {
            return Ok(&self.bytes);
        }
        let Self { checksum, checksum_at, .. } = self;
        Err(format!("invalid checksum at offset 0x{checksum_at:x}: expected 0x{checksum:x}, read 0x{found:x}."))
    }
}

/// Reads chunks; an error is the real tool's text for it.
pub(crate) struct Chunks<R> {
    from: R,
    /// Where the next chunk begins.
    offset: u64,
}

impl<R: Read> Chunks<R> {
    /// Reads from the beginning of a stream.
    pub(crate) fn new(from: R) -> Self {
        Self { from, offset: 0 }
    }

    /// The next chunk, or nothing at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk>, String> {
        let start = self.offset;
        let head = self.take(HEAD as u64)?;
        if head.is_empty() {
            return Ok(None);
        }
        let Ok(head) = <[u8; HEAD]>::try_from(head) else {
            return Err(format!("unexpected end of stream at offset 0x{start:x}."));
        };
        let [magic @ .., flags, kind, a, b, c, d] = head;
        if &magic != MAGIC {
            return Err(format!("wrong chunk magic at offset 0x{start:x}."));
        }
        // One that may be ignored is not: what it brings is written like any other payload.
        if kind != b'P' && kind != b'E' && flags & IGNORABLE == 0 {
            // The number is decimal after all, with the real tool too.
            return Err(format!("unknown chunk type 0x{kind} at offset 0x{:x}.", start + 9));
        }
        let length = u32::from_le_bytes([a, b, c, d]);
        if length >= PATH_LIMIT {
            return Err(format!("path length ({length}) is too large at offset 0x{:x}.", start + 10));
        }
        let path = self.whole(u64::from(length))?;
        let path = String::from_utf8_lossy(&path).into_owned();
        let after_path = start + HEAD as u64 + u64::from(length);
        if kind == b'E' {
            self.offset = after_path;
            return Ok(Some(Chunk { path, payload: None }));
        }
        let (length, offset) = (self.number()?, self.number()?);
        let checksum = self.whole(4)?.try_into().map_or(0, u32::from_le_bytes);
        let bytes = self.whole(length)?;
        self.offset = after_path + 20 + length;
        let payload = Payload { offset, bytes, checksum, checksum_at: after_path + 16 };
        Ok(Some(Chunk { path, payload: Some(payload) }))
    }

    fn number(&mut self) -> Result<u64, String> {
        Ok(self.whole(8)?.try_into().map_or(0, u64::from_le_bytes))
    }

    /// This many bytes, or fewer where the stream ends.
    fn take(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let read = self.from.by_ref().take(length).read_to_end(&mut bytes);
        read.ok().map(|_| bytes).ok_or_else(cut)
    }

    fn whole(&mut self, length: u64) -> Result<Vec<u8>, String> {
        let bytes = self.take(length)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(cut()) }
    }
}

fn cut() -> String {
    "my_read() failed.".to_owned()
}
