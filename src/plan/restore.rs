//! The plan of a restore: copy, prepare, for each incremental copy and apply, for a moment replay the binary log, and for a database fill the
//! data directory.
//!
//! A stored backup is never an argument of a tool that writes: the full backup's pages are rewritten by a prepare, and an
//! incremental is consumed by its apply (its `*.delta` files are unlinked, seen with mariadb-backup 10.11.19). So each of them
//! is copied first, or extracted where it is a stream, and the copy is what is worked on. Where the working copy is on the data
//! directory's own file system it becomes the data directory: a move is a rename there, and no second copy.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::{REACHING, backup_environment, parallel};
use super::{Destination, Expected, Goal, Phase, Plan, Progress, Restored, Step, Way};
use crate::binlog::replay::Replay;
use crate::command::Restore;
use crate::config::Config;
use crate::exec::{Invocation, Pipeline};
use crate::json;
use crate::model::{BackupId, OptionNames, RemoteStream, Stored, Stream, Target, Version};
use crate::repository::history::Mark;
use crate::server::Server;
use crate::witness::Proof;

/// Folder under `backup_dir` for the working copies of database restores.
pub const TMP: &str = "tmp";
/// Folder under `backup_dir` for folder restores, which stay.
pub const RESTORES: &str = "restores";
/// In a restore's directory: what of the data directory is the restore's own, from the moment on when that is filled by a move.
pub const INVENTORY: &str = "inventory";

/// What a restore's plan is made from, beside the command.
#[derive(Debug, Clone, Copy)]
pub struct RestoreInputs<'a> {
    /// The backup tool.
    pub bin: &'a str,
    /// Its version, where it could be told.
    pub version: Option<Version>,
    /// What it calls its options.
    pub names: &'a OptionNames,
    /// The first of the chain.
    pub full: &'a Member,
    /// Those after it, in order.
    pub incrementals: &'a [Member],
    /// The request's own directory, made for it.
    pub tmp_dir: &'a Path,
    /// Where to.
    pub destination: &'a Destination,
    /// How much memory a prepare is given, in bytes; none for what the tool takes by itself.
    pub memory: Option<u64>,
    /// Whether there is room for the copy of an incremental beside the one before it.
    pub has_room_ahead: bool,
    /// When the last of the chain was begun.
    pub timestamp: Option<&'a str>,
    /// The marks of the chain's backups, by which the restored data are known.
    pub marks: &'a [Mark],
    /// The server that was backed up last. None if that is not known.
    pub server: Option<&'a Server>,
    /// What of the binary log is replayed on the chain.
    pub replay: Option<&'a Replay>,
}

/// A backup of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: BackupId,
    /// What it was taken from.
    pub base: Option<BackupId>,
    /// Where it is.
    pub stored: Stored,
}

/// The arguments as the records keep them.
#[derive(Serialize)]
struct Args<'a> {
    id_list: Vec<&'a BackupId>,
    target: Target,
    tmp_dir: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<String>,
}

impl Target {
    /// Where, under `backup_dir`, a restore to this target makes its directory.
    pub fn parent(self, backup_dir: &Path) -> PathBuf {
        backup_dir.join(match self {
            Self::Database => TMP,
            Self::Folder => RESTORES,
        })
    }
}

