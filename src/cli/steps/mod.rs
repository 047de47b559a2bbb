//! The hidden subcommands: steps of a backup or a restore that the daemon runs as it runs the backup tool, with a pid, a row and a kill of
//! their own. Like the tool, each says what it did on stderr, and `completed OK!` last.

mod binlogs;
mod copy;
mod extract;
mod remote;
mod replay;
mod send;
mod store;

pub(super) use binlogs::{BinlogArgs, SendBinlogsArgs, archive_binlogs, send_binlogs};
pub(super) use copy::{CopyArgs, copy};
pub(super) use extract::{ExtractArgs, extract};
pub(super) use replay::{HeldArgs, ReplayArgs, held, replay};
pub(super) use send::{EraseArgs, ReceiveArgs, SendArgs, erase, receive, send};
pub(super) use store::{StoreArgs, store};

use std::fmt::Display;
use std::process::ExitCode;
use std::time::Instant;

use super::print_error;
use crate::model::Flavour;
use crate::witness::findings::WARNING;

fn flavour(name: &str) -> Result<Flavour, String> {
    Flavour::named(name).ok_or_else(|| "mariadb or mysql".to_owned())
}

/// Says that so many tables come into the data directory instead of to their own places.
fn say_left(links: usize) {
    if links > 0 {
        print_error(&format!(
            "left out {links} links to tables outside the data directory, because other users may have written them: these tables are put \
             into it"
        ));
    }
}

/// Says what the job's success is to be told with, by its row and in the log.
fn warn(text: &str) {
    print_error(&format!("{WARNING}{text}"));
}

/// Does it, and says how it went.
fn run<E: std::error::Error>(name: &str, work: impl FnOnce() -> Result<String, E>) -> ExitCode {
    let begun = Instant::now();
    let say = |text: &dyn Display| print_error(&format!("{name}: {text}"));
    match work() {
        Ok(done) => {
            say(&format!("{done} in {:.2} s", begun.elapsed().as_secs_f64()));
            say(&"completed OK!");
            ExitCode::SUCCESS
        }
        Err(why) => {
            say(&crate::model::causes(&why));
            ExitCode::FAILURE
        }
    }
}
