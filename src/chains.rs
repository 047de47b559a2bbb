//! Which backup was taken from which: chains, what is broken in them, and what a removal would break.
//!
//! In: the rows of the records, and which of them are gone from the disk. Out: chains, full backup first. It looks at nothing itself, and
//! takes rows as they are: a base that is not there, or is another than it was, or a backup that descends from itself, makes a broken chain
//! and no endless loop. What may be a base is said here once, for the daemon and for the operator's commands.

pub mod retention;

use std::collections::{HashMap, HashSet};

use crate::model::{BackupId, word};
use crate::records::reader::BackupRow;

/// Why a backup cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// No such backup is recorded.
    #[error("no backup '{0}' is recorded")]
    Unknown(String),
    /// A base has no record.
    #[error("its base '{0}' is not recorded")]
    BaseUnknown(String),
    /// The backup that has its base's id now is another.
    #[error(
        "'{child}' was taken from another backup than the '{base}' that is here: an id was used again, or a folder exchanged"
    )]
    AnotherBase {
        /// The incremental.
        child: String,
        /// The id of its base.
        base: String,
    },
    /// A member's id is none by which anything is looked for.
    #[error("'{}' is no name that a folder of backup_dir can have, so nothing is looked for under it", .0.escape_debug())]
    NoName(String),
    /// A member's files are gone.
    #[error("the files of '{0}' are gone")]
    Missing(String),
    /// It is its own base, over however many others.
    #[error("'{0}' descends from itself")]
    Loop(String),
    /// The last verification of a member found damage.
    #[error("the last verification found '{0}' damaged: dbcalm-db-cmd show {word} says how", word = word(.0))]
    Damaged(String),
    /// An incremental that a predecessor's restore applied itself, and not a copy of it.
    #[error("'{0}' has been consumed: an earlier restore applied it in place")]
    Consumed(String),
    /// The metadata of a member is not that of such a backup.
    #[error("'{id}' has changed since it was taken: {why}")]
    Unfit {
        /// The member.
        id: String,
        /// What is wrong.
        why: String,
    },
}

/// All backups, by their chains.
#[derive(Debug)]
pub struct Chains {
    rows: Vec<BackupRow>,
    index: HashMap<String, usize>,
    /// Of each row, where its base is.
    bases: Vec<Base>,
    children: HashMap<usize, Vec<usize>>,
    gone: HashSet<String>,
}

/// What a backup was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// Nothing: it is a full one.
    None,
    /// The backup of this index.
    Known(usize),
    /// A backup of which there is no record.
    Unrecorded,
    /// A backup whose id another one has now.
    Another,
}

/// A backup's place in its chain.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    /// The backup.
    pub row: &'a BackupRow,
    /// Whether a chain begins here: a full backup, or an orphan.
    pub is_root: bool,
}

