//! The plan of a backup: one command, or one pipeline.

use std::path::Path;

use serde::Serialize;
use uuid::Uuid;

use super::arguments::{REACHING, backup_environment, parallel};
use super::{Expected, Goal, NewBackup, Phase, Plan, Progress, Step};
use crate::command::Backup;
use crate::config::{Config, Streaming};
use crate::exec::{Invocation, Pipeline};
use crate::json;
use crate::model::{BackupId, OptionNames, stream_name};
use crate::server::login::{host, login};
use crate::witness::Proof;

/// The arguments of a backup as the records keep them.
pub fn recorded_args(backup: &Backup) -> String {
    json::python(&Args { id: &backup.id, from_backup_id: backup.base.as_ref(), schedule_id: backup.schedule_id })
}

#[derive(Serialize)]
struct Args<'a> {
    id: &'a BackupId,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_backup_id: Option<&'a BackupId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule_id: Option<i64>,
}

impl Plan {
    /// A full or incremental backup, which is `uuid`, with the tool at `bin`, which calls its options so.
    pub fn backup(backup: &Backup, uuid: Uuid, bin: &str, names: &OptionNames, config: &Config) -> Self {
        let dir = config.backup_dir.join(backup.id.as_str());
        let base = backup.base.as_ref().map(|base| config.backup_dir.join(base.as_str()));
        let mut args = login(&config.credentials).to_vec();
        args.extend(["--backup".to_owned(), format!("--target-dir={}", dir.display())]);
        args.extend(host(config));
        args.extend(base.as_ref().map(|base| format!("{}={}", names.base, base.display())));
        args.extend(parallel(config.parallel));
        args.extend(config.backup_options.iter().cloned());
        let stream = config.streaming.as_ref().map(|streaming| stream_name(&backup.id, streaming.packed()));
        let rest = match (&config.streaming, &stream) {
            (Some(streaming), Some(name)) => {
                // The metadata comes into the folder too, so that it can be the base of an incremental as any other.
                args.extend(["--stream=xbstream".to_owned(), format!("--extra-lsndir={}", dir.display())]);
                stages(backup, streaming, (name, uuid), &dir, config)
            }
            (Some(_), None) | (None, _) => Vec::new(),
        };
        let is_stream = stream.is_some();
        Self {
            args: recorded_args(backup),
            first: Step {
                pipeline: Pipeline { first: Invocation::new(bin, args), rest },
                phase: Phase::Backup,
                progress: progress(backup, config, &dir),
                // A stream is written ahead by the program that stores it.
                stays: (!is_stream).then(|| dir.clone()),
                is_early: false,
                proof: Proof::Backup { dir: dir.clone(), base, stream },
            },
            rest: Vec::new(),
            goal: Goal::Backup(NewBackup {
                id: backup.id.clone(),
                uuid,
                base: backup.base.clone(),
                schedule_id: backup.schedule_id,
                dir,
                is_stream,
            }),
        }
    }
}

/// What is forwarded is written elsewhere, and how much an incremental has nobody knows.
fn progress(backup: &Backup, config: &Config, dir: &Path) -> Progress {
    let streaming = config.streaming.as_ref();
    let is_sent = config.repository.as_ref().is_some_and(|repository| !repository.keep_local);
    if is_sent || streaming.is_some_and(|streaming| streaming.forward.is_some()) {
        return Progress::Unknown;
    }
    let form = streaming.map(Streaming::packed);
    let expected = if backup.base.is_none() { Expected::LikeTheLast(form) } else { Expected::Unknown };
    Progress::Below(dir.to_owned(), expected)
}

/// What the tool's stream goes through: our own program, which verifies, compresses and stores it; or, where the operator forwards it,
/// verifies, compresses and passes it on to the operator's command.
fn stages(
    backup: &Backup,
    streaming: &Streaming,
    (name, uuid): (&str, Uuid),
    dir: &Path,
    config: &Config,
) -> Vec<Invocation> {
    let mut args = vec![
        "store".to_owned(),
        format!("--into={}", dir.display()),
        format!("--name={name}"),
        format!("--flavour={}", config.flavour.name()),
        format!("--compression={}", streaming.compression.name()),
    ];
    args.extend(streaming.level.map(|level| format!("--level={level}")));
    args.extend(streaming.recipients.iter().map(|recipient| format!("--recipient={recipient}")));
    args.push(format!("--threads={}", streaming.threads));
    if let Some(repository) = config.repository.as_ref().filter(|repository| !repository.keep_local) {
        args.push(format!("--uuid={uuid}"));
        args.extend(config.is_local().then(|| format!("--like={}", config.data_dir.display())));
        args.extend(repository.remote.args());
        return vec![Invocation::own(args).inheriting(&REACHING)];
    }
    let Some(forward) = &streaming.forward else { return vec![Invocation::own(args)] };
    args.push("--forward".to_owned());
    let environment = backup_environment(&backup.id, backup.base.as_ref());
    vec![Invocation::own(args), Invocation::shell(forward, environment)]
}
