//! A file of a binary log, read event by event.
//!
//! In: the bytes of a file, from its beginning or from behind an event. Out: each whole event, its checksum right; at the end, whether something
//! follows that is no whole event. No length that a file names is made room for: a body goes by in pieces, and of it as much is kept as is
//! looked at. What the server does to a file that it writes to, a flag in the first event, is taken out.

use std::io::{self, Read};

use crc32fast::Hasher;
use thiserror::Error;

use super::event::{CHECKSUM, Event, FLAGS_AT, FORMAT, Format, HEAD, Head, IN_USE, TAGGED};

/// What a file begins with.
pub const MAGIC: [u8; 4] = [0xfe, b'b', b'i', b'n'];
/// What one begins with that MySQL has encrypted.
const ENCRYPTED: [u8; 4] = [0xfd, b'b', b'i', b'n'];

/// How much of a body goes by at once, in bytes.
const PIECE: usize = 64 * 1024;

/// Why a file is not read on.
#[derive(Debug, Error)]
pub enum BinlogError {
    /// The system's.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// It is too short to have its first event, or empty: the server has only just made it.
    #[error("it has no whole first event yet")]
    Unbegun,
    /// It is none, or of a server that is not known.
    #[error("it is no binary log of MariaDB 10 or MySQL 8, or later")]
    Unknown,
    /// It is encrypted.
    #[error("it is encrypted, so what is in it cannot be checked")]
    Encrypted,
    /// MySQL's GTIDs may have tags since 8.3, and these have.
    #[error("it has GTIDs with tags, which are not known")]
    Tagged,
    /// What is there can be no event.
    #[error("at byte {at}: {what}")]
    Damaged {
        /// Where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
}

/// A file that is being read.
pub struct Reader<R> {
    input: R,
    format: Format,
    /// Where the next event begins.
    at: u64,
    /// What has gone by since the beginning, or since [`Reader::at`].
    hash: Hasher,
    body: Vec<u8>,
    piece: Vec<u8>,
    torn: u64,
}

/// Where an event lies, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Where it begins.
    pub at: u64,
    /// Its head.
    pub head: Head,
    /// What it says.
    pub event: Event,
}

impl<R: Read> Reader<R> {
    /// Reads a file from its beginning: its first event.
    ///
    /// # Errors
    /// It is no binary log, or has no whole first event.
    pub fn begin(mut input: R) -> Result<Self, BinlogError> {
        let mut magic = [0; MAGIC.len()];
        match fill(&mut input, &mut magic)? {
            4 if magic == MAGIC => {}
            4 if magic == ENCRYPTED => return Err(BinlogError::Encrypted),
            4 => return Err(BinlogError::Unknown),
            _ => return Err(BinlogError::Unbegun),
        }
        let format = Format { server: String::new(), server_id: 0, time: 0, checksums: true };
        let mut hash = Hasher::new();
        hash.update(&magic);
        let mut reader = Self { input, format, at: 4, hash, body: Vec::new(), piece: Vec::new(), torn: 0 };
        let head = reader.pass()?.ok_or(BinlogError::Unbegun)?;
        if head.kind != FORMAT {
            return Err(BinlogError::Unknown);
        }
        reader.format = Format::read(&head, &reader.body).ok_or(BinlogError::Unknown)?;
        Ok(reader)
    }

    /// Reads a file on that is of this format, from `at`, where an event begins and `input` stands.
    pub fn resume(input: R, format: Format, at: u64) -> Self {
        Self { input, format, at, hash: Hasher::new(), body: Vec::new(), piece: Vec::new(), torn: 0 }
    }

    /// What its first event says.
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Where the next event begins.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The checksum of all that has gone by as whole events, as it is archived.
    pub fn crc(&self) -> u32 {
        self.hash.clone().finalize()
    }

    /// How many bytes stand behind the last whole event; known once [`Reader::event`] has given none.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// The next event. None at the end, or where what follows is not all there.
    ///
    /// # Errors
    /// What is there can be no event, or is encrypted.
    pub fn event(&mut self) -> Result<Option<Placed>, BinlogError> {
        let at = self.at;
        let Some(head) = self.pass()? else { return Ok(None) };
        if head.kind == TAGGED {
            return Err(BinlogError::Tagged);
        }
        let event = Event::read(&head, &self.body)
            .ok_or(BinlogError::Damaged { at, what: "the body of the event is not as its kind has it" })?;
        if event == Event::Encrypted {
            return Err(BinlogError::Encrypted);
        }
        Ok(Some(Placed { at, head, event }))
    }

    /// Lets one event go by, and keeps of its body what is looked at. None where it is not all there.
    fn pass(&mut self) -> Result<Option<Head>, BinlogError> {
        let damaged = |what| BinlogError::Damaged { at: self.at, what };
        let mut bytes = [0; HEAD];
        let there = fill(&mut self.input, &mut bytes)?;
        if there < HEAD {
            self.torn = there as u64;
            return Ok(None);
        }
        // It is not counted in the checksum either (MariaDB and MySQL clear it before they compute that).
        if self.at == MAGIC.len() as u64
            && let Some(flags) = usize::try_from(FLAGS_AT).ok().and_then(|at| bytes.get_mut(at - MAGIC.len()))
        {
            *flags &= !IN_USE;
        }
        let head = Head::read(bytes).ok_or_else(|| damaged("no head of an event"))?;
        let checksum = if self.format.checksums || head.kind == FORMAT { CHECKSUM } else { 0 };
        let length = usize::try_from(head.length).unwrap_or(usize::MAX);
        let Some(body) = length.checked_sub(HEAD + checksum) else {
            return Err(damaged("an event is shorter than its head"));
        };
        let (mut own, mut hash) = (Hasher::new(), self.hash.clone());
        own.update(&bytes);
        hash.update(&bytes);
        let kept = body.min(head.looked_at());
        self.body.clear();
        self.piece.resize(PIECE, 0);
        let mut left = body;
        while left > 0 {
            let wanted = left.min(PIECE);
            let Some(room) = self.piece.get_mut(..wanted) else { break };
            let there = fill(&mut self.input, room)?;
            if there < wanted {
                self.torn = (HEAD + body - left + there) as u64;
                return Ok(None);
            }
            own.update(room);
            hash.update(room);
            let more = (kept - self.body.len().min(kept)).min(room.len());
            self.body.extend_from_slice(room.get(..more).unwrap_or_default());
            left -= wanted;
        }
        let mut sum = [0; CHECKSUM];
        if let Some(sum) = sum.get_mut(..checksum) {
            let there = fill(&mut self.input, sum)?;
            if there < checksum {
                self.torn = (HEAD + body + there) as u64;
                return Ok(None);
            }
            hash.update(sum);
        }
        if checksum > 0 && own.finalize() != u32::from_le_bytes(sum) {
            return Err(damaged("the checksum of an event is wrong"));
        }
        self.hash = hash;
        self.at += length as u64;
        Ok(Some(head))
    }
}

/// Reads until there is no more, or the room is full. Gives how much came.
fn fill(input: &mut impl Read, room: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = room.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    Ok(filled)
}
