//! `restore`: the chain is found from the records, and the daemon is ordered to restore it.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, ValueEnum};

use super::backups::Backups;
use super::client::order_restore;
use super::confirm::confirm;
use super::exit::{Exit, Failure};
use super::follow::{Order, see_to};
use super::output::Output;
use crate::config::Config;
use crate::model::Amount;
use crate::records::reader::BackupRow;

/// Restore a backup with its whole chain, and follow it to its end
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "A database restore needs a stopped server and an empty data directory.\nA folder restore makes a prepared data directory and touches nothing else.\n\nExamples:\n  dbcalm-db-cmd restore latest --target database\n  dbcalm-db-cmd restore 2026-11-22-08-46-51 --target folder"
)]
pub(in crate::cli) struct RestoreArgs {
    /// A backup's id, or 'latest': the newest that can be restored
    id: String,
    /// Where to restore
    #[arg(long, value_enum)]
    target: Target,
    /// Do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    /// Print the command's id and return at once
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    Database,
    Folder,
}

pub(in crate::cli) fn restore(args: &RestoreArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    let all = Backups::look(config)?;
    let row = all.find(&args.id).ok_or_else(|| {
        Failure::because(format!("no backup '{}' is recorded", args.id), "dbcalm-db-cmd list shows all backups")
            .exit(Exit::NotFound)
    })?;
    let chain = all.chains.chain(&row.id).map_err(|why| {
        let newest = all.chains.newest_whole().map_or_else(
            || "no backup here can be restored: dbcalm-db-cmd list shows why".to_owned(),
            |newest| format!("the newest backup that can be restored is '{}': dbcalm-db-cmd list shows all", newest.id),
        );
        Failure::because(format!("'{}' cannot be restored: {why}", row.id), newest)
    })?;
    if args.target == Target::Database && !args.yes {
        ask(&all, &chain, config)?;
    }
    let ids: Vec<_> = chain.iter().map(|row| row.id.as_str()).collect();
    let (target, into) = match args.target {
        Target::Database => ("database", format!("into '{}'", config.data_dir.display())),
        Target::Folder => ("folder", "to a folder".to_owned()),
    };
    let command_id = order_restore(socket, &ids, target)?;
    let what = format!("restore of {} {into}", ids.join(" → "));
    see_to(&Order { command_id: &command_id, what: &what }, args.detach, config, socket, args.output)
}

/// Asks whether the data directory may be filled.
fn ask(all: &Backups, chain: &[&BackupRow], config: &Config) -> Result<(), Failure> {
    let mut question = format!("This fills '{}' with\n", config.data_dir.display());
    for row in chain {
        let size = all.size(row, config).map(|size| format!(", {}", Amount(size))).unwrap_or_default();
        let begun = row.start_time.as_deref().map(|at| format!(", begun {at} UTC")).unwrap_or_default();
        let _infallible = writeln!(question, "  {}{begun}{size}", row.id);
    }
    question.push_str("Continue? [y/N] ");
    confirm("a database restore", &question)
}
