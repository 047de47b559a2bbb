//! What a `verify --restore` that was killed has left: its restore, its throw-away server, and that one's directory.
//!
//! Each has a mark beside the database while it lasts, which it holds locked. A mark that nobody holds is of one that was killed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::disk::below;
use crate::exec::orphans;
use crate::model::CommandId;
use crate::plan::RESTORES;
use crate::store::reader::Reader;
use crate::verify::server::scratch;

/// What the names of the marks begin with; the rest is what the server's environment and directory are known by.
const NAME: &str = ".verifying-";

/// What a mark says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    command_id: String,
    scratch: PathBuf,
}

/// A verification that runs; the mark goes with it.
pub(super) struct Mark {
    path: PathBuf,
    _held: File,
}

impl Mark {
    /// Marks the verification `id` by the restore `command_id`.
    pub(super) fn set(config: &Config, id: CommandId, command_id: &str) -> io::Result<Self> {
        let path = config.database_path.with_file_name(format!("{NAME}{id}"));
        // It has its name only when it is locked: nobody takes it for a dead one's.
        let new = config.database_path.with_file_name(format!(".new{NAME}{id}"));
        let mut held = File::create_new(&new)?;
        let said = Said { command_id: command_id.to_owned(), scratch: scratch(id) };
        let written = flock(&held, FlockOperation::LockExclusive).map_err(io::Error::from).and_then(|()| {
            held.write_all(&serde_json::to_vec(&said)?)?;
            fs::rename(&new, &path)
        });
        written.inspect_err(|_| drop(fs::remove_file(&new)))?;
        Ok(Self { path, _held: held })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.path);
    }
}

/// What one has left.
pub(super) struct Left {
    mark: PathBuf,
    _held: File,
    id: String,
    scratch: PathBuf,
    /// The restore's own directory.
    pub(super) folder: PathBuf,
}

/// All that is left of those that were killed, and is not still being restored.
pub(super) fn left(config: &Config) -> Vec<Left> {
    let dir = config.database_path.parent().unwrap_or(Path::new("/"));
    let names = fs::read_dir(dir).into_iter().flatten().flatten();
    names.filter_map(|entry| one(config, entry.path(), entry.file_name().to_str()?.strip_prefix(NAME)?)).collect()
}

fn one(config: &Config, mark: PathBuf, id: &str) -> Option<Left> {
    let held = File::open(&mark).ok()?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).ok()?;
    let said: Said = serde_json::from_slice(&fs::read(&mark).ok()?).ok()?;
    let steps = Reader::open(&config.database_path).ok()?.request(&said.command_id).ok()?;
    let last = steps.last().filter(|step| step.status != "running")?;
    // Nothing else is removed on the word of a row, or of a mark.
    let folder = last.args.get("tmp_dir").and_then(Value::as_str).map(PathBuf::from)?;
    let is_ours = folder.parent() == Some(config.backup_dir.join(RESTORES).as_path())
        && said.scratch.ends_with(format!("dbcalm-verify-{id}"));
    is_ours.then(|| Left { mark, _held: held, id: id.to_owned(), scratch: said.scratch, folder })
}

/// Removes it.
pub(super) fn clear(config: &Config) {
    for Left { mark, id, scratch, folder, .. } in left(config) {
        let server = orphans::Mark { command_id: id, pid: 0, command: String::new() };
        let ended = orphans::end(&[server], Duration::ZERO).map(|_count| ());
        let gone = || below::remove(&config.backup_dir, &folder);
        let scratch_gone = || match fs::remove_dir_all(&scratch) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            Ok(()) | Err(_) => Ok(()),
        };
        let place = folder.display();
        match ended.and_then(|()| gone()).and_then(|()| scratch_gone()).and_then(|()| fs::remove_file(&mark)) {
            Ok(()) => super::print_error(&format!("removed '{place}', which a verification that was killed had left")),
            Err(why) => super::print_error(&format!(
                "warning: '{place}', which a verification that was killed had left, cannot be removed: {why}\nhint: run this as root or as the daemon's user"
            )),
        }
    }
}
