//! Whether a person at a terminal says yes.

use std::io::{self, BufRead, IsTerminal, Write as _};

use super::exit::{Exit, Failure};

/// Asks, where somebody can answer; `what` asks, in a few words.
///
/// # Errors
/// The answer is no, or there is no terminal.
pub(super) fn confirm(what: &str, question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::because(
            format!("{what} asks for confirmation, but there is no terminal"),
            "confirm with --yes",
        )
        .exit(Exit::Usage));
    }
    let _closed = io::stderr().write_all(question.as_bytes());
    let mut answer = String::new();
    let heard = io::stdin().lock().read_line(&mut answer);
    if heard.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::because("nothing was done", "answer y, or confirm with --yes"))
}
