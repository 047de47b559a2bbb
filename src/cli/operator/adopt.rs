//! `adopt`: what lies in `backup_dir`, or in the repository, without a record is shown, and the daemon records it.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::Path;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use super::backups::State;
use super::client::order_done;
use super::exit::{Exit, Failure};
use super::output::{Output, or_dash, records, table, unread};
use super::repository::failure;
use crate::adopt::local::{Local, ids};
use crate::adopt::order::{Adoption, order};
use crate::adopt::{Candidate, Form, Proof, Refused, remote};
use crate::bucket::{Bucket, Patience};
use crate::command::parse::{ADOPT_BACKUP, FROM};
use crate::config::{Config, Repository};
use crate::model::{Amount, BackupId};
use crate::repository::card::Kind;
use crate::repository::catalog::{self, Listed};

/// What an error about an id without a backup ends in.
const CHECK: &str = "dbcalm-db-cmd check names what lies there without a record";

/// Record backups that lie here, or in the repository, without a record
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Where the database file is lost, or backup_dir is another machine's.\n\nExample:\n  dbcalm-db-cmd adopt --all --dry-run"
)]
pub(in crate::cli) struct AdoptArgs {
    /// Ids of backups; what they were taken from is adopted with them
    #[arg(value_name = "ID", required_unless_present = "all")]
    ids: Vec<String>,
    /// All that have no record
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// What the one named was taken from, if it does not say so itself
    #[arg(long, value_name = "BASE", conflicts_with = "all")]
    from: Option<String>,
    /// Show what would be adopted, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    output: Output,
}

/// One that was looked at, as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: Option<&'static str>,
    from_backup_id: Option<&'a str>,
    schedule_id: Option<i64>,
    start_time: Option<String>,
    end_time: Option<String>,
    size: Option<u64>,
    state: Option<State>,
    proof: Option<Proof>,
    adopted: bool,
    problem: Option<&'a str>,
    warnings: &'a [String],
}

pub(in crate::cli) fn adopt(args: &AdoptArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    let (adoptions, mut refused) = found(args, config)?;
    let plan = plan(&adoptions, &refused, config);
    let is_for_people = !args.output.json && !args.output.quiet;
    if is_for_people {
        say(&plan);
    }
    let mut done = HashSet::new();
    if !args.dry_run && !adoptions.is_empty() {
        if !args.yes {
            ask(adoptions.len(), (!is_for_people).then_some(plan.as_str()))?;
        }
        for adoption in &adoptions {
            match record(adoption, &done, &adoptions, socket)? {
                Ok(text) => {
                    if is_for_people {
                        say(&format!("{text}\n"));
                    }
                    done.insert(&adoption.candidate.id);
                }
                Err(why) => {
                    if is_for_people {
                        say(&format!("refused  {}: {why}\n", adoption.candidate.id));
                    }
                    refused.push(Refused { id: adoption.candidate.id.clone(), why });
                }
            }
        }
        if is_for_people && !done.is_empty() {
            say("No content was read: dbcalm-db-cmd verify --all holds each byte against its hash\n");
        }
    }
    if args.output.json {
        let shown = shown(&adoptions, &refused, &done);
        args.output.say(&json!({ "backups": shown }), String::new);
    }
    Ok(if refused.is_empty() { Exit::Done } else { Exit::Failed })
}

