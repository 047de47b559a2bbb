//! `--prepare`: makes a backup whole, or applies an incremental to one that is.
//!
//! Its rules, all seen with mariadb-backup 10.11.19:
//! - The redo log, the checkpoints and every file with a `*.delta` are rewritten in place.
//! - An apply unlinks each `*.delta` and moves each `*.new` out of the incremental, then finishes the moved file in
//!   place. So an incremental serves once, and one that is a farm of hard links changes its originals by its `*.new`.
//! - A table of the base for which the incremental holds neither is removed, without an error: that is how a dropped
//!   table goes, and how an apply of an incremental that was used before loses all tables. Other files below a
//!   directory go in the same way.
//! - The base's checkpoints move on only where the incremental's `to_lsn` is higher.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::Tool;
use crate::backup;
use crate::damage;
use crate::faults::Progress;
use crate::files;
use crate::log::Flavour;
use crate::metadata::{self, Checkpoints, Unread};
use crate::player::{Fault, Step, Stop};
use crate::redo::{BLOCK, Format, Redo};
use crate::world;

/// Where a system tablespace says up to which LSN it is flushed: 8 bytes at offset 26.
const FLUSHED: u64 = 26;

/// Prepares the target, with an incremental if one is given.
pub(crate) fn run(tool: &Tool) -> Step<()> {
    let target = PathBuf::from(tool.options.get("target-dir").unwrap_or("./xtrabackup_backupfiles"));
    let incremental = match tool.options.get("incremental-dir") {
        None => None,
        Some(dir) => {
            let checkpoints = metadata::read_checkpoints(Path::new(dir), tool.names)
                .map_err(|why| backup::unread(tool, &format!("{dir}/"), &why))?;
            Some((PathBuf::from(dir), checkpoints))
        }
    };
    tool.banner();
    if let Some((_, checkpoints)) = &incremental {
        tool.log.note(0, &format!("incremental backup from {} is enabled.", checkpoints.from_lsn));
    }
    let mut base = open_target(tool, &target)?;
    if let Some((_, checkpoints)) = &incremental {
        check_order(tool, &base, checkpoints)?;
    }
    for path in world::files(&target)?.iter().filter(|path| files::has_extension(path, "new")) {
        finish_new_table(tool, &target, path, &target)?;
    }
    let redo_dir = incremental.as_ref().map_or(&target, |(dir, _)| dir);
    tool.log.note(0, &format!("innodb_log_group_home_dir = {}", redo_dir.display()));
    let redo = recover(tool, redo_dir, &base)?;
    let format = Format::of(tool.flavour, tool.release);
    match &incremental {
        None => Progress::new(&tool.call, &tool.log, 0).end(&target.join(tool.names.redo))?,
        Some((dir, checkpoints)) => {
            apply(tool, &target, dir)?;
            if metadata::is_old(tool.flavour, tool.release) {
                // It recovers by the incremental's own redo log, and leaves that another one.
                files::rewrite(&dir.join(tool.names.redo), &Redo { checkpoint: redo.end, ..redo }.bytes(format))?;
            }
            if base.to_lsn < checkpoints.to_lsn {
                base.to_lsn = checkpoints.to_lsn;
                base.last_lsn = checkpoints.last_lsn;
            }
        }
    }
    if tool.call.has(&Fault::WrongLsn) {
        base.to_lsn -= 1;
    }
    let is_old = metadata::is_old(tool.flavour, tool.release);
    let is_last = metadata::is_percona_like(tool.flavour, tool.release) && !tool.options.has("apply-log-only");
    let backup_type = if is_last { "full-prepared" } else { "log-applied" };
    let base = damage::told(&tool.call, Checkpoints { backup_type: backup_type.to_owned(), ..base });
    files::rewrite(&target.join(tool.names.redo), &redo.bytes(format))?;
    if tool.flavour == Flavour::Mariabackup {
        files::rewrite(&target.join(tool.names.binlog_position), b"\t0\n")?;
    }
    let text = damage::of_checkpoints(&tool.call, base.text(tool.flavour, tool.release));
    files::rewrite(&target.join(tool.names.checkpoints), text.as_bytes())?;
    if is_old {
        // It does not say where the redo log ended, but leaves it here.
        OpenOptions::new().write(true).open(target.join("ibdata1"))?.write_all_at(&redo.end.to_be_bytes(), FLUSHED)?;
    }
    Ok(())
}

