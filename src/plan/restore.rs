//! The plan of a restore: copy, prepare, for each incremental copy and apply, and for a database copy back.
//!
//! A stored backup is never an argument of a tool that writes: the full backup's pages are rewritten by a prepare, and an
//! incremental is consumed by its apply (its `*.delta` files are unlinked, seen with mariadb-backup 10.11.19). So each of them
//! is copied first, and the copy is what is worked on.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::version::Version;
use super::{End, Plan, Proof, Step};
use crate::command::{BackupId, Restore, Target};
use crate::config::Config;
use crate::exec::Invocation;
use crate::json;

/// The program that copies.
const CP: &str = "/usr/bin/cp";

/// Folder under `backup_dir` for the working copies of database restores.
pub const TMP: &str = "tmp";
/// Folder under `backup_dir` for folder restores, which stay.
pub const RESTORES: &str = "restores";

/// What a restore's plan is made from, beside the command.
#[derive(Debug, Clone, Copy)]
pub struct Ground<'a> {
    /// The backup tool.
    pub bin: &'a str,
    /// Its version, where it could be told.
    pub version: Option<Version>,
    /// The request's own directory, made for it.
    pub tmp_dir: &'a Path,
    /// When the last of the chain was begun.
    pub timestamp: Option<&'a str>,
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
        let stored = |id: &BackupId| config.backup_dir.join(id.as_str());
        let own = |id: &BackupId| ground.tmp_dir.join(id.as_str());
        let work = own(&restore.full);
        let apply_log_only = config.flavour.needs_apply_log_only(ground.version);

        let mut rest = vec![prepare(ground.bin, &work, None, stored(&restore.full), restore.incrementals.is_empty())];
        for (index, id) in restore.incrementals.iter().enumerate() {
            let last = index + 1 == restore.incrementals.len();
            rest.push(copy(&stored(id), own(id), ground.tmp_dir));
            rest.push(prepare(ground.bin, &work, Some(own(id)), stored(id), last));
        }
        if apply_log_only {
            rest.iter_mut().filter(|step| matches!(step.proof, Proof::Prepared { last: false, .. })).for_each(|step| {
                step.invocation.args.push("--apply-log-only".to_owned());
            });
        }
        if restore.target == Target::Database {
            rest.push(copy_back(ground.bin, &work, &config.data_dir));
        }
        let recorded = Args {
            id_list: restore.chain().collect(),
            target: restore.target,
            tmp_dir: &ground.tmp_dir.display().to_string(),
        };
        Self {
            args: json::python(&recorded),
            first: copy(&stored(&restore.full), own(&restore.full), ground.tmp_dir),
            rest,
            end: End::Restore {
                full: restore.full.clone(),
                timestamp: ground.timestamp.map(str::to_owned),
                target: restore.target,
                tmp_dir: ground.tmp_dir.to_owned(),
                work,
                data_dir: config.data_dir.clone(),
            },
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn copy(stored: &Path, own: PathBuf, into: &Path) -> Step {
    Step {
        invocation: Invocation::new(CP, vec!["-r".to_owned(), text(stored), text(into)]),
        proof: Proof::Copied { copy: own },
    }
}

fn prepare(bin: &str, work: &Path, applied: Option<PathBuf>, member: PathBuf, last: bool) -> Step {
    let mut args = vec!["--prepare".to_owned(), "--target-dir".to_owned(), text(work)];
    if let Some(applied) = &applied {
        args.extend(["--incremental-dir".to_owned(), text(applied)]);
    }
    Step {
        invocation: Invocation::new(bin, args),
        proof: Proof::Prepared { work: work.to_owned(), applied, member, last },
    }
}

fn copy_back(bin: &str, work: &Path, data_dir: &Path) -> Step {
    let args = vec![
        "--copy-back".to_owned(),
        "--target-dir".to_owned(),
        text(work),
        format!("--datadir={}", data_dir.display()),
    ];
    Step { invocation: Invocation::new(bin, args), proof: Proof::CopiedBack }
}
