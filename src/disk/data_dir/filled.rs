//! Whether what a restore prepared has come into the data directory; and its way to the disk.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{DataDirError, at, files};
use crate::disk::{Disk, go_on};

/// Files of the prepared tree that a copy-back leaves out (seen with mariadb-backup 10.5.23, 10.11.19 and 11.8.6).
/// The tools' own files, `xtrabackup_*` and `mariadb_backup_*`, are left out or not as the tool sees fit.
const NOT_COPIED: [&str; 2] = ["backup-my.cnf", "ib_buffer_pool"];

/// Finds out whether each file of the prepared tree `work` has arrived in `dir` in its full size, but for what goes `elsewhere`.
pub fn check_filled(dir: &Path, work: &Path, elsewhere: &BTreeSet<PathBuf>) -> Result<(), DataDirError> {
    for relative in files(work)? {
        if !elsewhere.contains(&relative)
            && is_looked_for(&relative, work.join(&relative).with_extension("isl").exists())
        {
            let there = fs::symlink_metadata(work.join(&relative)).map_err(at(work))?;
            check_arrived(dir, &relative, there.len())?;
        }
    }
    Ok(())
}

/// Finds out whether a file has arrived in `dir` in this size, in bytes.
pub(super) fn check_arrived(dir: &Path, relative: &Path, wanted: u64) -> Result<(), DataDirError> {
    match fs::symlink_metadata(dir.join(relative)) {
        Ok(there) if there.len() == wanted => Ok(()),
        Ok(_) | Err(_) => Err(DataDirError::NotCopied(relative.display().to_string())),
    }
}

/// Whether a file of a prepared tree must come into the data directory.
///
/// Files of the top level whose name begins with `ib` or `undo` are not looked for: the server's own settings may keep them
/// elsewhere, as they may the tables that an `.isl` file points to.
pub(super) fn is_looked_for(relative: &Path, has_link: bool) -> bool {
    let name = relative.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let top = relative.components().count() == 1;
    let elsewhere = top && (name.starts_with("ib") || name.starts_with("undo"));
    let extension = relative.extension().and_then(OsStr::to_str).unwrap_or_default();
    let own = top && (name.starts_with("xtrabackup_") || name.starts_with("mariadb_backup_"));
    let linked = extension == "isl" || has_link;
    !(elsewhere || own || linked || NOT_COPIED.contains(&name) || extension == "qp")
}

/// Syncs to `disk` what came into `dir` from the prepared tree `work`, and the names it has there. What lay there before is
/// not this restore's to open.
///
/// # Errors
/// The system's, or that it was broken off by `stop`.
pub fn sync(disk: &Disk, dir: &Path, work: &Path, stop: &CancellationToken) -> Result<(), DataDirError> {
    sync_these(disk, dir, &files(work)?, stop)
}

/// Syncs these files in `dir`, as far as they are there, and their directories.
pub(super) fn sync_these(
    disk: &Disk,
    dir: &Path,
    relatives: &[PathBuf],
    stop: &CancellationToken,
) -> Result<(), DataDirError> {
    let disk = disk.of_this(dir).map_err(at(dir))?;
    disk.sync().map_err(at(dir))?;
    let mut directories = BTreeSet::from([PathBuf::new()]);
    for relative in relatives {
        go_on(stop).map_err(at(dir))?;
        let path = dir.join(relative);
        match disk.sync_one(&path) {
            Ok(()) => {}
            // What the tool leaves out was looked for before.
            Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
            Err(why) => return Err(at(&path)(why)),
        }
        directories.extend(relative.ancestors().skip(1).map(Path::to_owned));
    }
    for relative in directories {
        let path = dir.join(relative);
        disk.sync_one(&path).map_err(at(&path))?;
    }
    // The data directory's own name is as old as the directory, but for one that the tool made; its parent may be closed to
    // this user, and was synced with the file system above.
    if let Some(Ok(parent)) = dir.parent().map(File::open) {
        parent.sync_all().map_err(at(dir))?;
    }
    Ok(())
}
