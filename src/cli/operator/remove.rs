//! `remove`: backups by their ids, or whole chains by a rule. What goes is chosen and shown here; the daemon removes it, and nothing else.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::backups::{Backups, State};
use super::client::order_done;
use super::confirm::confirm;
use super::exit::{Exit, Failure};
use super::output::{Output, records, unread};
use super::removed::{Chosen, Doc, Kept, Row, plan};
use crate::chains::retention::{Fate, Rule};
use crate::command::parse::REMOVE_BACKUP;
use crate::config::Config;
use crate::model::{BackupId, Moment, word};
use crate::records::reader::{BackupRow, Reader};

/// How many of a list are named.
const NAMED: usize = 5;

/// Remove backups, by their ids or by a rule
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "By rule whole chains go or stay. The newest that can be restored always stays.\n\nExamples:\n  dbcalm-db-cmd remove 2026-11-22-08-46-51 --chain\n  dbcalm-db-cmd remove --keep-full 2 --keep-days 14 --dry-run"
)]
pub(in crate::cli) struct RemoveArgs {
    /// Ids of backups
    #[arg(value_name = "ID", required_unless_present_any = ["keep_full", "keep_days"])]
    ids: Vec<String>,
    /// Remove what was taken from them too
    #[arg(long, conflicts_with_all = ["keep_full", "keep_days"])]
    chain: bool,
    /// Keep the newest N chains that can be restored
    #[arg(long, value_name = "N", conflicts_with = "ids")]
    keep_full: Option<u32>,
    /// Keep each chain with a backup of the last D days
    #[arg(long, value_name = "D", conflicts_with = "ids")]
    keep_days: Option<u32>,
    /// Print what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn remove(args: &RemoveArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    let is_by_rule = args.ids.is_empty();
    if is_by_rule && args.keep_full.unwrap_or(0) == 0 && args.keep_days.unwrap_or(0) == 0 {
        let text = "a rule that keeps nothing is none: --keep-full or --keep-days must be 1 or more";
        return Err(Failure::because(text, "dbcalm-db-cmd remove ID removes single backups").exit(Exit::Usage));
    }
    let reader = records(config)?;
    let all = Backups::of(&reader, config, false)?;
    let chosen = if is_by_rule { by_rule(args, &all, &reader, config)? } else { by_id(args, &all, config)? };
    let mut doc = Doc::of(&chosen, args.dry_run);
    let shown = plan(&chosen, is_by_rule);
    if args.dry_run || chosen.chains.is_empty() {
        args.output.say(&doc, || shown);
        return Ok(Exit::Done);
    }
    let is_said = is_by_rule && !args.output.json && !args.output.quiet;
    if is_said {
        args.output.say(&(), || shown.clone());
    }
    if !args.yes {
        let before = if is_said { String::new() } else { shown };
        let ask = if chosen.newest.is_some() { "Remove them all the same?" } else { "Continue?" };
        let newest = chosen.newest.as_deref().unwrap_or_default();
        confirm("a removal", &format!("{before}{newest}{ask} [y/N] "))?;
    }
    let mut exit = Exit::Done;
    for chain in &chosen.chains {
        let ids: Vec<_> = chain.iter().map(|row| row.id.as_str()).collect();
        match order_done(socket, REMOVE_BACKUP, &json!({ "id_list": ids })) {
            Ok(text) => {
                doc.set(&ids, "removed", None);
                if !args.output.json {
                    args.output.say(&(), || format!("{text}\n"));
                }
            }
            Err(why) => {
                doc.set(&ids, "failed", Some(&why.text));
                doc.set(&gone_by_now(&ids, config), "removed", None);
                exit = why.exit;
                why.report();
                // Nobody else is asked what nobody answers.
                if exit == Exit::Unreachable {
                    break;
                }
            }
        }
    }
    if args.output.json {
        args.output.say(&doc, String::new);
    }
    Ok(exit)
}

/// Those that are not recorded any more: of a removal that was broken off some are.
fn gone_by_now<'a>(ids: &[&'a str], config: &Config) -> Vec<&'a str> {
    let Some(rows) = records(config).ok().and_then(|reader| reader.backups(false).ok()) else { return Vec::new() };
    ids.iter().copied().filter(|id| rows.iter().all(|row| row.id != *id)).collect()
}

