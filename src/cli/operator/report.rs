//! What `verify` says of a backup: as JSON has it, and as a person reads it.

use serde::Serialize;

use super::backups::State;
use crate::model::{Amount, Lsn};
use crate::verify::Depth;
use crate::verify::kept::Outcome;

/// What became of a backup, as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    pub(super) id: &'a str,
    pub(super) state: State,
    pub(super) depth: Depth,
    pub(super) outcome: Outcome,
    pub(super) problems: Vec<String>,
    pub(super) warnings: Vec<String>,
    pub(super) sealed: Option<bool>,
    pub(super) size: Option<u64>,
    pub(super) tables: Option<usize>,
    pub(super) not_checked: Option<usize>,
    pub(super) history: Option<&'static str>,
    pub(super) duration_seconds: f64,
    #[serde(skip)]
    pub(super) to_lsn: Option<Lsn>,
    #[serde(skip)]
    pub(super) hint: Option<String>,
}

/// What a person reads of one.
pub(super) fn line(report: &Report<'_>) -> String {
    let word = match report.outcome {
        Outcome::Ok => "ok",
        Outcome::Damaged => "DAMAGED",
        Outcome::Broken => "BROKEN",
        Outcome::Elsewhere => "not here",
        Outcome::Unchecked => "unproved",
    };
    let mut said = if report.problems.is_empty() {
        let form = if report.state == State::Present { "directory" } else { report.state.as_str() };
        format!("{word:<8} {}  {form}  {}\n", report.id, how(report))
    } else {
        String::new()
    };
    said.extend(report.problems.iter().map(|why| format!("{word:<8} {}: {why}\n", report.id)));
    // Of a damaged one the rest is beside the point, but for tables of which nothing is known.
    if report.problems.is_empty() || report.depth == Depth::Restore {
        said.extend(report.warnings.iter().map(|why| format!("warning  {}: {why}\n", report.id)));
    }
    said.extend(report.hint.iter().map(|hint| format!("         hint: {hint}\n")));
    said
}

fn how(report: &Report<'_>) -> String {
    let took = format!("in {:.1} s", report.duration_seconds);
    match (report.outcome, report.depth, report.sealed == Some(true), report.size) {
        (_, Depth::Restore, ..) => {
            let not = report.not_checked.filter(|count| *count > 0).map(|count| format!(", {count} not"));
            let tables = report.tables.unwrap_or_default();
            format!("restored, {tables} tables checked{} {took}", not.unwrap_or_default())
        }
        (Outcome::Elsewhere, ..) => "only its metadata was checked".to_owned(),
        (_, Depth::Content, true, size) => format!("{}  hashed {took}", Amount(size.unwrap_or_default())),
        (_, Depth::Content, false, Some(size)) => format!("{}  no manifest: read through {took}", Amount(size)),
        (_, Depth::Content, false, None) => "no manifest: only its metadata was checked".to_owned(),
        (_, Depth::Quick, true, _) => format!("metadata and presence checked {took}"),
        (_, Depth::Quick, false, _) => "no manifest: metadata checked".to_owned(),
    }
}
