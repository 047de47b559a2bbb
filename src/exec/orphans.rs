//! Processes that a daemon before this one left behind: found, made sure of, and ended.
//!
//! Every child carries its request's id in its environment ([`TAG`]), and its own children inherit it; so it is known again
//! however its pid was recorded, or if it never was. A process is held by a pidfd before it is looked at, so what is signalled
//! is what was looked at, and never another that got the same pid since.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The variable that holds a request's id.
pub const TAG: &str = "DBCALM_COMMAND_ID";

/// How long KILL may take to be carried out: a process in a system call that cannot be broken off waits for its disk.
const KILL_WITHIN: Duration = Duration::from_secs(30);

/// What a process is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The request it ran for.
    pub command_id: String,
    /// The pid that was recorded, 0 if none was.
    pub pid: i32,
    /// What was recorded as its arguments, joined by spaces: a predecessor's children carry no tag. Empty where no process is to
    /// be known by them.
    pub command: String,
}

struct Orphan {
    pid: Pid,
    held: OwnedFd,
}

/// Ends every process that one of `marks` names: INT first, KILL after `grace`. Gives back how many there were.
///
/// # Errors
/// Processes cannot be looked at, or one would not go.
pub fn end(marks: &[Mark], grace: Duration) -> io::Result<usize> {
    if marks.is_empty() {
        return Ok(0);
    }
    let mut count = 0;
    for (signal, within) in [(Signal::INT, grace), (Signal::KILL, KILL_WITHIN)] {
        let found = find(marks)?;
        count = count.max(found.len());
        for orphan in &found {
            // One that has gone in the meantime needs no signal.
            let _gone = pidfd_send_signal(&orphan.held, signal);
        }
        let until = Instant::now() + within;
        for orphan in &found {
            orphan.gone_by(until)?;
        }
    }
    match find(marks)?.first() {
        None => Ok(count),
        Some(orphan) => Err(io::Error::other(format!("process {} does not end", orphan.pid.as_raw_nonzero()))),
    }
}

impl Orphan {
    /// Waits until it has ended, or until then.
    fn gone_by(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.held, PollFlags::IN)], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}

fn find(marks: &[Mark]) -> io::Result<Vec<Orphan>> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(text) = name.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && **text != own)
        else {
            continue;
        };
        let Some(pid) = text.parse().ok().and_then(Pid::from_raw) else { continue };
        // Held first, looked at then: what the look finds is what is held.
        let Ok(held) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
        if is_marked(text, pid, marks) {
            found.push(Orphan { pid, held });
        }
    }
    Ok(found)
}

fn is_marked(pid_text: &str, pid: Pid, marks: &[Mark]) -> bool {
    let read = |file: &str| fs::read(format!("/proc/{pid_text}/{file}")).unwrap_or_default();
    // A process that has ended and waits for its parent to notice has neither environment nor arguments: it counts as gone.
    let (environment, arguments) = (read("environ"), read("cmdline"));
    let tagged = |mark: &Mark| {
        let tag = format!("{TAG}={}", mark.command_id);
        environment.split(|&byte| byte == 0).any(|variable| variable == tag.as_bytes())
    };
    let called = |mark: &Mark| {
        let joined = String::from_utf8_lossy(arguments.strip_suffix(b"\0").unwrap_or(&arguments)).replace('\0', " ");
        mark.pid == pid.as_raw_nonzero().get() && !joined.is_empty() && joined == mark.command
    };
    marks.iter().any(|mark| tagged(mark) || called(mark))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::{Mark, end, find};
    use crate::exec::{CommandExecutor, Invocation, LocalExecutor, Outcome, Terms};
    use crate::model::CommandId;

    #[tokio::test]
    async fn an_orphan_has_its_time_to_end_and_only_then_is_killed() {
        for (on_interrupt, outcome) in [("sleep 0.3; exit 7", Outcome::Exited(7)), ("", Outcome::Signaled(9))] {
            let dir = tempfile::tempdir().unwrap();
            let ready = dir.path().join("ready");
            // It is busy rather than asleep: a child that sleeps would be an orphan too, and a shell that waits in itself may
            // miss a signal that comes just before.
            let script = format!("trap '{on_interrupt}' INT; : >'{}'; while :; do :; done", ready.display());
            let command_id = CommandId::random();
            let terms = Terms {
                command_id: Some(command_id),
                cancel: CancellationToken::new(),
                grace: Duration::ZERO,
                watch: None,
                last_line: None,
                select: None,
            };
            // A shell that was begun with INT ignored, as by a script that put it into the background, could not trap it.
            let shell = ["--default-signal=INT", "/bin/sh", "-c", &script].map(str::to_owned);
            let shell = Invocation::new("/usr/bin/env", shell);
            let mut running = LocalExecutor.start(&shell.into(), terms).unwrap();
            // The other side is a thread: it stands for the daemon that follows.
            let marks = [Mark { command_id: command_id.to_string(), pid: 0, command: String::new() }];
            let ended = tokio::task::spawn_blocking(move || {
                let until = std::time::Instant::now() + Duration::from_secs(30);
                while !ready.exists() {
                    assert!(std::time::Instant::now() < until, "the shell does not begin");
                    std::thread::yield_now();
                }
                let grace = if on_interrupt.is_empty() { Duration::from_millis(50) } else { Duration::from_secs(30) };
                end(&marks, grace)
            });
            let finished = running.finished().await;
            assert_eq!(finished.outcome(), outcome, "{}", finished.stderr());
            assert!(ended.await.unwrap().unwrap() >= 1);
        }
    }

    #[test]
    fn nobody_takes_himself_for_an_orphan() {
        let arguments = fs::read("/proc/self/cmdline").unwrap();
        let command = String::from_utf8_lossy(arguments.strip_suffix(b"\0").unwrap()).replace('\0', " ");
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(find(&[Mark { command_id: "none".to_owned(), pid, command }]).unwrap().len(), 0);
    }
}
