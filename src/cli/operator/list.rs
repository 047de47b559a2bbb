//! `list`: backups as chains, restores, or external commands.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::backups::{Backups, Shown};
use super::binlogs;
use super::exit::{Exit, Failure};
use super::output::{Age, IN_THE_FUTURE, Output, age, or_dash, records, span, table, took, unread};
use super::repository;
use super::tree::branches;
use crate::config::Config;
use crate::model::{Amount, Moment};
use crate::records::reader::{ProcessRow, RestoreRow};

/// How many folders are measured where the records have no size: to walk through thousands would take minutes.
const MEASURED: usize = 100;

/// List backups, restores, processes or archived binary logs
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Each chain is a tree. FROM names a base that is not on the line above.\n\nExamples:\n  dbcalm-db-cmd list --since 7d\n  dbcalm-db-cmd list processes --failed --limit 5"
)]
pub(in crate::cli) struct ListArgs {
    /// backups (by default), restores, processes or binlogs
    #[arg(value_enum, default_value = "backups", hide_default_value = true, hide_possible_values = true)]
    what: What,
    /// Only the chain of this backup
    #[arg(long, value_name = "ID")]
    chain: Option<String>,
    /// Only what was begun within this time: 30m, 12h, 7d, 4w
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Duration>,
    /// Only failed steps: of backups, of restores, or all
    #[arg(long)]
    failed: bool,
    /// What the repository holds, recorded here or not
    #[arg(long, conflicts_with_all = ["chain", "since", "failed", "limit", "what"])]
    repository: bool,
    /// Only the newest N
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    Backups,
    Restores,
    Processes,
    Binlogs,
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a number and a unit: 30m, 12h, 7d or 4w".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_no_number| wrong())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(wrong)
}

pub(in crate::cli) fn list(args: &ListArgs, config: &Config) -> Result<Exit, Failure> {
    match args.what {
        _ if args.repository => repository::list(config, args.output),
        What::Binlogs => binlogs::list(config, args.output),
        _ if args.failed => processes(args, config),
        What::Backups => backups(args, config),
        What::Restores => restores(args, config),
        What::Processes => processes(args, config),
    }
}

fn is_recent(args: &ListArgs, start: Option<&str>, now: Moment) -> bool {
    args.since.is_none_or(|within| age(start, now).is_some_and(|age| age.is_within(within)))
}

fn backups(args: &ListArgs, config: &Config) -> Result<Exit, Failure> {
    let (all, now) = (Backups::of(&records(config)?, config, args.output.json)?, Moment::now());
    let mut nodes = all.chains.tree();
    if let Some(id) = &args.chain {
        let Some(place) = nodes.iter().position(|node| node.row.id == *id) else {
            return Err(Failure::because(
                format!("no backup '{id}' is recorded"),
                "dbcalm-db-cmd list shows all backups",
            )
            .exit(Exit::NotFound));
        };
        let first = nodes.iter().take(place + 1).rposition(|node| node.is_root).unwrap_or(0);
        nodes = nodes.split_off(first);
        let end = nodes.iter().skip(1).position(|node| node.is_root).map_or(nodes.len(), |length| length + 1);
        nodes.truncate(end);
    }
    nodes.retain(|node| is_recent(args, node.row.start_time.as_deref(), now));
    if let Some(limit) = args.limit {
        let mut places: Vec<_> = nodes.iter().map(|node| node.row.place).collect();
        places.sort_unstable_by_key(|place| Reverse(*place));
        let oldest = limit.checked_sub(1).and_then(|at| places.get(at).copied());
        nodes.retain(|node| limit > 0 && oldest.is_none_or(|oldest| node.row.place >= oldest));
    }
    let branches = branches(&nodes.iter().map(|node| node.row).collect::<Vec<_>>());
    let (mut rows, mut listed, mut above) = (Vec::new(), Vec::with_capacity(nodes.len()), None);
    for (at, (node, branch)) in nodes.iter().zip(branches).enumerate() {
        let size = if nodes.len() - at <= MEASURED { all.size(node.row, config) } else { node.row.size };
        let shown = Shown { size, ..all.shown(node.row, now) };
        let from = shown.from_backup_id.filter(|from| above != Some(*from)).unwrap_or_default();
        above = Some(shown.id);
        rows.push(vec![
            format!("{branch}{}", shown.id),
            shown.kind.to_owned(),
            or_dash(shown.age_seconds.map(|age| if age < 0.0 { IN_THE_FUTURE.to_owned() } else { rounded(age) })),
            or_dash(shown.duration_seconds.map(rounded)),
            or_dash(shown.size.map(|size| Amount(size).to_string())),
            if shown.encrypted {
                format!("{}, encrypted", shown.state.as_str())
            } else {
                shown.state.as_str().to_owned()
            },
            or_dash(shown.verified.map(|verified| verified.text(now))),
            from.to_owned(),
            shown.problem.map(|why| format!("broken: {why}")).unwrap_or_default(),
        ]);
        listed.push(shown);
    }
    args.output.say(&BTreeMap::from([("backups", &listed)]), || {
        if rows.is_empty() {
            return "no backups\n".to_owned();
        }
        table(&["BACKUP", "TYPE", "AGE", "TOOK", "SIZE", "STATE", "VERIFIED", "FROM", ""], &[2, 3, 4], &rows)
    });
    Ok(Exit::Done)
}

