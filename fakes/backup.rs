//! `--backup`: a full or incremental copy of the fake server's data directory.
//!
//! An incremental holds a `*.delta` and `*.meta` for every InnoDB file, changed or not, and all other files whole; so what
//! it does not hold is gone from the server. A table younger than the checkpoint that the backup is taken at is in both
//! kinds of backup as a whole `*.new`. Metadata comes last, the info file as the very last, and nothing is synced: all
//! seen with mariadb-backup 10.11.19.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Tool;
use crate::connect::connect;
use crate::damage;
use crate::faults::Progress;
use crate::files;
use crate::log;
use crate::metadata::{self, BACKUP_MY_CNF, Checkpoints, Info, Unread};
use crate::options::Login;
use crate::player::{Fault, Step, Stop};
use crate::redo::{Format, Redo};
use crate::streaming;
use crate::world;

/// Where the tool writes to without `--target-dir`.
const DEFAULT_TARGET: &str = "./xtrabackup_backupfiles";

/// Takes a backup.
pub(crate) fn run(tool: &Tool, login: &Login) -> Step<()> {
    let start = log::now();
    let base = base(tool)?;
    connect(tool, login)?;
    let data = tool.world.data();
    tool.banner();
    if let Some(base) = &base {
        tool.log.note(0, &format!("incremental backup from {} is enabled.", base.to_lsn));
    }
    tool.log.note(0, "uses posix_fadvise().");
    tool.log.note(0, &format!("cd to {}/", tool.world.named_data().display()));
    let lsns = tool.world.lsns_of_a_backup()?;
    let target = PathBuf::from(tool.options.get("target-dir").unwrap_or(DEFAULT_TARGET));
    streaming::make_lsn_dir(tool)?;
    let redo = Redo { checkpoint: lsns.to_lsn(), end: lsns.last_lsn() };
    if !streaming::is_on(tool) {
        make_target(tool, &target)?;
        create(tool, &target, tool.names.redo, b"")?;
        for directory in world::directories(&data)? {
            files::make_dir(&target.join(directory))?;
        }
    }
    let paths: Vec<String> = world::files(&data)?.into_iter().filter(|path| tool.world.backs_up(path)).collect();
    let (tables, others): (Vec<_>, Vec<_>) = paths.into_iter().partition(|path| files::is_innodb(path));
    let mut progress = Progress::new(&tool.call, &tool.log, tables.len() + others.len());
    // A real server's redo log comes first: pages that are copied later are never newer than it, while nothing writes.
    let (logs, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|path| world::is_redo(path));
    for path in &logs {
        let Some(content) = read_if_there(&data.join(path))? else { continue };
        copy(tool, &mut progress, &target, 1, path, path, &content)?;
    }
    for path in &tables {
        let Some(content) = read_if_there(&data.join(path))? else { continue };
        // The redo log tells of the creation of what is younger than the checkpoint; a prepare finishes it.
        let is_young = files::has_extension(path, "ibd") && lsns.created(path) > redo.checkpoint;
        match &base {
            _ if is_young => {
                let new = Path::new(path).with_extension("new").to_string_lossy().into_owned();
                copy(tool, &mut progress, &target, 0, path, &new, &files::unfinished(&content))?;
            }
            None => copy(tool, &mut progress, &target, 0, path, path, &content)?,
            Some(base) => {
                let changed = (lsns.changed(path) > base.to_lsn).then_some(content.as_slice());
                copy(tool, &mut progress, &target, 0, path, &format!("{path}.delta"), &files::delta(changed))?;
                create(tool, &target, &format!("{path}.meta"), b"page_size = 16384\nzip_size = 0 \nspace_id = 0\n")?;
            }
        }
    }
    tool.log.note(0, "Starting to backup non-InnoDB tables and files");
    for path in &others {
        let is_lost = tool.call.has(&Fault::LosesTables) && files::is_aria(path);
        let Some(content) = read_if_there(&data.join(path))?.filter(|_| !is_lost) else {
            // It keeps a list of Aria's tables and looks for the keys first: seen with mariadb-backup 10.11.19 and 11.8.9.
            if files::has_extension(path, "MAI") {
                tool.log.note(0, &format!("Error on aria table file open ./{path}"));
            }
            continue;
        };
        copy(tool, &mut progress, &target, 1, path, path, &content)?;
    }
    progress.end(&target.join(tool.names.redo))?;
    for path in others.iter().filter(|path| files::is_other_engines(path, &others)) {
        if tool.call.has(&Fault::TakesTablesAway) || !data.join(path).exists() {
            if streaming::is_on(tool) {
                streaming::take_away(tool, path)?;
            } else {
                take_away(&target.join(path))?;
            }
        }
    }
    copy_young(tool, &target, &[logs, tables, others].concat())?;
    tool.log.note(0, "Finished backing up non-InnoDB tables and files");
    finish(tool, &target, base.as_ref(), redo, &start)
}