/// Checks that the target is a backup, and reads its checkpoints.
fn open_target(tool: &Tool, target: &Path) -> Step<Checkpoints> {
    let shown = target.display();
    if !target.is_dir() {
        let reason = "(errno: 2 \"No such file or directory\")";
        tool.log.plain(&format!("{}: Can't change dir to '{shown}/' {reason}", tool.call.program));
        tool.log.note(0, &format!("can't my_setwd {shown}/"));
        return Err(Stop::Exit(1));
    }
    tool.log.note(0, &format!("cd to {shown}/"));
    if !target.join("backup-my.cnf").is_file() {
        tool.log.fatal("Can't open backup-my.cnf for reading");
        return Err(Stop::Exit(1));
    }
    let base = metadata::read_checkpoints(target, tool.names).map_err(|tried| {
        if tool.release >= (11, 1) && tool.flavour == Flavour::Mariabackup {
            return backup::unread(tool, ".", &tried);
        }
        for (name, why) in tried {
            if why == Unread::CannotOpen {
                tool.log.note(0, &format!("Error: cannot open ./{name}"));
            }
            tool.log.note(0, &format!("Error: failed to read metadata from './{name}'\n"));
        }
        Stop::Exit(1)
    })?;
    let state = match base.backup_type.as_str() {
        "full-backuped" => "This target seems to be not prepared yet.",
        "log-applied" | "full-prepared" => "This target seems to be already prepared.",
        _ => {
            tool.log.note(0, "This target does not have correct metadata.");
            return Err(Stop::Exit(1));
        }
    };
    tool.log.note(0, state);
    Ok(base)
}

/// Checks that the incremental is the base's next.
fn check_order(tool: &Tool, base: &Checkpoints, incremental: &Checkpoints) -> Step<()> {
    let complaint = if base.backup_type != "log-applied" && tool.flavour == Flavour::Xtrabackup {
        // By xtrabackup's documentation.
        "error: applying incremental backup needs target prepared with --apply-log-only."
    } else if base.backup_type != "log-applied" {
        "error: applying incremental backup needs a prepared target."
    } else if base.to_lsn != incremental.from_lsn {
        "error: This incremental backup seems not to be proper for the target. \
         Check 'to_lsn' of the target and 'from_lsn' of the incremental."
    } else {
        return Ok(());
    };
    tool.log.note(0, complaint);
    Err(Stop::Exit(1))
}

/// Reads the redo log as far as it is whole, and says how far that is. One that is cut is no error.
fn recover(tool: &Tool, dir: &Path, base: &Checkpoints) -> Step<Redo> {
    let name = tool.names.redo;
    tool.log.note(0, "Starting InnoDB instance for recovery.");
    let is_old = metadata::is_old(tool.flavour, tool.release);
    let redo = match fs::read(dir.join(name)).ok() {
        // It takes what it finds for whole then.
        None if is_old => return Ok(Redo { checkpoint: base.to_lsn, end: base.to_lsn }),
        None => Err(format!("File ./{name} was not found")),
        Some(log) if is_old && log.len() % BLOCK != 0 => {
            Err(format!("Log file ./{name} size {} is not a multiple of {BLOCK} bytes", log.len()))
        }
        Some(log) => Redo::parse(&log).ok_or_else(|| format!("File ./{name} is too small")),
    };
    let mut redo = redo.map_err(|complaint| {
        tool.log.innodb("ERROR", &complaint);
        tool.log.note(0, "mariadb-backup: srv_start() returned 11 (Generic error).");
        Stop::Exit(1)
    })?;
    if tool.call.has(&Fault::CutRedo) {
        redo.end = redo.end.saturating_sub(1);
    }
    if base.backup_type == "full-backuped" || tool.options.get("incremental-dir").is_some() {
        let start = format!("Starting crash recovery from checkpoint LSN={}", redo.checkpoint);
        tool.log.innodb("Note", &start);
    }
    let end = match tool.flavour {
        Flavour::Mariabackup => format!("End of log at LSN={}", redo.end),
        Flavour::Xtrabackup => format!("Doing recovery: scanned up to log sequence number {}", redo.end),
    };
    if !metadata::is_old(tool.flavour, tool.release) {
        tool.log.innodb("Note", &end);
    }
    Ok(redo)
}

