//! Short questions: a program run to its end, but for no longer than its answer is worth.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{CommandExecutor, Finished, Invocation, NotStarted, Select, Terms};

/// Runs a program to its end, or, if that does not come `within` the time, kills it and gives nothing.
///
/// # Errors
/// It could not be started.
pub async fn ask(
    executor: &dyn CommandExecutor,
    invocation: &Invocation,
    within: Duration,
) -> Result<Option<Finished>, NotStarted> {
    ask_selecting(executor, invocation, within, None).await
}

/// As [`ask`], and keeps of its output only the lines that are selected.
///
/// # Errors
/// It could not be started.
pub async fn ask_selecting(
    executor: &dyn CommandExecutor,
    invocation: &Invocation,
    within: Duration,
    select: Option<Select>,
) -> Result<Option<Finished>, NotStarted> {
    let cancel = CancellationToken::new();
    let terms =
        Terms { command_id: None, cancel: cancel.clone(), grace: Duration::ZERO, watch: None, last_line: None, select };
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
