//! Directories made, found and removed, and symlinks in their places.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{close, identity, make, make_unique, remove, sweep, sweep_empty, sweep_gone};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn two_restores_in_one_second_get_two_directories() {
    let dir = tempfile::tempdir().unwrap();
    let parent = dir.path().join("restores");
    let made = [(); 3].map(|()| make_unique(dir.path(), &parent, "2026-11-22-09-03-37").unwrap());
    let made = made.each_ref().map(|path| path.file_name().and_then(OsStr::to_str).unwrap());
    assert_eq!(made, ["2026-11-22-09-03-37", "2026-11-22-09-03-37-2", "2026-11-22-09-03-37-3"]);
    assert_eq!(fs::metadata(parent.join(made[0])).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_is_made_once_and_known_again_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full-1");
    let made = make(dir.path(), &path).unwrap();
    assert_eq!(make(dir.path(), &path).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    let made = made.identity();
    assert_eq!(identity(dir.path(), &path).unwrap(), Some(made));
    fs::rename(&path, dir.path().join("moved")).unwrap();
    assert_eq!(identity(dir.path(), &path).unwrap(), None);
    assert_eq!(identity(dir.path(), &dir.path().join("moved")).unwrap(), Some(made));
    symlink("moved", &path).unwrap();
    assert_eq!(identity(dir.path(), &path).unwrap(), None, "a symlink is not a directory");
    let other = make(dir.path(), &dir.path().join("full-2")).unwrap();
    assert_ne!(made, other.identity());
}

#[test]
fn removal_does_not_follow_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("backups");
    let (precious, backup) = (dir.path().join("precious"), root.join("backup"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&precious).unwrap();
    fs::create_dir(precious.join("2026")).unwrap();
    fs::write(precious.join("2026/data"), "x").unwrap();
    symlink(&precious, &backup).unwrap();
    assert!(remove(&root, &backup).is_err());
    assert!(remove(&root, &backup.join("2026")).is_err(), "nor one on the way");
    fs::remove_file(&backup).unwrap();
    fs::create_dir(&backup).unwrap();
    symlink(&precious, backup.join("inside")).unwrap();
    remove(&root, &backup).unwrap();
    remove(&root, &backup).unwrap();
    remove(&root, &root.join("none/such")).unwrap();
    assert_eq!(fs::read_to_string(precious.join("2026/data")).unwrap(), "x");
    assert_eq!(names(&root), [""; 0]);
}

#[test]
fn nothing_outside_is_reached() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("backups");
    fs::create_dir(&root).unwrap();
    for path in [dir.path().join("elsewhere"), root.join("../elsewhere"), root.clone()] {
        fs::create_dir_all(dir.path().join("elsewhere")).unwrap();
        assert!(remove(&root, &path).is_err(), "{}", path.display());
        assert!(make(&root, &path.join("new")).is_err() || path == root, "{}", path.display());
    }
    assert_eq!(names(dir.path()), ["backups", "elsewhere"]);
}

#[test]
fn what_an_interrupted_removal_left_goes_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    for name in [".full-1.gone", "full-2", ".hidden"] {
        fs::create_dir(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join(".full-1.gone/data"), "x").unwrap();
    fs::write(dir.path().join(".backup-full-0.xbstream.gone"), "x").unwrap();
    assert_eq!(sweep_gone(dir.path(), Path::new("")).unwrap(), 2);
    assert_eq!(sweep_gone(dir.path(), Path::new("none")).unwrap(), 0);
    assert_eq!(names(dir.path()), [".hidden", "full-2"]);
}

/// A symlink in the place of a directory that is swept would lead the broom to the backups themselves.
#[test]
fn a_place_that_is_a_symlink_is_not_swept() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("2026")).unwrap();
    fs::write(dir.path().join("2026/data"), "x").unwrap();
    symlink(".", dir.path().join("tmp")).unwrap();
    assert!(sweep(dir.path(), Path::new("tmp"), &|_| true).is_err());
    assert!(sweep_empty(dir.path(), Path::new("tmp"), &|_| true).is_err());
    assert!(make_unique(dir.path(), &dir.path().join("tmp"), "2027").is_err());
    assert_eq!(names(dir.path()), ["2026", "tmp"]);
}

#[test]
fn of_a_place_that_is_swept_goes_what_is_to_go() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tmp/a/deep", "tmp/b", "restores/a/deep", "restores/c"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("tmp/file"), "x").unwrap();
    assert_eq!(sweep(dir.path(), Path::new("tmp"), &|name| name != "b").unwrap(), 1);
    assert_eq!(names(&dir.path().join("tmp")), ["b", "file"]);
    assert_eq!(sweep_empty(dir.path(), Path::new("restores"), &|_| true).unwrap(), 1);
    assert_eq!(names(&dir.path().join("restores")), ["a"]);
}

#[test]
fn a_server_finds_no_way_out_of_what_was_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (data, live) = (dir.path().join("full-1"), dir.path().join("live.ibd"));
    fs::create_dir_all(data.join("shop")).unwrap();
    fs::write(&live, "live").unwrap();
    fs::write(data.join("shop/orders.isl"), live.display().to_string()).unwrap();
    fs::write(data.join("shop/orders.ibd"), "copied").unwrap();
    close(dir.path(), &data).unwrap();
    assert_eq!(
        (names(&data.join("shop")), names(dir.path())),
        (vec!["orders.ibd".to_owned()], vec!["full-1".to_owned(), "live.ibd".to_owned()])
    );
    symlink(dir.path(), data.join("other")).unwrap();
    assert_eq!(close(dir.path(), &data).unwrap_err().to_string(), "'other' is a symlink");
    symlink(&data, dir.path().join("full-2")).unwrap();
    assert!(close(dir.path(), &dir.path().join("full-2")).is_err(), "what is closed is no symlink itself");
}

#[test]
fn what_ends_in_two_dots_is_not_removed() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("restores/a")).unwrap();
    for path in ["restores/..", "restores/a/..", "..", ""] {
        assert!(remove(root.path(), &root.path().join(path)).is_err(), "{path}");
    }
    assert!(root.path().join("restores/a").is_dir());
}
