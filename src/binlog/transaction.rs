//! Transactions of a binary log: from the event that begins one to the event that ends it.
//!
//! In: the events of a file. Out: each whole transaction, and what stands between them. Behind each of these the file can be cut and read on:
//! nothing that is needed later lies before. A transaction whose end is not there was never committed.

use std::collections::BTreeSet;
use std::io::Read;

use super::event::{Alone, Change, Event};
use super::gtid::{Gtid, State};
use super::reader::{BinlogError, Placed, Reader};
use super::statement::Statement;

/// The most tables that are named of a transaction.
const MOST: usize = 64;

/// A whole transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transaction {
    /// Where it begins.
    pub at: u64,
    /// When, by its first event, in seconds since 1970.
    pub time: u32,
    /// Its GTID. None if it has none.
    pub gtid: Option<Gtid>,
    /// What it does, in the order of first mention, as `DROP TABLE`, `INSERT`; nothing unless that was asked for.
    pub kinds: Vec<String>,
    /// The tables and databases that it names.
    pub tables: BTreeSet<String>,
    /// Whether there are more than these.
    pub has_more: bool,
}

/// What a file has, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The state at its beginning.
    Before(State),
    /// A transaction.
    Transaction(Transaction),
    /// It goes on in this file.
    Rotate(String),
    /// The server was stopped.
    Stop,
    /// Something that is no transaction's.
    Other,
}

/// Reads transactions.
pub struct Transactions<R> {
    reader: Reader<R>,
    open: Option<(Transaction, Alone)>,
    /// Whether kinds and tables are looked at.
    is_curious: bool,
}

impl<R: Read> Transactions<R> {
    /// Reads them from where the reader stands, which is behind an item; with what they do, if `is_curious`.
    pub fn new(reader: Reader<R>, is_curious: bool) -> Self {
        Self { reader, open: None, is_curious }
    }

    /// The reader; between two items it stands where the next one begins.
    pub fn reader(&self) -> &Reader<R> {
        &self.reader
    }

    /// The next item. None where there is no whole one any more.
    ///
    /// # Errors
    /// As for [`Reader::event`]; or an event that cannot be where it is.
    pub fn item(&mut self) -> Result<Option<Item>, BinlogError> {
        while let Some(placed) = self.reader.event()? {
            if let Some(item) = self.take(placed)? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    fn take(&mut self, placed: Placed) -> Result<Option<Item>, BinlogError> {
        let Placed { at, head, event } = placed;
        let odd = |what| Err(BinlogError::Damaged { at, what });
        let begun = |gtid, alone| (Transaction { at, time: head.time, gtid, ..Transaction::default() }, alone);
        let is_within = self.open.is_some();
        let is_end = match event {
            Event::Gtid { .. } if is_within => return odd("a transaction begins in another"),
            Event::Before(_) | Event::Rotate(_) | Event::Stop if is_within => {
                return odd("a file ends in a transaction");
            }
            Event::Before(state) => return Ok(Some(Item::Before(state))),
            Event::Rotate(next) => return Ok(Some(Item::Rotate(next))),
            Event::Stop => return Ok(Some(Item::Stop)),
            Event::Other | Event::Encrypted => return Ok((!is_within).then_some(Item::Other)),
            Event::Gtid { gtid, alone } => {
                self.open = Some(begun(gtid, alone));
                return Ok(None);
            }
            event @ (Event::Query { .. }
            | Event::Table { .. }
            | Event::Rows { .. }
            | Event::Load { .. }
            | Event::Prelude
            | Event::Commit
            | Event::Prepare
            | Event::Payload) => {
                let (transaction, alone) = self.open.get_or_insert_with(|| begun(None, Alone::Unknown));
                if self.is_curious {
                    transaction.look(&event);
                }
                ends(&event, alone)
            }
        };
        Ok(if is_end { self.open.take().map(|(transaction, _)| Item::Transaction(transaction)) } else { None })
    }
}

/// Whether an event of a transaction is its last.
fn ends(event: &Event, alone: &mut Alone) -> bool {
    match event {
        Event::Commit | Event::Prepare | Event::Payload => true,
        Event::Query { text, .. } => match alone {
            Alone::No => is_end(text),
            Alone::Unknown if is_beginning(text) => {
                *alone = Alone::No;
                false
            }
            Alone::Yes | Alone::Unknown => true,
        },
        Event::Load { .. } => *alone != Alone::No,
        Event::Rows { is_last, .. } => *alone == Alone::Yes && *is_last,
        Event::Table { .. }
        | Event::Prelude
        | Event::Other
        | Event::Before(_)
        | Event::Gtid { .. }
        | Event::Rotate(_)
        | Event::Stop
        | Event::Encrypted => false,
    }
}

/// Whether a statement ends a transaction, as the servers write it: to the letter.
fn is_end(text: &str) -> bool {
    matches!(text, "COMMIT" | "ROLLBACK") || text.starts_with("XA COMMIT") || text.starts_with("XA ROLLBACK")
}

/// Whether a statement of MySQL begins a transaction: a table that is made of a query says so at its end.
fn is_beginning(text: &str) -> bool {
    text == "BEGIN" || text.starts_with("XA START") || text.ends_with("START TRANSACTION")
}

impl Transaction {
    /// Takes note of what an event does.
    fn look(&mut self, event: &Event) {
        match event {
            Event::Query { database, text } | Event::Load { database, text } => {
                let said = Statement::of(database, text);
                let is_frame = ["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA START", "XA END"];
                if !said.kind.is_empty() && !is_frame.contains(&said.kind.as_str()) {
                    self.add(said.kind);
                    said.tables.into_iter().chain(said.database).for_each(|table| self.name(table));
                }
            }
            Event::Table { database, table } => self.name(format!("{database}.{table}")),
            Event::Rows { change, .. } => self.add(change.as_str().to_owned()),
            Event::Prepare => self.add("XA PREPARE".to_owned()),
            Event::Payload => self.add("COMPRESSED".to_owned()),
            Event::Prelude
            | Event::Commit
            | Event::Other
            | Event::Before(_)
            | Event::Gtid { .. }
            | Event::Rotate(_)
            | Event::Stop
            | Event::Encrypted => {}
        }
    }

    fn add(&mut self, kind: String) {
        if !self.kinds.contains(&kind) && self.kinds.len() < MOST {
            self.kinds.push(kind);
        }
    }

    fn name(&mut self, table: String) {
        if self.tables.len() < MOST {
            self.tables.insert(table);
        } else if !self.tables.contains(&table) {
            self.has_more = true;
        }
    }
}

impl Change {
    /// As a statement that does it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}
