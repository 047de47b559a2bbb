//! `verify --restore`: the chain restored to a folder by the daemon, a throw-away server over it, and the folder removed again.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::Value;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::client::order_restore;
use super::exit::Failure;
use super::follow::follow;
use super::leftover::{Begun, Mark};
use super::output::Output;
use super::request::Status;
use crate::config::Config;
use crate::disk::below;
use crate::exec::LocalExecutor;
use crate::model::CommandId;
use crate::plan::RESTORES;
use crate::records::reader::BackupRow;
use crate::verify::server::{self, Checked, NotChecked};

/// What was restored; it goes when it is done with.
struct Folder<'a> {
    root: &'a Path,
    path: PathBuf,
}

impl<'a> Folder<'a> {
    /// That of a restore to a folder which has succeeded.
    fn of(status: &Status, config: &'a Config, begun: Begun) -> Result<Self, Failure> {
        let place = status.args.get("tmp_dir").and_then(Value::as_str).map(PathBuf::from);
        // Nothing else is removed on the word of a row.
        let place = place.filter(|place| place.parent() == Some(config.backup_dir.join(RESTORES).as_path()));
        let place = place.filter(|place| begun.is_before(place).unwrap_or(false));
        place.map(|path| Self { root: &config.backup_dir, path }).ok_or_else(|| {
            Failure::because("the records do not say where the restore is", "dbcalm-db-cmd list restores --limit 1")
        })
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        if let Err(why) = below::remove(self.root, &self.path) {
            super::print_error(&format!("warning: '{}' cannot be removed: {why}", self.path.display()));
        }
    }
}

/// Verifications by a restore, one after the other, which a signal ends between or in the midst of them.
pub(super) struct Restored<'a> {
    config: &'a Config,
    socket: &'a Path,
    output: Output,
    signals: Signals,
}

impl<'a> Restored<'a> {
    /// From here on INT, TERM and HUP are heard.
    pub(super) fn begin(config: &'a Config, socket: &'a Path, output: Output) -> Result<Self, Failure> {
        let signals = Signals::heard().map_err(|why| Failure::new(&why, "the system has no resources left"))?;
        Ok(Self { config, socket, output, signals })
    }

    /// Restores this chain, full backup first, and checks all its tables.
    ///
    /// # Errors
    /// The chain was not restored, or a signal came. The inner one: nothing can be said of its tables.
    pub(super) fn check(&self, chain: &[&BackupRow]) -> Result<Result<Checked, NotChecked>, Failure> {
        let Self { config, socket, output, signals } = self;
        if signals.stop.is_cancelled() {
            return Err(interrupted());
        }
        let ids: Vec<_> = chain.iter().map(|row| row.id.as_str()).collect();
        let (first, last) = (ids.first().copied().unwrap_or_default(), ids.last().copied().unwrap_or_default());
        let begun = Begun::now();
        let command_id = order_restore(socket, &ids, "folder", None)?;
        let id = CommandId::random();
        // Where it cannot be set, what a KILL leaves is not found again; that is no reason to verify nothing.
        let _mark = Mark::set(config, id, &command_id, begun).ok();
        let status = follow(&command_id, config, socket, *output)?;
        if status.status != "success" {
            let why = status.error.as_deref().and_then(|error| error.lines().next()).unwrap_or("it does not say why");
            let hint = format!(
                "dbcalm-db-cmd logs {command_id} shows all of it; dbcalm-db-cmd verify {last} says what is damaged"
            );
            return Err(Failure::because(format!("'{last}' was not restored: {why}"), hint));
        }
        let folder = Folder::of(&status, config, begun)?;
        let data = folder.path.join(first);
        if signals.stop.is_cancelled() {
            return Err(interrupted());
        }
        match signals.runtime.block_on(server::check(&data, config.flavour, &LocalExecutor, id, &signals.stop)) {
            Err(NotChecked::Interrupted) => Err(interrupted()),
            checked => Ok(checked),
        }
    }
}

fn interrupted() -> Failure {
    Failure::because("interrupted: the backup was not checked, and the restored files are removed", "start it again")
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
                        "interrupted: the restored files are removed as soon as the daemon has ended the restore",
                    );
                    told.cancel();
                }
            });
        });
        Ok(Self { runtime: runtime()?, stop, _heard: done.drop_guard() })
    }
}
