//! The data directory filled and emptied, on real directories.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{DataDirError, Strangers, check_empty, check_filled, files, forget_aside, has_leftovers, set_aside, undo};

struct Dirs {
    _root: tempfile::TempDir,
    data: PathBuf,
    work: PathBuf,
}

/// A data directory with `leftovers`, and a prepared tree.
fn dirs(leftovers: &[&str]) -> Dirs {
    let root = tempfile::tempdir().unwrap();
    let (data, work) = (root.path().join("data"), root.path().join("work"));
    fs::create_dir(&data).unwrap();
    for name in leftovers {
        fs::write(data.join(name), format!("old {name}")).unwrap();
    }
    for (name, content) in [("ibdata1", "new ibdata1"), ("shop/orders.ibd", "orders"), ("shop/empty.frm", "")] {
        fs::create_dir_all(work.join(name).parent().unwrap()).unwrap();
        fs::write(work.join(name), content).unwrap();
    }
    Dirs { _root: root, data, work }
}

fn tree(dir: &Path) -> BTreeMap<String, String> {
    let read = |path: PathBuf| (path.display().to_string(), fs::read_to_string(dir.join(&path)).unwrap());
    files(dir).unwrap().into_iter().map(read).collect()
}

fn copy(from: &Path, to: &Path) {
    for path in files(from).unwrap() {
        fs::create_dir_all(to.join(&path).parent().unwrap()).unwrap();
        fs::copy(from.join(&path), to.join(&path)).unwrap();
    }
}

#[test]
fn left_overs_count_as_nothing_and_all_else_counts() {
    let leftovers = [
        "ib_buffer_pool",
        "ibdata1",
        "ib_logfile0",
        "ib_logfile101",
        "mysql.sock",
        "h.pid",
        "h.err",
        "my.cnf",
        "d.flag",
    ];
    let dirs = dirs(&leftovers);
    fs::create_dir(dirs.data.join("lost+found")).unwrap();
    assert!(check_empty(&dirs.data).is_ok());
    assert!(check_empty(&dirs.data.join("absent")).is_ok());
    for name in ["mysql", "x.err", "ibdata1.d"] {
        fs::create_dir(dirs.data.join(name)).unwrap();
        assert!(matches!(check_empty(&dirs.data), Err(DataDirError::NotEmpty(found)) if found == name), "{name}");
        fs::remove_dir(dirs.data.join(name)).unwrap();
    }
    for name in [".hidden", "ibdata2", "aria_log_control", "sock", "undo001"] {
        fs::write(dirs.data.join(name), "").unwrap();
        assert!(matches!(check_empty(&dirs.data), Err(DataDirError::NotEmpty(found)) if found == name), "{name}");
        fs::remove_file(dirs.data.join(name)).unwrap();
    }
    fs::write(dirs.data.join("lost+found/#1"), "").unwrap();
    assert!(matches!(check_empty(&dirs.data), Err(DataDirError::NotEmpty(_))));
    assert!(
        matches!(check_empty(&dirs.data.join("my.cnf")), Err(DataDirError::Io { .. })),
        "a file is not a directory"
    );
}

#[test]
fn a_failed_copy_leaves_the_data_directory_as_it_was() {
    for broken_off in [0, 3, 100] {
        let dirs = dirs(&["ibdata1", "ib_logfile0", "h.err"]);
        let before = tree(&dirs.data);
        assert!(has_leftovers(&dirs.data).unwrap());
        set_aside(&dirs.data).unwrap();
        copy(&dirs.work, &dirs.data);
        let orders = dirs.data.join("shop/orders.ibd");
        let part: Vec<u8> = fs::read(&orders).unwrap().into_iter().take(broken_off).collect();
        fs::write(&orders, part).unwrap();
        undo(&dirs.data, &dirs.work, Strangers::Respect).unwrap();
        assert_eq!(tree(&dirs.data), before);
        assert!(!dirs.data.join("shop").exists());
    }
}

#[test]
fn a_file_that_is_no_copy_is_never_removed() {
    let dirs = dirs(&[]);
    assert!(!has_leftovers(&dirs.data).unwrap());
    set_aside(&dirs.data).unwrap();
    copy(&dirs.work, &dirs.data);
    fs::write(dirs.data.join("shop/orders.ibd"), "a server's own").unwrap();
    let before = tree(&dirs.data);
    assert!(matches!(undo(&dirs.data, &dirs.work, Strangers::Respect), Err(DataDirError::Foreign(_))));
    assert_eq!(tree(&dirs.data), before, "somebody has been there since: nothing is touched");
    assert!(matches!(undo(&dirs.data, &dirs.work, Strangers::Spare), Err(DataDirError::Foreign(_))));
    assert_eq!(tree(&dirs.data).into_keys().collect::<Vec<_>>(), ["shop/orders.ibd"]);
}

#[test]
fn a_copy_is_whole_when_every_file_is() {
    let dirs = dirs(&["ibdata1"]);
    set_aside(&dirs.data).unwrap();
    copy(&dirs.work, &dirs.data);
    check_filled(&dirs.data, &dirs.work, &BTreeSet::new()).unwrap();
    forget_aside(&dirs.data).unwrap();
    assert_eq!(tree(&dirs.data), tree(&dirs.work));
    fs::write(dirs.data.join("shop/orders.ibd"), "order").unwrap();
    assert!(matches!(check_filled(&dirs.data, &dirs.work, &BTreeSet::new()), Err(DataDirError::NotCopied(_))));
}
