//! What proves that a step did what it says: an exit status alone does not.
//!
//! In: a step's [`Proof`], what its program wrote, and the files it left. Out: nothing, or the first [`Doubt`]. The tools end
//! with status 0 and `completed OK!` on a full disk, on a redo log that was cut short, and on a tree that was never prepared
//! (each seen with mariadb-backup 10.11.19); so metadata is read, LSNs are compared, and the end of the redo log is looked for.

mod doubt;
pub mod early_hashes;
pub mod findings;
pub mod hashed;
mod hidden;
pub(crate) mod hints;
pub mod imported;
pub(crate) mod index;
pub mod live;
pub mod manifest;
pub(crate) mod metadata;
pub(crate) mod outside;
mod proof;
#[cfg(test)]
mod properties;
pub(crate) mod redo;
pub(crate) mod renames;
pub mod tables;
pub mod young;

use std::path::Path;

pub(crate) use doubt::some;
pub use doubt::{Doubt, Failed};
use findings::Findings;
pub use metadata::{Binlog, Checkpoints, MetadataError};
pub(crate) use metadata::{info, taken_into, uuid_of};
pub use proof::Proof;
use tables::Lacking;

use crate::exec::{Finished, Outcome};
use crate::model::{Lsn, Tool};

/// What the tools print last, if all went well.
const COMPLETED: &str = "completed OK!";

/// What may come behind it, after the name of the program and a number of files: the server's library tells at the end of a process what it
/// did not close. A prepare of a backup that was taken during DDL says so, and is as good as any (seen with mariadb-backup 10.11.19).
const LEFT_OPEN: &str = "streams is left open";

/// Where the tool lists damaged pages that it went on over, in the backup or its stream: by `--log-innodb-page-corruption`, which an option
/// file may say too. Such a backup ends with `completed OK!`, and its prepare with status 1 (seen with mariadb-backup 10.11.19).
pub(crate) const CORRUPT_PAGES: &str = "innodb_corrupted_pages";

/// What the operator's own commands run under.
const SHELL: &str = "sh";

/// Whether a backup that is otherwise a success has each table with its files. Gives those that were bare on the server already.
///
/// # Errors
/// It has not, or cannot be read.
pub fn whole_tables(
    dir: &Path,
    (is_incremental, stream): (bool, Option<&str>),
    finished: &Finished,
    live: &live::Live,
) -> Result<Vec<Lacking>, Doubt> {
    let found = if stream.is_some() {
        let heard = finished.rest.iter().flat_map(|stage| stage.stderr.watched.iter().cloned()).collect::<Vec<_>>();
        Findings::read(&heard)
    } else {
        let (lacking, files) = tables::of_folder(dir)?;
        let copied = finished.first.stderr.watched.iter().filter(|line| !young::is_told(line));
        let gone = findings::taken_away(copied, &files);
        let mut indexes = Vec::new();
        for path in files.iter().filter(|path| index::is_index(path)) {
            indexes.extend(index::mark_in(&dir.join(path))?.map(|mark| (path.clone(), mark)));
        }
        let swapped = renames::circles(renames::noted(dir, &files)?);
        Findings { lacking, gone, swapped, indexes, young: Vec::new() }
    };
    let lacking = found.lacking.into_iter().filter(|table| !table.may_have_none() || live.has(table));
    let (bare, lacking): (Vec<_>, Vec<_>) = lacking.partition(|table| live.is_as_bare(table));
    let (elsewhere, lacking): (Vec<_>, Vec<_>) = lacking.into_iter().partition(|table| live.has_symlink(table));
    let (imported, lacking): (Vec<_>, Vec<_>) = lacking.into_iter().partition(Lacking::may_have_none);
    let taken_away = found.gone.iter().map(|path| format!("'{}' was removed again", path.display()));
    let lost = lacking.iter().map(ToString::to_string).chain(taken_away).collect::<Vec<_>>();
    if !lost.is_empty() {
        return Err(Doubt::Lost(lost));
    }
    if !imported.is_empty() {
        return Err(Doubt::Imported(imported.iter().map(ToString::to_string).collect()));
    }
    if !elsewhere.is_empty() {
        return Err(Doubt::Elsewhere(elsewhere.iter().map(ToString::to_string).collect()));
    }
    if is_incremental && !found.swapped.is_empty() {
        return Err(Doubt::Swapped(found.swapped.iter().map(|path| path.display().to_string()).collect()));
    }
    let emptied = live.emptied(&found.indexes);
    if !emptied.is_empty() {
        return Err(Doubt::Emptied(emptied));
    }
    let crossed = live.crossed();
    if crossed.is_empty() { Ok(bare) } else { Err(Doubt::Crossed(crossed)) }
}

