//! External programs: the only place that starts one.
//!
//! In: an [`Invocation`]. Out: a [`Running`] process and in the end its [`Finished`]: how it ended and what it wrote. A
//! [`CommandExecutor`] does it: [`LocalExecutor`] with real processes; a unit test with a script of its own.

pub(crate) mod capture;
mod invocation;
mod local;
pub mod orphans;
pub mod probe;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod scripted;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

pub use capture::{Capture, Captured};
pub use invocation::Invocation;
pub use local::LocalExecutor;
use tokio_util::sync::CancellationToken;

use crate::command::CommandId;

/// Starts external programs.
pub trait CommandExecutor: Send + Sync {
    /// Starts one, and returns as soon as it runs.
    ///
    /// # Errors
    /// It could not be started: the system's reason.
    fn start(&self, invocation: &Invocation, terms: Terms) -> io::Result<Running>;
}

/// Under which terms a program runs.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The request it runs for; it carries this in its environment, by which a later daemon knows it again.
    pub command_id: Option<CommandId>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// How long after INT to the group comes KILL.
    pub grace: Duration,
    /// A text whose lines are kept wherever in the output they stand.
    pub watch: Option<&'static str>,
}

/// A program that runs.
pub struct Running {
    /// Its process id, which is its group's too.
    pub pid: u32,
    /// Its end. Dropped before that, it kills the process.
    pub finished: Pin<Box<dyn Future<Output = Finished> + Send>>,
}

/// A program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How.
    pub outcome: Outcome,
    /// What it wrote to stdout.
    pub stdout: Captured,
    /// What it wrote to stderr.
    pub stderr: Captured,
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
            Self::Unknown => f.write_str("ended in a way the system would not tell"),
        }
    }
}
