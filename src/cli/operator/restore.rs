//! `restore`: the chain is found from the records, for a moment also from the archive of the binary log, and the daemon is ordered to restore it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::backups::Backups;
use super::binlogs::moment;
use super::client::order_restore;
use super::confirm::confirm;
use super::exit::{Exit, Failure};
use super::follow::{Order, see_to};
use super::output::Output;
use crate::binlog::archive::Archive;
use crate::binlog::replay::{NoReplay, Replay, Seen, Standing, find};
use crate::command::parse::END;
use crate::config::Config;
use crate::model::{Amount, BackupId, Gtid, Until, causes};
use crate::records::reader::BackupRow;
use crate::repository::card::Card;

/// Restore a backup with its whole chain, and follow it to its end
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "A database restore needs a stopped server and an empty data directory.\n\nExample: dbcalm-db-cmd restore latest --target database --before-gtid 0-7-4712"
)]
pub(in crate::cli) struct RestoreArgs {
    /// A backup's id, or 'latest': the newest that can be restored
    id: String,
    /// Where to restore
    #[arg(long, value_enum)]
    target: Target,
    /// Replay the binary log to this time, or to its 'end'
    #[arg(long, value_name = "TIME", value_parser = to, conflicts_with_all = ["to_gtid", "before_gtid"])]
    to: Option<Until>,
    /// The same to the transaction of this GTID
    #[arg(long, value_name = "ID", value_parser = gtid, conflicts_with = "before_gtid")]
    to_gtid: Option<Gtid>,
    /// The same to the one before it
    #[arg(long, value_name = "ID", value_parser = gtid)]
    before_gtid: Option<Gtid>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Print the command's id and return at once
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    Database,
    Folder,
}

fn to(text: &str) -> Result<Until, String> {
    if text == END { Ok(Until::End) } else { moment(text).map(Until::Time) }
}

fn gtid(text: &str) -> Result<Gtid, String> {
    text.parse().map_err(|_none| "must be a GTID, as 'binlog --around' shows it".to_owned())
}

impl RestoreArgs {
    fn until(&self) -> Option<Until> {
        let gtid = self.to_gtid.map(Until::Through).or(self.before_gtid.map(Until::Before));
        self.to.clone().or(gtid)
    }
}

/// What would be done, as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
struct Planned<'a> {
    chain: Vec<&'a str>,
    target: &'static str,
    replay: Option<Replayed>,
}

/// What would be replayed.
#[derive(Debug, Serialize)]
struct Replayed {
    timeline: u32,
    from: String,
    to: String,
    files: usize,
    size: u64,
    last: Option<String>,
    next: Option<String>,
}

impl From<&Replay> for Replayed {
    fn from(replay: &Replay) -> Self {
        let said = |seen: &Option<Seen>| seen.as_ref().map(ToString::to_string);
        Self {
            timeline: replay.timeline,
            from: replay.begin().to_string(),
            to: replay.end().to_string(),
            files: replay.files.len(),
            size: replay.bytes,
            last: said(&replay.last),
            next: said(&replay.next),
        }
    }
}

pub(in crate::cli) fn restore(args: &RestoreArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    let all = Backups::look(config)?;
    let (chain, replay) = match args.until() {
        None => (chain(&all, &args.id)?, None),
        Some(until) => {
            let (chain, replay) = leading(&all, &args.id, &until, config)?;
            (chain, Some(replay))
        }
    };
    let ids: Vec<_> = chain.iter().map(|row| row.id.as_str()).collect();
    let (target, into) = match args.target {
        Target::Database => ("database", format!("into '{}'", config.data_dir.display())),
        Target::Folder => ("folder", "to a folder".to_owned()),
    };
    let plan = described(&all, &chain, replay.as_ref(), (args.target, config));
    if args.dry_run {
        let planned = Planned { chain: ids, target, replay: replay.as_ref().map(Replayed::from) };
        args.output.say(&BTreeMap::from([("restore", planned)]), || plan);
        return Ok(Exit::Done);
    }
    if args.target == Target::Database && !args.yes {
        confirm("a database restore", &format!("{plan}Continue? [y/N] "))?;
    } else if replay.is_some() {
        crate::cli::print_error(plan.trim_end());
    }
    let place = replay.as_ref().map(Replay::place);
    let command_id = order_restore(socket, &ids, target, place.as_deref())?;
    let moment = args.until().map(|until| format!(" to {until}")).unwrap_or_default();
    let what = format!("restore of {}{moment} {into}", ids.join(" → "));
    see_to(&Order { command_id: &command_id, what: &what }, args.detach, config, socket, args.output)
}

