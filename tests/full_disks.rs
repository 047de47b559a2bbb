//! Disks that are full, each write once the one that fails: a clear failure, nothing left, the room given back, and the next request
//! works where there is room again.
//!
//! What plainly cannot fit is refused before anything is done.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use insta::assert_snapshot;

use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{self, MariaDb};
use crate::harness::small_disk::{PAGE, SmallDisk};
use crate::harness::world::content_of;
use crate::harness::{TestEnv, wait_for};

const CHAIN: [&str; 2] = ["full-1", "inc-1"];

fn full(id: &str) -> String {
    format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#)
}

/// Whether a request was done; if not, it said why, with the disk as the reason.
fn is_done(env: &TestEnv, request: &str, what: &str) -> bool {
    let reply = env.send(request);
    if !reply.starts_with(r#"{"code": 202"#) {
        assert!(reply.contains("no room in '~/") || reply.contains("No space left on device"), "{what}: {reply}");
        if reply.starts_with(r#"{"code": 500"#) {
            env.expect_log("No space left on device");
        }
        return false;
    }
    env.settled();
    if env.newest("status") == "success" {
        return true;
    }
    env.expect_log("failed");
    let error = env.newest("error");
    assert!(error.contains("No space left on device"), "{what}: {error}");
    false
}

#[test]
fn a_backup_on_a_full_disk_leaves_nothing_and_gives_its_room_back() {
    let env = TestEnv::new();
    let Some(disk) = SmallDisk::mount(&env.path("backups")) else { return };
    env.start_daemon();
    env.full("full-0");
    for (request, base) in [
        (full("next"), "full-0/"),
        (r#"{"cmd":"incremental_backup","args":{"id":"next","from_backup_id":"full-0"}}"#.to_owned(), "full-0/"),
    ] {
        let (before, mut failures) = (disk.used(), 0);
        loop {
            disk.leave(failures * PAGE);
            if is_done(&env, &request, &format!("{failures} pages")) {
                break;
            }
            failures += 1;
            assert_eq!(env.listing("backups"), base);
            assert_eq!(disk.used(), before, "the room is given back");
        }
        assert!(failures > 5, "each of its files was once the one that did not fit: {failures}");
        assert_eq!(env.count("backup", "id = 'next'"), 1);
        // As the API removes a backup.
        env.database().execute("DELETE FROM backup WHERE id = 'next'", []).unwrap();
        fs::remove_dir_all(env.backup("next")).unwrap();
    }
}

#[test]
fn a_restore_on_a_full_disk_leaves_everything_as_it_was() {
    // A folder restore is prepared where the backups are; a database restore in the data directory if that has room for it, and else where
    // the backups are, to be copied.
    for (mounted, target) in [("backups", "folder"), ("data", "database")] {
        let env = TestEnv::new();
        fs::create_dir(env.path("data")).unwrap();
        let Some(disk) = SmallDisk::mount(&env.path(mounted)) else { return };
        env.start_daemon();
        env.full("full-1");
        for table in 0..4 {
            env.world.put(&format!("shop/more_{table}.ibd"), &[b'x'; 5000]).unwrap();
        }
        env.incremental("inc-1", "full-1");
        env.world.stop().unwrap();
        let request = restore_request(&CHAIN, target);
        let (before, backups) = (disk.used(), env.fingerprint("backups"));
        let (mut pages, mut refused) = (0, 0);
        loop {
            disk.leave(pages * PAGE);
            let rows = env.count("process", "1");
            if is_done(&env, &request, &format!("{mounted}, {pages} pages")) {
                break;
            }
            refused += u32::from(env.count("process", "1") == rows);
            pages += 1;
            assert_eq!(env.listing("data"), "(empty)", "{mounted}, {pages} pages");
            assert_eq!(env.count("restore", "1"), 0);
            assert_eq!(disk.used(), before, "{mounted}, {pages} pages: the room is given back");
        }
        let now = env.fingerprint("backups");
        assert!(
            backups.iter().all(|(path, bytes)| now.get(path) == Some(bytes)),
            "{mounted}: what is stored stays as it is"
        );
        assert!(refused > 0 && pages > u64::from(refused), "{mounted}: {refused} of {pages} were refused at once");
        let path = env.rows("restore", "1")[0]["target_path"].as_str().unwrap().to_owned();
        let restored = if target == "folder" { Path::new(&path).join("full-1") } else { env.path("data") };
        assert_eq!(content_of(&restored).unwrap(), env.world.content().unwrap());
    }
}

/// The records' disk is full at each page once: what cannot be begun is refused, and what has happened is written when there is room.
#[test]
fn records_on_a_full_disk_lose_no_outcome() {
    let mut env = TestEnv::new();
    let log = env.path("dbcalm.log").display().to_string();
    env.set("log_file", &log);
    let Some(disk) = SmallDisk::mount(&env.path("lib")) else { return };
    env.start_daemon();
    env.full("full-0");
    let (mut refused, mut outlasted) = (0, 0);
    for pages in 0..16 {
        disk.leave(pages * PAGE);
        let (id, told) = (format!("next-{pages}"), env.log().len());
        let reply = env.send(&full(&id));
        if reply.starts_with(r#"{"code": 202"#) {
            let stuck = wait_for("an outcome, or word that it has no room", || {
                let stuck = env.log()[told..].contains("the records cannot be written: trying again");
                (stuck || env.count("backup", &format!("id = '{id}'")) == 1).then_some(stuck)
            });
            disk.leave(1000 * PAGE);
            env.settled();
            if stuck {
                outlasted += 1;
                env.expect_log("trying again");
                env.expect_log("the database was opened again");
                env.expect_log("the records are written again");
            }
            assert_eq!(env.count("backup", &format!("id = '{id}'")), 1, "{pages} pages");
        } else {
            refused += 1;
            env.expect_log("cannot be written: the database");
            let full = "the records in '~/lib/db.sqlite3' cannot be written: the database cannot be used: database or disk is full";
            assert_eq!(reply, format!(r#"{{"code": 500, "status": "{full}"}}"#));
            assert_eq!(env.count("process", &format!("args LIKE '%\"{id}\"%'")), 0, "{pages} pages");
            assert!(!env.backup(&id).exists());
        }
    }
    assert!(refused > 0 && outlasted > 0, "{refused} were refused, {outlasted} outcomes had to wait");
    assert_eq!(env.count("process", "status = 'running'"), 0);
}

#[test]
fn what_plainly_does_not_fit_is_refused_with_what_is_missing() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("data/shop")).unwrap();
    // Real bytes: a hole takes no room.
    let table = File::create(env.path("data/shop/orders.ibd")).unwrap();
    table.write_all_at(&vec![1; 3 << 20], 0).unwrap();
    let Some(disk) = SmallDisk::mount(&env.path("backups")) else { return };
    env.start_daemon();
    disk.leave(1 << 20);
    assert_snapshot!(env.send(&full("full-1")), @r#"{"code": 503, "status": "cannot create backup, no room in '~/backups': at least 3.0 MiB are needed and 1.0 MiB are free, 2.0 MiB are missing"}"#);
    assert_snapshot!(env.records(), @"none | backups: none | restores: none");
    disk.leave(4 << 20);
    env.full("full-1");
    fs::remove_dir_all(env.path("data")).unwrap();
    let stored = File::create(env.backup("full-1").join("large.ibd")).unwrap();
    stored.write_all_at(&vec![1; 2 << 20], 0).unwrap();
    disk.leave(1 << 20);
    env.world.stop().unwrap();
    for target in ["folder", "database"] {
        let said = env.send(&restore_request(&["full-1"], target));
        assert!(
            said.starts_with(r#"{"code": 503, "status": "cannot restore, no room in '~/backups': at least 2."#)
                && said.ends_with(r#" MiB are needed and 1.0 MiB are free, 1.0 MiB are missing"}"#),
            "{said}"
        );
    }
    assert_snapshot!(env.listing("backups"), @"full-1/");
}

/// The real tool, which ends with status 0 on a disk that was full for its last files (tools.md, 2).
#[test]
fn a_real_backup_on_a_full_disk_leaves_nothing() {
    if !mariadb::is_installed() {
        return;
    }
    let server = MariaDb::start();
    let env = TestEnv::real(&server);
    let Some(disk) = SmallDisk::mount(&env.path("backups")) else { return };
    env.start_daemon();
    env.full("full-0");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let whole = disk.used();
    fs::remove_dir_all(env.backup("full-0")).unwrap();
    let before = disk.used();
    let mut refused = 0;
    for missing in [1, 2, 3, 4, 6, 8, 16, 64, 1024, whole / PAGE / 2, whole / PAGE - 1] {
        disk.leave(whole - before - missing * PAGE);
        let rows = env.count("process", "1");
        assert!(!is_done(&env, &full("next"), &format!("{missing} pages are missing")), "{missing} pages are missing");
        refused += u32::from(env.count("process", "1") == rows);
        assert_eq!(env.listing("backups"), "(empty)", "{missing} pages are missing");
        assert_eq!(disk.used(), before);
    }
    assert!((1..6).contains(&refused), "{refused} were refused at once");
    disk.leave(whole + (1 << 20));
    env.full("next");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
}

/// A table with page compression is longer than what it takes, and so is its stream. What an incremental brings is written in full.
#[test]
fn a_chain_with_page_compression_is_restored_where_what_it_takes_fits() {
    if !mariadb::is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.holes (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1;
         INSERT INTO shop.holes SELECT seq, repeat('much of the same ', 400) FROM shop.seq_1_to_8000",
    );
    let mut env = TestEnv::real(&server);
    let Some(disk) = SmallDisk::mount(&env.path("backups")) else { return };
    env.set("stream", "true");
    env.start_daemon();
    // Pages that are only in the log are in no delta.
    server.stop();
    server.run();
    env.full(CHAIN[0]);
    server.sql("UPDATE shop.holes SET t = concat(t, '!') WHERE id % 40 = 0");
    server.stop();
    server.run();
    env.incremental(CHAIN[1], CHAIN[0]);
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let figures = CHAIN.map(|id| {
        let card = fs::read_to_string(env.backup(id).join("backup.json")).unwrap();
        let card: serde_json::Value = serde_json::from_str(&card).unwrap();
        let extracted = &card["form"]["extracted"];
        (extracted["size"].as_u64().unwrap(), extracted["fills"].as_u64().unwrap_or_default())
    });
    let [(full, 0), (incremental, fills)] = figures else { panic!("{figures:?}") };
    let most = full + incremental.max(fills);
    let length = fs::metadata(env.backup(CHAIN[0]).join("backup-full-1.xbstream")).unwrap().len();
    assert!(fills > 1 << 20 && length > most + (40 << 20), "{figures:?}, of a stream of {length} bytes");
    disk.leave(most - PAGE);
    let said = env.send(&restore_request(&CHAIN, "folder"));
    assert!(said.contains("cannot restore, no room in '~/backups'"), "{said}");
    // Besides the tool makes a log and lists of its own.
    let before = disk.used();
    disk.leave(most + (16 << 20));
    env.restore(&CHAIN, "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let taken = disk.used() - before;
    assert!(taken < most + (16 << 20) && taken > full + fills / 2, "{taken} bytes are taken, of {figures:?}");
    let row = &env.rows("restore", "1")[0];
    let folder = env.here(row["target_path"].as_str().unwrap()).join(CHAIN[0]);
    let look = "SELECT count(*), sum(crc32(t)) FROM shop.holes";
    assert_eq!(MariaDb::over(&folder).sql(look), server.sql(look));
}
