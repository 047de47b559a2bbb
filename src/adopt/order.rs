//! What each candidate was taken from, and in which order they can be recorded.
//!
//! A card names its base, by its id and its own uuid. What has none is known by its LSNs: it begins where its base ends. On a server that wrote
//! nothing in between several backups end there, and then only the operator knows.

use std::collections::{HashMap, HashSet};

use super::{Candidate, Described, Refused};
use crate::model::BackupId;
use crate::repository::card::{Kind, Lsns};

/// A candidate with what it was taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// Which.
    pub candidate: Candidate,
    /// Its base. None of a full backup.
    pub from: Option<BackupId>,
}

/// What a candidate was taken from: the one of the `known` that it names, that its LSNs name, or that the operator `said`. None of a full one.
///
/// # Errors
/// There is no such one, it is another than that, or there are several.
pub fn base(candidate: &Candidate, said: Option<&BackupId>, known: &[Described]) -> Result<Option<BackupId>, String> {
    if candidate.kind == Kind::Full {
        return match said {
            None => Ok(None),
            Some(said) => Err(format!("it is a full backup, and was not taken from '{said}'")),
        };
    }
    let named = candidate.from.as_ref();
    if let (Some(named), Some(said)) = (named, said)
        && named.id != said.as_str()
    {
        return Err(format!("it says itself that it was taken from '{}', not from '{said}'", named.id));
    }
    let wanted = named.map(|named| named.id.as_str()).or_else(|| said.map(BackupId::as_str));
    if let Some(wanted) = wanted {
        let found = known.iter().find(|one| one.id.as_str() == wanted);
        let found =
            found.ok_or_else(|| format!("its base '{wanted}' is neither recorded nor to be adopted before it"))?;
        let uuids = named.and_then(|named| named.uuid.as_ref()).zip(found.uuid.as_ref());
        let lsns = candidate.lsn.zip(found.lsn);
        if uuids.is_some_and(|(wanted, is)| wanted != is) || lsns.is_some_and(|(own, base)| own.from != base.to) {
            return Err(format!("it was taken from another backup than the '{wanted}' that is here"));
        }
        return Ok(Some(found.id.clone()));
    }
    let Some(own) = candidate.lsn else {
        return Err(
            "it is an incremental, and what it was taken from is inside its stream: say it with --from".to_owned()
        );
    };
    let fits = |base: &Lsns| base.to == own.from && base.last <= own.last;
    let fitting = known.iter().filter(|one| one.id != candidate.id && one.lsn.as_ref().is_some_and(fits));
    match fitting.map(|one| &one.id).collect::<Vec<_>>().as_slice() {
        [] => Err(format!("no backup here ends at LSN {}, where it begins: its base is not here", own.from)),
        [one] => Ok(Some((*one).clone())),
        several => {
            let ends = several.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>();
            let ends = crate::witness::some(&ends);
            Err(format!(
                "several backups end at LSN {}, where it begins: {ends}; say which is its base with --from",
                own.from
            ))
        }
    }
}

/// Puts the candidates in an order in which each comes after its base, and the older before the newer as far as that goes. `recorded` are those
/// that have a record; `said` is what the operator said of one and its base. Those that have no base are refused, with all that was taken from them.
pub fn order(
    mut candidates: Vec<Candidate>,
    recorded: &[Described],
    said: Option<&(BackupId, BackupId)>,
) -> (Vec<Adoption>, Vec<Refused>) {
    candidates.sort_by(|one, other| (one.start, &one.id).cmp(&(other.start, &other.id)));
    let known: Vec<_> = recorded.iter().cloned().chain(candidates.iter().map(Candidate::described)).collect();
    let mut refused = HashMap::new();
    let mut bases = HashMap::new();
    for candidate in &candidates {
        let said = said.filter(|(id, _)| *id == candidate.id).map(|(_, base)| base);
        match base(candidate, said, &known) {
            Ok(base) => drop(bases.insert(candidate.id.clone(), base)),
            Err(why) => drop(refused.insert(candidate.id.clone(), why)),
        }
    }
    let mut done: HashSet<_> = recorded.iter().map(|one| one.id.clone()).collect();
    let mut sequence = Vec::with_capacity(candidates.len());
    for candidate in &candidates {
        let (mut chain, mut at) = (Vec::new(), candidate.id.clone());
        // Up to what is there already, or is refused, or has no base.
        let why = loop {
            if done.contains(&at) {
                break None;
            }
            if let Some(why) = refused.get(&at) {
                break Some((at, why.clone()));
            }
            if chain.contains(&at) {
                break Some((at, "it descends from itself".to_owned()));
            }
            chain.push(at.clone());
            match bases.get(&at) {
                Some(Some(base)) => at = base.clone(),
                Some(None) | None => break None,
            }
        };
        match why {
            None => {
                done.extend(chain.iter().cloned());
                sequence.extend(chain.into_iter().rev());
            }
            Some((base, why)) => {
                let of_base = format!("its base '{base}' cannot be adopted: {why}");
                let own = |id: &BackupId| if *id == base { why.clone() } else { of_base.clone() };
                let each: Vec<_> = chain.into_iter().map(|id| (id.clone(), own(&id))).collect();
                refused.extend(each);
            }
        }
    }
    let mut by_id: HashMap<_, _> = candidates.into_iter().map(|one| (one.id.clone(), one)).collect();
    let adoption = |id: BackupId| {
        let from = bases.remove(&id).flatten();
        by_id.remove(&id).map(|candidate| Adoption { candidate, from })
    };
    let adoptions = sequence.into_iter().filter_map(adoption).collect();
    let mut refused: Vec<_> = refused.into_iter().map(|(id, why)| Refused { id, why }).collect();
    refused.sort_by(|one, other| one.id.cmp(&other.id));
    (adoptions, refused)
}

#[cfg(test)]
mod tests;