/// Holds what a step left against what it had to prove. Gives the checkpoints of what was copied, which the prepare after it has to come
/// to: `copied` then.
pub fn check_step(
    proof: &Proof,
    finished: &Finished,
    copied: Option<&Checkpoints>,
    tool: &Tool,
) -> Result<Option<Checkpoints>, Doubt> {
    let failed = finished.stages().filter(|stage| stage.outcome != Outcome::Exited(0));
    let failed = failed.map(|stage| Failed { name: stage.name.clone(), outcome: stage.outcome }).collect::<Vec<_>>();
    if !failed.is_empty() {
        return Err(Doubt::Outcome(failed));
    }
    // A shell runs what the operator likes; the other programs all have the same last word.
    let silent = finished.stages().find(|stage| stage.name != SHELL && !said_completed(&stage.stderr.text));
    if let Some(silent) = silent {
        return Err(Doubt::NotCompleted(silent.name.clone()));
    }
    match proof {
        Proof::Copied { copy, member, is_incremental } => copied_well(copy, member, *is_incremental, tool).map(Some),
        Proof::Replayed | Proof::Filled => Ok(None),
        Proof::Backup { dir, base, stream } => {
            backup(dir, base.as_deref(), stream.as_deref(), tool)?;
            Ok(None)
        }
        Proof::Prepared { work, member, last, .. } => {
            let Some(wanted) = copied else { return Err(Doubt::RedoUnknown(member.clone())) };
            prepared(work, (member, wanted), *last, finished, tool)?;
            Ok(None)
        }
    }
}

/// A private copy, each file of which the program that made it has held against the manifest: whether it is the kind of backup that the
/// records say, and its redo log as long as its checkpoints promise.
fn copied_well(copy: &Path, member: &Path, is_incremental: bool, tool: &Tool) -> Result<Checkpoints, Doubt> {
    let found = Checkpoints::read(copy, tool)?;
    let wanted = kind(is_incremental);
    // A stored backup that somebody has prepared is the start of no chain any more.
    if found.backup_type != wanted {
        return Err(Doubt::Kind { dir: member.to_owned(), found: found.backup_type, wanted });
    }
    redo_is_long_enough(copy, member, &found)?;
    Ok(found)
}

fn kind(is_incremental: bool) -> &'static str {
    if is_incremental { "incremental" } else { "full-backuped" }
}

/// Whether the last line ends in `completed OK!`, but for empty ones and the warning of files that were left open.
pub(crate) fn said_completed(log: &str) -> bool {
    let is_warning = |line: &str| line.contains(": Warning: ") && line.ends_with(LEFT_OPEN);
    let mut lines = log.lines().rev().map(str::trim_end).filter(|line| !line.is_empty() && !is_warning(line));
    lines.next().is_some_and(|line| line.ends_with(COMPLETED))
}

/// The directory that the tool says it copies from: `[00] 2026-11-28 14:34:47 cd to /var/lib/mysql/`, as seen with mariadb-backup 10.11.19. None
/// if it does not say so.
pub(crate) fn said_directory(log: &str) -> Option<&str> {
    log.lines().find_map(|line| Some(line.split_once(" cd to ")?.1.trim()))
}

/// A stored backup: what it is, and whether it goes on where its base ended.
fn backup(dir: &Path, base: Option<&Path>, stream: Option<&str>, tool: &Tool) -> Result<(), Doubt> {
    let found = described(dir, stream, tool)?;
    if let Some(found) = metadata::partial(dir, tool)? {
        return Err(Doubt::Partial { dir: dir.to_owned(), found });
    }
    let from = match base {
        Some(base) => Checkpoints::read(base, tool)?.to_lsn,
        None => 0,
    };
    fits(dir, &found, base.is_some(), Some(from))?;
    redo_is_long_enough(dir, dir, &found)
}

/// The metadata beside a stored backup: whether all of it can be believed.
pub(crate) fn described(dir: &Path, stream: Option<&str>, tool: &Tool) -> Result<Checkpoints, Doubt> {
    let found = Checkpoints::read(dir, tool)?;
    metadata::info(dir, tool)?;
    match stream {
        // The server's options are in the stream, with all that has been looked at as it went by.
        Some(name) if !manifest::names(dir)?.contains(Path::new(name)) => {
            return Err(Doubt::NotSealed(dir.join(name)));
        }
        Some(_) => {}
        None => metadata::options(dir)?,
    }
    let corrupt = dir.join(CORRUPT_PAGES);
    if corrupt.symlink_metadata().is_ok() {
        return Err(Doubt::CorruptPages(corrupt));
    }
    Ok(found)
}

