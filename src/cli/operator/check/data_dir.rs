//! What in the data directory the backup tool cannot read though the server does not mind.
//!
//! mariadb-backup looks into each directory of the data directory and ends with status 1 at one that it may not read, whatever its name
//! begins with; so it does at a definition or a tablespace in it. It passes over what the server is told to ignore (`ignore_db_dirs`), over
//! other files at the top, and over what lies deeper (all seen with 10.11.19).

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::Findings;
use crate::server::{IGNORED, Server};

/// Files of a table without which the tool ends.
const NEEDED: [&str; 2] = ["frm", "ibd"];

/// How many are named.
const NAMED: usize = 5;

/// Says of each what helps.
pub(super) fn look_at_data_dir(dir: &Path, server: &Server, findings: &mut Findings) {
    let ignored: Vec<_> = server.says(IGNORED).unwrap_or_default().split(',').map(str::trim).collect();
    let owner = fs::metadata(dir).ok().filter(|_| rustix::process::geteuid().is_root());
    let found = unreadable(dir, &ignored, owner.as_ref());
    for (path, is_dir) in found.iter().take(NAMED) {
        let shown = path.display();
        // Root reads all: what the directory's owner may not read is told instead, whom the daemon usually is.
        let who = if owner.is_some() { "the owner of data_dir" } else { "this user" };
        let text = format!("'{shown}' cannot be read by {who}, and the backup tool stops there");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let hint = if *is_dir {
            format!(
                "chown --reference='{}' '{shown}'; or, if it is no database, write ignore_db_dirs={name} under [mysqld] in the server's option \
                 file and start the server anew",
                dir.display()
            )
        } else {
            format!("chown --reference='{}' '{shown}'", dir.display())
        };
        if owner.is_some() { findings.warning(text, hint) } else { findings.problem(text, hint) }
    }
    if found.len() > NAMED {
        findings.warning(format!("{} more cannot be read", found.len() - NAMED), "mend those above, then check again");
    }
}

/// What the tool would stop at, and whether each is a directory; for this process, or for the owner of what is given.
fn unreadable(dir: &Path, ignored: &[&str], owner: Option<&Metadata>) -> Vec<(PathBuf, bool)> {
    let cannot = |path: &Path, is_dir: bool| {
        if let Some(owner) = owner {
            return fs::metadata(path).is_ok_and(|there| !may_read(owner, &there, is_dir));
        }
        let wanted = if is_dir { Access::READ_OK | Access::EXEC_OK } else { Access::READ_OK };
        access(path, wanted).is_err_and(|why| why == rustix::io::Errno::ACCESS)
    };
    let mut found = Vec::new();
    for path in entries(dir).unwrap_or_default().into_iter().filter(|path| path.is_dir()) {
        if path.file_name().is_some_and(|name| ignored.iter().any(|ignored| name == *ignored)) {
            continue;
        }
        if cannot(&path, true) {
            found.push((path, true));
            continue;
        }
        let files = entries(&path).unwrap_or_default().into_iter();
        let is_needed = |file: &PathBuf| file.extension().is_some_and(|ending| NEEDED.iter().any(|it| ending == *it));
        found.extend(files.filter(is_needed).filter(|file| cannot(file, false)).map(|file| (file, false)));
    }
    found.sort();
    found
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect()
}

/// Whether the owner of a directory may read another, by the modes alone.
fn may_read(owner: &Metadata, there: &Metadata, is_dir: bool) -> bool {
    let wanted = if is_dir { 0o5 } else { 0o4 };
    let shift = if owner.uid() == 0 {
        return true;
    } else if there.uid() == owner.uid() {
        6
    } else if there.gid() == owner.gid() {
        3
    } else {
        0
    };
    there.mode() >> shift & wanted == wanted
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, chown};

    use super::unreadable;

    /// As an owner who is not root would see it; the modes are looked at, so that root can run this too.
    #[test]
    fn what_the_tool_would_stop_at_is_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let close = |path: &str| fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o000)).unwrap();
        for path in ["lost+found", ".hidden", "shop/deeper", "ignored"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for path in ["top", "shop/orders.frm", "shop/orders.ibd", "shop/log.txt"] {
            fs::write(dir.path().join(path), "x").unwrap();
        }
        assert_eq!(unreadable(dir.path(), &[], None), []);
        for path in ["lost+found", ".hidden", "shop/deeper", "ignored", "top", "shop/orders.ibd", "shop/log.txt"] {
            close(path);
        }
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            chown(dir.path(), Some(4242), Some(4242)).unwrap();
            fs::set_permissions(dir.path().join("shop"), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let owner = fs::metadata(dir.path()).ok().filter(|_| is_root);
        let found = unreadable(dir.path(), &["ignored"], owner.as_ref());
        let found: Vec<_> =
            found.iter().map(|(path, is_dir)| (path.strip_prefix(dir.path()).unwrap(), *is_dir)).collect();
        assert_eq!(
            found,
            [(".hidden".as_ref(), true), ("lost+found".as_ref(), true), ("shop/orders.ibd".as_ref(), false)]
        );
        for path in ["lost+found", ".hidden", "shop/deeper", "ignored"] {
            fs::set_permissions(dir.path().join(path), fs::Permissions::from_mode(0o700)).unwrap();
        }
    }
}
