//! What the archive has of one file.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::elsewhere::Sent;
use super::index::base;
use crate::age::Recipient;
use crate::binlog::event::Format;
use crate::binlog::gtid::State;
use crate::binlog::stretch::Stretch;

/// The format of the documents in the archive that this program writes, and the newest that it reads.
pub(super) const FORMAT: u32 = 1;

/// What the archive has of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// How this document is laid out: 1.
    pub format: u32,
    /// The file's name.
    pub file: String,
    /// Its number, which stands at the end of its name.
    pub number: u64,
    /// The version of the server that wrote it.
    pub server: String,
    /// That server's id.
    pub server_id: u32,
    /// When it was begun, in seconds since 1970.
    pub begun: u32,
    /// Whether each event has a checksum.
    pub checksums: bool,
    /// The GTIDs of all files before it, which it names at its head.
    pub before: State,
    /// Those at the end of what is archived.
    pub after: State,
    /// The domains of MariaDB of which it has a transaction.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub touched: BTreeSet<u32>,
    /// How many transactions it has.
    pub transactions: u64,
    /// The earliest and the latest time of one, in seconds since 1970. None if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<(u32, u32)>,
    /// How many of its bytes are archived, from its beginning on.
    pub length: u64,
    /// What they take, compressed and maybe encrypted.
    pub stored: u64,
    /// How it ended. None as long as the server may still write to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// To whom encrypted pieces are encrypted: the public keys, each set of them once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<Vec<String>>,
    /// The pieces that were put into the archive, in their order; together they are all of it.
    pub pieces: Vec<Piece>,
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The server went on in another.
    Rotated,
    /// The server was stopped.
    Stopped,
    /// The server died. What stood behind the last whole transaction was never committed: the next file goes on without it.
    Cut,
}

/// A piece of a file: what one step put into the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// How long it is, in bytes.
    pub length: u64,
    /// The CRC-32 of these.
    pub crc32: u32,
    /// What it takes, compressed and maybe encrypted, in bytes.
    pub stored: u64,
    /// The SHA-256 of these, in hexadecimal digits.
    pub sha256: String,
    /// To whom it is encrypted: which of the sets of [`Entry::recipients`]. None if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
}

impl Entry {
    /// That of a file of which nothing is archived yet.
    pub(super) fn new(file: &str, number: u64, format: &Format, before: State) -> Self {
        Self {
            format: FORMAT,
            file: file.to_owned(),
            number,
            server: format.server.clone(),
            server_id: format.server_id,
            begun: format.time,
            checksums: format.checksums,
            after: before.clone(),
            before,
            touched: BTreeSet::new(),
            transactions: 0,
            times: None,
            length: 0,
            stored: 0,
            ended: None,
            recipients: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// What the pieces take that come behind what was sent.
    pub(in crate::binlog) fn unsent(&self, sent: Sent) -> u64 {
        self.placed().filter(|(begin, _)| *begin >= sent.length).map(|(_, piece)| piece.stored).sum()
    }

    /// Whether it describes a file that begins like this.
    pub(super) fn is_of(&self, format: &Format) -> bool {
        let Format { server, server_id, time, checksums } = format;
        (&self.server, self.server_id, self.begun, self.checksums) == (server, *server_id, *time, *checksums)
    }

    /// What its first event says.
    pub fn as_format(&self) -> Format {
        Format { server: self.server.clone(), server_id: self.server_id, time: self.begun, checksums: self.checksums }
    }

    /// What the pieces take that are not encrypted, and so stand one behind the other.
    pub(super) fn plain(&self) -> u64 {
        self.pieces.iter().filter(|piece| piece.to.is_none()).map(|piece| piece.stored).sum()
    }

    /// Each piece with where in the file it begins.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u64, &Piece)> {
        self.pieces.iter().scan(0, |end, piece| {
            let begin = *end;
            *end += piece.length;
            Some((begin, piece))
        })
    }

    /// The same with one more piece, which is encrypted to these, if it is.
    pub(super) fn with(mut self, stretch: &Stretch, mut piece: Piece, recipients: &[Recipient]) -> Self {
        if !recipients.is_empty() {
            let set: Vec<_> = recipients.iter().map(ToString::to_string).collect();
            let known = self.recipients.iter().position(|known| *known == set);
            piece.to = known.or_else(|| {
                self.recipients.push(set);
                self.recipients.len().checked_sub(1)
            });
        }
        self.after.clone_from(&stretch.after);
        self.touched.extend(&stretch.touched);
        self.transactions += stretch.transactions;
        let both = |(one, other): ((u32, u32), (u32, u32))| (one.0.min(other.0), one.1.max(other.1));
        self.times = self.times.zip(stretch.times).map(both).or(self.times).or(stretch.times);
        self.length += piece.length;
        self.stored += piece.stored;
        self.pieces.push(piece);
        self
    }

    /// Whether it is shown that the file goes on in this one, with nothing between them.
    pub(super) fn leads_to(&self, next: &Self) -> bool {
        let is_whole = self.ended.is_some() || self.is_proven();
        is_whole && base(&self.file) == base(&next.file) && self.goes_on_in(next.number, &next.before)
    }

    /// Whether the file goes on in one that begins like this and has this number.
    pub(super) fn goes_on_in(&self, number: u64, before: &State) -> bool {
        self.number.checked_add(1) == Some(number)
            && self.after.goes_on_with(before, |domain| self.touched.contains(&domain))
    }

    /// Whether the GTIDs show that a file which goes on from here has lost nothing: there are any.
    pub(super) fn is_proven(&self) -> bool {
        !self.after.is_empty()
    }
}
