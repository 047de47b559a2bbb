//! External programs: the only place that starts one.
//!
//! In: a [`Pipeline`] of [`Invocation`]s, mostly of one. Out: a [`Running`] one and in the end its [`Finished`]: how each program
//! ended and what it wrote. A [`CommandExecutor`] does it: [`LocalExecutor`] with real processes; a unit test with a script of its
//! own.

mod ask;
pub(crate) mod capture;
mod held;
mod invocation;
mod local;
pub mod orphans;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod scripted;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use ask::{ask, ask_selecting};
pub use capture::{Capture, Captured, LastLine, Select, Watch};
pub use held::held;
pub use invocation::{Invocation, Pipeline};
pub use local::{LocalExecutor, block_nothing};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::model::CommandId;

/// Starts external programs.
pub trait CommandExecutor: Send + Sync {
    /// Starts them, and returns as soon as all of them run.
    ///
    /// # Errors
    /// One could not be started; those before it are killed.
    fn start(&self, pipeline: &Pipeline, terms: Terms) -> Result<Running, NotStarted>;
}

/// A program could not be started.
#[derive(Debug, Error)]
#[error("'{program}' could not be started: {reason}")]
pub struct NotStarted {
    /// Which.
    pub program: String,
    /// What the system said.
    pub reason: io::Error,
}

/// Under which terms a pipeline runs.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The request it runs for; it carries this in its environment, by which a later daemon knows it again.
    pub command_id: Option<CommandId>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// How long after INT to the group comes KILL.
    pub grace: Duration,
    /// What is kept wherever in a program's stderr it stands.
    pub watch: Option<Watch>,
    /// Who hears the first program's stderr while it runs.
    pub last_line: Option<LastLine>,
    /// Which lines of the last program's stdout are kept. None for all of them.
    pub select: Option<Select>,
}

/// A pipeline that runs. Dropped before its end, it kills its programs.
pub struct Running {
    /// The first program's process id, which is the group's of all.
    pub pid: u32,
    end: End,
}

/// The end of a pipeline: still to come, or known.
enum End {
    ToCome(Pin<Box<dyn Future<Output = Finished> + Send>>),
    Known(Arc<Finished>),
}

impl Running {
    /// One whose end is that of `finished`.
    pub fn new(pid: u32, finished: impl Future<Output = Finished> + Send + 'static) -> Self {
        Self { pid, end: End::ToCome(Box::pin(finished)) }
    }

    /// The end of all its programs. It may be waited for any number of times.
    ///
    /// # Cancel safety
    /// Dropped, it loses nothing: the next call waits for the same end.
    pub async fn finished(&mut self) -> Arc<Finished> {
        let finished = match &mut self.end {
            End::ToCome(end) => Arc::new(end.await),
            End::Known(finished) => return Arc::clone(finished),
        };
        self.end = End::Known(Arc::clone(&finished));
        finished
    }
}

/// A pipeline of which every program has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The first program.
    pub first: Stage,
    /// Those after it, in order.
    pub rest: Vec<Stage>,
    /// What the last one wrote to stdout.
    pub stdout: Captured,
}

/// A program of a pipeline that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Its name, for people.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// What it wrote to stderr.
    pub stderr: Captured,
}

impl Finished {
    /// Every program, in order.
    pub fn stages(&self) -> impl Iterator<Item = &Stage> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// How the whole ended: as the first program did that did not end well, and well if all did.
    pub fn outcome(&self) -> Outcome {
        let failed = self.stages().map(|stage| stage.outcome).find(|outcome| *outcome != Outcome::Exited(0));
        failed.unwrap_or(Outcome::Exited(0))
    }

    /// What all of them wrote to stderr, one after the other.
    pub fn stderr(&self) -> String {
        let texts = self.stages().map(|stage| stage.stderr.text.trim_end_matches('\n')).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join("\n")
    }
}

/// How a program ended. An integer would not tell these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
    /// It was ended by the daemon, and this is how the process went.
    Cancelled(Ending),
    /// The system would not say.
    Unknown,
}

/// How a cancelled process went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

impl Outcome {
    /// The number for the records: the exit status, or minus the signal as Python has it.
    pub fn return_code(self) -> i32 {
        match self {
            Self::Exited(status) | Self::Cancelled(Ending::Exited(status)) => status,
            Self::Signaled(signal) | Self::Cancelled(Ending::Signaled(signal)) => -signal,
            Self::Unknown => -1,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "ended with status {status}"),
            Self::Signaled(signal) => write!(f, "ended by signal {signal}"),
            Self::Cancelled(Ending::Exited(status)) => write!(f, "stopped by the daemon, with status {status}"),
            Self::Cancelled(Ending::Signaled(signal)) => write!(f, "stopped by the daemon, by signal {signal}"),
            Self::Unknown => f.write_str("ended, and the system did not say how"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::timeout;
    use tokio_util::sync::CancellationToken;

    use super::{CommandExecutor, Invocation, LocalExecutor, Outcome, Terms};

    #[tokio::test]
    async fn the_end_of_a_program_may_be_waited_for_again_and_again() {
        let cancel = CancellationToken::new();
        let terms =
            Terms { command_id: None, cancel, grace: Duration::ZERO, watch: None, last_line: None, select: None };
        let mut running = LocalExecutor.start(&Invocation::new("/bin/false", []).into(), terms).unwrap();
        // One that gives up waiting loses nothing.
        let _given_up = timeout(Duration::ZERO, running.finished()).await;
        let first = running.finished().await;
        assert_eq!(first.outcome(), Outcome::Exited(1));
        assert!(Arc::ptr_eq(&first, &running.finished().await));
    }
}
