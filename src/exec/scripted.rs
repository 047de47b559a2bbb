//! An executor for unit tests: each program is a function of the test, called in order, at the moment it would start.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Captured, CommandExecutor, Ending, Finished, Invocation, Outcome, Running, Terms};

/// What a program does instead of running.
pub(crate) type Act = Box<dyn FnOnce(&Invocation) -> io::Result<End> + Send>;

/// How a program ends.
pub(crate) enum End {
    /// At once, with this status and these words on stderr.
    Exits(i32, &'static str),
    /// When it is told to, by INT.
    WhenCancelled,
}

/// Programs that are functions, in order.
#[derive(Default)]
pub(crate) struct ScriptedExecutor {
    acts: Mutex<VecDeque<Act>>,
}

impl ScriptedExecutor {
    /// These, in this order; one more is an error.
    pub(crate) fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: Mutex::new(acts.into_iter().collect()) }
    }
}

impl CommandExecutor for ScriptedExecutor {
    fn start(&self, invocation: &Invocation, terms: Terms) -> io::Result<Running> {
        let act = self.acts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let end = act.unwrap_or_else(|| panic!("nothing more was to be started, but {invocation} was"))(invocation)?;
        let finished = move |outcome, text: &str| {
            let watched =
                terms.watch.map(|watch| text.lines().filter(|line| line.contains(watch)).map(str::to_owned).collect());
            let stderr = Captured { text: text.to_owned(), watched: watched.unwrap_or_default() };
            Finished { outcome, stdout: Captured::default(), stderr }
        };
        let cancel = terms.cancel.clone();
        let ending = async move {
            match end {
                End::Exits(status, text) => finished(Outcome::Exited(status), text),
                End::WhenCancelled => {
                    cancel.cancelled().await;
                    finished(Outcome::Cancelled(Ending::Signaled(2)), "")
                }
            }
        };
        Ok(Running { pid: 4242, finished: Box::pin(ending) })
    }
}