impl Plan {
    /// A restore of a whole chain.
    pub fn restore(restore: &Restore, inputs: RestoreInputs<'_>, config: &Config) -> Self {
        let mut goal = Restored {
            full: restore.full.clone(),
            timestamp: inputs.timestamp.map(str::to_owned),
            tmp_dir: inputs.tmp_dir.to_owned(),
            work: PathBuf::new(),
            marks: inputs.marks.to_vec(),
            destination: inputs.destination.clone(),
        };
        let place = goal.staging().unwrap_or(inputs.tmp_dir).to_owned();
        let own = |id: &BackupId| place.join(id.as_str());
        goal.work = own(&restore.full);
        let mut rest = vec![prepare(&goal.work, None, inputs.full, inputs.incrementals.is_empty(), &inputs, config)];
        for (index, member) in inputs.incrementals.iter().enumerate() {
            let last = index + 1 == inputs.incrementals.len();
            // The tool prepares on one core, mostly, and a copy or a download waits for other things.
            rest.push(Step { is_early: inputs.has_room_ahead, ..copy(member, own(&member.id), config) });
            rest.push(prepare(&goal.work, Some(own(&member.id)), member, last, &inputs, config));
        }
        let mut first = copy(inputs.full, goal.work.clone(), config);
        // What is copied once more need not outlast anything.
        let is_copied_again = matches!(goal.destination, Destination::DataDir { way: Way::Copy, .. });
        first.stays = (!is_copied_again).then(|| goal.work.clone());
        rest.extend(inputs.replay.map(|replay| replaying(&goal.work, replay, &inputs, config)));
        if let Destination::DataDir { dir, way, .. } = &goal.destination {
            rest.push(fill(&goal.work, dir, way, &inputs, config));
        }
        let recorded = Args {
            id_list: restore.chain().collect(),
            target: restore.target,
            tmp_dir: &inputs.tmp_dir.display().to_string(),
            replay: inputs.replay.map(|replay| format!("{} to {}", replay.begin(), replay.end())),
        };
        Self { args: json::python(&recorded), first, rest, goal: Goal::Restore(goal) }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The private copy of a backup, by our own program: a directory's files, a stream's, or those of a stream that the operator's command
/// fetches.
fn copy(member: &Member, own: PathBuf, config: &Config) -> Step {
    let into = format!("--into={}", own.display());
    let threads = format!("--threads={}", config.parallel);
    let extract = |from: Vec<String>, stream: &Stream| {
        let mut args = vec!["extract".to_owned()];
        args.extend(from);
        args.push(into.clone());
        args.extend([format!("--name={}", stream.name), format!("--flavour={}", config.flavour.name())]);
        args.extend(stream.manifest.as_ref().map(|manifest| format!("--manifest={}", manifest.display())));
        if stream.is_encrypted() {
            // Without one it was not admitted.
            args.extend(config.identity_file.as_ref().map(|file| format!("--identity={}", file.display())));
        }
        args.push(threads.clone());
        Invocation::own(args)
    };
    let (phase, pipeline) = match &member.stored {
        Stored::Directory(dir) => {
            let from = format!("--from={}", dir.display());
            (Phase::Copy, Invocation::own(["copy".to_owned(), from, into, threads]).into())
        }
        Stored::Stream(stream) => {
            let mut from = vec![format!("--from={}", stream.path.display())];
            // What is damaged here need not be damaged there.
            let copy = stream.copy.as_ref().filter(|_| stream.manifest.is_some());
            from.extend(copy.map(|there| remote(there, config)).into_iter().flatten());
            let extract = extract(from, stream);
            (Phase::Extract, if copy.is_some() { extract.inheriting(&REACHING) } else { extract }.into())
        }
        Stored::Remote(stream, there) => {
            (Phase::Fetch, extract(remote(there, config), stream).inheriting(&REACHING).into())
        }
        Stored::Forwarded(stream) => {
            let environment = backup_environment(&member.id, member.base.as_ref());
            // Without a command it was not admitted.
            let fetch = config.fetch.as_deref().unwrap_or("exit 1");
            let first = Invocation::shell(fetch, environment);
            (Phase::Fetch, Pipeline { first, rest: vec![extract(vec!["--from=-".to_owned()], stream)] })
        }
    };
    let (member, is_incremental) = (member.stored.path().clone(), member.base.is_some());
    let is_compressed = member.extension().is_some_and(|ending| ending == "gz" || ending == "zst" || ending == "age");
    let is_known = phase == Phase::Copy || (phase == Phase::Extract && !is_compressed);
    let expected = if is_known { Expected::Like(member.clone()) } else { Expected::Unknown };
    let progress = Progress::Below(own.clone(), expected);
    Step {
        pipeline,
        phase,
        progress,
        stays: None,
        is_early: false,
        proof: Proof::Copied { copy: own, member, is_incremental },
    }
}

/// The arguments that say where a stream lies in a repository.
fn remote(there: &RemoteStream, config: &Config) -> Vec<String> {
    let own = config.repository.as_ref();
    let repository = own.map_or_else(|| there.repository.clone(), |own| own.remote.reaching(&there.repository));
    let mut args = vec![format!("--key={}", there.key)];
    args.extend(repository.args());
    args
}

fn prepare(
    work: &Path,
    applied: Option<PathBuf>,
    member: &Member,
    last: bool,
    inputs: &RestoreInputs<'_>,
    config: &Config,
) -> Step {
    let mut args = vec!["--prepare".to_owned(), "--target-dir".to_owned(), text(work)];
    if let Some(applied) = &applied {
        args.extend([inputs.names.incremental_dir.to_owned(), text(applied)]);
    }
    if !last && config.flavour.needs_apply_log_only(inputs.version) {
        args.push(inputs.names.redo_only.to_owned());
    }
    args.extend(inputs.memory.map(|bytes| format!("--use-memory={bytes}")));
    Step {
        pipeline: Invocation::new(inputs.bin, args).into(),
        phase: if applied.is_some() { Phase::Apply } else { Phase::Prepare },
        progress: Progress::Said,
        stays: None,
        is_early: false,
        proof: Proof::Prepared { work: work.to_owned(), applied, member: member.stored.path().clone(), last },
    }
}

/// The binary log, applied by our own program and a server of its own.
fn replaying(work: &Path, replay: &Replay, inputs: &RestoreInputs<'_>, config: &Config) -> Step {
    let mut args = vec![
        "replay".to_owned(),
        format!("--work={}", work.display()),
        format!("--own={}", inputs.tmp_dir.display()),
        format!("--backup-dir={}", config.backup_dir.display()),
        format!("--timeline={}", replay.timeline),
        format!("--from={}", replay.begin()),
        format!("--to={}", replay.end()),
    ];
    args.extend(replay.before.as_ref().map(|gtids| format!("--gtids-before={gtids}")));
    args.push(format!("--gtids={}", replay.after));
    args.extend(inputs.memory.map(|bytes| format!("--memory={bytes}")));
    args.extend(config.identity_file.as_ref().map(|file| format!("--identity={}", file.display())));
    let habits = inputs.server.map(Server::habit_options).unwrap_or_default();
    args.extend(habits.into_iter().map(|option| format!("--server-option={option}")));
    // What of the archive is not here.
    let repository = config.repository.as_ref().map(|own| own.remote.args());
    let is_reaching = repository.is_some();
    args.extend(repository.into_iter().flatten());
    let own = Invocation::own(args);
    Step {
        pipeline: if is_reaching { own.inheriting(&REACHING) } else { own }.into(),
        phase: Phase::Replay,
        progress: Progress::Said,
        stays: None,
        is_early: false,
        proof: Proof::Replayed,
    }
}

fn fill(work: &Path, data_dir: &Path, way: &Way, inputs: &RestoreInputs<'_>, config: &Config) -> Step {
    let copies = *way == Way::Copy;
    let mut args = vec![
        if copies { "--copy-back" } else { "--move-back" }.to_owned(),
        "--target-dir".to_owned(),
        text(work),
        format!("--datadir={}", data_dir.display()),
    ];
    args.extend(inputs.server.map(|server| server.restore_options(data_dir)).unwrap_or_default());
    args.extend(parallel(config.parallel).filter(|_| copies));
    // A rename is done before anybody has looked, and nothing is written by it.
    let written = copies.then(|| data_dir.to_owned());
    Step {
        pipeline: Invocation::new(inputs.bin, args).into(),
        phase: if copies { Phase::CopyBack } else { Phase::MoveBack },
        progress: written
            .clone()
            .map_or(Progress::Unknown, |dir| Progress::Below(dir, Expected::Like(work.to_owned()))),
        stays: written,
        is_early: false,
        proof: Proof::Filled,
    }
}