/// Removes what was copied and is dropped by now, as the real tool does after the last of them (seen with 10.11.19 and 11.8.9).
fn take_away(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Copies what the server made while the backup ran.
fn copy_young(tool: &Tool, target: &Path, known: &[String]) -> Step<()> {
    let data = tool.world.data();
    for path in world::files(&data)?.iter().filter(|path| tool.world.backs_up(path) && !known.contains(path)) {
        let Some(content) = read_if_there(&data.join(path))? else { continue };
        if files::has_extension(path, "ibd") {
            let new = Path::new(path).with_extension("new").to_string_lossy().into_owned();
            create(tool, target, &new, &files::unfinished(&content))?;
        } else {
            create(tool, target, path, &content)?;
        }
    }
    Ok(())
}

/// Writes redo log and metadata.
fn finish(tool: &Tool, target: &Path, base: Option<&Checkpoints>, redo: Redo, start: &str) -> Step<()> {
    let latest = format!("The latest check point (for incremental): '{}'", redo.checkpoint);
    tool.log.note(0, &format!("{}: {latest}", tool.flavour.name()));
    let format = Format::of(tool.flavour, tool.release);
    let log = if tool.call.has(&Fault::CutRedo) { redo.cut(format) } else { redo.bytes(format) };
    if streaming::is_on(tool) {
        create(tool, target, tool.names.redo, &log)?;
    } else {
        files::rewrite(&target.join(tool.names.redo), &log)?;
    }
    let wrong = u64::from(tool.call.has(&Fault::WrongLsn));
    let checkpoints = damage::told(
        &tool.call,
        Checkpoints {
            backup_type: if base.is_some() { "incremental" } else { "full-backuped" }.to_owned(),
            from_lsn: base.map_or(0, |base| base.to_lsn) + wrong,
            to_lsn: redo.checkpoint,
            last_lsn: redo.end,
        },
    );
    let is_missing = tool.call.has(&Fault::MissingMetadata);
    let path = target.join(tool.names.checkpoints);
    let text = damage::of_checkpoints(&tool.call, checkpoints.text(tool.flavour, tool.release));
    if !is_missing && streaming::is_on(tool) {
        streaming::put(tool, tool.names.checkpoints, text.as_bytes())?;
    } else if !is_missing && let Err(error) = files::create(&path, text.as_bytes()) {
        let is_there = error.kind() == io::ErrorKind::AlreadyExists;
        let reason = if is_there { "errno: 17 \"File exists\"".to_owned() } else { error.to_string() };
        tool.log.plain(&format!("{}: Can't create file '{}' ({reason})", tool.call.program, path.display()));
        // Later versions go on: seen with 11.8.6.
        if tool.release < (11, 1) {
            tool.log.note(0, &format!("Error: cannot open output stream for {}", tool.names.checkpoints));
            tool.log.note(0, "Error: failed to stream metadata.");
            return Err(Stop::Exit(1));
        }
    }
    let command = tool.call.args.join(" ");
    let end = log::now();
    let info = Info {
        tool: &tool.call.tool,
        command: &command,
        version: &tool.version,
        times: (start, &end),
        checkpoints: &checkpoints,
        format: streaming::format(tool),
    };
    let [options, info] = [(BACKUP_MY_CNF.to_owned(), true), (info.text(), false)]
        .map(|(text, is_options)| damage::of_others(&tool.call, text, is_options));
    if !is_missing {
        streaming::write_lsn_dir(tool, &text, &info)?;
    }
    tool.log.note(0, &format!("Backup created in directory '{}/'", target.display()));
    // That these two cannot be written is told, but no error.
    let is_written = write_last(tool, target, "backup-my.cnf", &options)?
        && (is_missing || write_last(tool, target, tool.names.info, &info)?);
    if !is_written {
        tool.log.note(0, "Error: backup file failed.");
    }
    tool.log.note(0, &format!("Redo log (from LSN {} to {}) was copied.", redo.checkpoint, redo.end));
    Ok(())
}

/// Writes one of the last files; false where one of that name is there.
fn write_last(tool: &Tool, target: &Path, name: &str, text: &str) -> Step<bool> {
    if streaming::is_on(tool) {
        tool.log.note(0, &format!("Streaming {name}"));
        streaming::put(tool, name, text.as_bytes())?;
        tool.log.note(0, "        ...done");
        return Ok(true);
    }
    tool.log.note(0, &format!("Writing {name}"));
    let path = target.join(name);
    match files::create(&path, text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let reason = "(errno: 17 \"File exists\")";
            tool.log.plain(&format!("{}: Can't create file '{}' {reason}", tool.call.program, path.display()));
            tool.log.note(0, &format!("error: Can't open the destination stream for {name}"));
            Ok(false)
        }
        // On a full disk the file is there, and cut or empty; the tool notices, and goes on (MDEV-38562).
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            tool.log.plain(&format!("{}: {error}", tool.call.program));
            Ok(false)
        }
        other => {
            other?;
            tool.log.note(0, "        ...done");
            Ok(true)
        }
    }
}

