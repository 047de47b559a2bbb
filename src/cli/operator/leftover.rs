//! What a `verify --restore` that was killed has left: its restore, its throw-away server, and that one's directory.
//!
//! Each has a mark beside the database while it lasts, which it holds locked. A mark that nobody holds is of one that was killed.
//!
//! The group may write there, and into the records. So a mark counts only where this user or root wrote it, under the name that it says
//! itself, and where no request has that name; and of a restore nothing is removed that was there before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Config;
use crate::disk::below;
use crate::exec::orphans;
use crate::model::CommandId;
use crate::plan::RESTORES;
use crate::records::reader::Reader;
use crate::verify::server::scratch;

/// What the names of the marks begin with; the rest is what the server's environment and directory are known by.
const NAME: &str = ".verifying-";

/// How long a mark is at the most, in bytes: a path (`PATH_MAX`, 4096), an id and a number.
const MOST: u64 = 8192;

/// What a mark says.
#[derive(Debug, Serialize, Deserialize)]
struct Said {
    command_id: String,
    scratch: PathBuf,
    begun: Begun,
}

/// When a verification was begun, in seconds since 1970, before it asked for its restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begun(u64);

impl Begun {
    pub(super) fn now() -> Self {
        Self::at(SystemTime::now())
    }

    fn at(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// Whether a folder can be that of its restore: a row may name one that was restored before. Where the file system does not know when a
    /// folder was made, its last change is no earlier than that.
    pub(super) fn is_before(self, folder: &Path) -> io::Result<bool> {
        let there = fs::symlink_metadata(folder)?;
        let made = there.created().or_else(|_unknown| there.modified())?;
        Ok(there.is_dir() && Self::at(made).0 >= self.0)
    }
}

/// A verification that runs; the mark goes with it.
pub(super) struct Mark {
    path: PathBuf,
    _held: File,
}

impl Mark {
    /// Marks the verification `id` by the restore `command_id`.
    pub(super) fn set(config: &Config, id: CommandId, command_id: &str, begun: Begun) -> io::Result<Self> {
        let path = config.database_path.with_file_name(format!("{NAME}{id}"));
        // It has its name only when it is locked: nobody takes it for a dead one's.
        let new = config.database_path.with_file_name(format!(".new{NAME}{id}"));
        // Whatever the umask: one that others may write to is not believed.
        let mut held = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new)?;
        let said = Said { command_id: command_id.to_owned(), scratch: scratch(id), begun };
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

fn one(config: &Config, mark: PathBuf, name: &str) -> Option<Left> {
    let id = CommandId::read(name)?.to_string();
    let held = open(&mark).ok()?;
    flock(&held, FlockOperation::NonBlockingLockExclusive).ok()?;
    let mut text = Vec::new();
    (&held).take(MOST).read_to_end(&mut text).ok()?;
    let said: Said = serde_json::from_slice(&text).ok()?;
    let records = Reader::open(&config.database_path).ok()?;
    // By its name processes are ended: those of a request are the daemon's.
    let is_no_request = records.request(&id).ok()?.is_empty();
    let steps = records.request(&CommandId::read(&said.command_id)?.to_string()).ok()?;
    let last = steps.last().filter(|step| step.status != "running")?;
    // Nothing else is removed on the word of a row, or of a mark.
    let folder = last.args.get("tmp_dir").and_then(Value::as_str).map(PathBuf::from)?;
    let is_ours = folder.parent() == Some(config.backup_dir.join(RESTORES).as_path())
        && said.begun.is_before(&folder).unwrap_or_else(|why| why.kind() == io::ErrorKind::NotFound)
        && said.scratch.ends_with(format!("dbcalm-verify-{id}"));
    (is_ours && is_no_request).then(|| Left { mark, _held: held, id, scratch: said.scratch, folder })
}

/// Opens a mark that this user or root wrote; nothing else is waited for or followed.
fn open(mark: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let held = File::from(openat(CWD, mark, flags, Mode::empty())?);
    let there = held.metadata()?;
    let is_owner = there.uid() == 0 || there.uid() == rustix::process::geteuid().as_raw();
    let is_closed = there.mode() & 0o022 == 0 && there.nlink() == 1;
    if there.is_file() && there.len() <= MOST && is_owner && is_closed {
        Ok(held)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
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
            Ok(()) => super::print_error(&format!("removed '{place}', which a killed verification had left")),
            Err(why) => super::print_error(&format!(
                "warning: '{place}', which a killed verification had left, cannot be removed: {why}\nhint: run this as root or as the daemon's user"
            )),
        }
    }
}
