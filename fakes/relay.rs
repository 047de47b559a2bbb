//! A fake that stands before a real tool: what a script asks for goes wrong where the real tool works.
//!
//! In: a call, and the path of the real program in `BIN/<tool>.real`. Out: what the real program does, called with the same arguments, in
//! the same process group, with the same environment; and the fault on top of it. A call without a fault becomes the real program.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::faults::{die_by, hang, wait_for};
use crate::player::{BAD_SCRIPT, Call, Fault, Step, Stop, say};

/// How often it is looked whether the real tool has written something: every millisecond.
const POLL: Duration = Duration::from_millis(1);

/// What a finished backup of any series tells about itself.
const METADATA: [&str; 5] =
    ["xtrabackup_info", "mariadb_backup_info", "backup-my.cnf", "xtrabackup_checkpoints", "mariadb_backup_checkpoints"];

/// The real program that this fake stands before, if there is one.
pub(crate) fn real(call: &Call) -> Option<PathBuf> {
    fs::read_to_string(call.beside("real")).ok().map(|path| PathBuf::from(path.trim()))
}

/// Runs the real program with the call's fault. It comes back only if the program could not be started or ended well.
pub(crate) fn run(call: &Call, real: &Path) -> Step<()> {
    #[expect(clippy::disallowed_methods, reason = "the fakes' one place that starts a program")]
    let mut command = Command::new(real);
    command.args(&call.args);
    match &call.fault {
        None => Err(command.exec().into()),
        Some(Fault::Hangs) => hang(call),
        Some(Fault::SlowUntil(path)) => {
            wait_for(call, path)?;
            Err(command.exec().into())
        }
        Some(Fault::DiesAfter(signal)) => {
            command.status()?;
            die_by(signal)
        }
        Some(Fault::DiesBy(signal)) => {
            break_off(call, command.spawn()?)?;
            die_by(signal)
        }
        Some(Fault::Partial) => {
            break_off(call, command.spawn()?)?;
            Err(Stop::because(1, "fake: the real tool was broken off"))
        }
        Some(Fault::NoCompletedOk) => without_last_word(command),
        Some(fault @ (Fault::EmptyMetadata | Fault::MissingMetadata)) => {
            let status = command.status()?;
            spoil(call, fault)?;
            end_as(status)
        }
        Some(other) => Err(Stop::because(BAD_SCRIPT, &format!("fake: {other:?} cannot strike before a real tool"))),
    }
}

/// Lets the tool run until it has changed something where it writes to, or is done, and kills it.
fn break_off(call: &Call, mut child: Child) -> Step<()> {
    let written = ["datadir", "target-dir"].into_iter().find_map(|name| value(call, name));
    let Some(written) = written.map(PathBuf::from) else {
        return Err(Stop::because(BAD_SCRIPT, "fake: a call that writes nowhere cannot be broken off"));
    };
    let before = state(&written);
    while child.try_wait()?.is_none() && state(&written) == before {
        std::thread::sleep(POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// The value of an option, as one word or two.
fn value<'a>(call: &'a Call, name: &str) -> Option<&'a str> {
    let option = format!("--{name}");
    let mut args = call.args.iter();
    while let Some(arg) = args.next() {
        match arg.strip_prefix(&option) {
            Some("") => return args.next().map(String::as_str),
            Some(rest) if rest.starts_with('=') => return rest.get(1..),
            _ => {}
        }
    }
    None
}

/// Each file below the directory with its length and the moment of its last change.
fn state(dir: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(metadata) => {
                    found.insert(entry.path(), (metadata.len(), metadata.mtime(), metadata.mtime_nsec()));
                }
                Err(_) => {}
            }
        }
    }
    found
}

/// Passes on all that the tool says but its last word.
fn without_last_word(mut command: Command) -> Step<()> {
    let mut child = command.stderr(Stdio::piped()).spawn()?;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line?;
            if !line.ends_with(b"completed OK!") {
                say(&line);
            }
        }
    }
    end_as(child.wait()?)
}

/// Empties the metadata of a backup, or takes it away.
fn spoil(call: &Call, fault: &Fault) -> Step<()> {
    let Some(target) = value(call, "target-dir").map(Path::new) else {
        return Err(Stop::because(BAD_SCRIPT, "fake: a call without a target has no metadata"));
    };
    for name in METADATA {
        let path = target.join(name);
        if !path.exists() {
            continue;
        }
        if *fault == Fault::MissingMetadata {
            fs::remove_file(path)?;
        } else if !name.ends_with("checkpoints") {
            fs::write(path, b"")?;
        }
    }
    Ok(())
}

/// Ends as the real tool did.
fn end_as(status: ExitStatus) -> Step<()> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(Stop::Exit(u8::try_from(code).unwrap_or(u8::MAX))),
        (None, signal) => {
            Err(Stop::because(BAD_SCRIPT, &format!("fake: the real tool was ended by signal {signal:?}")))
        }
    }
}