/// The chain of a backup that is named.
fn chain<'a>(all: &'a Backups, id: &str) -> Result<Vec<&'a BackupRow>, Failure> {
    let row = all.find(id).ok_or_else(|| {
        Failure::because(format!("no backup '{id}' is recorded"), "dbcalm-db-cmd list shows all backups")
            .exit(Exit::NotFound)
    })?;
    all.chains.chain(&row.id).map_err(|why| {
        let newest = all.chains.newest_whole().map_or_else(
            || "no backup here can be restored: dbcalm-db-cmd list shows why".to_owned(),
            |newest| format!("the newest backup that can be restored is '{}': dbcalm-db-cmd list shows all", newest.id),
        );
        Failure::because(format!("'{}' cannot be restored: {why}", row.id), newest)
    })
}

/// The newest chain from which the archived binary log leads to a moment, or the one that is named.
fn leading<'a>(
    all: &'a Backups,
    id: &str,
    until: &Until,
    config: &Config,
) -> Result<(Vec<&'a BackupRow>, Replay), Failure> {
    let archive = Archive::of(&config.backup_dir).with_identity(config.identity_file.clone());
    let archive = archive.with_repository(config.repository.as_ref().map(|own| own.remote.clone()));
    let from = |chain: &[&BackupRow]| {
        let last = chain.last().map(|row| row.id.as_str()).unwrap_or_default();
        // What cannot be read says nothing.
        let card =
            BackupId::recorded(last).ok().and_then(|id| Card::read(&config.backup_dir.join(id.as_str())).ok()?);
        find(&Standing::of(&archive, last, card.as_ref())?, until)
    };
    let no_way = |why: &NoReplay| {
        Failure::because(
            causes(why),
            "dbcalm-db-cmd list binlogs shows what is archived, and which backups it goes on from",
        )
    };
    if id != "latest" || all.chains.get(id).is_some() {
        let chain = chain(all, id)?;
        let replay = from(&chain).map_err(|why| no_way(&why))?;
        return Ok((chain, replay));
    }
    let mut first: Option<NoReplay> = None;
    for row in all.chains.newest_first() {
        let Ok(chain) = all.chains.chain(&row.id) else { continue };
        match from(&chain) {
            Ok(replay) => return Ok((chain, replay)),
            // An older one may stand on an older timeline, or before the moment. What says most of the moment is told.
            Err(why) if first.as_ref().is_none_or(NoReplay::asks_for_an_earlier_backup) => first = Some(why),
            Err(_) => {}
        }
    }
    Err(first.map_or_else(
        || Failure::because("no backup here can be restored", "dbcalm-db-cmd list shows why"),
        |why| no_way(&why),
    ))
}

/// What will be done, in words.
fn described(
    all: &Backups,
    chain: &[&BackupRow],
    replay: Option<&Replay>,
    (target, config): (Target, &Config),
) -> String {
    let mut text = match target {
        Target::Database => format!("This fills '{}' with\n", config.data_dir.display()),
        Target::Folder => "This makes a folder with\n".to_owned(),
    };
    for row in chain {
        let size = all.size(row, config).map(|size| format!(", {}", Amount(size))).unwrap_or_default();
        let begun = row.start_time.as_deref().map(|at| format!(", begun {at} UTC")).unwrap_or_default();
        let _infallible = writeln!(text, "  {}{begun}{size}", row.id);
    }
    let Some(replay) = replay else { return text };
    let _infallible = writeln!(
        text,
        "and replays {} of the binary log on it (timeline {}, {} {}), from {} to {}",
        Amount(replay.bytes),
        replay.timeline,
        replay.files.len(),
        if replay.files.len() == 1 { "file" } else { "files" },
        replay.begin(),
        replay.end()
    );
    for (what, seen) in [("the last transaction", &replay.last), ("not any more", &replay.next)] {
        let seen = seen.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
        let _infallible = writeln!(text, "  {what}: {seen}");
    }
    text
}
