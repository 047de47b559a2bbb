//! Copies that are what is stored, and what is stored that is refused.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{Copied, CopyError, Copying};
use crate::witness::hashed::Hashed;
use crate::witness::manifest;

fn sealed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let stored = dir.path().join("stored");
    fs::create_dir_all(stored.join("shop")).unwrap();
    fs::create_dir(stored.join("empty")).unwrap();
    fs::write(stored.join("ibdata1"), vec![7; 1_000_000]).unwrap();
    fs::write(stored.join("shop/orders.ibd"), "orders").unwrap();
    fs::write(stored.join("shop/a\\b\nc"), "odd").unwrap();
    fs::write(stored.join("shop/nothing.frm"), "").unwrap();
    manifest::write(&stored, &Hashed::default(), &CancellationToken::new()).unwrap();
    dir
}

fn copied(dir: &Path) -> Result<Copied, String> {
    let (from, into) = (dir.join("stored"), dir.join("copy"));
    let copying = Copying { from: &from, into: &into, threads: 3 };
    copying.run().map_err(|why| crate::model::causes(&why))
}

#[test]
fn a_copy_is_what_is_stored_without_its_manifest() {
    let dir = sealed();
    let done = copied(dir.path()).unwrap();
    assert_eq!((done.files, done.bytes), (4, 1_000_009));
    for name in ["ibdata1", "shop/orders.ibd", "shop/a\\b\nc", "shop/nothing.frm"] {
        let read = |place: &str| fs::read(dir.path().join(place).join(name)).unwrap();
        assert!(read("stored") == read("copy"), "{name}");
    }
    assert!(dir.path().join("copy/empty").is_dir());
    assert!(!dir.path().join("copy").join(manifest::NAME).exists());
    assert_eq!(fs::metadata(dir.path().join("copy/ibdata1")).unwrap().mode() & 0o777, 0o640);
    assert!(copied(dir.path()).unwrap_err().contains("File exists"), "what is there is not written over");
}

#[test]
fn what_is_changed_cut_or_gone_is_named() {
    type Damage = fn(&Path);
    let damage: [(&str, Damage); 4] = [
        ("changed", |path| fs::write(path, "0rders").unwrap()),
        ("cut", |path| fs::write(path, "order").unwrap()),
        ("longer", |path| fs::write(path, "orders!").unwrap()),
        ("gone", |path| fs::remove_file(path).unwrap()),
    ];
    for (how, damage) in damage {
        let dir = sealed();
        damage(&dir.path().join("stored/shop/orders.ibd"));
        let said = copied(dir.path()).unwrap_err();
        assert_eq!(said, "'shop/orders.ibd' has changed since the backup was taken", "{how}");
    }
}

#[test]
fn a_damaged_manifest_vouches_for_nothing_and_a_predecessors_backup_has_none() {
    let dir = sealed();
    let path = dir.path().join("stored").join(manifest::NAME);
    let text = fs::read(&path).unwrap();
    for end in [0, 1, 64, text.len() - 1] {
        fs::write(&path, &text[..end]).unwrap();
        assert_eq!(copied(dir.path()).unwrap_err(), "'dbcalm.sha256' has changed since the backup was taken");
    }
    fs::remove_file(&path).unwrap();
    fs::write(dir.path().join("stored/ibdata1"), "another").unwrap();
    copied(dir.path()).unwrap();
}

#[test]
fn nothing_is_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("precious"), "x").unwrap();
    let links: [(&str, PathBuf); 2] =
        [("stored/shop/link.ibd", outside.path().join("precious")), ("stored/linked", outside.path().to_owned())];
    for (link, target) in links {
        let dir = sealed();
        symlink(target, dir.path().join(link)).unwrap();
        let name = link.strip_prefix("stored/").unwrap();
        let said = copied(dir.path()).unwrap_err();
        assert!(said.starts_with(&format!("'{name}' is not a plain file")), "{said}");
        assert!(!dir.path().join("copy").exists());
    }
    let dir = tempfile::tempdir().unwrap();
    symlink(outside.path(), dir.path().join("stored")).unwrap();
    assert!(matches!(
        Copying { from: &dir.path().join("stored"), into: &dir.path().join("copy"), threads: 1 }.run(),
        Err(CopyError::Read { .. })
    ));
}

#[test]
fn an_incremental_that_was_consumed_is_refused() {
    let dir = sealed();
    for name in ["shop/t.ibd.meta", "shop/t.ibd.delta"] {
        fs::write(dir.path().join("stored").join(name), "x").unwrap();
    }
    copied(dir.path()).unwrap();
    fs::remove_dir_all(dir.path().join("copy")).unwrap();
    fs::remove_file(dir.path().join("stored/shop/t.ibd.delta")).unwrap();
    assert!(copied(dir.path()).unwrap_err().starts_with("the incremental has been consumed, since 'shop/t.ibd.meta'"));
}

/// Page compression leaves holes, and a copy without them takes more room than there may be.
#[test]
fn holes_stay_holes() {
    let dir = tempfile::tempdir().unwrap();
    let stored = dir.path().join("stored");
    fs::create_dir(&stored).unwrap();
    let file = fs::File::create(stored.join("sparse.ibd")).unwrap();
    file.write_all_at(&vec![1; 70_000], 0).unwrap();
    file.write_all_at(&vec![2; 70_000], 40 << 20).unwrap();
    file.set_len(60 << 20).unwrap();
    manifest::write(&stored, &Hashed::default(), &CancellationToken::new()).unwrap();
    copied(dir.path()).unwrap();
    let copy = dir.path().join("copy/sparse.ibd");
    let there = fs::metadata(&copy).unwrap();
    assert_eq!(there.len(), 60 << 20);
    assert!(there.blocks() * 512 < 4 << 20, "{} bytes are taken", there.blocks() * 512);
    assert!(fs::read(&copy).unwrap() == fs::read(stored.join("sparse.ibd")).unwrap());
}

#[test]
fn a_consumed_incremental_is_looked_for_in_two_passes_over_its_files() {
    let names: Vec<_> = (0..20_000).flat_map(|n| [format!("t{n}.ibd.delta"), format!("t{n}.ibd.meta")]).collect();
    let seen = std::cell::Cell::new(0);
    let paths = names.iter().map(|name| {
        seen.set(seen.get() + 1);
        Path::new(name)
    });
    assert_eq!(super::widow_of(paths), None);
    assert_eq!(seen.get(), 2 * names.len());
}
