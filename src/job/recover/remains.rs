//! What the command of an interrupted row may have left, as far as the row is believed.
//!
//! In: a row, which everybody who can write the records may have made, and the settings. Out: places that the daemon itself
//! makes, in `backup_dir` and of names that only it gives; or why nothing is taken away. The data directory is the settings',
//! whatever a row names. Nothing here looks at the disk.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::Config;
use crate::disk::data_dir::RESTORING;
use crate::model::BackupId;
use crate::plan::{INVENTORY, RESTORES, TMP};
use crate::records::process::Interrupted;

/// What may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remains {
    /// A backup's folder.
    Backup {
        /// Whose.
        id: BackupId,
        /// The folder.
        dir: PathBuf,
    },
    /// A restore's directories.
    Restore {
        /// The request's own.
        dir: PathBuf,
        /// The one in the data directory that may have the working copy.
        room: PathBuf,
        /// How the data directory was being filled, where it had come to that.
        filling: Option<Filling>,
    },
    /// The directory of a restore that was filling another data directory than the settings name.
    Elsewhere {
        /// The directory.
        dir: PathBuf,
        /// What the row names.
        data_dir: PathBuf,
    },
}

/// How a data directory was being filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filling {
    /// With copies of the files in this working copy.
    Copying(PathBuf),
    /// With the files of which this is the inventory.
    Moving(PathBuf),
}

impl Remains {
    /// Reads a row.
    ///
    /// # Errors
    /// Why nothing can be taken away on its word, for the row.
    pub(crate) fn of(row: &Interrupted, config: &Config) -> Result<Self, String> {
        let args: Value = serde_json::from_str(&row.args).unwrap_or_default();
        let told = |place: &str| args.pointer(place).and_then(Value::as_str);
        if row.kind == "backup" {
            let id: Option<BackupId> = told("/id").and_then(|id| id.parse().ok());
            let id = id.ok_or("its id is not known, so nothing was removed")?;
            let dir = config.backup_dir.join(id.as_str());
            // Another directory's backup is not this daemon's to remove.
            return if option(&row.command, "--target-dir=").is_some_and(|target| Path::new(target) == dir) {
                Ok(Self::Backup { id, dir })
            } else {
                Err(left(&dir))
            };
        }
        let tmp_dir = told("/tmp_dir").map(Path::new);
        let tmp_dir = tmp_dir.ok_or("its directory is not known, so nothing was removed")?;
        let dir = own(tmp_dir, &config.backup_dir).ok_or_else(|| left(tmp_dir))?;
        let name = dir.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let room = config.data_dir.join(format!("{RESTORING}{name}"));
        let filling = if row.command.contains(" --move-back ") {
            Some(Filling::Moving(dir.join(INVENTORY)))
        } else if row.command.contains(" --copy-back ") {
            let full = told("/id_list/0").and_then(|full| BackupId::recorded(full).ok());
            full.map(|full| Filling::Copying(dir.join(full.as_str())))
        } else {
            None
        };
        // The Python daemon named no data directory.
        match option(&row.command, "--datadir=").map(PathBuf::from) {
            Some(data_dir) if filling.is_some() && data_dir != config.data_dir => Ok(Self::Elsewhere { dir, data_dir }),
            Some(_) | None => Ok(Self::Restore { dir, room, filling }),
        }
    }
}

/// What is said of a directory that is not taken away.
pub(super) fn left(dir: &Path) -> String {
    format!("'{}' was left as it is", dir.display())
}

/// The directory of a restore, if this is one.
fn own(told: &Path, backup_dir: &Path) -> Option<PathBuf> {
    let parent =
        [TMP, RESTORES].into_iter().map(|name| backup_dir.join(name)).find(|own| told.parent() == Some(own))?;
    let name = told.file_name()?.to_str().filter(|name| is_restore_name(name))?;
    Some(parent.join(name))
}

/// The value of an option in a recorded command, up to the next option or the end.
pub(super) fn option<'a>(command: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = command.split_once(&format!(" {name}"))?;
    Some(value.split_once(" --").map_or(value, |(value, _)| value))
}

/// Whether a directory's name is one that a restore gives: a moment, and perhaps a number.
pub(super) fn is_restore_name(name: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = name.split('-').collect::<Vec<_>>();
    (6..=7).contains(&parts.len()) && parts.iter().all(|part| digits(part))
}
