//! An executor for unit tests: each program is a function of the test, called in order, at the moment it would start.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, PoisonError};

use super::{Captured, CommandExecutor, Ending, Finished, NotStarted, Outcome, Pipeline, Running, Stage, Terms};

/// What a pipeline does instead of running.
pub(crate) type Act = Box<dyn FnOnce(&Pipeline) -> io::Result<End> + Send>;

/// What a ping says where nobody listens.
pub(crate) const NOBODY: &str = "error: 'Can't connect to local server through socket '/s' (2)'";

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
    fn start(&self, pipeline: &Pipeline, terms: Terms) -> Result<Running, NotStarted> {
        let act = self.acts.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let end = act.unwrap_or_else(|| panic!("nothing more was to be started, but {pipeline} was"))(pipeline);
        let end = end.map_err(|reason| NotStarted { program: pipeline.first.program.clone(), reason })?;
        let names = pipeline.stages().map(|stage| stage.name().to_owned()).collect::<Vec<_>>();
        let finished = move |outcome, text: &str| {
            let watched = terms.watch.map(|watch| watch.find_all(text)).unwrap_or_default();
            let stderr = Captured { text: text.to_owned(), watched };
            let stage = |name| Stage { name, outcome, stderr: stderr.clone() };
            let mut stages = names.into_iter().map(stage);
            let first = stages.next().unwrap();
            Finished { first, rest: stages.collect(), stdout: Captured::default() }
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
        Ok(Running::new(4242, ending))
    }
}
