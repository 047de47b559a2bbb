//! Tables outside the data directory: the `.isl` file beside a table of InnoDB with a `DATA DIRECTORY` says where its file lies.
//!
//! In: the folder of a stored backup, or a prepared tree. Out: where a copy-back or a move-back puts which file. The tools go wherever the
//! text leads, make the directories on the way, and stop with status 1 where a file is there (seen with mariadb-backup 10.11.19). So it is
//! believed only where nobody but the daemon's user and root can have written it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::place_error::PlaceError;

/// What the name of a link ends in.
pub const ENDING: &str = "isl";

/// No path is longer, in bytes.
const MAX_SIZE: u64 = 64 * 1024;

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A table's file that lies outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The table's file in the backup, relative to its folder.
    pub from: PathBuf,
    /// Where it comes.
    pub to: PathBuf,
}

/// Whether this is the daemon's user's or root's, and nobody else may write to it.
///
/// # Errors
/// The system's.
pub(crate) fn is_own(opened: &OwnedFd) -> Result<bool, Errno> {
    is_ours(opened, None)
}

/// The same where root may look at what the daemon has written: `above` is the directory of all backups, whose owner is the daemon's user.
///
/// # Errors
/// The system's.
pub(crate) fn is_daemons(opened: &OwnedFd, above: &OwnedFd) -> Result<bool, Errno> {
    is_ours(opened, Some(fstat(above)?.st_uid))
}

fn is_ours(opened: &OwnedFd, daemon: Option<u32>) -> Result<bool, Errno> {
    let (there, own) = (fstat(opened)?, rustix::process::geteuid());
    let is_owner = there.st_uid == 0 || there.st_uid == own.as_raw() || (own.is_root() && daemon == Some(there.st_uid));
    Ok(is_owner && !Mode::from_raw_mode(there.st_mode).intersects(Mode::WGRP | Mode::WOTH))
}

/// Whether this path is one of a link.
pub(crate) fn is_link(path: &Path) -> bool {
    path.extension().is_some_and(|found| found == ENDING)
}

/// Holds the links of the stored backups of a chain against the world; one that lies there as a stream shows its own once it is extracted.
///
/// # Errors
/// One that others may have written, or that leads nowhere; or a file that is in the way of the last backup's.
pub fn check(chain: &[Option<PathBuf>]) -> Result<(), PlaceError> {
    let mut last = Vec::new();
    for folder in chain {
        last = folder.as_ref().map_or_else(|| Ok(Vec::new()), |folder| stored(folder))?;
    }
    check_free(&last)
}

/// The links of a stored backup.
///
/// # Errors
/// As [`check`], but for what is in the way.
fn stored(folder: &Path) -> Result<Vec<Link>, PlaceError> {
    read(folder, true)
}

/// The links of a prepared tree, which lies in a directory of the daemon's own and was made of links that were vouched for.
///
/// # Errors
/// One that leads nowhere; or the system's.
pub fn prepared(tree: &Path) -> Result<Vec<Link>, PlaceError> {
    read(tree, false)
}

/// The links below a folder: in the directories of its databases, which hold each table's files.
fn read(folder: &Path, is_held_to_account: bool) -> Result<Vec<Link>, PlaceError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source: Errno| PlaceError::Io { path, source: source.into() }
    };
    let root = openat(CWD, folder, DIRECTORY, Mode::empty()).map_err(at(folder))?;
    let mut found = Vec::new();
    for (database, is_dir) in names(&root).map_err(at(folder))? {
        let path = folder.join(&database);
        if !is_dir {
            continue;
        }
        let dir = openat(&root, &database, DIRECTORY, Mode::empty()).map_err(at(&path))?;
        for (name, _) in names(&dir).map_err(at(&path))?.into_iter().filter(|(name, _)| is_link(name)) {
            let path = path.join(&name);
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(&dir, &name, flags, Mode::empty()).map_err(at(&path))?;
            for opened in [&root, &dir, &file] {
                if is_held_to_account && !is_own(opened).map_err(at(&path))? {
                    return Err(PlaceError::NotVouched { path, folder: folder.to_owned() });
                }
            }
            let mut text = Vec::new();
            let read = File::from(file).take(MAX_SIZE).read_to_end(&mut text);
            read.map_err(|source| PlaceError::Io { path: path.clone(), source })?;
            let to = target(&text).ok_or_else(|| PlaceError::Nowhere(path.clone()))?;
            found.push(Link { from: database.join(&name).with_extension("ibd"), to });
        }
    }
    Ok(found)
}

/// The names in a directory, and whether each is a directory.
fn names(dir: &OwnedFd) -> Result<Vec<(PathBuf, bool)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = std::ffi::OsStr::from_bytes(entry.file_name().to_bytes());
        if name != "." && name != ".." {
            // Some file systems do not tell; then opening it does.
            let kind = entry.file_type();
            let is_dir = kind == FileType::Directory
                || (kind == FileType::Unknown && openat(dir, name, DIRECTORY, Mode::empty()).is_ok());
            found.push((PathBuf::from(name), is_dir));
        }
    }
    Ok(found)
}

/// Where a link's text leads: the tools leave out what is no visible character at its end, and take a relative path from the working copy
/// on, which goes away (both seen with mariadb-backup 10.11.19). No server writes such a one.
fn target(text: &[u8]) -> Option<PathBuf> {
    let text = std::str::from_utf8(text).ok()?.trim_end_matches(|c: char| c.is_control() || c == ' ');
    let path = Path::new(text);
    let is_plain = !text.contains(char::is_control) && path.file_name().is_some() && !text.ends_with('/');
    let leads_up = path.components().any(|part| part == Component::ParentDir);
    (is_plain && path.is_absolute() && !leads_up).then(|| path.to_owned())
}

