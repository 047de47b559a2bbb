//! The format of a stream of files, `xbstream`: what mariadb-backup and mbstream 10.11.19 write and read.
//!
//! A stream is chunks one after another, with no head and no tail, so one that is cut between two chunks cannot be told
//! from a whole one. A chunk is the magic, a byte of flags, a byte for its type, and the path with its length (u32)
//! before it; a payload has further its length and its offset in the file (u64 each) and its CRC-32 (u32, zlib's). All
//! numbers are little-endian. Of what becomes of files while DDL goes on 10.5.23 knows nothing; 10.11.19 and 11.8.9 know of
//! a file that is removed (`D`), one that is renamed (`R`, with the new name behind it), and one written anew (flags 2).

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

/// Writes that a file is to be removed.
pub(crate) fn write_removal(to: &mut impl Write, path: &str) -> io::Result<()> {
    to.write_all(&head(b'D', path)?)?;
    to.flush()
}

/// The flag of a chunk whose type need not be known.
const IGNORABLE: u8 = 1;
/// The flag of a file that is written anew.
const ANEW: u8 = 2;

fn head(kind: u8, path: &str) -> io::Result<Vec<u8>> {
    let length = u32::try_from(path.len()).map_err(io::Error::other)?;
    Ok([MAGIC.as_slice(), &[0, kind], &length.to_le_bytes(), path.as_bytes()].concat())
}

/// A chunk as it was read; its checksum is not compared yet.
pub(crate) struct Chunk {
    /// The file it belongs to.
    pub(crate) path: String,
    /// Whether the file is written anew.
    pub(crate) is_anew: bool,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a chunk is.
pub(crate) enum Kind {
    /// A part of its file.
    Payload(Payload),
    /// The end of its file. Behind a new name, with no payload between them, the real tool takes the name for a payload,
    /// and the checksum of the last payload for its own: that is never right.
    End(Option<Payload>),
    /// The file is to be removed.
    Removed,
    /// The file gets this name.
    Renamed(String),
}

/// A part of a file.
#[derive(Clone)]
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
    /// Whether it knows of what becomes of files.
    knows_ddl: bool,
    /// What the last payload or new name left behind.
    last: Payload,
    /// Whether it is a new name.
    is_name: bool,
}

impl<R: Read> Chunks<R> {
    /// Reads from the beginning of a stream, as a tool that knows of what becomes of files, or as one of before.
    pub(crate) fn new(from: R, knows_ddl: bool) -> Self {
        let last = Payload { offset: 0, bytes: Vec::new(), checksum: 0, checksum_at: 0 };
        Self { from, offset: 0, knows_ddl, last, is_name: false }
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
        let is_known = matches!(kind, b'P' | b'E') || self.knows_ddl && matches!(kind, b'D' | b'R');
        if !is_known && flags & IGNORABLE == 0 {
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
        let is_anew = self.knows_ddl && flags & ANEW != 0;
        let kind = match kind {
            b'E' => {
                self.offset = after_path;
                Kind::End(self.is_name.then(|| self.last.clone()))
            }
            b'D' if self.knows_ddl => {
                self.offset = after_path;
                Kind::Removed
            }
            b'R' if self.knows_ddl => Kind::Renamed(self.new_name(after_path)?),
            _ => Kind::Payload(self.payload(after_path)?),
        };
        Ok(Some(Chunk { path, is_anew, kind }))
    }

    fn new_name(&mut self, after_path: u64) -> Result<String, String> {
        let length = self.whole(4)?.try_into().map_or(0, u32::from_le_bytes);
        if length >= PATH_LIMIT {
            return Err(format!("path length ({length}) for new name of 'rename'\tchunk is too large"));
        }
        let name = self.whole(u64::from(length))?;
        self.offset = after_path + 4 + u64::from(length);
        self.last.bytes = [name.as_slice(), b"\0"].concat();
        self.is_name = true;
        Ok(String::from_utf8_lossy(&name).into_owned())
    }

    fn payload(&mut self, after_path: u64) -> Result<Payload, String> {
        let (length, offset) = (self.number()?, self.number()?);
        let checksum = self.whole(4)?.try_into().map_or(0, u32::from_le_bytes);
        let bytes = self.whole(length)?;
        self.offset = after_path + 20 + length;
        let payload = Payload { offset, bytes, checksum, checksum_at: after_path + 16 };
        self.last = payload.clone();
        self.is_name = false;
        Ok(payload)
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
