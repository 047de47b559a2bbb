//! `show`: everything that is known of a backup, or of a request.

use clap::Args;
use serde::Serialize;

use super::backups::{Backups, Shown, Verified};
use super::exit::{Exit, Failure};
use super::output::{Output, age, facts, records, span, took};
use super::request::Status;
use crate::config::Config;
use crate::model::{Amount, BackupId, Moment};
use crate::repository::card::{Card, Form};
use crate::repository::note::Note;
use crate::repository::stored;

/// Show a backup, its chain, and what depends on it; or a command
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  dbcalm-db-cmd show 2026-11-22-08-46-51\n  dbcalm-db-cmd show latest --json")]
pub(in crate::cli) struct ShowArgs {
    /// A backup's id, 'latest', or the id of a command
    #[arg(value_name = "ID|COMMAND_ID")]
    id: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    backup: Shown<'a>,
    path: Option<String>,
    /// Where in a repository it is whole, and since when. None if it is in none.
    repository: Option<InRepository>,
    #[serde(flatten)]
    card: Told<'a>,
    chain: Vec<&'a str>,
    chain_size: Option<u64>,
    needed_by: Vec<&'a str>,
}

/// What its `backup.json` adds.
#[derive(Default, Serialize)]
struct Told<'a> {
    uuid: Option<&'a str>,
    server_version: Option<&'a str>,
    compression: Option<&'a str>,
    encrypted_to: Option<&'a [String]>,
    data_size: Option<u64>,
    sha256: Option<&'a str>,
}

impl<'a> Told<'a> {
    fn by(card: &'a Card) -> Self {
        let (compression, data_size, sha256) = match &card.form {
            Form::Directory { data_size, .. } => (None, *data_size, None),
            Form::Stream { compression, data_size, sha256, .. } => {
                (Some(compression.as_str()), *data_size, sha256.as_deref())
            }
        };
        let (uuid, version) = (Some(card.uuid.as_str()), Some(card.server.version.as_str()));
        let encrypted_to = card.encryption().map(|to| to.recipients.as_slice());
        Self { uuid, server_version: version, compression, encrypted_to, data_size, sha256 }
    }
}

#[derive(Serialize)]
struct InRepository {
    address: String,
    key: String,
    since: String,
}

/// What was noted when it was sent.
fn sent(id: &BackupId, config: &Config) -> Option<InRepository> {
    let note = Note::read(&config.backup_dir.join(id.as_str()))?;
    let key = note.repository.file(id, &note.uuid, "");
    Some(InRepository { address: note.repository.to_string(), key, since: note.sent })
}

pub(in crate::cli) fn show(args: &ShowArgs, config: &Config) -> Result<Exit, Failure> {
    let reader = records(config)?;
    let all = Backups::of(&reader, config, true)?;
    let Some(row) = all.find(&args.id) else {
        let (status, _) = Status::read(&reader, &args.id).map_err(|why| match why.exit {
            Exit::NotFound => Failure::because(
                format!("no backup or command '{}' is recorded", args.id),
                "dbcalm-db-cmd list shows the backups, list processes the commands",
            )
            .exit(Exit::NotFound),
            Exit::Done | Exit::Failed | Exit::Usage | Exit::Unreachable => why,
        })?;
        args.output.say(&status, || status.text());
        return Ok(Exit::Done);
    };
    let now = Moment::now();
    let members = all.chains.chain(&row.id).unwrap_or_default();
    let problem = all.doubt(row, config).map(|why| why.to_string());
    let id = BackupId::recorded(&row.id).ok();
    let place = id.as_ref().and_then(|id| stored::look(&config.backup_dir, id).ok().flatten());
    let card = id.and_then(|id| Card::read(&config.backup_dir.join(id.as_str())).ok().flatten());
    let whole = Whole {
        backup: Shown {
            size: all.size(row, config),
            restorable: problem.is_none(),
            problem: problem.as_deref(),
            ..all.shown(row, now)
        },
        repository: BackupId::recorded(&row.id).ok().and_then(|id| sent(&id, config)),
        path: place.map(|place| place.path().display().to_string()),
        card: card.as_ref().map(Told::by).unwrap_or_default(),
        chain_size: members.iter().map(|member| all.size(member, config)).sum(),
        chain: members.iter().map(|member| member.id.as_str()).collect(),
        needed_by: all.chains.needed_by(&row.id).iter().map(|row| row.id.as_str()).collect(),
    };
    args.output.say(&whole, || text(&whole, now));
    Ok(Exit::Done)
}

fn verified_text(verified: &Verified<'_>, now: Moment) -> String {
    let what = std::iter::once(verified.text(now)).chain(verified.problems.iter().cloned());
    what.collect::<Vec<_>>().join(": ")
}

fn compressed(compression: Option<&str>) -> String {
    compression.filter(|name| *name != "none").map(|name| format!(", compressed with {name}")).unwrap_or_default()
}

fn text(whole: &Whole<'_>, now: Moment) -> String {
    let backup = &whole.backup;
    let ago = age(backup.start_time, now).map(|age| format!(" ({})", age.ago())).unwrap_or_default();
    let chain_size = whole.chain_size.map(|size| format!(" ({})", Amount(size))).unwrap_or_default();
    let needed_by = || format!("{}: removing this backup breaks them", whole.needed_by.join(", "));
    facts(&[
        ("backup", Some(backup.id.to_owned())),
        ("type", Some(backup.kind.to_owned())),
        ("from", backup.from_backup_id.map(str::to_owned)),
        ("begun", backup.start_time.map(|at| format!("{at} UTC{ago}"))),
        ("ended", backup.end_time.map(|at| format!("{at} UTC"))),
        ("took", took(backup.start_time, backup.end_time).map(span)),
        ("size", backup.size.map(|size| Amount(size).to_string())),
        ("state", Some(backup.state.as_str().to_owned())),
        ("verified", backup.verified.map(|verified| verified_text(&verified, now))),
        ("path", whole.path.clone()),
        (
            "repository",
            whole.repository.as_ref().map(|there| format!("{}, whole since {} UTC", there.address, there.since)),
        ),
        ("server", whole.card.server_version.map(str::to_owned)),
        ("data", whole.card.data_size.map(|size| format!("{}{}", Amount(size), compressed(whole.card.compression)))),
        ("encrypted", whole.card.encrypted_to.map(|to| format!("to {}", to.join(", ")))),
        ("sha256", whole.card.sha256.map(str::to_owned)),
        ("uuid", whole.card.uuid.map(str::to_owned)),
        ("schedule", backup.schedule_id.map(|id| id.to_string())),
        ("command", backup.command_id.map(str::to_owned)),
        ("chain", Some(whole.chain.join(" → ") + &chain_size).filter(|_| !whole.chain.is_empty())),
        ("broken", backup.problem.map(str::to_owned)),
        ("needed by", Some(if whole.needed_by.is_empty() { "nothing".to_owned() } else { needed_by() })),
    ])
}
