//! `logs`: what the tools of a request said.

use clap::Args;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::exit::{Exit, Failure};
use super::output::{Output, or_dash, records};
use super::request::Status;
use crate::config::Config;
use crate::records::reader::ProcessRow;

/// Show the tools' output of a backup or restore, step by step
#[derive(Debug, Clone, Args)]
#[command(after_help = "Example:\n  dbcalm-db-cmd logs cad1f48d-be6f-4ca2-b631-1a7ae7429c93 | less")]
pub(in crate::cli) struct LogsArgs {
    /// The id that the daemon gave when it accepted the command
    command_id: String,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn logs(args: &LogsArgs, config: &Config) -> Result<Exit, Failure> {
    let (_, rows) = Status::read(&records(config)?, &args.command_id)?;
    args.output.say(&BTreeMap::from([("steps", &rows)]), || {
        let steps: Vec<_> = rows.iter().enumerate().map(|(at, row)| step(at + 1, rows.len(), row)).collect();
        steps.join("\n")
    });
    Ok(Exit::Done)
}

fn step(at: usize, of: usize, row: &ProcessRow) -> String {
    let code = row.return_code.map(|code| format!(", return code {code}")).unwrap_or_default();
    let mut said = format!("step {at} of {of}: {}{code}\n", row.status);
    let times = (or_dash(row.start_time.clone()), or_dash(row.end_time.clone()));
    let _infallible = write!(said, "  $ {}\n  {} to {}\n", row.command, times.0, times.1);
    for (name, text) in [("output", &row.output), ("error", &row.error)] {
        if let Some(text) = text {
            let _infallible = write!(said, "{name}:\n{}\n", text.trim_end());
        }
    }
    said
}
