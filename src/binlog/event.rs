//! One event of a binary log: its head, and of its body what tells which transaction it belongs to, of what kind it is, and which tables it
//! changes. No row's data is read.
//!
//! In: bytes. Out: an [`Event`]; None for a body that is not as its kind has it. The numbers and layouts are those of MariaDB 10.5 to 11.8
//! (mariadb.com, "Replication Protocol", "2-Binlog Event Header" and the pages of each event) and of MySQL 8 and 9 without tagged GTIDs
//! (dev.mysql.com, "Binary Log Events" in the source documentation).

use std::collections::BTreeMap;
use std::io::Read as _;

use flate2::read::ZlibDecoder;
use uuid::Uuid;

use super::bytes::Bytes;
use super::gtid::{Gtid, State};

/// How long an event's head is, in bytes.
pub const HEAD: usize = 19;
/// How long a checksum is, in bytes.
pub(super) const CHECKSUM: usize = 4;
/// Where the flags stand in a file's first event, from the beginning of the file.
pub const FLAGS_AT: u64 = 21;
/// In these flags: that the server writes to the file.
pub const IN_USE: u8 = 1;

/// The kind of an event that begins a file.
pub(super) const FORMAT: u8 = 15;
/// The kind of a GTID that has a tag.
pub(super) const TAGGED: u8 = 42;
const QUERY: u8 = 2;
const QUERY_COMPRESSED: u8 = 165;
const START_ENCRYPTION: u8 = 164;

/// What of a statement is looked at, in bytes; it may be a megabyte of values.
pub(super) const STATEMENT: usize = 4096;

/// An event's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// When, in seconds since 1970.
    pub time: u32,
    /// Its kind.
    pub kind: u8,
    /// The server that it was first written by.
    pub server_id: u32,
    /// How long it is, with head and checksum, in bytes.
    pub length: u32,
    /// Its flags.
    pub flags: u16,
}

impl Head {
    /// Reads one.
    pub(super) fn read(bytes: [u8; HEAD]) -> Option<Self> {
        let mut bytes = Bytes(&bytes);
        let (time, kind, server_id, length) = (bytes.word()?, bytes.byte()?, bytes.word()?, bytes.word()?);
        let _next = bytes.word()?;
        Some(Self { time, kind, server_id, length, flags: bytes.short()? })
    }

    /// How much of its body has to be there to be understood, in bytes; the rest need only go by.
    pub(super) fn looked_at(&self) -> usize {
        match self.kind {
            // Lists, of any length: those of 16 MiB are of no server.
            35 | 163 => 16 << 20,
            _ => 128 << 10,
        }
    }
}

/// What a file's first event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// The version of the server that wrote it.
    pub server: String,
    /// That server's id.
    pub server_id: u32,
    /// When the file was begun, in seconds since 1970.
    pub time: u32,
    /// Whether each event has a checksum.
    pub checksums: bool,
}

impl Format {
    /// Reads the body, with what stands behind it. None if it is none, or of a server before MariaDB 10 and MySQL 8.
    pub(super) fn read(head: &Head, body: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(body);
        let version = bytes.short()?;
        let server = bytes.take(50)?.split(|byte| *byte == 0).next()?;
        let server = String::from_utf8_lossy(server).into_owned();
        let major: u32 = server.split('.').next()?.parse().ok()?;
        let _created = bytes.word()?;
        // The last byte says how checksums are made; the file's own first event has one in any case.
        let checksums = match body.len().checked_sub(1).and_then(|at| body.get(at)) {
            Some(0) => false,
            Some(1) => true,
            Some(_) | None => return None,
        };
        let is_known = version == 4 && usize::from(bytes.byte()?) == HEAD && major >= 8;
        is_known.then_some(Self { server, server_id: head.server_id, time: head.time, checksums })
    }

    /// Whether MariaDB wrote it.
    pub fn is_mariadb(&self) -> bool {
        self.server.contains("MariaDB")
    }
}

/// What rows of a table were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Put in.
    Insert,
    /// Changed.
    Update,
    /// Taken out.
    Delete,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The state at the end of the file before.
    Before(State),
    /// A transaction begins.
    Gtid {
        /// Which. None for an anonymous one of MySQL.
        gtid: Option<Gtid>,
        /// Whether it has one statement, without an end of its own (MariaDB), or may have (MySQL).
        alone: Alone,
    },
    /// A statement.
    Query {
        /// The database that it was given in.
        database: String,
        /// Its beginning.
        text: String,
    },
    /// Rows of this table come.
    Table {
        /// Its database.
        database: String,
        /// Its name.
        table: String,
    },
    /// Rows.
    Rows {
        /// What was done to them.
        change: Change,
        /// Whether the statement has no further ones.
        is_last: bool,
    },
    /// A statement that loads a file.
    Load {
        /// The database that it was given in.
        database: String,
        /// Its beginning.
        text: String,
    },
    /// Something that belongs to the statement that follows.
    Prelude,
    /// The transaction ends.
    Commit,
    /// The transaction, which is a distributed one, is prepared.
    Prepare,
    /// A whole transaction of MySQL, compressed.
    Payload,
    /// The file goes on in this one.
    Rotate(String),
    /// The server was stopped.
    Stop,
    /// From here on the file is encrypted.
    Encrypted,
    /// Any other.
    Other,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// With its one statement.
    Yes,
    /// With an event that says so.
    No,
    /// As its first statement tells.
    Unknown,
}

