//! `verify`: stored backups held against what was written with them, each with the chain that it needs.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Args;

use super::backups::{Backups, State};
use super::exit::{Exit, Failure};
use super::output::{Output, seconds};
use super::print_error;
use super::report::{Report, line};
use super::restored::Restored;
use super::watched::watched;
use crate::chains::Broken;
use crate::config::{Config, identity_file};
use crate::model::{BackupId, Moment, causes};
use crate::records::reader::BackupRow;
use crate::repository::hold::{self, Hold};
use crate::repository::stored;
use crate::verify::kept::{self, Kept, Outcome};
use crate::verify::server::Checked;
use crate::verify::{Depth, Found, Remotely, Verifier};
use crate::witness::manifest;

/// How often results are written down on the way, so that little is lost where it is broken off.
const KEEP: Duration = Duration::from_secs(5);

/// What to do about a table that a server finds damaged.
const IN_THE_SERVER: &str = "these tables may have been damaged before the backup: check them in the server itself";
/// What to do about tables that the server here cannot read.
const WITH_ALL: &str = "verify it on a machine whose server has these engines, plugins and keys";
/// What to do where no server has checked anything.
const WITH_A_SERVER: &str =
    "run this as root or as the daemon's user, where the server's package, its plugins and its keys are";

/// Check stored backups for damage
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Each backup is verified with its chain and stays as it is; list and show print\nthe results. Exit status 1: one is damaged, or could not be checked.\n\nExample: dbcalm-db-cmd verify latest"
)]
pub(in crate::cli) struct VerifyArgs {
    /// Ids of backups, or 'latest'
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All recorded backups
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Check metadata, LSNs and presence, but not the contents
    #[arg(long)]
    quick: bool,
    /// Restore to a folder and have a server check its tables
    #[arg(long, conflicts_with_all = ["quick", "all", "repository"])]
    restore: bool,
    /// Of what is here and in the repository, look at the copy there
    #[arg(long)]
    repository: bool,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn verify(args: &VerifyArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    super::leftover::clear(config);
    let all = Backups::look(config)?;
    let rows = chosen(args, &all)?;
    let identities = match &config.identity_file {
        Some(file) if !args.quick => identity_file::read(file).map_err(|why| {
            Failure::because(
                causes(&why),
                "docs/keys.md; without identity_file the hashes of encrypted backups are verified",
            )
        })?,
        Some(_) | None => Vec::new(),
    };
    let verifier = Verifier {
        identities: &identities,
        backup_dir: &config.backup_dir,
        flavour: config.flavour,
        depth: if args.quick { Depth::Quick } else { Depth::Content },
        repository: config.repository.as_ref().map(|repository| &repository.remote),
        remotely: if args.repository { Remotely::Copies } else { Remotely::Streams },
        threads: usize::from(config.parallel),
        count: None,
    };
    let restoring = args.restore.then(|| Restored::begin(config, socket, args.output)).transpose()?;
    let (mut reports, mut results, mut kept_at) = (BTreeMap::new(), kept::All::new(), Instant::now());
    for row in &rows {
        let needed = if args.restore { all.chains.chain(&row.id).unwrap_or_default() } else { vec![*row] };
        let Some(_held) = held(&needed, config) else {
            print_error(&format!("'{}' is left out: it is being removed, or has just been", row.id));
            continue;
        };
        let report = if let Some(restoring) = &restoring {
            restored(row, &all, restoring)
        } else {
            let expected = (!args.quick).then(|| all.size(row, config)).flatten();
            watched(&format!("verifying {}", row.id), expected, args.output, |count| {
                one(row, &all, &Verifier { count, ..verifier }, &reports)
            })
        };
        // What was found of those before it is true all the same.
        let report = report.inspect_err(|_| keep(config, &mut results))?;
        if !args.output.json && !args.output.quiet {
            // Whoever reads it may have read enough; the exit status says the rest.
            let _closed = io::stdout().write_all(line(&report).as_bytes());
        }
        // What is found of a copy says nothing of what is here.
        if report.outcome != Outcome::Unchecked && !(args.repository && all.state(&row.id) == State::Stream) {
            results.insert(row.id.clone(), result(row, &report));
        }
        reports.insert(row.id.as_str(), report);
        if kept_at.elapsed() > KEEP {
            keep(config, &mut results);
            kept_at = Instant::now();
        }
    }
    keep(config, &mut results);
    let in_order: Vec<_> = rows.iter().filter_map(|row| reports.get(row.id.as_str())).collect();
    if args.output.json {
        args.output.say(&BTreeMap::from([("backups", &in_order)]), String::new);
    }
    let is = |outcome| in_order.iter().filter(move |report| report.outcome == outcome).count();
    // Where the content was asked for and none of it is here, nothing was verified.
    let is_nothing = !args.all && !args.quick && is(Outcome::Elsewhere) == in_order.len();
    let is_not_well =
        [Outcome::Damaged, Outcome::Broken, Outcome::Unchecked].into_iter().any(|outcome| is(outcome) > 0);
    Ok(if is_not_well || is_nothing { Exit::Failed } else { Exit::Done })
}

/// Holds what will be read against its removal. None if that is under way, or was done since the records were read.
fn held(needed: &[&BackupRow], config: &Config) -> Option<Vec<Hold>> {
    let mut all = Vec::new();
    for row in needed {
        let Ok(id) = BackupId::recorded(&row.id) else { continue };
        let found = stored::look(&config.backup_dir, &id).ok().flatten();
        match found.map(|found| hold::read(&hold::whole(&config.backup_dir, &id, &found))) {
            Some(Ok(one)) => all.push(one),
            Some(Err(why)) if why.kind() == io::ErrorKind::WouldBlock => return None,
            // What is not there is gone, or was removed; who may not read it finds that out in a moment.
            Some(Err(_)) | None => {
                let rows = super::output::records(config).ok().and_then(|reader| reader.backups(false).ok());
                if rows.is_some_and(|rows| rows.iter().all(|other| other.id != row.id)) {
                    return None;
                }
            }
        }
    }
    Some(all)
}

/// What is to be verified: a base before what was taken from it, and each once.
fn chosen<'a>(args: &VerifyArgs, all: &'a Backups) -> Result<Vec<&'a BackupRow>, Failure> {
    if args.all {
        return Ok(all.chains.tree().into_iter().map(|node| node.row).collect());
    }
    let mut rows: Vec<&BackupRow> = Vec::new();
    for id in &args.ids {
        let mut next = Some(all.find(id).ok_or_else(|| {
            Failure::because(format!("no backup '{id}' is recorded"), "dbcalm-db-cmd list shows all backups")
                .exit(Exit::NotFound)
        })?);
        let mut chain: Vec<&BackupRow> = Vec::new();
        if args.restore {
            rows.extend(next.filter(|row| !rows.contains(row)));
            continue;
        }
        // One that descends from itself is gone round once.
        while let Some(row) = next.filter(|row| !rows.contains(row) && !chain.contains(row)) {
            chain.push(row);
            next = all.chains.base_of(row).unwrap_or_default();
        }
        rows.extend(chain.into_iter().rev());
    }
    Ok(rows)
}