impl Chains {
    /// Makes the chains of `rows`, in the order of their places; `gone` are those of which nothing is on the disk.
    ///
    /// A base is recorded before what is taken from it. Where the records say otherwise its id was used again, or somebody has written the
    /// rows anew: there, and only there, `is_base` is asked whether the first was the base of the second.
    pub fn new(rows: Vec<BackupRow>, gone: HashSet<String>, is_base: impl Fn(&BackupRow, &BackupRow) -> bool) -> Self {
        let index: HashMap<_, _> = rows.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect();
        let base = |row: &BackupRow| {
            let Some(from) = &row.from else { return Base::None };
            match index.get(from).and_then(|at| Some((*at, rows.get(*at)?))) {
                None => Base::Unrecorded,
                Some((_, base)) if base.place > row.place && !is_base(base, row) => Base::Another,
                Some((at, _)) => Base::Known(at),
            }
        };
        let bases: Vec<_> = rows.iter().map(base).collect();
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, base) in bases.iter().enumerate() {
            if let Base::Known(base) = base {
                children.entry(*base).or_default().push(at);
            }
        }
        Self { rows, index, bases, children, gone }
    }

    /// The backup of this id.
    pub fn get(&self, id: &str) -> Option<&BackupRow> {
        self.rows.get(*self.index.get(id)?)
    }

    /// Whether nothing of it is on the disk.
    pub fn is_gone(&self, id: &str) -> bool {
        self.gone.contains(id)
    }

    /// What this backup was taken from; None if it is a full one.
    ///
    /// # Errors
    /// Its base is not recorded, or is another backup now.
    pub fn base_of(&self, row: &BackupRow) -> Result<Option<&BackupRow>, Broken> {
        let base = self.index.get(&row.id).and_then(|at| self.bases.get(*at)).copied().unwrap_or(Base::None);
        let from = || row.from.clone().unwrap_or_default();
        match base {
            Base::None => Ok(None),
            Base::Known(at) => Ok(self.rows.get(at)),
            Base::Unrecorded => Err(Broken::BaseUnknown(from())),
            Base::Another => Err(Broken::AnotherBase { child: row.id.clone(), base: from() }),
        }
    }

    /// All backups, chain by chain: a full backup, and under it what was taken from it, a base before what was taken from it.
    pub fn tree(&self) -> Vec<Node<'_>> {
        let mut listed = HashSet::new();
        let mut nodes = Vec::with_capacity(self.rows.len());
        let roots = self.bases.iter().enumerate().filter(|(_, base)| !matches!(base, Base::Known(_))).map(|(at, _)| at);
        // Those that descend from themselves hang from no root.
        for start in roots.chain(0..self.rows.len()) {
            for at in self.below(start, &mut listed) {
                nodes.extend(self.rows.get(at).map(|row| Node { row, is_root: at == start }));
            }
        }
        nodes
    }

    /// A backup and all that was taken from it, each before what was taken from it, without those in `seen`.
    fn below(&self, start: usize, seen: &mut HashSet<usize>) -> Vec<usize> {
        let (mut open, mut found) = (vec![start], Vec::new());
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                found.push(at);
                open.extend(self.children.get(&at).into_iter().flatten().rev());
            }
        }
        found
    }

    /// The chain that ends in this backup, full backup first.
    pub fn chain(&self, id: &str) -> Result<Vec<&BackupRow>, Broken> {
        let mut row = self.get(id).ok_or_else(|| Broken::Unknown(id.to_owned()))?;
        let mut chain = Vec::new();
        loop {
            // Longer than all there is: it goes round.
            if chain.len() > self.rows.len() {
                return Err(Broken::Loop(id.to_owned()));
            }
            if !has_name(row) {
                return Err(Broken::NoName(row.id.clone()));
            }
            if self.is_gone(&row.id) {
                return Err(Broken::Missing(row.id.clone()));
            }
            chain.push(row);
            let Some(base) = self.base_of(row)? else { break };
            row = base;
        }
        chain.reverse();
        Ok(chain)
    }

    /// All that cannot be restored, and why: what [`Self::chain`] says of each, at one look at each.
    pub fn broken(&self) -> HashMap<&str, Broken> {
        let (mut broken, mut seen) = (HashMap::new(), HashSet::new());
        for Node { row, .. } in self.tree() {
            let why = match self.base_of(row) {
                _ if !has_name(row) => Some(Broken::NoName(row.id.clone())),
                _ if self.is_gone(&row.id) => Some(Broken::Missing(row.id.clone())),
                Err(why) => Some(why),
                Ok(None) => None,
                // A base comes before what was taken from it, but in a loop.
                Ok(Some(base)) => match (seen.contains(base.id.as_str()), broken.get(base.id.as_str())) {
                    (true, None) => None,
                    (false, _) | (true, Some(Broken::Loop(_))) => self.chain(&row.id).err(),
                    (true, Some(why)) => Some(why.clone()),
                },
            };
            seen.insert(row.id.as_str());
            broken.extend(why.map(|why| (row.id.as_str(), why)));
        }
        broken
    }

    /// The backups that could not be restored any more if this one were removed: all that descend from it.
    pub fn needed_by(&self, id: &str) -> Vec<&BackupRow> {
        let Some(start) = self.index.get(id) else { return Vec::new() };
        let below = self.below(*start, &mut HashSet::new());
        below.into_iter().filter(|at| at != start).filter_map(|at| self.rows.get(at)).collect()
    }

    /// All backups, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &BackupRow> {
        self.rows.iter().rev()
    }

    /// The newest backup whose chain is whole.
    pub fn newest_whole(&self) -> Option<&BackupRow> {
        self.rows.iter().rev().find(|row| self.chain(&row.id).is_ok())
    }

    /// The chain of a backup that an incremental may be taken from: it is whole, and nothing speaks against a member. `doubt` says what
    /// does, of a member and its base.
    ///
    /// # Errors
    /// What is wrong with it, the first of the chain first.
    pub fn base(
        &self,
        id: &str,
        mut doubt: impl FnMut(&BackupRow, Option<&BackupRow>) -> Option<Broken>,
    ) -> Result<Vec<&BackupRow>, Broken> {
        let chain = self.chain(id)?;
        let bases = std::iter::once(None).chain(chain.iter().copied().map(Some));
        match chain.iter().zip(bases).find_map(|(row, base)| doubt(row, base)) {
            Some(why) => Err(why),
            None => Ok(chain),
        }
    }

    /// The newest backup that an incremental may be taken from. Each member of a chain is doubted once.
    pub fn newest_base(
        &self,
        mut doubt: impl FnMut(&BackupRow, Option<&BackupRow>) -> Option<Broken>,
    ) -> Option<&BackupRow> {
        let mut doubted: HashMap<String, Option<Broken>> = HashMap::new();
        let mut once = |row: &BackupRow, base: Option<&BackupRow>| {
            doubted.entry(row.id.clone()).or_insert_with(|| doubt(row, base)).clone()
        };
        // One that a client cannot name is no base of a new backup.
        let may_be_named = |row: &&BackupRow| BackupId::recorded(&row.id).is_ok_and(|id| id.may_be_new());
        self.rows.iter().rev().filter(may_be_named).find(|row| self.base(&row.id, &mut once).is_ok())
    }

    /// The newest full backup, for what the next one may come to.
    pub fn newest_full(&self) -> Option<&BackupRow> {
        self.rows.iter().rev().find(|row| row.from.is_none())
    }
}

/// Whether anything can be called as this backup is.
fn has_name(row: &BackupRow) -> bool {
    BackupId::recorded(&row.id).is_ok()
}

#[cfg(test)]
mod tests;
