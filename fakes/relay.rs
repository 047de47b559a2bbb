//! A relay: the fake stands before a real program and runs it, so that a scripted fault can strike where the real tool works.
//!
//! In: `BIN/<tool>.real`, which holds the path of the real program, and the call's fault. Out: what the real program does, with
//! the same arguments, descriptors and environment, in the same process group; its exit code or signal is the relay's own.
//! Where no fault asks for more the relay becomes the real program, by `exec`, so that even its process id is the same one.
//!
//! `dies_before`, `hangs`, `deaf` and `slow_until` strike before the real program runs. `dies_by`, `partial` and `enospc` end it, by
//! KILL, once it has changed a file of its target, or count once it has ended. The others strike when it has ended. INT is passed
//! on, and so is TERM where it is not blocked as the backup tools have it. A KILL of the relay alone leaves the real program
//! behind, known by the environment that it has.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::signal::unix::{SignalKind, signal};

use crate::faults;
use crate::player::{BAD_SCRIPT, Call, Fault, Step, Stop, say};
use crate::world;

/// How often the target is looked at: every millisecond.
const LOOK: Duration = Duration::from_millis(1);

/// Takes the call over where the fake stands before a real program; comes back only where it does not.
pub(crate) fn take_over(call: &Call) -> Step<()> {
    let real = match fs::read_to_string(call.beside("real")) {
        Ok(text) => PathBuf::from(text.trim()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match &call.fault {
        None => {}
        Some(Fault::Hangs) => faults::hang(call)?,
        Some(Fault::SlowUntil(path)) => faults::wait_for(call, path)?,
        Some(Fault::Deaf) => faults::be_deaf(call)?,
        Some(Fault::DiesBefore(_)) => faults::at_the_start(call)?,
        Some(fault) => return Err(stand_by(call, &real, fault)?),
    }
    Err(program(&real).args(std::env::args_os().skip(1)).exec().into())
}

/// A program that is not the fake itself.
fn program(path: impl AsRef<OsStr>) -> Command {
    #[expect(
        clippy::disallowed_methods,
        reason = "the fakes' one place that starts programs: what a relay stands before"
    )]
    Command::new(path)
}