/// What can be adopted of what is asked for, and what cannot.
fn found(args: &AdoptArgs, config: &Config) -> Result<(Vec<Adoption>, Vec<Refused>), Failure> {
    let id = |text: &str| {
        BackupId::recorded(text)
            .map_err(|why| Failure::because(format!("'{text}' is not a backup id: {why}"), CHECK).exit(Exit::NotFound))
    };
    let named = args.ids.iter().map(|text| id(text)).collect::<Result<Vec<_>, _>>()?;
    let said = match (&args.from, named.as_slice()) {
        (None, _) => None,
        (Some(from), [one]) => Some((one.clone(), id(from)?)),
        (Some(_), _) => {
            let text = "--from says what one backup was taken from, and several are named";
            return Err(Failure::because(text, "adopt them one after the other").exit(Exit::Usage));
        }
    };
    let there = ids(&config.backup_dir).map_err(|why| {
        Failure::because(format!("backup_dir cannot be read: {why}"), "run this as root or as the daemon's user")
    })?;
    let (recorded, running) = known(config)?;
    let local = Local { backup_dir: &config.backup_dir, flavour: config.flavour };
    // What is recorded and not here, the repository may describe again.
    let is_lost = |id: &BackupId| config.repository.is_some() && recorded.contains(id) && !there.contains(id);
    if let Some(one) = named.iter().find(|id| recorded.contains(*id) && !is_lost(id)) {
        return Err(Failure::because(format!("'{one}' is recorded already"), format!("dbcalm-db-cmd show {one}")));
    }
    let (mut candidates, mut refused) = (Vec::new(), Vec::new());
    for id in there.iter().filter(|id| !recorded.contains(*id) && !running.contains(id.as_str())) {
        let mut refuse = |why: String| refused.push(Refused { id: id.clone(), why });
        match local.look(id) {
            Ok(Some(Ok(candidate))) => candidates.push(candidate),
            Ok(Some(Err(why))) => refuse(why),
            Ok(None) => {}
            Err(why) => refuse(format!("this user may not read it: {why}")),
        }
    }
    let is_missing = args.all || named.iter().any(|id| !there.contains(id));
    let elsewhere = match &config.repository {
        Some(repository) if is_missing => in_repository(repository, |id| {
            there.contains(id) || (recorded.contains(id) && !is_lost(id)) || running.contains(id.as_str())
        })?,
        Some(_) | None => Vec::new(),
    };
    let is_there = |id: &BackupId| there.contains(id) || elsewhere.iter().any(|listed| listed.id == *id);
    if let Some(one) = named.iter().find(|id| !is_there(id) || running.contains(id.as_str())) {
        return Err(Failure::because(format!("no backup '{one}' without a record is here"), CHECK).exit(Exit::NotFound));
    }
    for listed in elsewhere {
        let id = listed.id.clone();
        match remote::candidate(listed) {
            Ok(candidate) => candidates.push(candidate),
            Err(why) => refused.push(Refused { id, why }),
        }
    }
    let is_needed = candidates.iter().any(|candidate| candidate.kind == Kind::Incremental);
    let bases =
        recorded.iter().filter(|id| is_needed && !is_lost(id)).map(|id| local.described(id)).collect::<Vec<_>>();
    let (mut adoptions, without) = order(candidates, &bases, said.as_ref());
    refused.extend(without);
    if !args.all {
        keep(&named, &mut adoptions, &mut refused);
    }
    Ok((adoptions, refused))
}

/// What the repository has, but for the backups that are known here.
fn in_repository(repository: &Repository, is_known: impl Fn(&BackupId) -> bool) -> Result<Vec<Listed>, Failure> {
    let listed = Bucket::open(&repository.remote, Patience::SHORT).and_then(|bucket| catalog::list(&bucket));
    let mut listed = listed.map_err(|why| failure(&why))?;
    listed.retain(|listed| !is_known(&listed.id));
    Ok(listed)
}

/// The ids that are recorded, and those of backups that are being taken. None where there is no database yet.
fn known(config: &Config) -> Result<(BTreeSet<BackupId>, HashSet<String>), Failure> {
    if !config.database_path.exists() {
        return Ok((BTreeSet::new(), HashSet::new()));
    }
    let reader = records(config)?;
    // In this order, since a backup that is being taken ends in one transaction: what does not run by now is recorded, or is gone.
    let running = reader.running().map_err(|why| unread(&why))?;
    let rows = reader.backups(false).map_err(|why| unread(&why))?;
    let running = running.iter().filter_map(|row| Some(row.args.get("id")?.as_str()?.to_owned()));
    Ok((rows.iter().filter_map(|row| BackupId::recorded(&row.id).ok()).collect(), running.collect()))
}

/// Leaves of what was found those that are named, and what they were taken from.
fn keep(named: &[BackupId], adoptions: &mut Vec<Adoption>, refused: &mut Vec<Refused>) {
    let mut wanted: HashSet<BackupId> = named.iter().cloned().collect();
    // A base comes before what was taken from it.
    for adoption in adoptions.iter().rev() {
        if wanted.contains(&adoption.candidate.id) {
            wanted.extend(adoption.from.clone());
        }
    }
    adoptions.retain(|adoption| wanted.contains(&adoption.candidate.id));
    refused.retain(|one| wanted.contains(&one.id));
}

/// Orders one. The daemon looks at it anew; what it says no to is given back, and an error is what stands in the way of all.
fn record(
    Adoption { candidate, from }: &Adoption,
    done: &HashSet<&BackupId>,
    all: &[Adoption],
    socket: &Path,
) -> Result<Result<String, String>, Failure> {
    let is_of_these = |id: &BackupId| all.iter().any(|one| one.candidate.id == *id);
    if let Some(base) = from.as_ref().filter(|base| is_of_these(base) && !done.contains(base)) {
        return Ok(Err(format!("its base '{base}' was not adopted")));
    }
    let mut wanted = json!({ "id": candidate.id });
    if let (Some(from), Some(wanted)) = (from, wanted.as_object_mut()) {
        wanted.insert(FROM.to_owned(), json!(from));
    }
    match order_done(socket, ADOPT_BACKUP, &wanted) {
        Ok(text) => Ok(Ok(text)),
        Err(why) if why.exit == Exit::Unreachable => Err(why),
        Err(why) => Ok(Err(why.text)),
    }
}

