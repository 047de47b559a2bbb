//! `list binlogs`: the archive of the binary log, timeline by timeline; `binlog`: its transactions around a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::list;
use super::output::{Output, or_dash, records, table, unread};
use crate::binlog::archive::{Archive, ArchiveError, Archived, Because};
use crate::binlog::line::{Window, windows};
use crate::binlog::reader::Reader;
use crate::binlog::transaction::{Item, Transaction, Transactions};
use crate::config::Config;
use crate::model::{Amount, Moment};

/// How many transactions are shown at the most, where nothing else is said.
const SHOWN: usize = 200;

/// Show the transactions of the archived binary log around a moment
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Times are UTC, or have an offset. No row's data is shown.\n\nExamples:\n  dbcalm-db-cmd binlog --around '2026-11-30 14:03' --table shop.orders\n  dbcalm-db-cmd binlog --around 2026-11-30T15:03+01:00 --within 1h --limit 20"
)]
pub(in crate::cli) struct BinlogArgs {
    /// The moment
    #[arg(long, value_name = "TIME", value_parser = moment)]
    around: Moment,
    /// How far before and behind it: 30m, 12h, 7d, 4w
    #[arg(long, value_name = "TIME", value_parser = list::time, default_value = "10m")]
    within: Duration,
    /// Only what names this table, or one of this database
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// Only the N nearest
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    limit: usize,
    #[command(flatten)]
    output: Output,
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    Moment::read(text)
        .ok_or_else(|| "must be a date and a time: '2026-11-30 14:03:00', UTC or with an offset".to_owned())
}

/// A transaction, as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
struct Shown {
    time: String,
    gtid: Option<String>,
    kinds: Vec<String>,
    tables: Vec<String>,
    more_tables: bool,
    timeline: u32,
    file: String,
    position: u64,
}

/// A timeline, as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    timeline: u32,
    begun: &'a str,
    because: &'a Because,
    reason: String,
    first_file: Option<&'a str>,
    last_file: Option<&'a str>,
    files: usize,
    transactions: u64,
    from: Option<String>,
    until: Option<String>,
    size: u64,
    unsent: Option<u64>,
    received: bool,
    backups: &'a [String],
}

/// To the second, which is what events tell.
fn text(at: u32) -> Option<String> {
    Moment::of_seconds(at).map(Moment::to_seconds)
}

fn unreadable(why: &ArchiveError) -> Failure {
    if matches!(why, ArchiveError::Locked { .. }) {
        return Failure::new(why, "a machine that has such a key may look: docs/any-moment.md");
    }
    Failure::new(why, "run this as root or as the daemon's user; dbcalm-db-cmd check says more")
}

pub(super) fn list(config: &Config, output: Output) -> Result<Exit, Failure> {
    let rows = records(config)?.backups(false).map_err(|why| unread(&why))?;
    let all = windows(config, &rows).map_err(|why| unreadable(&why))?;
    let listed: Vec<_> = all.iter().map(Listed::of).collect();
    output.say(&BTreeMap::from([("binlogs", &listed)]), || {
        if listed.is_empty() {
            return "no binary log is archived\n".to_owned();
        }
        let line = |row: &Listed<'_>| {
            vec![
                row.timeline.to_string(),
                or_dash(row.from.clone()),
                or_dash(row.until.clone()),
                row.files.to_string(),
                row.transactions.to_string(),
                Amount(row.size).to_string(),
                match row.backups {
                    [] => "-".to_owned(),
                    [one] => one.clone(),
                    [first, .., last] => format!("{} from {first} to {last}", row.backups.len()),
                },
                notes(row),
            ]
        };
        let head = ["TIMELINE", "FROM (UTC)", "UNTIL (UTC)", "FILES", "TRANSACTIONS", "SIZE", "BACKUPS ON IT", ""];
        table(&head, &[0, 3, 4, 5], &listed.iter().map(line).collect::<Vec<_>>())
    });
    Ok(Exit::Done)
}

/// What else there is to say of a timeline.
fn notes(row: &Listed<'_>) -> String {
    let begun = (*row.because != Because::First).then(|| format!("begun because {}", row.reason));
    let received = row.received.then(|| "in the repository".to_owned());
    let unsent = row.unsent.filter(|unsent| *unsent > 0);
    let unsent = unsent.map(|unsent| format!("{} not in the repository yet", Amount(unsent)));
    begun.into_iter().chain(received).chain(unsent).collect::<Vec<_>>().join("; ")
}

impl<'a> Listed<'a> {
    fn of(window: &'a Window) -> Self {
        let file = |which: fn(&(String, String)) -> &String| window.files.as_ref().map(|files| which(files).as_str());
        Self {
            timeline: window.timeline.number,
            begun: &window.timeline.begun,
            because: &window.timeline.because,
            reason: window.timeline.because.to_string(),
            first_file: file(|files| &files.0),
            last_file: file(|files| &files.1),
            files: window.count,
            transactions: window.transactions,
            from: window.times.and_then(|times| text(times.0)),
            until: window.times.and_then(|times| text(times.1)),
            size: window.stored,
            unsent: window.unsent,
            received: window.timeline.received,
            backups: &window.backups,
        }
    }
}

