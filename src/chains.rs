//! Which backup was taken from which: chains, what is broken in them, and what a removal would break.
//!
//! In: the rows of the records, and which of them are gone from the disk. Out: chains, full backup first. It looks at nothing itself, and
//! takes rows as they are: a base that is not there, or a backup that descends from itself, makes a broken chain and no endless loop.

use std::collections::{HashMap, HashSet};

use crate::store::reader::BackupRow;

/// Why a backup cannot be restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// No such backup is recorded.
    #[error("no backup '{0}' is recorded")]
    Unknown(String),
    /// A base has no record.
    #[error("its base '{0}' is not recorded")]
    BaseUnknown(String),
    /// A member's files are gone.
    #[error("the files of '{0}' are gone")]
    Missing(String),
    /// It is its own base, over however many others.
    #[error("'{0}' descends from itself")]
    Loop(String),
}

/// All backups, by their chains.
#[derive(Debug)]
pub struct Chains {
    rows: Vec<BackupRow>,
    index: HashMap<String, usize>,
    children: HashMap<usize, Vec<usize>>,
    gone: HashSet<String>,
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
    /// Makes the chains of `rows`, oldest first; `gone` are those of which nothing is on the disk.
    pub fn new(rows: Vec<BackupRow>, gone: HashSet<String>) -> Self {
        let index: HashMap<_, _> = rows.iter().enumerate().map(|(at, row)| (row.id.clone(), at)).collect();
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, row) in rows.iter().enumerate() {
            if let Some(base) = row.from.as_ref().and_then(|from| index.get(from)) {
                children.entry(*base).or_default().push(at);
            }
        }
        Self { rows, index, children, gone }
    }

    /// The backup of this id.
    pub fn get(&self, id: &str) -> Option<&BackupRow> {
        self.rows.get(*self.index.get(id)?)
    }

    /// Whether nothing of it is on the disk.
    pub fn is_gone(&self, id: &str) -> bool {
        self.gone.contains(id)
    }

    /// All backups, chain by chain: a full backup, and under it what was taken from it, a base before what was taken from it.
    pub fn tree(&self) -> Vec<Node<'_>> {
        let is_root = |row: &BackupRow| row.from.as_ref().is_none_or(|from| !self.index.contains_key(from));
        let mut listed = HashSet::new();
        let mut nodes = Vec::with_capacity(self.rows.len());
        let roots = self.rows.iter().enumerate().filter(|(_, row)| is_root(row)).map(|(at, _)| at);
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
            if self.is_gone(&row.id) {
                return Err(Broken::Missing(row.id.clone()));
            }
            chain.push(row);
            let Some(from) = &row.from else { break };
            row = self.get(from).ok_or_else(|| Broken::BaseUnknown(from.clone()))?;
        }
        chain.reverse();
        Ok(chain)
    }

    /// All that cannot be restored, and why: what [`Self::chain`] says of each, at one look at each.
    pub fn broken(&self) -> HashMap<&str, Broken> {
        let (mut broken, mut seen) = (HashMap::new(), HashSet::new());
        for Node { row, .. } in self.tree() {
            let base = row.from.as_deref();
            // A base comes before what was taken from it, but in a loop.
            let why = match base.map(|base| (seen.contains(base), broken.get(base))) {
                _ if self.is_gone(&row.id) => Some(Broken::Missing(row.id.clone())),
                None | Some((true, None)) => None,
                Some((true, Some(why @ (Broken::Missing(_) | Broken::BaseUnknown(_) | Broken::Unknown(_))))) => {
                    Some(why.clone())
                }
                Some((false, _) | (true, Some(Broken::Loop(_)))) => self.chain(&row.id).err(),
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

    /// The newest backup whose chain is whole.
    pub fn newest_whole(&self) -> Option<&BackupRow> {
        self.rows.iter().rev().find(|row| self.chain(&row.id).is_ok())
    }

    /// The newest full backup, for what the next one may come to.
    pub fn newest_full(&self) -> Option<&BackupRow> {
        self.rows.iter().rev().find(|row| row.from.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::{Broken, Chains, Node};
    use crate::store::reader::BackupRow;

    /// Backups as `id<base`, and which of them are gone.
    fn chains(backups: &str, gone: &str) -> Chains {
        let row = |text: &str| {
            let (id, from) = text.split_once('<').map_or((text, None), |(id, from)| (id, Some(from.to_owned())));
            BackupRow { id: id.to_owned(), from, ..BackupRow::default() }
        };
        Chains::new(backups.split_whitespace().map(row).collect(), gone.split_whitespace().map(str::to_owned).collect())
    }

    fn ids(rows: &[&BackupRow]) -> String {
        rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn tree(chains: &Chains) -> String {
        let nodes = chains.tree();
        nodes
            .iter()
            .map(|node| format!("{}{}", if node.is_root { "" } else { "+" }, node.row.id))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_tree_has_each_backup_once_and_under_its_base() {
        assert_eq!(tree(&chains("a b<a c d<b e<a f<c", "")), "a +b +d +e c +f");
        assert_eq!(tree(&chains("x<gone y<x a", "")), "x +y a");
        assert_eq!(tree(&chains("a p<q q<p", "")), "a p +q");
    }

    #[test]
    fn a_chain_is_whole_or_says_what_it_lacks() {
        let all = chains("a b<a c<b x<gone y<x p<q q<p", "");
        assert_eq!(ids(&all.chain("c").unwrap()), "a b c");
        assert_eq!(all.chain("y"), Err(Broken::BaseUnknown("gone".to_owned())));
        assert_eq!(all.chain("p"), Err(Broken::Loop("p".to_owned())));
        assert_eq!(all.chain("none"), Err(Broken::Unknown("none".to_owned())));
        assert_eq!(chains("a b<a c<b", "b").chain("c"), Err(Broken::Missing("b".to_owned())));
    }

    #[test]
    fn all_that_is_broken_is_what_each_chain_says() {
        for (backups, gone) in [
            ("a b<a c<b x<gone y<x p<q q<p r<q d<a", ""),
            ("a b<a c<b d<c e<a", "b d"),
            ("p<q q<p r<q s<r", "q"),
            ("a<a", ""),
        ] {
            let all = chains(backups, gone);
            let broken = all.broken();
            for Node { row, .. } in all.tree() {
                assert_eq!(broken.get(row.id.as_str()), all.chain(&row.id).err().as_ref(), "{} of {backups}", row.id);
            }
        }
    }

    #[test]
    fn a_removal_breaks_what_descends_from_it() {
        let all = chains("a b<a c<b d<a p<q q<p", "");
        assert_eq!(ids(&all.needed_by("a")), "b c d");
        assert_eq!(ids(&all.needed_by("b")), "c");
        assert_eq!(ids(&all.needed_by("c")), "");
        assert_eq!(ids(&all.needed_by("p")), "q");
    }

    #[test]
    fn the_newest_whole_one_is_not_simply_the_newest() {
        assert_eq!(chains("a b<a c<gone", "").newest_whole().unwrap().id, "b");
        assert_eq!(chains("a b<a", "a").newest_whole(), None);
        assert_eq!(chains("a b<a c d<c", "c").newest_whole().unwrap().id, "b");
        assert_eq!(chains("a b<a", "").newest_full().unwrap().id, "a");
    }
}
