//! Short questions to the tools: which of them is here, does the server answer, is it surely stopped, which version are you?

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{CommandExecutor, Finished, Invocation, NotStarted, Outcome, Select, Terms, orphans};
use crate::config::Config;
use crate::plan::tool;
use crate::plan::version::Version;
use crate::server::{self, Server};

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

/// The tool that is set; else the first of the usual places that is there.
pub fn find(set: Option<&Path>, candidates: &[&str]) -> Option<String> {
    set.map(PathBuf::from)
        .or_else(|| candidates.iter().map(PathBuf::from).find(|path| path.exists()))
        .map(|path| path.display().to_string())
}

/// Pings the server.
///
/// # Errors
/// There is no admin tool, or it could not be started; the text names it.
pub async fn ping(executor: &dyn CommandExecutor, config: &Config) -> io::Result<Ping> {
    let bin = admin_bin(config)?;
    let finished = run(executor, &tool::ping(&bin, config), ANSWER_WITHIN).await.map_err(io::Error::other)?;
    Ok(match finished.map(|finished| finished.outcome()) {
        Some(Outcome::Exited(0)) => Ping::Up,
        Some(Outcome::Exited(_)) => Ping::Down,
        Some(Outcome::Signaled(_) | Outcome::Cancelled(_) | Outcome::Unknown) | None => Ping::Unknown,
    })
}

fn admin_bin(config: &Config) -> io::Result<String> {
    find(config.admin_bin.as_deref(), config.flavour.tool().admin_candidates)
        .ok_or_else(|| io::Error::other("no admin tool is installed, and admin_bin is not set"))
}

/// Asks the server what it is and where it keeps its files; where it does not say so `within` that time, the reason in the tool's words.
///
/// # Errors
/// As [`ping`].
pub async fn server(
    executor: &dyn CommandExecutor,
    config: &Config,
    within: Duration,
) -> io::Result<Result<Server, String>> {
    let question = tool::variables(&admin_bin(config)?, config);
    let said =
        run_selecting(executor, &question, within, Some(server::is_asked_for)).await.map_err(io::Error::other)?;
    Ok(match said {
        None => Err(format!("no answer within {} s", within.as_secs())),
        Some(said) if said.outcome() == Outcome::Exited(0) => {
            Server::parse(&said.stdout.text).map_err(|name| format!("it names no {name}"))
        }
        Some(said) => Err(said.stderr().lines().next_back().unwrap_or_default().to_owned()),
    })
}

/// Whether no server answers, and none works in `data_dir` behind another socket. What cannot be found out is a no.
///
/// # Errors
/// As [`ping`].
pub async fn is_surely_stopped(executor: &dyn CommandExecutor, config: &Config, data_dir: &Path) -> io::Result<bool> {
    Ok(match ping(executor, config).await? {
        Ping::Down => !orphans::may_serve(data_dir, config.flavour.tool().servers),
        Ping::Up | Ping::Unknown => false,
    })
}

/// Asks the tool at `bin` for its version; none, where it cannot be told `within` that time.
///
/// # Errors
/// The tool could not be started.
pub async fn version(
    executor: &dyn CommandExecutor,
    bin: &str,
    within: Duration,
) -> Result<Option<Version>, NotStarted> {
    let finished = run(executor, &Invocation::new(bin, ["--version".to_owned()]), within).await?;
    // mariadb-backup says it on stderr (10.5.23, 10.11.19, 11.8.6), the admin tools on stdout.
    Ok(finished.and_then(|said| Version::parse(&said.stderr()).or_else(|| Version::parse(&said.stdout.text))))
}

/// Runs a program to its end, or, if that does not come `within` the time, kills it and gives nothing.
///
/// # Errors
/// It could not be started.
pub async fn run(
    executor: &dyn CommandExecutor,
    invocation: &Invocation,
    within: Duration,
) -> Result<Option<Finished>, NotStarted> {
    run_selecting(executor, invocation, within, None).await
}

async fn run_selecting(
    executor: &dyn CommandExecutor,
    invocation: &Invocation,
    within: Duration,
    select: Option<Select>,
) -> Result<Option<Finished>, NotStarted> {
    let cancel = CancellationToken::new();
    let terms =
        Terms { command_id: None, cancel: cancel.clone(), grace: Duration::ZERO, watch: None, heard: None, select };
    let mut running = executor.start(&invocation.clone().into(), terms)?;
    if let Ok(finished) = timeout(within, running.finished()).await {
        return Ok(Some(Arc::unwrap_or_clone(finished)));
    }
    cancel.cancel();
    // The kill goes out at its next step; that it has happened need not be waited for, which a dead disk could make long.
    tokio::spawn(async move {
        running.finished().await;
    });
    Ok(None)
}