pub(in crate::cli) fn binlog(args: &BinlogArgs, config: &Config) -> Result<Exit, Failure> {
    let archive = Archive::of(&config.backup_dir)
        .with_identity(config.identity_file.clone())
        .with_repository(config.repository.as_ref().map(|repository| repository.remote.clone()));
    let mut found = Vec::new();
    for timeline in archive.timelines().map_err(|why| unreadable(&why))? {
        for (_, file) in archive.files(timeline).map_err(|why| unreadable(&why))? {
            let Some(entry) = archive.entry(timeline, &file).map_err(|why| unreadable(&why))? else { continue };
            let is_near = entry.times.is_some_and(|(first, last)| is_near(args, first, last));
            if is_near {
                look(&archive, &Archived { timeline, entry }, args, &mut found)?;
            }
        }
    }
    // The nearest, in the order in which they were committed.
    if found.len() > args.limit {
        let mut by_distance: Vec<_> = found.iter().map(|(distance, _)| *distance).collect();
        by_distance.sort_unstable();
        let farthest = args.limit.checked_sub(1).and_then(|at| by_distance.get(at).copied());
        found.retain(|(distance, _)| farthest.is_some_and(|farthest| *distance <= farthest));
        found.truncate(args.limit);
    }
    let shown: Vec<_> = found.into_iter().map(|(_, shown)| shown).collect();
    args.output.say(&BTreeMap::from([("transactions", &shown)]), || {
        if shown.is_empty() {
            return "no such transaction is archived\n".to_owned();
        }
        let line = |row: &Shown| {
            let more = if row.more_tables { " …" } else { "" };
            vec![
                row.time.clone(),
                or_dash(row.gtid.clone()),
                row.kinds.join(", "),
                format!("{}{more}", row.tables.join(", ")),
                format!("{}:{}", row.file, row.position),
            ]
        };
        table(&["TIME (UTC)", "GTID", "KIND", "TABLES", "AT"], &[], &shown.iter().map(line).collect::<Vec<_>>())
    });
    Ok(if shown.is_empty() { Exit::NotFound } else { Exit::Done })
}

/// Whether something between these times may be near the moment.
fn is_near(args: &BinlogArgs, first: u32, last: u32) -> bool {
    let within = args.within.as_secs_f64();
    let at = args.around.seconds();
    // An event's time is whole seconds.
    f64::from(first) <= at + within && f64::from(last) + 1.0 > at - within
}

/// Adds the transactions of a file that are wanted, each with how far from the moment it is.
fn look(archive: &Archive, file: &Archived, args: &BinlogArgs, found: &mut Vec<(u64, Shown)>) -> Result<(), Failure> {
    let failed = |why: &dyn std::error::Error| {
        let path = archive.data(file.timeline, &file.entry.file);
        let text = format!("'{}': {}", path.display(), crate::model::causes(why));
        Failure::because(text, "what is archived of this file cannot be read")
    };
    let input = file.open(archive).map_err(|why| unreadable(&why))?;
    let reader = Reader::begin(std::io::BufReader::with_capacity(1 << 16, input)).map_err(|why| failed(&why))?;
    let mut transactions = Transactions::new(reader, true);
    while let Some(item) = transactions.item().map_err(|why| failed(&why))? {
        let Item::Transaction(transaction) = item else { continue };
        let is_wanted = args.table.as_deref().is_none_or(|wanted| names(&transaction, wanted));
        if !is_wanted || !is_near(args, transaction.time, transaction.time) {
            continue;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a distance in seconds is neither")]
        let distance = (f64::from(transaction.time) - args.around.seconds()).abs() as u64;
        let shown = Shown {
            time: or_dash(text(transaction.time)),
            gtid: transaction.gtid.map(|gtid| gtid.to_string()),
            kinds: transaction.kinds,
            tables: transaction.tables.into_iter().collect(),
            more_tables: transaction.has_more,
            timeline: file.timeline,
            file: file.entry.file.clone(),
            position: transaction.at,
        };
        found.push((distance, shown));
    }
    Ok(())
}

/// Whether a transaction names a table, one of a database, or that database itself. One with more tables than are known may.
fn names(transaction: &Transaction, wanted: &str) -> bool {
    let is_it = |name: &String| name == wanted || name.split_once('.').is_some_and(|(database, _)| database == wanted);
    // Who drops a database drops its tables.
    let database = wanted.split_once('.').map_or(wanted, |(database, _)| database);
    transaction.has_more || transaction.tables.iter().any(|name| is_it(name) || name == database)
}

#[cfg(test)]
mod tests {
    use super::names;
    use crate::binlog::transaction::Transaction;

    #[test]
    fn a_table_is_named_by_itself_and_by_its_database() {
        let of = |tables: &[&str]| Transaction {
            tables: tables.iter().map(|name| (*name).to_owned()).collect(),
            ..Transaction::default()
        };
        for (tables, wanted, is_named) in [
            (&["shop.orders"][..], "shop.orders", true),
            (&["shop.orders"], "shop", true),
            (&["shop"], "shop.orders", true),
            (&["shop.orders2"], "shop.orders", false),
            (&["shop2.orders"], "shop", false),
            (&[], "shop", false),
        ] {
            assert_eq!(names(&of(tables), wanted), is_named, "{tables:?} {wanted}");
        }
        assert!(names(&Transaction { has_more: true, ..Transaction::default() }, "shop.orders"));
    }
}
