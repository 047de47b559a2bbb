//! `backup full`, `backup incremental`: ordered from the daemon, whose locks and records they are.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::json;

use super::backups::Backups;
use super::client::order;
use super::exit::{Exit, Failure};
use super::follow::{Order, see_to};
use super::output::Output;
use crate::command::parse::{FULL_BACKUP, INCREMENTAL_BACKUP};
use crate::config::Config;
use crate::model::{BackupId, Moment};

#[derive(Debug, Clone, Subcommand)]
pub(in crate::cli) enum BackupArgs {
    /// Take a full backup, and follow it to its end
    #[command(
        after_help = "Examples:\n  dbcalm-db-cmd backup full\n  dbcalm-db-cmd backup full before-upgrade --detach"
    )]
    Full(FullArgs),
    /// Take an incremental backup, and follow it to its end
    #[command(
        after_help = "Examples:\n  dbcalm-db-cmd backup incremental\n  dbcalm-db-cmd backup incremental noon --from monday"
    )]
    Incremental(IncrementalArgs),
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct FullArgs {
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct IncrementalArgs {
    #[command(flatten)]
    common: Common,
    /// The base; if left out, the newest backup that can be one
    #[arg(long, value_name = "ID")]
    from: Option<BackupId>,
}

#[derive(Debug, Clone, Args)]
struct Common {
    /// The backup's id; if left out, made from the time (UTC)
    id: Option<BackupId>,
    /// Print the command's id and return at once
    #[arg(long)]
    detach: bool,
    #[command(flatten)]
    output: Output,
}

pub(in crate::cli) fn backup(args: &BackupArgs, config: &Config, socket: &Path) -> Result<Exit, Failure> {
    let (BackupArgs::Full(FullArgs { common }) | BackupArgs::Incremental(IncrementalArgs { common, .. })) = args;
    let id = match &common.id {
        Some(id) => id.to_string(),
        None => free(config),
    };
    let (command_id, what) = match args {
        BackupArgs::Full(_) => (order(socket, FULL_BACKUP, &json!({ "id": id }))?, format!("full backup {id}")),
        BackupArgs::Incremental(IncrementalArgs { from, .. }) => {
            let base = match from {
                Some(from) => from.to_string(),
                None => newest(config)?,
            };
            let command_id = order(socket, INCREMENTAL_BACKUP, &json!({"id": id, "from_backup_id": base}))?;
            (command_id, format!("incremental backup {id} from {base}"))
        }
    };
    see_to(&Order { command_id: &command_id, what: &what }, common.detach, config, socket, common.output)
}

/// An id made from the time that no backup has: there may be several in a second.
fn free(config: &Config) -> String {
    let now = Moment::now().directory_name();
    // Without records there are none, or the daemon will say what is wrong.
    let all = Backups::look(config).ok();
    let is_free = |id: &String| {
        all.as_ref().is_none_or(|all| all.chains.get(id).is_none()) && !config.backup_dir.join(id).exists()
    };
    let later = (2..).map(|number: u32| format!("{now}-{number}"));
    std::iter::once(now.clone()).chain(later).find(is_free).unwrap_or(now)
}

fn newest(config: &Config) -> Result<String, Failure> {
    let all = Backups::look(config)?;
    all.newest_base(config).map(|row| row.id.clone()).ok_or_else(|| {
        let text = "no backup can be the base of an incremental";
        Failure::because(text, "take a full backup first: dbcalm-db-cmd backup full").exit(Exit::NotFound)
    })
}
