//! Real child processes: a group for each pipeline, a clean environment, nothing of ours but three descriptors.

use std::env;
use std::fs;
use std::io::{self, PipeReader};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::SigSet;
use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal as listen};
use tokio::time::timeout;

use super::{
    Capture, Captured, CommandExecutor, Ending, Finished, Invocation, NotStarted, Outcome, Pipeline, Running, Stage,
    Terms, orphans,
};

/// The file that this process was started from, also where another one has its path by now, after an upgrade: proc(5).
const OWN: &str = "/proc/self/exe";

/// How much a pipe between two programs holds, in bytes: what a user without privileges may ask for (pipe(7)).
const PIPE: usize = 1 << 20;

/// The search path of the children: the tools call others (mariabackup none, an operator's wrapper script many).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long output may still come after a program's end, from a child it left behind; then its group is killed.
const OUTPUT_WITHIN: Duration = Duration::from_secs(2);

/// Starts programs on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

impl CommandExecutor for LocalExecutor {
    fn start(&self, pipeline: &Pipeline, terms: Terms) -> Result<Running, NotStarted> {
        let failed = |stage: &Invocation, reason| NotStarted { program: stage.program.clone(), reason };
        let inherited = block_nothing().and_then(|()| ignore_nothing());
        inherited.map_err(|why| failed(&pipeline.first, why))?;
        let first = Child::spawn(&pipeline.first, &terms, 0, Stdio::null(), !pipeline.rest.is_empty())
            .map_err(|why| failed(&pipeline.first, why))?;
        let pid = first.process.id().unwrap_or_default();
        let group = i32::try_from(pid).unwrap_or_default();
        let mut children = vec![first];
        for (index, stage) in pipeline.rest.iter().enumerate() {
            let before = children.last_mut().and_then(|child| child.output.take());
            let input = before.map_or_else(Stdio::null, Stdio::from);
            let is_last = index + 1 == pipeline.rest.len();
            // A group is there as long as its first process was not waited for, which happens below.
            let child = Child::spawn(stage, &terms, group, input, !is_last).map_err(|why| failed(stage, why))?;
            children.push(child);
        }
        Ok(Running::new(pid, finish(children, Pid::from_raw(group), terms)))
    }
}

/// Lifts the block of every signal for this thread, and so for all programs and threads that it starts: a mask is inherited
/// (`pthread_sigmask(3)`, `execve(2)`), from a shell, a supervisor or a test. The programs that are to be ended by INT would not hear it.
///
/// # Errors
/// The system's.
pub fn block_nothing() -> io::Result<()> {
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Those whose handling no program may change by safe means: they come of its own mistakes, and cannot be ignored then (sigaction(2)).
const OWN_MISTAKES: [i32; 3] = [Signal::ILL.as_raw(), Signal::FPE.as_raw(), Signal::SEGV.as_raw()];

/// Those that the C library keeps for itself (nptl(7)).
const LIBRARYS: [i32; 2] = [32, 33];

/// Has no signal ignored, so that a program that is started does not ignore it either: what is ignored is inherited, what is handled is as the
/// system has it (execve(2)). This process goes on to take no notice of it. PIPE is reset in each program by the standard library, which
/// ignores it itself.
///
/// A shell ignores INT and QUIT for what it starts in the background, `nohup` HUP; where CHLD is ignored, nobody is told how a program ended.
///
/// # Errors
/// The system's.
fn ignore_nothing() -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    let is_ours = |number: &i32| {
        ignored & (1 << (number - 1)) != 0
            && *number != Signal::PIPE.as_raw()
            && !OWN_MISTAKES.contains(number)
            && !LIBRARYS.contains(number)
    };
    (1..=64).filter(is_ours).try_for_each(|number| listen(SignalKind::from_raw(number)).map(drop))
}

/// A program that was started.
struct Child {
    name: String,
    process: tokio::process::Child,
    /// The end of the pipe that its stdout goes to, for the next program.
    output: Option<PipeReader>,
}