/// The checkpoints of `--incremental-basedir`, which are read before anything else.
fn base(tool: &Tool) -> Step<Option<Checkpoints>> {
    let Some(dir) = tool.options.get("incremental-basedir") else { return Ok(None) };
    metadata::read_checkpoints(Path::new(dir), tool.names)
        .map(Some)
        .map_err(|why| unread(tool, &format!("{dir}/"), &why))
}

/// What the tool says of checkpoints in `dir`, as it names it, that it needs and cannot read.
pub(crate) fn unread(tool: &Tool, dir: &str, tried: &[(&str, Unread)]) -> Stop {
    for (name, why) in tried {
        let path = format!("{dir}/{name}");
        if *why == Unread::CannotOpen {
            tool.log.note(0, &format!("Error: cannot open {path}"));
        }
        tool.log.note(0, &format!("{}: error: failed to read metadata from {path}", tool.flavour.name()));
    }
    Stop::Exit(1)
}

/// Makes the target directory, but not its parent.
fn make_target(tool: &Tool, target: &Path) -> Step<()> {
    let has_parent = target.parent().is_none_or(|parent| parent == Path::new("") || parent.is_dir());
    if !target.is_dir() && (target.exists() || !has_parent) {
        tool.log.note(0, &format!("Error: cannot mkdir 2: {}/\n", target.display()));
        return Err(Stop::Exit(1));
    }
    Ok(files::make_dir(target)?)
}

/// The file's content, unless it was dropped since it was listed.
fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn copy(
    tool: &Tool,
    progress: &mut Progress<'_>,
    target: &Path,
    thread: u8,
    from: &str,
    to: &str,
    content: &[u8],
) -> Step<()> {
    let file = target.join(to);
    progress.before(&file)?;
    let from = if from.contains('/') { format!("./{from}") } else { from.to_owned() };
    let copying = if streaming::is_on(tool) {
        format!("Streaming {from} to <STDOUT>")
    } else {
        format!("Copying {from} to {}", file.display())
    };
    tool.log.note(thread, &copying);
    create(tool, target, to, content)?;
    tool.log.note(thread, "        ...done");
    Ok(())
}

/// Creates a file of the backup; one that is there ends the backup, and that is all the tool checks of its target.
fn create(tool: &Tool, target: &Path, name: &str, content: &[u8]) -> Step<()> {
    if streaming::is_on(tool) {
        return streaming::put(tool, name, content);
    }
    let path = target.join(name);
    match files::create(&path, content) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let reason = "(errno: 17 \"File exists\")";
            tool.log.plain(&format!("{}: Can't create file '{}' {reason}", tool.call.program, path.display()));
            tool.log.note(0, &format!("Error: failed to open the target stream for '{name}'."));
            Err(Stop::Exit(1))
        }
        other => Ok(other?),
    }
}
