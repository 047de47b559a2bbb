//! What proves that a step did what it says: an exit status alone does not.
//!
//! In: a step's [`Proof`], what its program wrote, and the files it left. Out: nothing, or the first [`Doubt`]. The tools end
//! with status 0 and `completed OK!` on a full disk, on a redo log that was cut short, and on a tree that was never prepared
//! (each seen with mariadb-backup 10.11.19); so metadata is read, LSNs are compared, and the end of the redo log is looked for.

pub mod manifest;
pub(crate) mod metadata;
#[cfg(test)]
mod properties;
pub(crate) mod redo;

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

pub use metadata::{Checkpoints, Lsn, MetadataError};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::exec::{Finished, Outcome};
use crate::plan::Proof;
use crate::plan::tool::Tool;

/// What the tools print last, if all went well.
const COMPLETED: &str = "completed OK!";

/// Why a step is no success.
#[derive(Debug, Error)]
pub enum Doubt {
    /// It says so itself. The text names the program.
    #[error("{name} {outcome}")]
    Outcome {
        /// The program.
        name: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// Status 0, without the tool's last word.
    #[error("{0} ended with status 0 but did not say 'completed OK!'")]
    NotCompleted(String),
    /// The files beside the data cannot be believed.
    #[error("the backup's metadata cannot be believed")]
    Metadata(#[from] MetadataError),
    /// A file of a stored backup is not what it was when the backup was taken, or is gone.
    #[error("'{}' is not what it was when the backup was taken", .0.display())]
    Damaged(PathBuf),
    /// A symlink, or what else is no file, in a stored backup.
    #[error("'{}' is not a plain file, and a tool that works on it might change the stored backup", .0.display())]
    NoFile(PathBuf),
    /// An incremental that was applied itself, and not a copy of it.
    #[error("the incremental has been consumed, since '{}' has lost its delta: an earlier restore applied it in place", .0.display())]
    Consumed(PathBuf),
    /// The copy of a backup cannot be read.
    #[error("the copy of the backup cannot be read")]
    Unreadable(#[from] io::Error),
    /// Not the kind of backup that was asked for.
    #[error("backup_type in '{}' is '{found}' where '{wanted}' was expected", dir.display())]
    Kind {
        /// Where.
        dir: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        wanted: &'static str,
    },
    /// The LSNs of a chain do not meet.
    #[error("{what} is {found} where {wanted} was expected: the chain does not fit together")]
    Lsn {
        /// Which number.
        what: &'static str,
        /// What it is.
        found: Lsn,
        /// What it should be.
        wanted: Lsn,
    },
    /// The redo log ended before the backup did: what is restored would be older than it says.
    #[error("the redo log of '{}' ends at LSN {found}, before the backup's own end at {wanted}", dir.display())]
    RedoCut {
        /// Of which backup.
        dir: PathBuf,
        /// Where it ends.
        found: Lsn,
        /// Where the backup ends.
        wanted: Lsn,
    },
    /// The redo log's file is shorter than its LSNs make it.
    #[error("the redo log of '{}' has {found} bytes where its LSNs need {wanted}", dir.display())]
    RedoShort {
        /// Of which backup.
        dir: PathBuf,
        /// Its size, in bytes.
        found: u64,
        /// The size it should have at least, in bytes.
        wanted: u64,
    },
    /// The tool did not say where the redo log ended.
    #[error("the tool did not say where the redo log of '{}' ends", .0.display())]
    RedoUnknown(PathBuf),
}

/// Holds what a step left against what it had to prove.
///
/// `stop` breaks it off, with an error.
pub fn verify(
    proof: &Proof,
    name: &str,
    finished: &Finished,
    tool: &Tool,
    stop: &CancellationToken,
) -> Result<(), Doubt> {
    if finished.outcome != Outcome::Exited(0) {
        return Err(Doubt::Outcome { name: name.to_owned(), outcome: finished.outcome });
    }
    if let Proof::Copied { copy } = proof {
        return copied(copy, stop);
    }
    if !said_completed(&finished.stderr.text) {
        return Err(Doubt::NotCompleted(name.to_owned()));
    }
    match proof {
        Proof::Copied { .. } | Proof::CopiedBack => Ok(()),
        Proof::Backup { dir, base } => backup(dir, base.as_deref(), tool),
        Proof::Prepared { work, applied, member, last } => {
            let kind = if applied.is_some() { "incremental" } else { "full-backuped" };
            prepared(work, (member, kind), *last, finished, tool)
        }
    }
}

/// A private copy: whether a tool may work on it, and whether it is all that was stored.
fn copied(copy: &Path, stop: &CancellationToken) -> Result<(), Doubt> {
    // What a tool wrote through a link it would write into the stored backup.
    if let Some(link) = find(copy, &|_, kind| !kind.is_file() && !kind.is_dir())? {
        return Err(Doubt::NoFile(link));
    }
    if let Err(path) = manifest::take(copy, stop)? {
        return Err(Doubt::Damaged(path));
    }
    // An apply removes each `.delta` and leaves its `.meta` (seen with mariadb-backup 10.5.23, 10.11.19 and 11.8.6). A
    // predecessor applied the stored incremental itself: what it left can be applied again, and loses its tables.
    let is_widow = |path: &Path, kind: FileType| {
        kind.is_file()
            && path.extension().is_some_and(|extension| extension == "meta")
            && !path.with_extension("delta").exists()
    };
    match find(copy, &is_widow)? {
        Some(meta) => Err(Doubt::Consumed(meta)),
        None => Ok(()),
    }
}

/// The first of everything below `dir` of which this is so, relative to it.
fn find(dir: &Path, is_so: &dyn Fn(&Path, FileType) -> bool) -> io::Result<Option<PathBuf>> {
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next)? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if is_so(&path, kind) {
                return Ok(Some(path.strip_prefix(dir).unwrap_or(&path).to_owned()));
            }
            if kind.is_dir() {
                open.push(path);
            }
        }
    }
    Ok(None)
}