/// What was named, and with `--chain` what was taken from it.
fn by_id(args: &RemoveArgs, all: &Backups, config: &Config) -> Result<Chosen, Failure> {
    let mut gone: HashSet<&str> = HashSet::new();
    for id in &args.ids {
        let row = all.chains.get(id).ok_or_else(|| {
            Failure::because(format!("no backup '{id}' is recorded"), "dbcalm-db-cmd list shows all backups")
                .exit(Exit::NotFound)
        })?;
        if BackupId::recorded(id).is_err() {
            let text = format!(
                "'{}' is no name that a folder of backup_dir can have, so nothing is looked for under it",
                id.escape_debug()
            );
            return Err(Failure::because(text, "remove its record in the API"));
        }
        gone.insert(&row.id);
        if args.chain {
            gone.extend(all.chains.needed_by(id).iter().map(|row| row.id.as_str()));
        }
    }
    let named: Vec<_> = args.ids.iter().filter(|_| !args.chain).collect();
    for id in named {
        let needing: Vec<_> =
            all.chains.needed_by(id).into_iter().filter(|row| !gone.contains(row.id.as_str())).collect();
        if !needing.is_empty() {
            return Err(Failure::because(
                format!("'{id}' is needed by {}: they could not be restored without it", some(&needing)),
                format!("dbcalm-db-cmd remove {} --chain removes them too", word(id)),
            ));
        }
    }
    let newest = all.newest_without(&HashSet::new(), config).filter(|row| gone.contains(row.id.as_str()));
    let newest = newest.map(|row| {
        let rest = all.newest_without(&gone, config).map_or_else(
            || "without it nothing here can be restored".to_owned(),
            |rest| format!("without it the newest is '{}'", rest.id),
        );
        format!("'{}' is the newest backup that can be restored: {rest}.\n", row.id)
    });
    Ok(Chosen { chains: chains(all, &gone, config), kept: Vec::new(), newest })
}

/// What a rule does not keep.
fn by_rule(args: &RemoveArgs, all: &Backups, reader: &Reader, config: &Config) -> Result<Chosen, Failure> {
    let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
    let rule = Rule {
        newest: args.keep_full.map(|count| usize::try_from(count).unwrap_or(usize::MAX)),
        young: args.keep_days.map(days),
    };
    let verdicts = all.by_rule(rule, Moment::now(), &in_use(reader)?, config);
    let mut gone = HashSet::new();
    let mut kept = Vec::new();
    for verdict in &verdicts {
        let ids = verdict.members.iter().map(|row| row.id.clone());
        let reason = match &verdict.fate {
            Fate::Goes => {
                gone.extend(verdict.members.iter().map(|row| row.id.as_str()));
                continue;
            }
            Fate::InUse(id) => format!("a backup or a restore works with '{id}'"),
            Fate::Broken(why) => format!("it cannot be restored, and goes by id alone: {why}"),
            Fate::Newest => "it has the newest backup that can be restored".to_owned(),
            Fate::OneOf(number) => format!("number {number} of the newest {}", args.keep_full.unwrap_or(0)),
            Fate::Young => format!("it has a backup of the last {} days", args.keep_days.unwrap_or(0)),
        };
        kept.push(Kept { ids: ids.collect(), reason });
    }
    Ok(Chosen { chains: chains(all, &gone, config), kept, newest: None })
}

/// Those that go, chain by chain, a base before what was taken from it.
fn chains(all: &Backups, gone: &HashSet<&str>, config: &Config) -> Vec<Vec<Row>> {
    let mut chains: Vec<Vec<Row>> = Vec::new();
    for node in all.chains.tree() {
        if node.is_root || chains.is_empty() {
            chains.push(Vec::new());
        }
        if let Some(chain) = chains.last_mut().filter(|_| gone.contains(node.row.id.as_str())) {
            chain.push(Row {
                id: node.row.id.clone(),
                begun: node.row.start_time.clone(),
                size: all.size(node.row, config).filter(|_| all.state(&node.row.id) != State::Missing),
                state: all.state(&node.row.id),
            });
        }
    }
    chains.retain(|chain| !chain.is_empty());
    chains
}

/// The backups that a job works with, by its row.
fn in_use(reader: &Reader) -> Result<HashSet<String>, Failure> {
    let rows = reader.running().map_err(|why| unread(&why))?;
    let named = |args: &Value| {
        let base = args.get("from_backup_id").into_iter();
        let chain = args.get("id_list").and_then(Value::as_array).into_iter().flatten();
        base.chain(chain).filter_map(|id| Some(id.as_str()?.to_owned())).collect::<Vec<_>>()
    };
    Ok(rows.iter().flat_map(|row| named(&row.args)).collect())
}

/// The first of them, in words.
fn some(rows: &[&BackupRow]) -> String {
    let mut text = rows.iter().take(NAMED).map(|row| row.id.as_str()).collect::<Vec<_>>().join(", ");
    if rows.len() > NAMED {
        let _infallible = write!(text, " and {} more", rows.len() - NAMED);
    }
    text
}