impl Child {
    fn spawn(stage: &Invocation, terms: &Terms, group: i32, input: Stdio, is_piped: bool) -> io::Result<Self> {
        let (output, stdout) = if is_piped {
            let (reader, writer) = io::pipe()?;
            // What the system grants: fewer changes between the programs. One of the usual size works too.
            let _as_it_was = fcntl_setpipe_size(&writer, PIPE);
            (Some(reader), Stdio::from(writer))
        } else {
            (None, Stdio::piped())
        };
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts processes")]
        let mut command = Command::new(if stage.is_own { OWN } else { &stage.program });
        command
            .args(&stage.args)
            .arg0(&stage.program)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .envs(stage.inherited.iter().filter_map(|name| Some((name, env::var_os(name)?))))
            .envs(stage.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(input)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .process_group(group)
            .kill_on_drop(true);
        if let Some(id) = terms.command_id {
            command.env(orphans::TAG, id.to_string());
        }
        let name = stage.name().to_owned();
        Ok(Self { name, process: command.spawn()?, output })
    }
}

async fn finish(mut children: Vec<Child>, group: Option<Pid>, terms: Terms) -> Finished {
    let last = children.len().saturating_sub(1);
    let mut captures = (0..children.len())
        .map(|index| {
            let is_first = index == 0;
            let last_line = terms.last_line.clone().filter(|_| is_first);
            Capture::watching(terms.watch).last_line_in(last_line)
        })
        .collect::<Vec<_>>();
    let mut stdout = Capture::default().selecting(terms.select);
    let out = children.get_mut(last).and_then(|child| child.process.stdout.take());
    let errs = children.iter_mut().map(|child| child.process.stderr.take()).collect::<Vec<_>>();
    let outcomes = {
        let drained = captures.iter_mut().zip(errs).map(|(capture, err)| drain(err, capture));
        let mut reading = pin!(async { tokio::join!(drain(out, &mut stdout), join_all(drained)) });
        let mut ending = pin!(end(&mut children, group, &terms));
        let mut read = false;
        let outcomes = loop {
            tokio::select! {
                outcomes = &mut ending => break outcomes,
                _ = &mut reading, if !read => read = true,
            }
        };
        // What the programs wrote last is still in the pipes. Should somebody hold them open, it is a child that one of them left
        // behind in the group.
        if !read && timeout(OUTPUT_WITHIN, &mut reading).await.is_err() {
            signal(group, Signal::KILL);
            let _given_up = timeout(OUTPUT_WITHIN, &mut reading).await;
        }
        outcomes
    };
    let names = children.into_iter().map(|child| child.name);
    let mut stages = names.zip(outcomes).zip(captures).map(|((name, outcome), capture)| Stage {
        name,
        outcome,
        stderr: capture.finish(),
    });
    // There is one: a pipeline has a first program.
    let first = stages.next().unwrap_or_else(|| Stage {
        name: String::new(),
        outcome: Outcome::Unknown,
        stderr: Captured::default(),
    });
    Finished { first, rest: stages.collect(), stdout: stdout.finish() }
}

/// Waits for the end of all programs, or brings it about.
async fn end(children: &mut [Child], group: Option<Pid>, terms: &Terms) -> Vec<Outcome> {
    let cancelled = {
        let mut waiting = pin!(wait(children));
        tokio::select! {
            biased;
            outcomes = &mut waiting => return outcomes,
            () = terms.cancel.cancelled() => {
                // mariadb-backup blocks TERM while it takes a backup, and heeds INT (seen with 10.11.19).
                signal(group, Signal::INT);
                if let Ok(outcomes) = timeout(terms.grace, &mut waiting).await {
                    outcomes
                } else {
                    signal(group, Signal::KILL);
                    waiting.await
                }
            }
        }
    };
    let by_us = |outcome| match outcome {
        Outcome::Exited(status) => Outcome::Cancelled(Ending::Exited(status)),
        Outcome::Signaled(signal) => Outcome::Cancelled(Ending::Signaled(signal)),
        other @ (Outcome::Cancelled(_) | Outcome::Unknown) => other,
    };
    cancelled.into_iter().map(by_us).collect()
}

/// Waits for the end of all programs. A process that has ended is asked for again without harm (tokio's documentation).
async fn wait(children: &mut [Child]) -> Vec<Outcome> {
    join_all(children.iter_mut().map(|child| async { outcome(&child.process.wait().await) })).await
}

fn outcome(status: &io::Result<ExitStatus>) -> Outcome {
    use std::os::unix::process::ExitStatusExt;
    let Ok(status) = status else { return Outcome::Unknown };
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited(code),
        (None, Some(signal)) => Outcome::Signaled(signal),
        (None, None) => Outcome::Unknown,
    }
}

/// Signals a whole group. One that is gone already needs no signal.
fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        let _gone = kill_process_group(group, signal);
    }
}

/// Reads one of a program's outputs as it comes: a pipe that nobody drains would stop the program.
async fn drain(pipe: Option<impl AsyncRead + Unpin>, capture: &mut Capture) {
    let Some(mut pipe) = pipe else { return };
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = pipe.read(&mut bytes).await {
        capture.push(bytes.get(..read).unwrap_or_default());
    }
}
