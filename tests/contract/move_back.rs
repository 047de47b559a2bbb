//! `--move-back`: a prepared backup becomes a data directory without a copy; and the options by which work is shared or given memory.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::stand::{Bench, Fields, Outcome, Tool, names_in, target};
use super::stock;
use crate::harness::world;

on_every_bench![
    a_move_back_leaves_metadata_and_directories,
    a_moved_chain_has_its_content,
    what_the_tool_does_not_know_is_moved_too,
    any_file_in_the_data_directory_stops_a_move_before_it_begins,
    a_forced_move_back_goes_on_until_the_first_clash,
    a_working_copy_inside_the_data_directory_is_moved_if_forced,
    threads_are_taken_by_every_mode,
    memory_is_taken_in_bytes_or_with_a_unit,
];

fn move_back(bench: &Bench<'_>, dir: &Path, data: &Path, more: &[&str]) -> Outcome {
    let data_dir = format!("--datadir={}", data.display());
    bench.run(Tool::Backup, &[&["--move-back", &target(dir), &data_dir], more].concat())
}

/// tools.md, "Behaviour": on one file system it renames.
fn a_move_back_leaves_metadata_and_directories(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    let inode = |path: std::path::PathBuf| fs::metadata(path).unwrap().ino();
    let (files, number) = (world::files(&dir).unwrap(), inode(dir.join("shop/orders.ibd")));
    move_back(bench, &dir, &data, &[]).complete();
    assert_eq!(inode(data.join("shop/orders.ibd")), number);
    let left = world::files(&dir).unwrap();
    assert_eq!(left, ["backup-my.cnf", bench.checkpoints_name()]);
    assert!(dir.join("shop").is_dir());
    assert_eq!(world::files(&data).unwrap().len() + left.len(), files.len());
}

/// What the whole is about. The info file that comes along is that of the last member: seen.
fn a_moved_chain_has_its_content(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&["inc-1"]), bench.path("data"));
    let last = bench.stored("inc-2");
    let uuid = |dir: &Path| Fields::of(&dir.join(bench.info_name())).text("uuid").to_owned();
    let wanted = uuid(&last);
    bench.apply(&dir, &last).complete();
    move_back(bench, &dir, &data, &[]).complete();
    assert_eq!(uuid(&data), wanted);
    assert_eq!(bench.content_of(&data), stock::content(2));
}

/// Seen. So a manifest has no place in a working copy, and a symlink none in a backup: a copy-back copies what it leads to.
fn what_the_tool_does_not_know_is_moved_too(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    fs::write(dir.join("dbcalm.sha256"), "a manifest").unwrap();
    // The marks of a history, which a restore lays down before.
    fs::create_dir_all(dir.join("mysql")).unwrap();
    fs::write(dir.join("mysql/dbcalm-history"), "marks").unwrap();
    fs::create_dir(dir.join("empty")).unwrap();
    symlink("/etc/passwd", dir.join("shop/link")).unwrap();
    move_back(bench, &dir, &data, &[]).complete();
    assert_eq!(fs::read_to_string(data.join("dbcalm.sha256")).unwrap(), "a manifest");
    assert_eq!(fs::read_to_string(data.join("mysql/dbcalm-history")).unwrap(), "marks");
    assert!(data.join("empty").is_dir());
    assert_eq!(fs::read_link(data.join("shop/link")).unwrap(), Path::new("/etc/passwd"));
}

/// tools.md, "Behaviour": "**Any** file in the data directory".
fn any_file_in_the_data_directory_stops_a_move_before_it_begins(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    let before = world::files(&dir).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join(".hidden"), "here before").unwrap();
    move_back(bench, &dir, &data, &[]).failed_with(1).says("is not empty!");
    assert_eq!(world::files(&dir).unwrap(), before);
    assert_eq!(names_in(&data), [".hidden"]);
}

/// Seen: it overwrites nothing, and what was not moved by then stays where it was.
fn a_forced_move_back_goes_on_until_the_first_clash(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    let before = world::files(&dir).unwrap();
    fs::create_dir_all(data.join("shop")).unwrap();
    fs::write(data.join("shop/orders.ibd"), "here before").unwrap();
    move_back(bench, &dir, &data, &["--force-non-empty-directories"]).failed_with(1).says("Destination file exists");
    assert_eq!(fs::read_to_string(data.join("shop/orders.ibd")).unwrap(), "here before");
    let (moved, left) = (world::files(&data).unwrap(), world::files(&dir).unwrap());
    assert!(moved.iter().any(|path| path == "ibdata1"), "what came before the clash has gone: {moved:?}");
    for path in before {
        assert!(moved.contains(&path) || left.contains(&path), "{path} is nowhere");
    }
    assert!(left.iter().any(|path| path == "shop/orders.ibd"));
}

/// Seen: the daemon's own way, where the backups are on another file system.
fn a_working_copy_inside_the_data_directory_is_moved_if_forced(bench: &Bench<'_>) {
    let (made, data) = (bench.prepared(&[]), bench.path("data"));
    fs::create_dir(&data).unwrap();
    let dir = data.join(".dbcalm-restore-1");
    fs::rename(made, &dir).unwrap();
    move_back(bench, &dir, &data, &[]).failed_with(1).says("is not empty!");
    move_back(bench, &dir, &data, &["--force-non-empty-directories"]).complete();
    assert_eq!(world::files(&dir).unwrap(), ["backup-my.cnf", bench.checkpoints_name()]);
    fs::remove_dir_all(dir).unwrap();
    assert_eq!(bench.content_of(&data), stock::content(0));
}

/// Seen: a backup, a prepare, an apply, and both ways back.
fn threads_are_taken_by_every_mode(bench: &Bench<'_>) {
    let server = bench.server();
    let full = bench.full("taken");
    let again = bench.path("again");
    let base = format!("--incremental-basedir={}", full.display());
    let login = super::stand::Login::Good;
    bench.backup_as(login, &[&target(&again), &base, "--parallel=4"]).complete();
    drop(server);
    bench.run(Tool::Backup, &["--prepare", &target(&full), "--parallel=4"]).complete();
    let incremental = format!("--incremental-dir={}", again.display());
    bench.run(Tool::Backup, &["--prepare", &target(&full), &incremental, "--parallel=4"]).complete();
    let (copied, moved) = (bench.path("copied"), bench.path("moved"));
    let data_dir = format!("--datadir={}", copied.display());
    bench.run(Tool::Backup, &["--copy-back", &target(&full), &data_dir, "--parallel=4"]).complete();
    move_back(bench, &full, &moved, &["--parallel=4"]).complete();
    assert_eq!(world::files(&copied).unwrap(), world::files(&moved).unwrap());
}

/// Seen.
fn memory_is_taken_in_bytes_or_with_a_unit(bench: &Bench<'_>) {
    let dir = bench.stored("full");
    bench.run(Tool::Backup, &["--prepare", &target(&dir), "--use-memory=67108864"]).complete();
    let incremental = format!("--incremental-dir={}", bench.stored("inc-1").display());
    bench.run(Tool::Backup, &["--prepare", &target(&dir), &incremental, "--use-memory=64M"]).complete();
}
