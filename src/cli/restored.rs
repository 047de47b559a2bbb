//! `verify --restore`: the chain restored to a folder by the daemon, a throw-away server over it, and the folder removed again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::runtime;

use super::client::order;
use super::exit::Failure;
use super::follow::follow;
use super::output::Output;
use crate::command::parse::RESTORE_BACKUP;
use crate::config::Config;
use crate::exec::LocalExecutor;
use crate::plan::RESTORES;
use crate::store::reader::BackupRow;
use crate::verify::server::{self, Checked};

/// What was restored; it goes when it is done with.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(why) = fs::remove_dir_all(&self.0) {
            super::print_error(&format!("warning: '{}' cannot be removed: {why}", self.0.display()));
        }
    }
}

/// Restores this chain, full backup first, and checks all its tables.
pub(super) fn check(chain: &[&BackupRow], config: &Config, socket: &Path, output: Output) -> Result<Checked, Failure> {
    let ids: Vec<_> = chain.iter().map(|row| row.id.as_str()).collect();
    let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default());
    let command_id = order(socket, RESTORE_BACKUP, &json!({"id_list": ids, "target": "folder"}))?;
    let status = follow(&command_id, config, socket, output)?;
    if status.status != "success" {
        let why = status.error.as_deref().and_then(|error| error.lines().next()).unwrap_or("it does not say why");
        let hint =
            format!("dbcalm-db-cmd logs {command_id} has all of it; dbcalm-db-cmd verify {last} says what is damaged");
        return Err(Failure::because(format!("'{last}' was not restored: {why}"), hint));
    }
    let place = status.args.get("tmp_dir").and_then(Value::as_str).map(PathBuf::from);
    // Nothing else is removed on the word of a row.
    let place = place.filter(|place| place.parent() == Some(config.backup_dir.join(RESTORES).as_path()));
    let folder = place.map(Folder).ok_or_else(|| {
        Failure::because("the records do not say where the restore is", "dbcalm-db-cmd list restores --limit 1")
    })?;
    let data = folder.0.join(first);
    let checked = runtime::Builder::new_current_thread().enable_all().build().map(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                checked = server::check(&data, config.flavour, &LocalExecutor) => Some(checked),
                _interrupted = tokio::signal::ctrl_c() => None,
            }
        })
    });
    match checked {
        Ok(Some(Ok(checked))) => Ok(checked),
        Ok(Some(Err(why))) => {
            let hint = "run this as root or as the daemon's user, on a machine with the server's package";
            Err(Failure::new(&why, hint))
        }
        Ok(None) => Err(Failure::because("interrupted: nothing can be said of it", "start it again")),
        Err(why) => Err(Failure::new(&why, "the system has no resources left")),
    }
}