/// What will be done, for a person.
fn plan(adoptions: &[Adoption], refused: &[Refused], config: &Config) -> String {
    let row = |Adoption { candidate, from }: &Adoption| {
        vec![
            candidate.id.to_string(),
            kind(candidate).to_owned(),
            or_dash(from.as_ref().map(ToString::to_string)),
            format!("{} UTC", candidate.start).replacen(".000000", "", 1),
            candidate.form.as_str().to_owned(),
            or_dash(size(candidate).map(|size| Amount(size).to_string())),
            candidate.proof.as_str().to_owned(),
        ]
    };
    let rows: Vec<_> = adoptions.iter().map(row).collect();
    let mut said = match (rows.is_empty(), refused.is_empty()) {
        (false, _) => table(&["BACKUP", "TYPE", "FROM", "BEGUN", "FORM", "SIZE", "PROVED BY"], &[5], &rows),
        (true, true) => match &config.repository {
            None => format!("nothing to adopt: each backup in '{}' is recorded\n", config.backup_dir.display()),
            Some(repository) => format!(
                "nothing to adopt: neither '{}' nor {} has a backup that is not recorded\n",
                config.backup_dir.display(),
                repository.remote
            ),
        },
        (true, false) => String::new(),
    };
    for Adoption { candidate, .. } in adoptions {
        said.extend(candidate.notes.iter().map(|note| format!("warning  {}: {note}\n", candidate.id)));
    }
    said.extend(refused.iter().map(|one| format!("refused  {}: {}\n", one.id, one.why)));
    said
}

/// How much of it is here. None if its data lie elsewhere.
fn size(candidate: &Candidate) -> Option<u64> {
    (candidate.form != Form::Forwarded).then_some(candidate.size)
}

fn kind(candidate: &Candidate) -> &'static str {
    match candidate.kind {
        Kind::Full => "full",
        Kind::Incremental => "incremental",
    }
}

fn shown<'a>(adoptions: &'a [Adoption], refused: &'a [Refused], done: &HashSet<&BackupId>) -> Vec<Shown<'a>> {
    let of = |Adoption { candidate, from }: &'a Adoption| Shown {
        id: candidate.id.as_str(),
        kind: Some(kind(candidate)),
        from_backup_id: from.as_ref().map(BackupId::as_str),
        schedule_id: candidate.schedule_id,
        start_time: Some(candidate.start.to_string()),
        end_time: Some(candidate.end.to_string()),
        size: size(candidate),
        state: Some(match candidate.form {
            Form::Directory => State::Present,
            Form::Stream => State::Stream,
            Form::Repository => State::Repository,
            Form::Forwarded => State::Forwarded,
        }),
        proof: Some(candidate.proof),
        adopted: done.contains(&candidate.id),
        problem: refused.iter().find(|one| one.id == candidate.id).map(|one| one.why.as_str()),
        warnings: &candidate.notes,
    };
    let is_shown = |one: &&Refused| !adoptions.iter().any(|adoption| adoption.candidate.id == one.id);
    let rest = refused.iter().filter(is_shown).map(|one| Shown {
        id: one.id.as_str(),
        kind: None,
        from_backup_id: None,
        schedule_id: None,
        start_time: None,
        end_time: None,
        size: None,
        state: None,
        proof: None,
        adopted: false,
        problem: Some(&one.why),
        warnings: &[],
    });
    adoptions.iter().map(of).chain(rest).collect()
}

/// Asks whether these are to be recorded; only a person at a terminal can say so. What they are is said here if it was not before.
fn ask(count: usize, plan: Option<&str>) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        let text = "an adoption asks for confirmation, but there is no terminal";
        return Err(Failure::because(text, "confirm with --yes, or look first with --dry-run").exit(Exit::Usage));
    }
    let what = if count == 1 { "this backup".to_owned() } else { format!("these {count} backups") };
    let _closed = write!(io::stderr(), "{}Record {what}? [y/N] ", plan.unwrap_or_default());
    let mut answer = String::new();
    let heard = io::stdin().lock().read_line(&mut answer);
    if heard.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::because("nothing was done", "answer y, or confirm with --yes"))
}

fn say(text: &str) {
    // Whoever reads it may have read enough.
    let _closed = io::stdout().write_all(text.as_bytes());
}
