//! A stretch of a file: from one place between transactions to another.
//!
//! In: a file, and what there was before the stretch. Out: where it ends, the state there, and whether the file has an end behind it. A stretch is
//! bounded by a length, so that a file of any size is gone through in steps.

use std::collections::BTreeSet;
use std::io::Read;

use super::gtid::{Gtid, State};
use super::reader::{BinlogError, Reader};
use super::transaction::{Item, Transactions};

/// What a stretch has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// Where it ends: the last place between two transactions that was found.
    pub end: u64,
    /// The checksum of its bytes.
    pub crc: u32,
    /// The state at its beginning, if it is the file's.
    pub before: Option<State>,
    /// The state at its end.
    pub after: State,
    /// MariaDB's domains of which it has a transaction.
    pub touched: BTreeSet<u32>,
    /// How many transactions it has.
    pub transactions: u64,
    /// The earliest and the latest time of a transaction, in seconds since 1970. None if it has none.
    pub times: Option<(u32, u32)>,
    /// What comes behind it.
    pub behind: Behind,
}

/// What comes behind a stretch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behind {
    /// The file goes on: the stretch is as long as it may be.
    More,
    /// So many bytes that are no whole transaction yet, or nothing.
    Torn(u64),
    /// Nothing: the server began another file, this one.
    Rotated(String),
    /// Nothing: the server was stopped.
    Stopped,
    /// What can be no event.
    Damaged {
        /// Where.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
}

impl Stretch {
    /// Reads one: from where the reader stands, with the state there; None at the beginning of a file, which says it itself. It ends at the end of
    /// the file, or at the first place between transactions that is `most` bytes further.
    ///
    /// # Errors
    /// The file cannot be read, is encrypted, or is of a kind that is not known; it has no state at its beginning.
    pub fn read(reader: Reader<impl Read>, state: Option<&State>, most: u64) -> Result<Self, BinlogError> {
        let from = reader.at();
        let at = from;
        let mut found = Self {
            end: at,
            crc: reader.crc(),
            before: None,
            after: state.cloned().unwrap_or(State::MariaDb(std::collections::BTreeMap::new())),
            touched: BTreeSet::new(),
            transactions: 0,
            times: None,
            behind: Behind::More,
        };
        let mut is_known = state.is_some();
        let mut transactions = Transactions::new(reader, false);
        let mut last = None;
        found.behind = loop {
            match transactions.item() {
                Ok(Some(item)) => {
                    last = None;
                    match item {
                        Item::Before(state) => {
                            is_known = true;
                            found.before = Some(state.clone());
                            found.after = state;
                        }
                        Item::Transaction(_) if !is_known => {
                            let what = "a transaction stands before the state of the GTIDs";
                            return Err(BinlogError::Damaged { at: found.end, what });
                        }
                        Item::Transaction(transaction) => {
                            found.count(transaction.gtid, transaction.time);
                        }
                        Item::Rotate(next) => last = Some(Behind::Rotated(next)),
                        Item::Stop => last = Some(Behind::Stopped),
                        Item::Other => {}
                    }
                    found.end = transactions.reader().at();
                    found.crc = transactions.reader().crc();
                    if found.end - from >= most && is_known && last.is_none() {
                        break Behind::More;
                    }
                }
                Ok(None) => {
                    let torn = transactions.reader().at() - found.end + transactions.reader().torn();
                    break last.filter(|_| torn == 0).unwrap_or(Behind::Torn(torn));
                }
                Err(BinlogError::Damaged { at, what }) => break Behind::Damaged { at, what },
                Err(why) => return Err(why),
            }
        };
        // The server has only just made the file.
        if is_known { Ok(found) } else { Err(BinlogError::Unbegun) }
    }

    fn count(&mut self, gtid: Option<Gtid>, time: u32) {
        self.transactions += 1;
        self.times = Some(self.times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
        let Some(gtid) = gtid else { return };
        self.after.add(gtid);
        if let Gtid::MariaDb { domain, .. } = gtid {
            self.touched.insert(domain);
        }
    }
}
