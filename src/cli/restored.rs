//! `verify --restore`: the chain restored to a folder by the daemon, a throw-away server over it, and the folder removed again.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::order;
use super::exit::Failure;
use super::follow::follow;
use super::leftover::Mark;
use super::output::Output;
use crate::command::CommandId;
use crate::command::parse::RESTORE_BACKUP;
use crate::config::Config;
use crate::disk::below;
use crate::exec::LocalExecutor;
use crate::plan::RESTORES;
use crate::store::reader::BackupRow;
use crate::verify::server::{self, Checked};

/// What was restored; it goes when it is done with.
struct Folder<'a> {
    root: &'a Path,
    path: PathBuf,
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        if let Err(why) = below::remove(self.root, &self.path) {
            super::print_error(&format!("warning: '{}' cannot be removed: {why}", self.path.display()));
        }
    }
}

/// Restores this chain, full backup first, and checks all its tables.
pub(super) fn check(chain: &[&BackupRow], config: &Config, socket: &Path, output: Output) -> Result<Checked, Failure> {
    let ids: Vec<_> = chain.iter().map(|row| row.id.as_str()).collect();
    let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default());
    let signals = Signals::heard().map_err(|why| Failure::new(&why, "the system has no resources left"))?;
    let command_id = order(socket, RESTORE_BACKUP, &json!({"id_list": ids, "target": "folder"}))?;
    let id = CommandId::random();
    // Where it cannot be set, what a KILL leaves is not found again; that is no reason to verify nothing.
    let _mark = Mark::set(config, id, &command_id).ok();
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
    let folder = place.map(|path| Folder { root: &config.backup_dir, path }).ok_or_else(|| {
        Failure::because("the records do not say where the restore is", "dbcalm-db-cmd list restores --limit 1")
    })?;
    let data = folder.path.join(first);
    if signals.stop.is_cancelled() {
        return Err(interrupted());
    }
    let checked = signals.runtime.block_on(server::check(&data, config.flavour, &LocalExecutor, id, &signals.stop));
    checked.map_err(|why| match why {
        server::NotChecked::Interrupted => interrupted(),
        server::NotChecked::NoProgram(_)
        | server::NotChecked::Scratch(..)
        | server::NotChecked::NotStarted(_)
        | server::NotChecked::NoServer(_)
        | server::NotChecked::NoTables(_) => {
            Failure::new(&why, "run this as root or as the daemon's user, on a machine with the server's package")
        }
    })
}

fn interrupted() -> Failure {
    Failure::because("interrupted: nothing can be said of it, and what was restored is removed", "start it again")
}

/// INT, TERM and HUP from here on: none ends this process before what it had made is removed.
struct Signals {
    runtime: runtime::Runtime,
    stop: CancellationToken,
    _heard: DropGuard,
}

impl Signals {
    /// Hears them on a thread of its own, since this one waits for the daemon.
    fn heard() -> io::Result<Self> {
        let runtime = || runtime::Builder::new_current_thread().enable_all().build();
        let (hearing, stop, done) = (runtime()?, CancellationToken::new(), CancellationToken::new());
        let entered = hearing.enter();
        let (mut int, mut term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut hup = signal(SignalKind::hangup())?;
        drop(entered);
        let (told, ended) = (stop.clone(), done.clone());
        thread::spawn(move || {
            hearing.block_on(async {
                loop {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                        _ = hup.recv() => {}
                        () = ended.cancelled() => return,
                    }
                    super::print_error(
                        "interrupted: what is restored is removed as soon as the daemon is done with it",
                    );
                    told.cancel();
                }
            });
        });
        Ok(Self { runtime: runtime()?, stop, _heard: done.drop_guard() })
    }
}
