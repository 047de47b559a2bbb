//! Two short questions to the tools: does the server answer, and which version are you?

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{CommandExecutor, Finished, Invocation, Outcome, Terms};
use crate::plan::version::Version;

/// How long an answer may take: 3 s, since a client waits 5.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// What a ping found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ping {
    /// A server answered, if only to say that it does not know us.
    Up,
    /// No server answered.
    Down,
    /// No answer in time, or none that says anything: the server's state is not known.
    Unknown,
}

/// Pings the server.
///
/// # Errors
/// The admin tool could not be started.
pub async fn ping(executor: &dyn CommandExecutor, invocation: &Invocation) -> std::io::Result<Ping> {
    Ok(match run(executor, invocation, ANSWER_WITHIN).await?.map(|finished| finished.outcome) {
        Some(Outcome::Exited(0)) => Ping::Up,
        Some(Outcome::Exited(_)) => Ping::Down,
        Some(Outcome::Signaled(_) | Outcome::Cancelled(_) | Outcome::Unknown) | None => Ping::Unknown,
    })
}

/// Asks the tool at `bin` for its version; none, where it cannot be told `within` that time.
///
/// # Errors
/// The tool could not be started.
pub async fn version(executor: &dyn CommandExecutor, bin: &str, within: Duration) -> std::io::Result<Option<Version>> {
    let finished = run(executor, &Invocation::new(bin, ["--version".to_owned()]), within).await?;
    // mariadb-backup says it on stderr (10.5.23, 10.11.19, 11.8.6), the admin tools on stdout.
    Ok(finished.and_then(|said| Version::parse(&said.stderr.text).or_else(|| Version::parse(&said.stdout.text))))
}

/// Runs a program to its end, or, if that does not come `within` the time, kills it and gives nothing.
///
/// # Errors
/// It could not be started.
pub async fn run(
    executor: &dyn CommandExecutor,
    invocation: &Invocation,
    within: Duration,
) -> std::io::Result<Option<Finished>> {
    let cancel = CancellationToken::new();
    let terms = Terms { command_id: None, cancel: cancel.clone(), grace: Duration::ZERO, watch: None };
    let mut running = executor.start(invocation, terms)?;
    if let Ok(finished) = timeout(within, &mut running.finished).await {
        return Ok(Some(finished));
    }
    cancel.cancel();
    // The kill goes out at its next step; that it has happened need not be waited for, which a dead disk could make long.
    tokio::spawn(running.finished);
    Ok(None)
}
