//! Real child processes: a group of their own, a clean environment, nothing of ours but three descriptors.

use std::io;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::{Capture, CommandExecutor, Ending, Finished, Invocation, Outcome, Running, Terms, orphans};

/// The search path of the children: the tools call others (mariabackup none, an operator's wrapper script many).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How long output may still come after a program's end, from a child it left behind; then its group is killed.
const OUTPUT_WITHIN: Duration = Duration::from_secs(2);

/// Starts programs on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

impl CommandExecutor for LocalExecutor {
    fn start(&self, invocation: &Invocation, terms: Terms) -> io::Result<Running> {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that starts processes")]
        let mut command = Command::new(&invocation.program);
        command
            .args(&invocation.args)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Some(id) = terms.command_id {
            command.env(orphans::TAG, id.to_string());
        }
        let child = command.spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the process was gone at once"))?;
        Ok(Running { pid, finished: Box::pin(finish(child, pid, terms)) })
    }
}

async fn finish(mut child: Child, pid: u32, terms: Terms) -> Finished {
    let group = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Capture::default(), Capture::watching(terms.watch));
    let outcome = {
        let mut reading = pin!(async { tokio::join!(drain(out, &mut stdout), drain(err, &mut stderr)) });
        let mut ending = pin!(end(&mut child, group, &terms));
        let mut read = false;
        let outcome = loop {
            tokio::select! {
                outcome = &mut ending => break outcome,
                _ = &mut reading, if !read => read = true,
            }
        };
        // What the program wrote last is still in the pipes. Should somebody hold them open, it is a child that the program
        // left behind in its group.
        if !read && timeout(OUTPUT_WITHIN, &mut reading).await.is_err() {
            signal(group, Signal::KILL);
            let _given_up = timeout(OUTPUT_WITHIN, &mut reading).await;
        }
        outcome
    };
    Finished { outcome, stdout: stdout.finish(), stderr: stderr.finish() }
}

/// Waits for the program's end, or brings it about.
async fn end(child: &mut Child, group: Option<Pid>, terms: &Terms) -> Outcome {
    tokio::select! {
        biased;
        status = child.wait() => outcome(&status),
        () = terms.cancel.cancelled() => {
            // mariadb-backup blocks TERM while it takes a backup, and heeds INT (seen with 10.11.19).
            signal(group, Signal::INT);
            let status = if let Ok(status) = timeout(terms.grace, child.wait()).await {
                status
            } else {
                signal(group, Signal::KILL);
                child.wait().await
            };
            match outcome(&status) {
                Outcome::Exited(status) => Outcome::Cancelled(Ending::Exited(status)),
                Outcome::Signaled(signal) => Outcome::Cancelled(Ending::Signaled(signal)),
                other @ (Outcome::Cancelled(_) | Outcome::Unknown) => other,
            }
        }
    }
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