/// Runs the real program as a child and lets the fault strike it.
fn stand_by(call: &Call, real: &Path, fault: &Fault) -> Step<Stop> {
    let strikes = matches!(fault, Fault::DiesBy(_) | Fault::Partial | Fault::Enospc);
    let ends =
        matches!(fault, Fault::DiesAfter(_) | Fault::NoCompletedOk | Fault::EmptyMetadata | Fault::MissingMetadata);
    if !strikes && !ends {
        return Err(Stop::because(BAD_SCRIPT, &format!("fake: {fault:?} cannot strike before a real program")));
    }
    // A name that is none must not be found out when the real program has run.
    if let Fault::DiesBy(name) | Fault::DiesAfter(name) = fault {
        faults::signal_of(name)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (status, was_signalled) = runtime.block_on(run(call, real, strikes, fault))?;
    if was_signalled {
        return ended_as(status);
    }
    if let Fault::DiesBy(name) | Fault::DiesAfter(name) = fault {
        return die_by(faults::signal_of(name)?.as_raw());
    }
    if *fault == Fault::Enospc {
        // The text is that of mariadb-backup 10.11.19 on a full tmpfs.
        let file = target(&call.args).unwrap_or_default().join("ibdata1");
        let reason = "(errno: 28 \"No space left on device\")";
        say(format!("{}: Error writing file '{}' {reason}", call.program, file.display()).as_bytes());
    }
    if strikes {
        return Ok(Stop::Exit(1));
    }
    let families = ["xtrabackup", "mariadb_backup"];
    if *fault == Fault::EmptyMetadata {
        change(call, "backup-my.cnf", |path| fs::write(path, b""))?;
        for family in families {
            change(call, &format!("{family}_info"), |path| fs::write(path, b""))?;
        }
    } else if *fault == Fault::MissingMetadata {
        for family in families {
            change(call, &format!("{family}_info"), |path| fs::remove_file(path))?;
            change(call, &format!("{family}_checkpoints"), |path| fs::remove_file(path))?;
        }
    }
    ended_as(status)
}

/// Changes a file of the backup that the real tool has left, if it is there.
fn change(call: &Call, name: &str, how: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let path = target(&call.args).unwrap_or_default().join(name);
    if path.exists() { how(&path) } else { Ok(()) }
}

/// Runs the real program to its end; gives its status, and whether somebody signalled the relay meanwhile.
async fn run(call: &Call, real: &Path, strikes: bool, fault: &Fault) -> io::Result<(ExitStatus, bool)> {
    let target = target(&call.args).filter(|_| strikes);
    let before = target.as_deref().map(marks).unwrap_or_default();
    // A signal may reach the relay alone, and must not leave the real program behind.
    let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut command = program(real);
    command.args(std::env::args_os().skip(1));
    if *fault == Fault::NoCompletedOk {
        command.stderr(Stdio::piped());
    }
    let mut child = tokio::process::Command::from(command).spawn()?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let log = child.stderr.take().map(|log| tokio::spawn(without_last_word(log)));
    let mut looks = tokio::time::interval(LOOK);
    let mut was_signalled = false;
    let status = loop {
        let forward = tokio::select! {
            status = child.wait() => break status?,
            _ = int.recv() => Signal::INT,
            _ = term.recv() => Signal::TERM,
            _ = looks.tick(), if target.is_some() => {
                let now = target.as_deref().map(marks).unwrap_or_default();
                if now.iter().any(|(path, mark)| mark.0 > 0 && before.get(path) != Some(mark)) {
                    child.start_kill()?;
                }
                continue;
            }
        };
        was_signalled = true;
        if let Some(pid) = pid {
            // One that is gone already needs no signal.
            let _gone = kill_process(pid, forward);
        }
    };
    if let Some(log) = log {
        log.await.map_err(io::Error::other)??;
    }
    Ok((status, was_signalled))
}

/// Passes a log on, but for the line by which the tool says that all went well.
async fn without_last_word(log: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut lines = BufReader::new(log);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await? > 0 {
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if !text.trim_ascii_end().ends_with(b"completed OK!") {
            say(text);
        }
        line.clear();
    }
    Ok(())
}

/// The directory that the call fills or changes.
fn target(args: &[String]) -> Option<PathBuf> {
    let is_copy_back = args.iter().any(|arg| arg == "--copy-back" || arg == "--move-back");
    let name = if is_copy_back { "--datadir" } else { "--target-dir" };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.strip_prefix(name) {
            Some("") => return args.next().map(PathBuf::from),
            Some(rest) if rest.starts_with('=') => return rest.strip_prefix('=').map(PathBuf::from),
            _ => {}
        }
    }
    None
}

/// Size and time of every file below `dir`, as far as they can be seen while a program works there.
fn marks(dir: &Path) -> BTreeMap<String, (u64, Option<SystemTime>)> {
    let files = world::files(dir).unwrap_or_default().into_iter();
    files
        .filter_map(|path| {
            let there = fs::metadata(dir.join(&path)).ok()?;
            Some((path, (there.len(), there.modified().ok())))
        })
        .collect()
}

/// Ends as the real program ended.
fn ended_as(status: ExitStatus) -> Step<Stop> {
    match status.signal() {
        Some(signal) => die_by(signal),
        None => Ok(Stop::Exit(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

/// Ends by a signal. A signal that is forwarded cannot be given back its default from here but by becoming another program.
fn die_by(signal: i32) -> Step<Stop> {
    Err(program("/bin/sh").args(["-c", &format!("kill -{signal} $$")]).exec().into())
}