/// Brings what the incremental in `dir` holds into the target, and takes out what it does not hold.
fn apply(tool: &Tool, target: &Path, dir: &Path) -> Step<()> {
    let held = world::files(dir)?;
    let is_used =
        |path: &&String| ["new", "delta"].iter().any(|kind| files::has_extension(path, kind)) || is_copied(tool, path);
    let mut progress = Progress::new(&tool.call, &tool.log, held.iter().filter(is_used).count());
    let mut tables = BTreeSet::new();
    let mut others = Vec::new();
    for path in &held {
        let from = dir.join(path);
        if files::has_extension(path, "new") {
            progress.before(&target.join(path))?;
            tables.insert(finish_new_table(tool, dir, path, target)?);
        } else if let Some(table) = path.strip_suffix(".delta") {
            let to = target.join(table);
            progress.before(&to)?;
            tool.log.note(0, &format!("Applying {} to ./{table}...", from.display()));
            let delta = fs::read(&from)?;
            match files::content_of_delta(&delta) {
                Some(content) => files::rewrite(&to, content)?,
                // A difference without its table leaves an empty table.
                None if !to.exists() => files::create(&to, b"")?,
                None => {}
            }
            fs::remove_file(&from)?;
            tables.insert(table.to_owned());
        } else if is_copied(tool, path) {
            others.push(path);
        }
    }
    for path in &others {
        progress.before(&target.join(path))?;
        tool.log.note(1, &format!("Copying {} to ./{path}", dir.join(path).display()));
        files::replace(&dir.join(path), &target.join(path))?;
        tool.log.note(1, "        ...done");
    }
    progress.end(&target.join(tool.names.redo))?;
    take_out(tool, target, dir, &tables)
}

/// Moves a `*.new` of `dir` to its table's place in the target, and finishes it there; gives the table's path.
fn finish_new_table(tool: &Tool, dir: &Path, path: &str, target: &Path) -> Step<String> {
    let (from, table) = (dir.join(path), Path::new(path).with_extension("ibd"));
    let to = target.join(&table);
    tool.log.note(0, &format!("Renaming {} to ./{}\n", from.display(), table.display()));
    if let Some(parent) = to.parent() {
        files::make_dir(parent)?;
    }
    fs::rename(&from, &to)?;
    files::rewrite(&to, files::finished(&fs::read(&to)?))?;
    Ok(table.to_string_lossy().into_owned())
}

/// Whether an apply copies the file whole.
fn is_copied(tool: &Tool, path: &str) -> bool {
    let names = [tool.names.checkpoints, tool.names.redo, tool.names.binlog_position, "backup-my.cnf"];
    !files::has_extension(path, "meta") && !names.contains(&path)
}

/// Removes from the target what the incremental does not know.
fn take_out(tool: &Tool, target: &Path, dir: &Path, tables: &BTreeSet<String>) -> Step<()> {
    for path in world::files(target)? {
        let is_table = files::has_extension(&path, "ibd");
        let is_known = if is_table { tables.contains(&path) } else { dir.join(&path).exists() };
        if !is_known && (is_table || path.contains('/')) {
            fs::remove_file(target.join(&path))?;
        }
    }
    for directory in world::directories(target)?.into_iter().rev() {
        if !dir.join(&directory).is_dir() {
            tool.log.note(0, &format!("Removing ./{directory}"));
            fs::remove_dir(target.join(&directory))?;
        }
    }
    Ok(())
}