fn one<'a>(
    row: &'a BackupRow,
    all: &Backups,
    verifier: &Verifier<'_>,
    before: &BTreeMap<&str, Report<'_>>,
) -> Result<Report<'a>, Failure> {
    let begun = Instant::now();
    let its_base = all.chains.base_of(row);
    let base = row.from.as_deref().map(|from| (from, before.get(from).filter(|_| its_base.is_ok())));
    let from = base.and_then(|(_, report)| report?.to_lsn);
    let without = |why: Broken| Found { problems: vec![why.to_string()], ..Found::default() };
    let mut found = match BackupId::recorded(&row.id) {
        Ok(id) => {
            let found = verifier.look(&id, row.from.is_some(), from).map_err(|why| {
                let hint = "run this as root or as the daemon's user, who may read backup_dir";
                Failure::because(format!("backup '{}' cannot be examined: {why}", row.id), hint)
            })?;
            found.unwrap_or_else(|| without(Broken::Missing(row.id.clone())))
        }
        Err(_no_name) => without(Broken::NoName(row.id.clone())),
    };
    let mut warnings = doubts(row, all, &mut found);
    let history = row.from.is_some().then(|| history(&found));
    if history == Some(UNTOLD) && found.problems.is_empty() {
        warnings.push("it is not known whether the server's data descended from its base".to_owned());
    }
    // What was taken from a damaged one may be whole, and is of no use.
    let broken = base.and_then(|(from, report)| match report.map(|report| report.outcome) {
        Some(Outcome::Ok | Outcome::Elsewhere | Outcome::Unchecked) => None,
        Some(Outcome::Damaged) => Some(format!("its base '{from}' is damaged")),
        Some(Outcome::Broken) => Some(format!("its base '{from}' cannot be restored")),
        None => Some(match &its_base {
            Err(why) => why.to_string(),
            Ok(_) => Broken::Loop(row.id.clone()).to_string(),
        }),
    });
    warnings.extend(found.unasked.iter().map(|why| format!("its stream was not looked at: {why}")));
    let outcome = match (&broken, found.problems.is_empty(), found.without.is_some()) {
        (_, false, _) => Outcome::Damaged,
        (Some(_), true, _) => Outcome::Broken,
        (None, true, _) if found.unasked.is_some() => Outcome::Unchecked,
        (None, true, true) => Outcome::Elsewhere,
        (None, true, false) => Outcome::Ok,
    };
    found.problems.extend(broken);
    let hint = match (outcome, base) {
        (Outcome::Ok | Outcome::Elsewhere | Outcome::Unchecked, _) => None,
        (Outcome::Damaged, Some((from, Some(report))))
            if matches!(report.outcome, Outcome::Ok | Outcome::Elsewhere) =>
        {
            Some(format!("the chain can be restored up to '{from}'; take a new full backup: dbcalm-db-cmd backup full"))
        }
        (Outcome::Damaged | Outcome::Broken, _) => Some(
            "neither this backup nor any taken from it can be restored; take a new full backup: dbcalm-db-cmd backup full"
                .to_owned(),
        ),
    };
    Ok(Report {
        id: &row.id,
        state: all.state(&row.id),
        depth: verifier.depth,
        outcome,
        problems: found.problems,
        warnings,
        sealed: Some(found.is_sealed),
        size: Some(found.bytes).filter(|bytes| *bytes > 0),
        tables: None,
        not_checked: None,
        history,
        duration_seconds: seconds(begun.elapsed()),
        to_lsn: found.to_lsn,
        hint,
    })
}

