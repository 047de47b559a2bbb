//! A step that is begun while the one before it still runs: the copy of an incremental, while the backup before it is prepared.
//!
//! It has no row before its turn comes: one at a time is what a row says of a request. Its programs carry the request's id like all others,
//! by which the next start finds and ends them, and what it writes is in the restore's own directory, which goes with a failure.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use super::run::{Current, Job};
use crate::exec::{Captured, Finished, LastLine, Outcome, Running, Stage};
use crate::model::Moment;
use crate::plan::Step;

/// A step that was begun before its turn.
pub(super) struct Early {
    pid: u32,
    end: AbortOnDropHandle<Arc<Finished>>,
    last_line: LastLine,
    start: Moment,
    cancel: CancellationToken,
}

impl Early {
    /// When it was begun.
    pub(super) fn start(&self) -> Moment {
        self.start
    }

    /// Ends it, and waits for that: what it writes is about to be taken away.
    pub(super) async fn end(self) {
        self.cancel.cancel();
        let _gone = self.end.await;
    }
}

impl Job {
    /// Begins a step early, if it may be. None if it may not or cannot: then it is begun in its turn.
    pub(super) fn begin_early(&self, next: &Step) -> Option<Early> {
        if !next.is_early || self.world.shutdown.is_cancelled() {
            return None;
        }
        let (cancel, last_line) = (self.world.shutdown.child_token(), LastLine::default());
        let mut running = self.launch(next, cancel.clone(), last_line.clone()).ok()?;
        let pid = running.pid;
        info!(pid, command = %next.pipeline, "started before its turn");
        let end = AbortOnDropHandle::new(tokio::spawn(async move { running.finished().await }));
        Some(Early { pid, end, last_line, start: Moment::now(), cancel })
    }

    /// Its turn has come: from now on its row tells of it.
    pub(super) fn go_on_with(&self, early: Early, step: &Step, current: &mut Current) -> Running {
        current.last_line = early.last_line;
        self.started(step, early.pid, current);
        Running::new(early.pid, async move { early.end.await.map_or_else(|_panicked| unknown(), Arc::unwrap_or_clone) })
    }
}

/// An end of which nothing is known.
fn unknown() -> Finished {
    let first = Stage { name: String::new(), outcome: Outcome::Unknown, stderr: Captured::default() };
    Finished { first, rest: Vec::new(), stdout: Captured::default() }
}
