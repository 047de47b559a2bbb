//! How a subcommand ends: the few exit statuses, and a failure that says what to do.

use std::process::ExitCode;

use super::print_error;

/// What the exit status says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// It is done.
    Done = 0,
    /// The job, or the check, has failed; or the daemon refused.
    Failed = 1,
    /// The command line is wrong; clap's own status for it.
    Usage = 2,
    /// No such backup or command is known.
    NotFound = 3,
    /// The daemon cannot be reached.
    Unreachable = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a subcommand ended without having done its work.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) hint: String,
    pub(super) exit: Exit,
}

impl Failure {
    pub(super) fn new(error: &dyn std::error::Error, hint: impl Into<String>) -> Self {
        Self::because(crate::model::causes(error), hint)
    }

    pub(super) fn because(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { text: text.into(), hint: hint.into(), exit: Exit::Failed }
    }

    pub(super) fn exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Tells a person.
    pub(super) fn report(self) -> ExitCode {
        let Self { text, hint, exit } = self;
        print_error(&format!("error: {text}\nhint: {hint}"));
        exit.into()
    }
}