/// What `history` says of an incremental that was held against the server's data when it was taken, and of any other.
const PROVEN: &str = "proven";
const UNTOLD: &str = "untold";

/// Whether the server's data were seen to descend from an incremental's base when it was taken. Without that it may be of another history,
/// and brings other data together than there ever were.
fn history(found: &Found) -> &'static str {
    let is_proven = found.card.as_ref().and_then(|card| card.from.as_ref()).is_some_and(|base| base.proven);
    if is_proven { PROVEN } else { UNTOLD }
}

/// What the records know against it is added to its problems; what nobody can know is given back.
fn doubts(row: &BackupRow, all: &Backups, found: &mut Found) -> Vec<String> {
    let mut warnings = std::mem::take(&mut found.notes);
    if let Some(other) = found.taken_as.as_ref().filter(|other| **other != row.id) {
        let text = format!("its metadata is that of '{other}'");
        if all.chains.get(other).is_some() {
            found.problems.insert(0, format!("{text}: the two were swapped, or one was put in the other's place"));
        } else {
            warnings.push(format!("{text}: its folder was renamed, or is another backup's"));
        }
    }
    match (&found.without, all.was_forwarded(&row.id)) {
        (Some(name), Some(false)) => {
            found.problems.push(format!("its stream '{name}' is gone: it was stored here, not forwarded"));
        }
        (Some(_), None) => warnings.push("the records do not say that its stream was forwarded".to_owned()),
        (Some(_), Some(true)) | (None, _) => {}
    }
    if !found.is_sealed && found.problems.is_empty() {
        if all.must_be_sealed(row) {
            found.problems.push(format!("its manifest '{}' is gone", manifest::NAME));
        } else {
            warnings.push("no manifest: its bytes were not checked".to_owned());
        }
    }
    warnings
}

/// Restored with its chain, and checked by a server.
fn restored<'a>(row: &'a BackupRow, all: &Backups, restoring: &Restored<'_>) -> Result<Report<'a>, Failure> {
    let begun = Instant::now();
    let chain = all.chains.chain(&row.id).map_err(|why| {
        let hint = format!("dbcalm-db-cmd verify {} says more", row.id);
        Failure::because(format!("'{}' cannot be restored: {why}", row.id), hint)
    })?;
    let checked = restoring.check(&chain)?;
    let is_known = checked.is_ok();
    let checked = checked.unwrap_or_else(|why| Checked {
        is_open: true,
        warnings: vec![format!("not checked: {}", crate::model::causes(&why))],
        ..Checked::default()
    });
    let (outcome, hint) = match (checked.problems.is_empty(), checked.is_open, is_known) {
        (false, ..) => (Outcome::Damaged, Some(IN_THE_SERVER)),
        (true, false, _) => (Outcome::Ok, None),
        (true, true, true) => (Outcome::Unchecked, Some(WITH_ALL)),
        (true, true, false) => (Outcome::Unchecked, Some(WITH_A_SERVER)),
    };
    Ok(Report {
        id: &row.id,
        state: all.state(&row.id),
        depth: Depth::Restore,
        outcome,
        problems: checked.problems,
        warnings: checked.warnings,
        sealed: None,
        size: None,
        tables: Some(checked.tables),
        not_checked: Some(checked.not_checked),
        history: None,
        duration_seconds: seconds(begun.elapsed()),
        to_lsn: None,
        hint: hint.map(str::to_owned),
    })
}

fn result(row: &BackupRow, report: &Report<'_>) -> Kept {
    Kept {
        begun: row.start_time.clone(),
        when: Moment::now().to_string(),
        depth: report.depth,
        outcome: report.outcome,
        problems: report.problems.clone(),
        sealed: report.sealed == Some(true),
    }
}

/// Writes the results down. Where that fails they have been said all the same.
fn keep(config: &Config, results: &mut kept::All) {
    let new = std::mem::take(results);
    if new.is_empty() {
        return;
    }
    // The records as they are by then: a backup may have been removed meanwhile.
    let recorded = || {
        let rows = super::output::records(config).ok()?.backups(false).ok()?;
        Some(rows.into_iter().map(|row| row.id).collect())
    };
    if let Err(why) = kept::keep(&config.database_path, new, recorded) {
        let path = kept::path(&config.database_path);
        print_error(&format!(
            "warning: the results are not kept: '{}' cannot be written: {why}\nhint: run this as root or as the daemon's user",
            path.display()
        ));
    }
}
