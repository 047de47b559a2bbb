//! `--copy-back`: a prepared backup becomes a data directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::prepare::copy;
use super::stand::{Bench, Tool, names_in, target};
use super::stock;
use crate::harness::world;

on_every_bench![
    each_member_of_a_chain_comes_back_with_its_content,
    a_copy_back_leaves_the_backup_and_brings_no_checkpoints,
    a_data_directory_is_for_its_owner_alone,
    any_file_in_the_data_directory_is_refused,
    a_forced_copy_back_goes_on_until_the_first_clash,
    the_data_directory_is_made_with_its_parents,
    an_unprepared_backup_is_copied_back_without_a_word,
    an_incremental_is_not_copied_back_and_leaves_the_data_directory_half_filled,
    a_backup_that_is_not_there_leaves_an_empty_data_directory,
];

/// What the whole is about (tools.md, 1).
fn each_member_of_a_chain_comes_back_with_its_content(bench: &Bench<'_>) {
    let dir = bench.prepared(&[]);
    for (member, incremental) in [None, Some("inc-1"), Some("inc-2")].into_iter().enumerate() {
        if let Some(name) = incremental {
            bench.apply(&dir, &bench.stored(name)).complete();
        }
        let data = bench.path(&format!("data-{member}"));
        bench.copy_back(&dir, &data).complete();
        assert_eq!(bench.content_of(&data), stock::content(member), "member {member}");
    }
}

/// Seen.
fn a_copy_back_leaves_the_backup_and_brings_no_checkpoints(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    let before = world::files(&dir).unwrap();
    bench.copy_back(&dir, &data).complete();
    assert_eq!(world::files(&dir).unwrap(), before);
    let brought = world::files(&data).unwrap();
    let left: Vec<_> = before.iter().filter(|path| !brought.contains(path)).collect();
    assert_eq!(left, ["backup-my.cnf", bench.checkpoints_name()].iter().collect::<Vec<_>>());
    assert!(brought.iter().any(|path| path == bench.info_name()), "{brought:?}");
}

/// tools.md, "Behaviour": modes 0640 and 0700.
fn a_data_directory_is_for_its_owner_alone(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    bench.copy_back(&dir, &data).complete();
    let mode = |path: &str| format!("{:o}", fs::metadata(data.join(path)).unwrap().permissions().mode() & 0o7777);
    assert_eq!((mode(""), mode("shop"), mode("shop/orders.ibd")), ("700".into(), "700".into(), "640".into()));
}

/// tools.md, "Behaviour": "**Any** file in the data directory, even a hidden one, a `.pid` or `lost+found`".
fn any_file_in_the_data_directory_is_refused(bench: &Bench<'_>) {
    let dir = bench.prepared(&[]);
    for name in [".hidden", "mysqld.pid", "lost+found/", "ib_buffer_pool", "ibdata1", "my.cnf", "shop/", "other"] {
        let data = bench.path("data");
        fs::create_dir(&data).unwrap();
        match name.strip_suffix('/') {
            Some(name) => fs::create_dir(data.join(name)).unwrap(),
            None => fs::write(data.join(name), "here before").unwrap(),
        }
        bench.copy_back(&dir, &data).failed_with(1).says("is not empty!");
        assert_eq!(names_in(&data), [name.trim_end_matches('/')]);
        fs::remove_dir_all(&data).unwrap();
    }
}

/// tools.md, "Behaviour": `--force-non-empty-directories`.
fn a_forced_copy_back_goes_on_until_the_first_clash(bench: &Bench<'_>) {
    let (dir, data) = (bench.prepared(&[]), bench.path("data"));
    let args =
        ["--copy-back", &target(&dir), &format!("--datadir={}", data.display()), "--force-non-empty-directories"];
    fs::create_dir(&data).unwrap();
    fs::create_dir(data.join("shop")).unwrap();
    fs::write(data.join("other"), "here before").unwrap();
    bench.run(Tool::Backup, &args).complete();
    assert!(data.join("shop/orders.ibd").exists() && data.join("other").exists());
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    fs::write(data.join("ibdata1"), "here before").unwrap();
    bench.run(Tool::Backup, &args).failed_with(1).says("ibdata1' (errno: 17 \"File exists\")");
    assert_eq!(fs::read_to_string(data.join("ibdata1")).unwrap(), "here before", "nothing is overwritten");
    assert!(data.join("ib_logfile0").exists(), "what came before the clash stays");
}

/// Seen.
fn the_data_directory_is_made_with_its_parents(bench: &Bench<'_>) {
    let data = bench.path("not/yet/there");
    bench.copy_back(&bench.prepared(&[]), &data).complete();
    assert!(data.join("shop/orders.ibd").exists());
}

/// tools.md, 7.
fn an_unprepared_backup_is_copied_back_without_a_word(bench: &Bench<'_>) {
    let data = bench.path("data");
    bench.copy_back(&bench.stored("full"), &data).complete();
    assert!(data.join("ibdata1").exists());
}

/// It has no system tablespace. "A failure leaves the data directory partly filled": tools.md, "Behaviour".
fn an_incremental_is_not_copied_back_and_leaves_the_data_directory_half_filled(bench: &Bench<'_>) {
    let (first, data) = (bench.path("first"), bench.path("data"));
    copy(&bench.stored("inc-1"), &first);
    bench.copy_back(&first, &data).failed_with(1).says("Error: copy_file() failed.");
    assert!(data.join("ib_logfile0").exists());
}

/// Seen.
fn a_backup_that_is_not_there_leaves_an_empty_data_directory(bench: &Bench<'_>) {
    let data = bench.path("data");
    bench.copy_back(&bench.path("nowhere"), &data).failed_with(1).says("Can't change dir to");
    assert_eq!(names_in(&data), [""; 0]);
}
