//! Which chains go by a rule, and which stay and why: the newest that can be restored, those that are young, and what no rule decides.
//!
//! In: all backups, the rule, and what is known of each. Out: a verdict for each chain, which is a full backup with all that was taken from
//! it: it is kept whole or goes whole. It looks at nothing and decides nothing but this.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::{Broken, Chains};
use crate::model::Moment;
use crate::records::reader::BackupRow;

/// What is kept. With one of the two alone, that one rules; with both, a chain stays that either keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// So many of the newest chains that can be restored.
    pub newest: Option<usize>,
    /// Each chain with a member that was begun no longer ago than that.
    pub young: Option<Duration>,
}

/// Why a chain stays, or that it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The rule does not keep it.
    Goes,
    /// A backup or a restore works with this member.
    InUse(String),
    /// None of its members can be restored, its first one for this reason: no rule decides of it.
    Broken(Broken),
    /// It has the newest backup that can be restored.
    Newest,
    /// It is this one of the newest that can be restored.
    OneOf(usize),
    /// A member is as young, or its age is not known.
    Young,
}

/// A chain, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// All of it, a base before what was taken from it.
    pub members: Vec<&'a BackupRow>,
    /// What becomes of it.
    pub fate: Fate,
}

impl Chains {
    /// What the rule does with each chain, oldest first. `now` is what ages are counted from; `doubt` says what speaks against a backup, beside what
    /// its chain does, and `in_use` of whom something works with.
    pub fn by_rule(
        &self,
        rule: Rule,
        now: Moment,
        doubt: impl FnMut(&BackupRow, Option<&BackupRow>) -> Option<Broken>,
        in_use: &HashSet<String>,
    ) -> Vec<Verdict<'_>> {
        let unfit = self.unfit(doubt);
        let mut chains: Vec<Vec<&BackupRow>> = Vec::new();
        for node in self.tree() {
            match chains.last_mut() {
                Some(chain) if !node.is_root => chain.push(node.row),
                Some(_) | None => chains.push(vec![node.row]),
            }
        }
        let newest = |chain: &[&BackupRow]| {
            let whole = chain.iter().filter(|row| !unfit.contains_key(row.id.as_str()));
            whole.map(|row| row.place).max()
        };
        // By what can be restored last of each: an incremental may be newer than the full backup of another chain.
        let mut order: Vec<i64> = chains.iter().filter_map(|chain| newest(chain)).collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        let fate = |members: &[&BackupRow]| {
            if let Some(used) = members.iter().find(|row| in_use.contains(&row.id)) {
                return Fate::InUse(used.id.clone());
            }
            let rank = newest(members).and_then(|place| order.iter().position(|other| *other == place));
            let Some(rank) = rank else {
                let why = members.iter().find_map(|row| unfit.get(row.id.as_str()));
                // A chain without a rank has a member that is not fit: all of them.
                return why.map_or(Fate::Newest, |why| Fate::Broken(why.clone()));
            };
            let is_young = |limit: Duration| members.iter().any(|row| !is_older(row, limit, now));
            match (rank, rule.newest, rule.young) {
                (0, ..) => Fate::Newest,
                (_, Some(count), _) if rank < count => Fate::OneOf(rank + 1),
                (_, _, Some(limit)) if is_young(limit) => Fate::Young,
                _ => Fate::Goes,
            }
        };
        chains.into_iter().map(|members| Verdict { fate: fate(&members), members }).collect()
    }

    /// All that cannot be restored, and why, by the records and by `doubt`: a backup's own reason or that of a member of its chain.
    fn unfit(&self, mut doubt: impl FnMut(&BackupRow, Option<&BackupRow>) -> Option<Broken>) -> HashMap<&str, Broken> {
        let broken = self.broken();
        let mut unfit = HashMap::new();
        for node in self.tree() {
            let row = node.row;
            let base = self.base_of(row).unwrap_or_default();
            let why = broken.get(row.id.as_str()).cloned();
            // A base comes before what was taken from it.
            let why = why.or_else(|| unfit.get(base?.id.as_str()).cloned());
            let why: Option<Broken> = why.or_else(|| doubt(row, base));
            unfit.extend(why.map(|why| (row.id.as_str(), why)));
        }
        unfit
    }
}

/// Whether a backup surely was begun longer ago than that. Where the clock was ahead nobody knows.
fn is_older(row: &BackupRow, limit: Duration, now: Moment) -> bool {
    let begun = row.start_time.as_deref().and_then(Moment::read);
    begun.is_some_and(|begun| !begun.is_ahead_of(now) && begun.until(now) > limit)
}

#[cfg(test)]
mod tests;