fn rounded(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map(span).unwrap_or_default()
}

fn restores(args: &ListArgs, config: &Config) -> Result<Exit, Failure> {
    let mut rows = records(config)?.restores().map_err(|why| unread(&why))?;
    let now = Moment::now();
    rows.retain(|row| is_recent(args, row.start_time.as_deref(), now));
    if let Some(id) = &args.chain {
        rows.retain(|row| row.backup_id.as_ref() == Some(id));
    }
    rows.truncate(args.limit.unwrap_or(usize::MAX));
    args.output.say(&BTreeMap::from([("restores", &rows)]), || {
        if rows.is_empty() {
            return "no restores\n".to_owned();
        }
        let line = |row: &RestoreRow| {
            vec![
                row.id.to_string(),
                row.target.clone(),
                or_dash(age(row.start_time.as_deref(), now).map(Age::text)),
                or_dash(took(row.start_time.as_deref(), row.end_time.as_deref()).map(span)),
                or_dash(row.backup_id.clone()),
                // What the API shows as the point in time, without its fractions.
                or_dash(row.backup_timestamp.as_ref().map(|text| text.chars().take(19).collect())),
                if row.target == "folder" {
                    or_dash(row.target_path.clone())
                } else {
                    config.data_dir.display().to_string()
                },
            ]
        };
        let lines: Vec<_> = rows.iter().map(line).collect();
        table(&["ID", "TARGET", "AGE", "TOOK", "CHAIN", "AS OF (UTC)", "INTO"], &[0, 2, 3], &lines)
    });
    Ok(Exit::Done)
}

fn processes(args: &ListArgs, config: &Config) -> Result<Exit, Failure> {
    let now = Moment::now();
    let kind = match args.what {
        What::Backups => Some("backup"),
        What::Restores => Some("restore"),
        What::Processes | What::Binlogs => None,
    };
    let is_of = |row: &ProcessRow, id: &str| {
        let listed = row.args.get("id_list").and_then(|ids| ids.as_array()).into_iter().flatten();
        let named = [row.args.get("id"), row.args.get("from_backup_id")].into_iter().flatten();
        named.chain(listed).any(|named| named.as_str() == Some(id))
    };
    let is_wanted = |row: &ProcessRow| {
        kind.is_none_or(|kind| row.kind == kind)
            && is_recent(args, row.start_time.as_deref(), now)
            && args.chain.as_ref().is_none_or(|id| is_of(row, id))
    };
    let limit = args.limit.unwrap_or(usize::MAX);
    let rows = records(config)?.processes(args.failed, limit, is_wanted).map_err(|why| unread(&why))?;
    args.output.say(&BTreeMap::from([("processes", &rows)]), || {
        if rows.is_empty() {
            return "no processes\n".to_owned();
        }
        let line = |row: &ProcessRow| {
            vec![
                row.id.to_string(),
                row.kind.clone(),
                row.status.clone(),
                or_dash(row.return_code.map(|code| code.to_string())),
                or_dash(age(row.start_time.as_deref(), now).map(Age::text)),
                or_dash(took(row.start_time.as_deref(), row.end_time.as_deref()).map(span)),
                row.command_id.clone(),
            ]
        };
        let lines: Vec<_> = rows.iter().map(line).collect();
        table(&["ID", "TYPE", "STATUS", "CODE", "AGE", "TOOK", "COMMAND ID"], &[0, 3, 4, 5], &lines)
    });
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("4w", 2_419_200)] {
            assert_eq!(time(text).unwrap().as_secs(), seconds);
        }
        for text in ["", "d", "7", "-1d", "1y", "7ä", "99999999999999999999d", "9999999999999999999w"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