/// Whether the last line that is not empty ends in `completed OK!`.
pub(crate) fn said_completed(log: &str) -> bool {
    log.trim_end().lines().next_back().is_some_and(|line| line.trim_end().ends_with(COMPLETED))
}

/// A stored backup: what it is, and whether it goes on where its base ended.
fn backup(dir: &Path, base: Option<&Path>, tool: &Tool) -> Result<(), Doubt> {
    let found = Checkpoints::read(dir, tool)?;
    metadata::info(dir, tool)?;
    metadata::options(dir)?;
    let wanted = if base.is_some() { "incremental" } else { "full-backuped" };
    if found.backup_type != wanted {
        return Err(Doubt::Kind { dir: dir.to_owned(), found: found.backup_type, wanted });
    }
    let from = match base {
        Some(base) => Checkpoints::read(base, tool)?.to_lsn,
        None => 0,
    };
    if found.from_lsn != from {
        return Err(Doubt::Lsn { what: "from_lsn", found: found.from_lsn, wanted: from });
    }
    found.check_order(dir)?;
    redo_is_long_enough(dir, &found)
}

/// Whether the redo log beside a backup that is not yet prepared has room for all that its checkpoints promise.
fn redo_is_long_enough(dir: &Path, checkpoints: &Checkpoints) -> Result<(), Doubt> {
    match redo::shortfall(dir, checkpoints.last_lsn) {
        Some((found, wanted)) => Err(Doubt::RedoShort { dir: dir.to_owned(), found, wanted }),
        None => Ok(()),
    }
}

/// A working copy: whether it has come to where the stored backup `member` ended.
fn prepared(
    work: &Path,
    (member, kind): (&Path, &'static str),
    last: bool,
    finished: &Finished,
    tool: &Tool,
) -> Result<(), Doubt> {
    let wanted = Checkpoints::read(member, tool)?;
    // A stored backup that somebody has prepared is the start of no chain any more.
    if wanted.backup_type != kind {
        return Err(Doubt::Kind { dir: member.to_owned(), found: wanted.backup_type, wanted: kind });
    }
    redo_is_long_enough(member, &wanted)?;
    if let Some(prefix) = tool.redo_end {
        match redo::end(&finished.stderr.watched, prefix, work) {
            None => return Err(Doubt::RedoUnknown(member.to_owned())),
            Some(end) if end < wanted.last_lsn => {
                return Err(Doubt::RedoCut { dir: member.to_owned(), found: end, wanted: wanted.last_lsn });
            }
            Some(_) => {}
        }
    }
    let found = Checkpoints::read(work, tool)?;
    let kind = if last { tool.prepared } else { tool.applied };
    if found.backup_type != kind {
        return Err(Doubt::Kind { dir: work.to_owned(), found: found.backup_type, wanted: kind });
    }
    if found.to_lsn != wanted.to_lsn {
        return Err(Doubt::Lsn { what: "to_lsn", found: found.to_lsn, wanted: wanted.to_lsn });
    }
    // An incremental that begins and ends at one checkpoint is applied without a change to the working copy's checkpoints
    // (seen with mariadb-backup 10.5.23, 10.11.19 and 11.8.6), so its `last_lsn` says nothing there.
    if wanted.from_lsn < wanted.to_lsn && found.last_lsn != wanted.last_lsn {
        return Err(Doubt::Lsn { what: "last_lsn", found: found.last_lsn, wanted: wanted.last_lsn });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::said_completed;

    #[test]
    fn the_last_word_must_be_the_last() {
        assert!(said_completed("[00] 2026-11-22 20:25:23 Done\n[00] 2026-11-22 20:25:23 completed OK!\n"));
        assert!(said_completed("completed OK!\n\n"));
        assert!(!said_completed("completed OK!\n[00] FATAL ERROR: no\n"));
        assert!(!said_completed(""));
    }
}
