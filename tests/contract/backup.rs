//! `--backup`: what a full backup and an incremental are.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::stand::{Bench, Fields, Series, has_extension, names_in, target};
use crate::harness::world;

on_every_bench![
    a_full_backup_leaves_metadata_of_these_names,
    checkpoints_have_these_fields,
    the_info_file_has_these_fields,
    a_full_backup_holds_every_table_whole,
    a_backup_is_for_its_owner_alone,
    an_incremental_begins_where_its_base_ends,
    an_incremental_holds_a_difference_of_each_innodb_table,
    an_incremental_holds_other_engines_whole,
    an_incremental_does_not_hold_what_was_dropped,
    a_table_made_meanwhile_is_held_as_new,
    where_nothing_happened_from_and_to_are_equal,
    an_incremental_needs_no_more_of_its_base_than_its_checkpoints,
    the_base_of_an_incremental_may_be_prepared,
];

/// tools.md, "Behaviour": names by version.
fn a_full_backup_leaves_metadata_of_these_names(bench: &Bench<'_>) {
    let names = names_in(&bench.stored("full"));
    for name in ["backup-my.cnf", "ib_logfile0", "ibdata1", bench.checkpoints_name(), bench.info_name()] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    let other = if bench.series() < Series(11, 1) { "mariadb_backup_" } else { "xtrabackup_" };
    assert!(names.iter().all(|name| !name.starts_with(other)), "{names:?}");
}

/// tools.md, "Behaviour".
fn checkpoints_have_these_fields(bench: &Bench<'_>) {
    let full = bench.checkpoints(&bench.stored("full"));
    let mut fields = vec!["backup_type", "from_lsn", "to_lsn", "last_lsn"];
    if bench.series() > Series(10, 5) {
        fields.push("recover_binlog_info");
    }
    assert_eq!(full.names(), fields);
    assert_eq!(full.text("backup_type"), "full-backuped");
    assert_eq!(full.number("from_lsn"), 0);
    assert!(full.number("to_lsn") < full.number("last_lsn"), "{full:?}");
    let incremental = bench.checkpoints(&bench.stored("inc-1"));
    assert_eq!(incremental.names(), full.names());
    assert_eq!(incremental.text("backup_type"), "incremental");
    assert!(incremental.number("to_lsn") < incremental.number("last_lsn"), "{incremental:?}");
}

/// Seen.
fn the_info_file_has_these_fields(bench: &Bench<'_>) {
    for (member, incremental) in [("full", "N"), ("inc-1", "Y")] {
        let dir = bench.stored(member);
        let (info, checkpoints) = (Fields::of(&dir.join(bench.info_name())), bench.checkpoints(&dir));
        let names = "uuid name tool_name tool_command tool_version ibbackup_version server_version start_time end_time \
                     lock_time binlog_pos innodb_from_lsn innodb_to_lsn partial incremental format compressed";
        assert_eq!(info.names().join(" "), names);
        assert_eq!(info.text("innodb_from_lsn"), checkpoints.text("from_lsn"));
        assert_eq!(info.text("innodb_to_lsn"), checkpoints.text("to_lsn"));
        assert_eq!(info.text("incremental"), incremental);
        assert_eq!((info.text("format"), info.text("compressed"), info.text("partial")), ("file", "N", "N"));
        assert!(info.text("server_version").starts_with(&format!("{}.", bench.series())), "{info:?}");
        assert!(info.text("tool_command").contains("--backup"), "{info:?}");
    }
}

