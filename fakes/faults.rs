//! The faults that strike in the middle or at the end of a job, and the counting of files that says when the middle is.
//!
//! In: a call and its log. Out: nothing, or the program's end. While a call waits (`hangs`, `slow_until`) its process
//! id stands in `BIN/<tool>.waiting`, so that a test can tell that the middle is reached.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::log::Log;
use crate::player::{BAD_SCRIPT, Call, Fault, Step, Stop};

/// How often a call that waits looks for its file: every 5 ms.
const POLL: Duration = Duration::from_millis(5);

/// Counts the files of a job and lets the fault strike before the one in the middle.
pub(crate) struct Progress<'a> {
    call: &'a Call,
    log: &'a Log,
    total: usize,
    done: usize,
}

impl<'a> Progress<'a> {
    /// Starts to count up to `total`.
    pub(crate) fn new(call: &'a Call, log: &'a Log, total: usize) -> Self {
        Self { call, log, total, done: 0 }
    }

    /// Says that `file` is written next.
    pub(crate) fn before(&mut self, file: &Path) -> Step<()> {
        let is_half_way = self.done == self.total / 2;
        self.done += 1;
        if is_half_way { half_way(self.call, self.log, file) } else { Ok(()) }
    }

    /// Says that no file is left. Where the middle was not reached, as with no file at all, the fault strikes now.
    pub(crate) fn end(&mut self, file: &Path) -> Step<()> {
        if self.done <= self.total / 2 { half_way(self.call, self.log, file) } else { Ok(()) }
    }
}

/// What the fault does half-way, before `file` is written.
fn half_way(call: &Call, log: &Log, file: &Path) -> Step<()> {
    match &call.fault {
        Some(Fault::DiesBy(signal)) => die_by(signal),
        Some(Fault::Hangs) => hang(call),
        Some(Fault::Deaf) => be_deaf(call),
        Some(Fault::SlowUntil(path)) => wait_for(call, path),
        Some(Fault::Partial) => {
            log.note(1, "Error: copy_file() failed.");
            Err(Stop::Exit(1))
        }
        Some(Fault::Enospc) => {
            if !file.exists() {
                fs::write(file, b"")?;
            }
            // The text is that of mariadb-backup 10.11.19 on a full tmpfs.
            log.plain(&format!(
                "{}: Error writing file '{}' (errno: 28 \"No space left on device\")",
                call.program,
                file.display()
            ));
            log.note(0, &format!("{}: xtrabackup_copy_datafile() failed.", log.flavour.name()));
            log.fatal(&format!("{}: Error: failed to copy datafile.", log.flavour.name()));
            Err(Stop::Exit(1))
        }
        _ => Ok(()),
    }
}

/// What the fault does before anything is done.
pub(crate) fn at_the_start(call: &Call) -> Step<()> {
    match &call.fault {
        Some(Fault::DiesBefore(signal)) => die_by(signal),
        _ => Ok(()),
    }
}

/// What the fault does when everything is done, the last line of the log included.
pub(crate) fn at_the_end(call: &Call) -> Step<()> {
    match &call.fault {
        Some(Fault::DiesAfter(signal)) => die_by(signal),
        _ => Ok(()),
    }
}

/// Waits until the file is there.
pub(crate) fn wait_for(call: &Call, path: &Path) -> Step<()> {
    let note = call.beside("waiting");
    fs::write(&note, std::process::id().to_string())?;
    while !path.exists() {
        std::thread::sleep(POLL);
    }
    match fs::remove_file(note) {
        // Of two calls that wait at once the other one has taken it away.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}

/// Waits until somebody ends the program.
pub(crate) fn hang(call: &Call) -> Step<()> {
    fs::write(call.beside("waiting"), std::process::id().to_string())?;
    loop {
        std::thread::park();
    }
}

/// Waits until somebody kills the program: TERM and INT pass from now on.
pub(crate) fn be_deaf(call: &Call) -> Step<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    // The handler stays for as long as the process lives, though nobody listens (tokio's documentation).
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        drop(signal(kind)?);
    }
    hang(call)
}

fn die_by(name: &str) -> Step<()> {
    let signal = signal_of(name)?;
    // Rust's own handler takes the first SEGV and puts the default in force; the second one ends the process.
    loop {
        kill_process(getpid(), signal).map_err(std::io::Error::from)?;
    }
}

/// The signal of this name, if it is one that the tools die by; see the signals that they block.
pub(crate) fn signal_of(name: &str) -> Step<Signal> {
    Ok(match name {
        "KILL" => Signal::KILL,
        "INT" => Signal::INT,
        "ABRT" => Signal::ABORT,
        "SEGV" => Signal::SEGV,
        other => return Err(Stop::because(BAD_SCRIPT, &format!("fake: nothing dies by {other:?}"))),
    })
}
