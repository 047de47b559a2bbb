//! The plan of a restore: copy, prepare, for each incremental copy and apply, and for a database fill the data directory.
//!
//! A stored backup is never an argument of a tool that writes: the full backup's pages are rewritten by a prepare, and an
//! incremental is consumed by its apply (its `*.delta` files are unlinked, seen with mariadb-backup 10.11.19). So each of them
//! is copied first, or extracted where it is a stream, and the copy is what is worked on. Where the working copy is on the data
//! directory's own file system it becomes the data directory: a move is a rename there, and no second copy.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::{backup_environment, parallel};
use super::{End, Plan, Step};
use crate::command::Restore;
use crate::config::Config;
use crate::exec::{Invocation, Pipeline};
use crate::json;
use crate::model::{BackupId, Stored, Stream, Target, Version};
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
pub struct Ground<'a> {
    /// The backup tool.
    pub bin: &'a str,
    /// Its version, where it could be told.
    pub version: Option<Version>,
    /// The first of the chain.
    pub full: &'a Member,
    /// Those after it, in order.
    pub incrementals: &'a [Member],
    /// The request's own directory, made for it.
    pub tmp_dir: &'a Path,
    /// A directory in the data directory for the working copy, where `tmp_dir` is on another file system.
    pub room: Option<&'a Path>,
    /// Whether the working copy is on the data directory's file system.
    pub moves: bool,
    /// How much memory a prepare is given, in bytes; none for what the tool takes by itself.
    pub memory: Option<u64>,
    /// When the last of the chain was begun.
    pub timestamp: Option<&'a str>,
    /// The marks of the chain's backups, by which the restored data are known.
    pub marks: &'a [Mark],
    /// The server that was backed up last. None if that is not known.
    pub server: Option<&'a Server>,
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
    pub fn restore(restore: &Restore, ground: Ground<'_>, config: &Config) -> Self {
        let place = ground.room.unwrap_or(ground.tmp_dir);
        let own = |id: &BackupId| place.join(id.as_str());
        let work = own(&restore.full);
        let mut rest = vec![prepare(&work, None, ground.full, ground.incrementals.is_empty(), &ground, config)];
        for (index, member) in ground.incrementals.iter().enumerate() {
            let last = index + 1 == ground.incrementals.len();
            rest.push(copy(member, own(&member.id), config));
            rest.push(prepare(&work, Some(own(&member.id)), member, last, &ground, config));
        }
        if restore.target == Target::Database {
            rest.push(fill(&work, &ground, config));
        }
        let recorded = Args {
            id_list: restore.chain().collect(),
            target: restore.target,
            tmp_dir: &ground.tmp_dir.display().to_string(),
        };
        Self {
            args: json::python(&recorded),
            first: copy(ground.full, work.clone(), config),
            rest,
            end: End::Restore {
                full: restore.full.clone(),
                timestamp: ground.timestamp.map(str::to_owned),
                target: restore.target,
                tmp_dir: ground.tmp_dir.to_owned(),
                room: ground.room.map(Path::to_owned),
                work,
                data_dir: config.data_dir.clone(),
                moves: ground.moves,
                marks: ground.marks.to_vec(),
                outside: ground.server.map(|server| server.places_in(&config.data_dir)).unwrap_or_default(),
            },
        }
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
    let extract = |from: String, stream: &Stream| {
        let mut args = vec!["extract".to_owned(), format!("--from={from}"), into.clone()];
        args.extend([format!("--name={}", stream.name), format!("--flavour={}", config.flavour.name())]);
        args.extend(stream.manifest.as_ref().map(|manifest| format!("--manifest={}", manifest.display())));
        args.push(threads.clone());
        Invocation::own(args)
    };
    let pipeline = match &member.stored {
        Stored::Directory(dir) => {
            let from = format!("--from={}", dir.display());
            Invocation::own(["copy".to_owned(), from, into, threads]).into()
        }
        Stored::Stream(stream) => extract(text(&stream.path), stream).into(),
        Stored::Forwarded(stream) => {
            let environment = backup_environment(&member.id, member.base.as_ref());
            // Without a command it was not admitted.
            let fetch = config.fetch.as_deref().unwrap_or("exit 1");
            let first = Invocation::shell(fetch, environment);
            Pipeline { first, rest: vec![extract("-".to_owned(), stream)] }
        }
    };
    let (member, is_incremental) = (member.stored.path().clone(), member.base.is_some());
    Step { pipeline, proof: Proof::Copied { copy: own, member, is_incremental } }
}

fn prepare(
    work: &Path,
    applied: Option<PathBuf>,
    member: &Member,
    last: bool,
    ground: &Ground<'_>,
    config: &Config,
) -> Step {
    let mut args = vec!["--prepare".to_owned(), "--target-dir".to_owned(), text(work)];
    if let Some(applied) = &applied {
        args.extend(["--incremental-dir".to_owned(), text(applied)]);
    }
    if !last && config.flavour.needs_apply_log_only(ground.version) {
        args.push("--apply-log-only".to_owned());
    }
    args.extend(ground.memory.map(|bytes| format!("--use-memory={bytes}")));
    Step {
        pipeline: Invocation::new(ground.bin, args).into(),
        proof: Proof::Prepared { work: work.to_owned(), applied, member: member.stored.path().clone(), last },
    }
}

fn fill(work: &Path, ground: &Ground<'_>, config: &Config) -> Step {
    let mut args = vec![
        if ground.moves { "--move-back" } else { "--copy-back" }.to_owned(),
        "--target-dir".to_owned(),
        text(work),
        format!("--datadir={}", config.data_dir.display()),
    ];
    args.extend(ground.server.map(|server| server.restore_options(&config.data_dir)).unwrap_or_default());
    args.extend(parallel(config.parallel).filter(|_| !ground.moves));
    Step { pipeline: Invocation::new(ground.bin, args).into(), proof: Proof::Filled }
}
