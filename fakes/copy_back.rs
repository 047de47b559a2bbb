//! `--copy-back` and `--move-back`: a prepared backup becomes a data directory.
//!
//! Nothing is overwritten, an unprepared backup is not refused, and a failure leaves the data directory partly filled:
//! all seen with mariadb-backup 10.11.19. Unlike it, the fake asks for `--datadir`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Tool;
use crate::faults::Progress;
use crate::files;
use crate::metadata;
use crate::player::{Step, Stop};
use crate::world;

/// Exit code where `--datadir` is missing: 96. The real tool would take `/var/lib/mysql`.
const NO_DATADIR: u8 = 96;

/// Copies or moves the backup.
pub(crate) fn run(tool: &Tool) -> Step<()> {
    let Some(datadir) = tool.options.get("datadir").map(PathBuf::from) else {
        return Err(Stop::because(NO_DATADIR, "fake: no --datadir given, and a test never touches /var/lib/mysql"));
    };
    let target = PathBuf::from(tool.options.get("target-dir").unwrap_or("./xtrabackup_backupfiles"));
    tool.banner();
    files::make_dir(&datadir)?;
    let is_forced = tool.options.has("force-non-empty-directories");
    if !is_forced && fs::read_dir(&datadir)?.next().is_some() {
        tool.log.note(0, &format!("Original data directory {} is not empty!", datadir.display()));
        return Err(Stop::Exit(1));
    }
    if !target.is_dir() {
        let reason = "(errno: 2 \"No such file or directory\")";
        tool.log.plain(&format!("{}: Can't change dir to '{}/' {reason}", tool.call.program, target.display()));
        tool.log.note(0, &format!("Can't my_setwd {}/", target.display()));
        return Err(Stop::Exit(1));
    }
    let paths = in_order(tool, &target)?;
    let mut progress = Progress::new(&tool.call, &tool.log, paths.len());
    for path in &paths {
        progress.before(&datadir.join(path))?;
        bring(tool, &target, &datadir, path)?;
    }
    for directory in world::directories(&target)? {
        files::make_dir(&datadir.join(directory))?;
    }
    Ok(())
}

/// What is copied: redo log and system tablespace, which must be there, then all but what the tool leaves behind.
fn in_order(tool: &Tool, target: &Path) -> Step<Vec<String>> {
    let mut paths: Vec<String> = Vec::new();
    if !metadata::is_percona_like(tool.flavour, tool.release) {
        paths.push(tool.names.redo.to_owned());
    }
    paths.push("ibdata1".to_owned());
    let rest: Vec<String> =
        world::files(target)?.into_iter().filter(|path| !is_left_behind(tool, path) && !paths.contains(path)).collect();
    paths.extend(rest);
    Ok(paths)
}

fn is_left_behind(tool: &Tool, path: &str) -> bool {
    let binlog_info = ["xtrabackup_binlog_info", "mariadb_backup_binlog_info"];
    let of_percona = ["xtrabackup_logfile", "xtrabackup_tablespaces"];
    path == "backup-my.cnf"
        || path == tool.names.checkpoints
        || path == "xtrabackup_checkpoints"
        || binlog_info.contains(&path)
        || (metadata::is_percona_like(tool.flavour, tool.release) && of_percona.contains(&path))
        || files::has_extension(path, "qp")
}

/// Copies or moves one file.
fn bring(tool: &Tool, target: &Path, datadir: &Path, path: &str) -> Step<()> {
    let (from, to) = (target.join(path), datadir.join(path));
    let is_move = tool.options.has("move-back");
    let verb = if is_move { "Moving" } else { "Copying" };
    if !from.exists() {
        tool.log.innodb("ERROR", "Operating system error number 2 in a file operation.");
        tool.log.innodb("ERROR", "Error number 2 means 'No such file or directory'");
        tool.log.note(1, &format!("error: cannot open file {path}"));
        tool.log.note(1, "Error: copy_file() failed.");
        return Err(Stop::Exit(1));
    }
    if is_move && to.exists() {
        let places = format!("./{path} to {}", to.display());
        tool.log.note(0, &format!("Error: Move file {places} failed: Destination file exists"));
        return Err(Stop::Exit(1));
    }
    tool.log.note(1, &format!("{verb} ./{path} to {}", to.display()));
    let done = if is_move { rename(&from, &to) } else { files::create(&to, &fs::read(&from)?) };
    match done {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let reason = "(errno: 17 \"File exists\")";
            tool.log.plain(&format!("{}: Can't create file '{}' {reason}", tool.call.program, to.display()));
            tool.log.note(1, &format!("error: cannot open the destination stream for ./{path}"));
            tool.log.note(1, "Error: copy_file() failed.");
            Err(Stop::Exit(1))
        }
        other => {
            other?;
            tool.log.note(1, "        ...done");
            Ok(())
        }
    }
}

/// Moves a file; over the border of a file system by copy and unlink.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(parent) = to.parent() {
        files::make_dir(parent)?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            files::create(to, &fs::read(from)?)?;
            fs::remove_file(from)
        }
        other => other,
    }
}