impl Event {
    /// Reads a body without its checksum, or as much of it as is looked at.
    pub(super) fn read(head: &Head, body: &[u8]) -> Option<Self> {
        let bytes = Bytes(body);
        Some(match head.kind {
            QUERY | QUERY_COMPRESSED => query(bytes, head.kind == QUERY_COMPRESSED, 0)?,
            3 => Self::Stop,
            // The position in the next file comes first.
            4 => Self::Rotate(String::from_utf8_lossy(body.get(8..)?).into_owned()),
            // Variables of a statement, parts of a file to load, and the statement's own text.
            5 | 9 | 13 | 14 | 17 | 29 | 160 => Self::Prelude,
            16 => Self::Commit,
            // Which file, from where to where in the statement its name stands, and what of duplicates.
            18 => query(bytes, false, 13)?,
            19 => table(bytes)?,
            20 | 23 | 30 | 166 | 169 => rows(bytes, Change::Insert)?,
            21 | 24 | 31 | 39 | 167 | 170 => rows(bytes, Change::Update)?,
            22 | 25 | 32 | 168 | 171 => rows(bytes, Change::Delete)?,
            33 => Self::Gtid { gtid: Some(mysql_gtid(bytes)?), alone: Alone::Unknown },
            34 => Self::Gtid { gtid: None, alone: Alone::Unknown },
            35 => Self::Before(mysql_state(bytes)?),
            38 => Self::Prepare,
            40 => Self::Payload,
            162 => mariadb_gtid(head, bytes)?,
            163 => Self::Before(mariadb_state(bytes)?),
            START_ENCRYPTION => Self::Encrypted,
            _ => Self::Other,
        })
    }
}

/// A statement, `further` bytes of fixed length behind those of every one.
fn query(mut bytes: Bytes<'_>, is_compressed: bool, further: usize) -> Option<Event> {
    bytes.take(8)?;
    let database = usize::from(bytes.byte()?);
    bytes.take(2)?;
    let variables = usize::from(bytes.short()?);
    bytes.take(further)?;
    bytes.take(variables)?;
    let database = bytes.name(database)?;
    let beginning = |text: &[u8]| String::from_utf8_lossy(text.get(..STATEMENT).unwrap_or(text)).into_owned();
    let text = if is_compressed { beginning(&inflated(bytes)?) } else { beginning(bytes.0) };
    Some(if further == 0 { Event::Query { database, text } } else { Event::Load { database, text } })
}

/// The beginning of a compressed statement: how many bytes its length takes, that length, and what zlib made of it (mariadb.com, "Compressing
/// Events to Reduce Size of the Binary Log").
fn inflated(mut bytes: Bytes<'_>) -> Option<Vec<u8>> {
    let length = bytes.byte()?;
    bytes.take(usize::from(length & 7))?;
    let mut text = vec![0; STATEMENT];
    let (mut decoder, mut filled) = (ZlibDecoder::new(bytes.0), 0);
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            // What is not all here ends so; its beginning is what counts.
            Err(_) if filled > 0 => break,
            Err(_) => return None,
        }
    }
    text.truncate(filled);
    Some(text)
}

fn table(mut bytes: Bytes<'_>) -> Option<Event> {
    bytes.take(8)?;
    let length = usize::from(bytes.byte()?);
    let database = bytes.name(length)?;
    let length = usize::from(bytes.byte()?);
    Some(Event::Table { database, table: bytes.name(length)? })
}

fn rows(mut bytes: Bytes<'_>, change: Change) -> Option<Event> {
    bytes.take(6)?;
    Some(Event::Rows { change, is_last: bytes.short()? & 1 != 0 })
}

fn mariadb_gtid(head: &Head, mut bytes: Bytes<'_>) -> Option<Event> {
    let (number, domain, flags) = (bytes.long()?, bytes.word()?, bytes.byte()?);
    let gtid = Some(Gtid::MariaDb { domain, server: head.server_id, number });
    Some(Event::Gtid { gtid, alone: if flags & 1 != 0 { Alone::Yes } else { Alone::No } })
}

fn mariadb_state(mut bytes: Bytes<'_>) -> Option<State> {
    // The highest four bits are flags.
    let count = bytes.word()? & 0x0FFF_FFFF;
    let mut state = State::MariaDb(BTreeMap::new());
    for _ in 0..count {
        let (domain, server, number) = (bytes.word()?, bytes.word()?, bytes.long()?);
        state.add(Gtid::MariaDb { domain, server, number });
    }
    Some(state)
}

fn mysql_gtid(mut bytes: Bytes<'_>) -> Option<Gtid> {
    bytes.byte()?;
    let server = Uuid::from_slice(bytes.take(16)?).ok()?;
    Some(Gtid::MySql { server, number: bytes.long()? })
}

/// One with tags has a number at its head that no count can be.
fn mysql_state(mut bytes: Bytes<'_>) -> Option<State> {
    let mut state = State::MySql(BTreeMap::new());
    for _ in 0..bytes.count(24)? {
        let server = Uuid::from_slice(bytes.take(16)?).ok()?;
        for _ in 0..bytes.count(16)? {
            state.add_range(server, (bytes.long()?, bytes.long()?));
        }
    }
    Some(state)
}