/// Whether these are the checkpoints of such a backup, which goes on at `from` where that is known.
pub(crate) fn fits(dir: &Path, found: &Checkpoints, is_incremental: bool, from: Option<Lsn>) -> Result<(), Doubt> {
    let wanted = kind(is_incremental);
    if found.backup_type != wanted {
        return Err(Doubt::Kind { dir: dir.to_owned(), found: found.backup_type.clone(), wanted });
    }
    if let Some(wanted) = from.filter(|from| found.from_lsn != *from) {
        return Err(Doubt::Lsn { what: "from_lsn", found: found.from_lsn, wanted });
    }
    Ok(found.check_order(dir)?)
}

/// Whether the redo log beside a backup that is not yet prepared has room for all that its checkpoints promise.
pub(crate) fn redo_is_long_enough(dir: &Path, member: &Path, checkpoints: &Checkpoints) -> Result<(), Doubt> {
    match redo::shortfall(dir, checkpoints.last_lsn) {
        Some((found, wanted)) => Err(Doubt::RedoShort { dir: member.to_owned(), found, wanted }),
        None => Ok(()),
    }
}

/// A working copy: whether it has come to where the stored backup `member` ended.
fn prepared(
    work: &Path,
    (member, wanted): (&Path, &Checkpoints),
    last: bool,
    finished: &Finished,
    tool: &Tool,
) -> Result<(), Doubt> {
    if let Some(prefix) = tool.redo_end {
        match redo::end(&finished.first.stderr.watched, prefix, work) {
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
    use std::fs;

    use super::{CORRUPT_PAGES, backup, said_completed, said_directory};
    use crate::model::Flavour;

    #[test]
    fn the_tool_says_which_directory_it_copies() {
        let log = "[00] 2026-11-28 14:34:47 open files limit requested 0, set to 1024\n[00] 2026-11-28 14:34:47 cd to /srv/my data/\nx\n";
        assert_eq!(said_directory(log), Some("/srv/my data/"));
        assert_eq!(said_directory("completed OK!\n"), None);
    }

    #[test]
    fn the_last_word_must_be_the_last() {
        assert!(said_completed("[00] 2026-11-22 20:25:23 Done\n[00] 2026-11-22 20:25:23 completed OK!\n"));
        assert!(said_completed("completed OK!\n\n"));
        let left_open = "/usr/bin/mariabackup: Warning: 2 files and 0 streams is left open\n";
        assert!(said_completed(&format!("[00] 2026-11-28 16:11:54 completed OK!\n{left_open}")));
        assert!(!said_completed(left_open));
        assert!(!said_completed(&format!("[00] FATAL ERROR: no\n{left_open}")));
        assert!(!said_completed(&format!("completed OK!\n{left_open}[00] FATAL ERROR: no\n")));
        assert!(!said_completed("completed OK!\n[00] FATAL ERROR: no\n"));
        assert!(!said_completed(""));
    }

    /// The fields and the list are those that mariadb-backup 10.11.19 writes.
    #[test]
    fn a_backup_of_a_part_or_with_damaged_pages_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let tool = Flavour::MariaDb.tool();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let info = |partial: &str| {
            let fields =
                "tool_name = mariadb-backup\ntool_version = 10.11.19-MariaDB\nserver_version = 10.11.19-MariaDB-log\n";
            write("xtrabackup_info", &format!("{fields}{partial}incremental = N\n"));
        };
        write(
            "xtrabackup_checkpoints",
            "backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 44404\nlast_lsn = 44760\n",
        );
        write("backup-my.cnf", "[mysqld]\n");
        for whole in ["partial = N\n", ""] {
            info(whole);
            assert!(backup(dir.path(), None, None, tool).is_ok(), "{whole:?}");
        }
        info("partial = Y\n");
        let why = backup(dir.path(), None, None, tool).unwrap_err();
        assert!(why.to_string().starts_with("the tool left databases or tables out ('partial = Y' in"), "{why}");
        info("partial = N\n");
        write(CORRUPT_PAGES, "shop/orders 7\n20\n");
        let why = backup(dir.path(), None, None, tool).unwrap_err();
        assert!(why.to_string().contains("/innodb_corrupted_pages': repair the tables, then back up"), "{why}");
    }
}
