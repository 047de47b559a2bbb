//! What another user made, and this one may not use: the database, and backups; each with the commands that mend it.
//!
//! A predecessor ran as root, or the API made the database first under its own umask.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Group, User, getegid, geteuid};
use rustix::fs::{Access, access};

use super::strays::bounded;
use crate::config::Config;
use crate::model::{BackupId, Packed, at, quoted, stream_name};
use crate::records::reader::Reader;

/// What lets this user write the database at `path`: it, what `SQLite` keeps beside it, and the directory, in which that is made.
pub(in crate::cli) fn database_hint(path: &Path) -> String {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let files: Vec<_> =
        ["", "-wal", "-shm"].into_iter().map(beside).filter(|file| fs::symlink_metadata(file).is_ok()).collect();
    let dir = path.parent().unwrap_or(Path::new("/"));
    let is_denied = |path: &Path, wanted: Access| access(path, wanted) == Err(rustix::io::Errno::ACCESS);
    let denied = is_denied(dir, Access::WRITE_OK | Access::EXEC_OK)
        || files.iter().any(|file| is_denied(file, Access::READ_OK | Access::WRITE_OK));
    let text = format!("'{}' and its directory must be writable by this user", path.display());
    if !denied {
        return format!("{text}, and it must be an SQLite file");
    }
    let (dir, files) = (quoted(&dir.display().to_string()), names(&files));
    // The group's bit on the directory gives what SQLite makes later to the same group, whoever makes it.
    let own = if files.is_empty() { String::new() } else { format!(" && chmod g+rw{files}") };
    format!("{text}; as root: chgrp {} {dir}{files} && chmod g+rwxs {dir}{own}", own_group())
}

/// Each in quotes, with a space before it.
fn names(files: &[PathBuf]) -> String {
    files.iter().map(|file| format!(" {}", quoted(&file.display().to_string()))).collect::<Vec<_>>().concat()
}

fn own_group() -> String {
    let id = getegid();
    Group::from_gid(id).ok().flatten().map_or_else(|| id.to_string(), |group| group.name)
}

fn own_user() -> String {
    let id = geteuid();
    User::from_uid(id).ok().flatten().map_or_else(|| id.to_string(), |user| user.name)
}

/// Each recorded backup that this user may not read: what it is, and what mends it. None if the records cannot be read: that is said
/// elsewhere. No content is read, and nothing below a backup's first directory is looked at.
pub(in crate::cli) fn backups(config: &Config) -> Vec<(String, String)> {
    let rows = Reader::open(&config.database_path).and_then(|reader| reader.backups(false)).unwrap_or_default();
    let found = rows.iter().filter_map(|row| {
        let (place, why) = first(&config.backup_dir, &BackupId::recorded(&row.id).ok()?)?;
        let place = quoted(&place.display().to_string());
        Some((
            format!(
                "backup '{}' cannot be read by this user, so it can be neither restored nor verified: {why}",
                row.id
            ),
            format!("as root: chown -R {}:{} {place}", own_user(), own_group()),
        ))
    });
    bounded(found.collect(), "that this user may not read")
}

/// The first that may not be read of a backup, with the error that names it, and what has to change its owner.
fn first(backup_dir: &Path, id: &BackupId) -> Option<(PathBuf, io::Error)> {
    let folder = backup_dir.join(id.as_str());
    // Where the Go daemon put its streams.
    let streams = Packed::ALL.map(|packed| backup_dir.join(stream_name(id, packed)));
    for place in std::iter::once(folder).chain(streams) {
        if let Err(why) = may_read(&place) {
            return Some((place, why));
        }
    }
    None
}

fn may_read(place: &Path) -> io::Result<()> {
    let Ok(there) = fs::symlink_metadata(place) else { return Ok(()) };
    let wanted = if there.is_dir() { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
    access(place, wanted).map_err(|why| at(place)(why.into()))?;
    if there.is_dir() {
        for entry in fs::read_dir(place).map_err(at(place))? {
            let entry = entry.map_err(at(place))?;
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let wanted = if is_dir { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
            match access(entry.path(), wanted) {
                // What goes while it is looked at, or leads nowhere, is no matter of rights.
                Err(why) if why == rustix::io::Errno::ACCESS => return Err(at(&entry.path())(why.into())),
                Ok(()) | Err(_) => {}
            }
        }
    }
    Ok(())
}