/// tools.md says nothing of it. Seen.
fn a_full_backup_holds_every_table_whole(bench: &Bench<'_>) {
    let names = names_in(&bench.stored("full").join("shop"));
    for name in ["orders.ibd", "orders.frm", "quiet.ibd", "doomed.ibd", "log.MYD", "log.MYI", "log.frm", "db.opt"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    assert!(names.iter().all(|name| !name.contains(".ibd.") && !has_extension(name, "new")), "{names:?}");
}

/// Modes 0700 and 0640: seen.
fn a_backup_is_for_its_owner_alone(bench: &Bench<'_>) {
    let full = bench.stored("full");
    let mode = |path: &str| format!("{:o}", fs::metadata(full.join(path)).unwrap().permissions().mode() & 0o7777);
    assert_eq!((mode(""), mode("shop")), ("700".to_owned(), "700".to_owned()));
    for path in world::files(&full).unwrap() {
        assert_eq!(mode(&path), "640", "{path}");
    }
}

/// tools.md, "Behaviour".
fn an_incremental_begins_where_its_base_ends(bench: &Bench<'_>) {
    let [full, first, second] = ["full", "inc-1", "inc-2"].map(|member| bench.checkpoints(&bench.stored(member)));
    assert_eq!(first.number("from_lsn"), full.number("to_lsn"));
    assert_eq!(second.number("from_lsn"), first.number("to_lsn"));
    assert!(full.number("to_lsn") < first.number("to_lsn") && first.number("to_lsn") < second.number("to_lsn"));
}

/// Each has a `.delta` and a `.meta`, changed or not; that of a table that did not change holds no page. Seen.
fn an_incremental_holds_a_difference_of_each_innodb_table(bench: &Bench<'_>) {
    let incremental = bench.stored("inc-1");
    let names = names_in(&incremental.join("shop"));
    let size = |path: &str| fs::metadata(incremental.join(path)).unwrap().len();
    for path in ["ibdata1", "shop/orders.ibd", "shop/quiet.ibd", "shop/late.ibd", "extra/notes.ibd"] {
        let delta = fs::read(incremental.join(format!("{path}.delta"))).unwrap();
        assert!(delta[..4].eq_ignore_ascii_case(b"xtra"), "{path}");
        let meta = Fields::of(&incremental.join(format!("{path}.meta")));
        assert_eq!(meta.names(), ["page_size", "zip_size", "space_id"]);
        assert_eq!(meta.number("page_size"), 16384);
        assert!(!incremental.join(path).exists(), "{path} is there as a whole");
    }
    assert!(size("shop/quiet.ibd.delta") < size("shop/orders.ibd.delta"));
    assert!(size("shop/quiet.ibd.delta") <= 16384, "no more than its head");
    assert!(names.iter().all(|name| !has_extension(name, "new")), "made before the checkpoint: {names:?}");
}

/// Definitions too. Seen.
fn an_incremental_holds_other_engines_whole(bench: &Bench<'_>) {
    let names = names_in(&bench.stored("inc-2").join("shop"));
    for name in ["log.MYD", "log.MYI", "log.frm", "orders.frm", "quiet.frm", "db.opt"] {
        assert!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
}

/// Seen.
fn an_incremental_does_not_hold_what_was_dropped(bench: &Bench<'_>) {
    let (first, second) = (bench.stored("inc-1"), bench.stored("inc-2"));
    let names = names_in(&first.join("shop"));
    assert!(names.iter().all(|name| !name.starts_with("doomed")), "{names:?}");
    assert!(first.join("extra").is_dir());
    assert!(!second.join("extra").exists());
}

/// The backup's own redo log tells of the table's creation: both kinds of backup hold such a table whole, as `.new`. Seen.
fn a_table_made_meanwhile_is_held_as_new(bench: &Bench<'_>) {
    let server = bench.server();
    server.create_database("young");
    server.create_table("young.elder");
    server.checkpoint();
    let (full, incremental) = (bench.path("young-full"), bench.path("young-inc"));
    let base = format!("--incremental-basedir={}", full.display());
    bench.during(&[&target(&full)], || server.create_table("young.infant"));
    server.checkpoint();
    bench.during(&[&target(&incremental), &base], || server.create_table("young.newborn"));
    server.drop_database("young");
    let mut full = names_in(&full.join("young"));
    full.retain(|name| name != "db.opt");
    assert_eq!(full, ["elder.frm", "elder.ibd", "infant.frm", "infant.new"]);
    let mut incremental = names_in(&incremental.join("young"));
    incremental.retain(|name| !has_extension(name, "opt") && !has_extension(name, "frm"));
    let elders = ["elder.ibd.delta", "elder.ibd.meta", "infant.ibd.delta", "infant.ibd.meta", "newborn.new"];
    assert_eq!(incremental, elders);
}

/// tools.md, "Behaviour": "equal from and to is legal". A server where nothing happens comes to it by itself.
fn where_nothing_happened_from_and_to_are_equal(bench: &Bench<'_>) {
    let server = bench.server();
    server.checkpoint();
    let mut base = bench.full("full");
    let found = (0..5).any(|number| {
        base = bench.incremental(&format!("inc-{number}"), &base);
        let checkpoints = bench.checkpoints(&base);
        assert_eq!(checkpoints.text("backup_type"), "incremental");
        checkpoints.number("from_lsn") == checkpoints.number("to_lsn")
    });
    assert!(found, "{:?}", bench.checkpoints(&base));
}

/// So another server's base is not noticed (tools.md, "Behaviour").
fn an_incremental_needs_no_more_of_its_base_than_its_checkpoints(bench: &Bench<'_>) {
    let full = bench.stored("full");
    let base = bench.path("base");
    fs::create_dir(&base).unwrap();
    fs::copy(full.join(bench.checkpoints_name()), base.join(bench.checkpoints_name())).unwrap();
    let _server = bench.server();
    let incremental = bench.incremental("inc", &base);
    assert_eq!(bench.checkpoints(&incremental).text("from_lsn"), bench.checkpoints(&full).text("to_lsn"));
}

/// Its checkpoints still say where it ends. Seen.
fn the_base_of_an_incremental_may_be_prepared(bench: &Bench<'_>) {
    let base = bench.prepared(&[]);
    let _server = bench.server();
    let incremental = bench.incremental("inc", &base);
    assert_eq!(bench.checkpoints(&incremental).text("from_lsn"), bench.checkpoints(&base).text("to_lsn"));
}
