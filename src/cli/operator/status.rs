//! `status`: how a request stands, and, if asked for, to its end.

use std::path::Path;

use clap::Args;

use super::exit::{Exit, Failure};
use super::follow::follow;
use super::output::{Output, records};
use super::request::Status;
use crate::config::Config;

/// Show the status of a backup or restore
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Exit status: 1 if the command failed; 0 if it is done or, without --follow, running.\n\nExample:\n  dbcalm-db-cmd status cad1f48d-be6f-4ca2-b631-1a7ae7429c93 --follow"
)]
pub(in crate::cli) struct StatusArgs {
    /// The id that the daemon gave when it accepted the command
    command_id: String,
    /// Follow it to its end
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn status(args: &StatusArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    let (mut status, _) = Status::read(&records(config)?, &args.command_id)?;
    if args.follow && status.is_running() {
        status = follow(&args.command_id, config, socket, args.output)?;
    }
    args.output.say(&status, || status.text());
    Ok(status.exit())
}