/// Finds out whether nothing lies where these lead.
///
/// # Errors
/// What does, with how much more; or it cannot be looked at.
pub fn check_free(links: &[Link]) -> Result<(), PlaceError> {
    let mut taken = Vec::new();
    for link in links {
        match fs::symlink_metadata(&link.to) {
            Ok(_) => taken.push(link.to.clone()),
            Err(why) if matches!(why.kind(), io::ErrorKind::NotFound) => {}
            Err(source) => return Err(PlaceError::Io { path: link.to.clone(), source }),
        }
    }
    taken.sort();
    match taken.split_first() {
        Some((path, rest)) => {
            Err(PlaceError::Taken { path: path.clone(), more: rest.to_vec(), option: "DATA DIRECTORY".to_owned() })
        }
        None => Ok(()),
    }
}

/// The directories that the tool makes on the way to these: those above that are not there yet, the deepest last.
pub fn missing_above(links: &[Link]) -> Vec<PathBuf> {
    let above = links.iter().flat_map(|link| link.to.ancestors().skip(1));
    let mut missing: Vec<_> = above.filter(|dir| !dir.exists()).map(Path::to_owned).collect();
    missing.sort();
    missing.dedup();
    missing
}

/// Removes the links of a private copy; gives how many there were. The tables come into the data directory then, where a server finds them
/// (seen with 10.11.19).
///
/// # Errors
/// The system's.
pub(crate) fn forget(copy: &Path) -> io::Result<usize> {
    let root = openat(CWD, copy, DIRECTORY, Mode::empty())?;
    let mut count = 0;
    for (database, _) in names(&root)?.into_iter().filter(|(_, is_dir)| *is_dir) {
        let dir = openat(&root, &database, DIRECTORY, Mode::empty())?;
        for (name, _) in names(&dir)?.into_iter().filter(|(name, _)| is_link(name)) {
            rustix::fs::unlinkat(&dir, &name, rustix::fs::AtFlags::empty())?;
            count += 1;
        }
    }
    Ok(count)
}

/// Opens a stored stream; gives it, and whether nobody but the daemon's user and root can have written it.
///
/// # Errors
/// The system's.
pub(crate) fn open_vouched(path: &Path) -> io::Result<(File, bool)> {
    let parent = path.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let dir = openat(CWD, parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let file = openat(&dir, path.file_name().unwrap_or_default(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let is_vouched = is_own(&dir)? && is_own(&file)?;
    Ok((File::from(file), is_vouched))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    use super::{Link, check, forget, missing_above, prepared, stored, target};

    #[test]
    fn a_link_leads_to_a_whole_path_and_nowhere_else() {
        for text in ["/far/shop/t.ibd", "/far/shop/t.ibd\n", "/far/shop/t.ibd \r\n"] {
            assert_eq!(target(text.as_bytes()), Some(PathBuf::from("/far/shop/t.ibd")), "{text:?}");
        }
        for text in
            ["", "\n", "t.ibd", "shop/t.ibd", "../t.ibd", "/far/../etc/t.ibd", "/far/\0t.ibd", "/a\n/b", "/", "/far/"]
        {
            assert_eq!(target(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(target(b"/far/\xff.ibd"), None);
    }

    fn backup(to: &Path) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        fs::set_permissions(dir.path().join("shop"), fs::Permissions::from_mode(0o700)).unwrap();
        let link = dir.path().join("shop/t.isl");
        fs::write(&link, to.to_str().unwrap()).unwrap();
        fs::set_permissions(link, fs::Permissions::from_mode(0o640)).unwrap();
        dir
    }

    #[test]
    fn what_is_in_the_way_of_a_link_of_the_last_backup_is_named() {
        let elsewhere = tempfile::tempdir().unwrap();
        let to = elsewhere.path().join("far/shop/t.ibd");
        let backup = backup(&to);
        let links = [Link { from: "shop/t.ibd".into(), to: to.clone() }];
        assert_eq!(stored(backup.path()).unwrap(), links);
        let chain = [Some(backup.path().to_owned())];
        check(&chain).unwrap();
        assert_eq!(missing_above(&links), [elsewhere.path().join("far"), elsewhere.path().join("far/shop")]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        symlink("nowhere", &to).unwrap();
        let said = check(&chain).unwrap_err().to_string().replace(elsewhere.path().to_str().unwrap(), "~");
        let wanted = "'~/far/shop/t.ibd' is in the way, where DATA DIRECTORY of the server that was backed up points: move it aside";
        assert_eq!(said, wanted);
        check(&[chain[0].clone(), None]).unwrap();
        assert_eq!(forget(backup.path()).unwrap(), 1);
        check(&chain).unwrap();
    }

    #[test]
    fn a_link_that_others_may_have_written_is_not_followed() {
        for path in ["", "shop", "shop/t.isl"] {
            let backup = backup(Path::new("/far/shop/t.ibd"));
            let path = backup.path().join(path);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            for others in [0o020, 0o002] {
                fs::set_permissions(&path, fs::Permissions::from_mode(mode | others)).unwrap();
                let said = stored(backup.path()).unwrap_err().to_string();
                assert!(said.contains("shop/t.isl' says where a table's file goes, but others than"), "{said}");
                assert_eq!(prepared(backup.path()).unwrap().len(), 1);
            }
        }
        let backup = backup(Path::new("/far/shop/t.ibd"));
        fs::remove_file(backup.path().join("shop/t.isl")).unwrap();
        symlink("/etc/hostname", backup.path().join("shop/t.isl")).unwrap();
        assert!(stored(backup.path()).is_err(), "a symlink");
    }
}
