//! What `remove` says: what goes and what stays, as JSON has it, and as a person reads it.

use std::fmt::Write as _;

use serde::Serialize;

use super::backups::State;
use super::output::{or_dash, table};
use crate::model::Amount;

/// What is to go, and what stays.
pub(super) struct Chosen {
    /// Of each chain, a base before what was taken from it.
    pub(super) chains: Vec<Vec<Row>>,
    /// What a rule keeps.
    pub(super) kept: Vec<Kept>,
    /// That the newest backup that can be restored is among them, with a line break; what is left then.
    pub(super) newest: Option<String>,
}

/// A backup that is to go.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) begun: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) state: State,
}

/// A chain that stays.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Kept {
    pub(super) ids: Vec<String>,
    pub(super) reason: String,
}

/// All of it as JSON; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
pub(super) struct Doc {
    dry_run: bool,
    size: u64,
    backups: Vec<Removed>,
    kept: Vec<Kept>,
}

#[derive(Debug, Serialize)]
struct Removed {
    id: String,
    size: Option<u64>,
    state: State,
    outcome: &'static str,
    problem: Option<String>,
}

impl Doc {
    pub(super) fn of(chosen: &Chosen, dry_run: bool) -> Self {
        let removed = |row: &Row| Removed {
            id: row.id.clone(),
            size: row.size,
            state: row.state,
            outcome: "planned",
            problem: None,
        };
        Self {
            dry_run,
            size: size(chosen),
            backups: chosen.chains.iter().flatten().map(removed).collect(),
            kept: chosen.kept.clone(),
        }
    }

    /// What became of these.
    pub(super) fn set(&mut self, ids: &[&str], outcome: &'static str, problem: Option<&str>) {
        for backup in self.backups.iter_mut().filter(|backup| ids.contains(&backup.id.as_str())) {
            backup.outcome = outcome;
            backup.problem = problem.map(str::to_owned);
        }
    }
}

/// How much comes back.
fn size(chosen: &Chosen) -> u64 {
    chosen.chains.iter().flatten().filter_map(|row| row.size).sum()
}

/// What will be removed, for a person.
pub(super) fn plan(chosen: &Chosen, is_by_rule: bool) -> String {
    let mut text = String::new();
    if is_by_rule {
        text.push_str(&chains(chosen));
    } else {
        text.push_str("To be removed:\n");
        for row in chosen.chains.iter().flatten() {
            let begun = row.begun.as_deref().map(|at| format!(", begun {at} UTC")).unwrap_or_default();
            let size = row.size.map(|size| format!(", {}", Amount(size))).unwrap_or_default();
            let rest = if row.state == State::Missing { ", its files are gone: its record alone" } else { &size };
            let _infallible = writeln!(text, "  {}{begun}{rest}", row.id);
        }
    }
    if chosen.chains.is_empty() {
        text.push_str("There is nothing to remove.\n");
        return text;
    }
    let _infallible = writeln!(text, "This frees {}.", Amount(size(chosen)));
    let forwarded = chosen.chains.iter().flatten().filter(|row| row.state == State::Forwarded).count();
    if forwarded > 0 {
        let _infallible = writeln!(text, "Forwarded, of which only the metadata is here and goes: {forwarded}.");
    }
    text
}

/// A line for each chain.
fn chains(chosen: &Chosen) -> String {
    let line = |chain: &str, count: usize, size: Option<u64>, what: String| {
        vec![chain.to_owned(), count.to_string(), or_dash(size.map(|size| Amount(size).to_string())), what]
    };
    let goes = chosen.chains.iter().filter_map(|chain| {
        let size = chain.iter().map(|row| row.size).sum();
        Some(line(&chain.first()?.id, chain.len(), size, "goes".to_owned()))
    });
    let stays = chosen
        .kept
        .iter()
        .filter_map(|kept| Some(line(kept.ids.first()?, kept.ids.len(), None, format!("stays: {}", kept.reason))));
    let rows: Vec<_> = goes.chain(stays).collect();
    if rows.is_empty() {
        return String::new();
    }
    table(&["CHAIN", "BACKUPS", "SIZE", "WHAT BECOMES OF IT"], &[1, 2], &rows)
}
