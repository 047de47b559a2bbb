//! Restores over fake tools: chains whole and again, every failure undone, and never a status that says too much.

use std::fs;

use insta::assert_snapshot;

use crate::harness::daemon::restore_request;
use crate::harness::world::content_of;
use crate::harness::{TestEnv, listing, wait_for};

const CHAIN: [&str; 3] = ["full-1", "inc-1", "inc-2"];

/// A chain of three, each with something new, and the server stopped afterwards.
fn chain(env: &TestEnv) {
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.world.put("shop/new.ibd", b"created after the full backup").unwrap();
    env.incremental("inc-1", "full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\norder 3\n").unwrap();
    env.world.remove("shop/new.ibd").unwrap();
    env.incremental("inc-2", "inc-1");
    env.world.stop().unwrap();
}

fn with_chain() -> TestEnv {
    let env = TestEnv::start();
    chain(&env);
    env
}

/// A fault at the call of the tool that has this argument, and not before.
fn fault_at(env: &TestEnv, calls_before: usize, fault: &str) {
    for _ in 0..calls_before {
        env.script("mariabackup", "{}");
    }
    env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
}

#[test]
fn a_chain_is_restored_to_the_data_directory() {
    let env = with_chain();
    let id = env.restore(&CHAIN, "database");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
    assert_snapshot!(env.commands(&id).join("\n"), @r"
    dbcalm-db-cmd copy --from=~/backups/full-1 --into=~/backups/tmp/[TIME]/full-1 --threads=1
    ~/bin/mariabackup --prepare --target-dir ~/backups/tmp/[TIME]/full-1
    dbcalm-db-cmd copy --from=~/backups/inc-1 --into=~/backups/tmp/[TIME]/inc-1 --threads=1
    ~/bin/mariabackup --prepare --target-dir ~/backups/tmp/[TIME]/full-1 --incremental-dir ~/backups/tmp/[TIME]/inc-1
    dbcalm-db-cmd copy --from=~/backups/inc-2 --into=~/backups/tmp/[TIME]/inc-2 --threads=1
    ~/bin/mariabackup --prepare --target-dir ~/backups/tmp/[TIME]/full-1 --incremental-dir ~/backups/tmp/[TIME]/inc-2
    ~/bin/mariabackup --move-back --target-dir ~/backups/tmp/[TIME]/full-1 --datadir=~/data
    ");
    let restore = &env.rows("restore", "1")[0];
    let steps = env.rows("process", &format!("command_id = '{id}'"));
    assert_eq!(restore["backup_id"], "full-1");
    assert_eq!(restore["target"], "DATABASE");
    assert_eq!(restore["start_time"], steps[0]["start_time"], "the first step's");
    assert_eq!(restore["end_time"], steps[6]["end_time"], "the last step's");
    assert_eq!(restore["process_id"], steps[6]["id"]);
    assert_eq!(restore["backup_timestamp"], env.rows("backup", "id = 'inc-2'")[0]["start_time"]);
    assert_snapshot!(env.redact(steps[0]["args"].as_str().unwrap()), @r#"{"id_list": ["full-1", "inc-1", "inc-2"], "target": "database", "tmp_dir": "~/backups/tmp/[TIME]"}"#);
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
}

#[test]
fn the_same_chain_is_restored_again_and_again_and_the_stored_backups_stay_as_they_are() {
    let env = with_chain();
    let before: Vec<_> = CHAIN.iter().map(|id| env.fingerprint(&format!("backups/{id}"))).collect();
    for round in 0..3 {
        env.restore(&CHAIN, "database");
        assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap(), "round {round}");
        fs::remove_dir_all(env.path("data")).unwrap();
    }
    let after: Vec<_> = CHAIN.iter().map(|id| env.fingerprint(&format!("backups/{id}"))).collect();
    assert_eq!(before, after);
    assert_eq!(env.count("restore", "1"), 3);
}

#[test]
fn a_folder_restore_stays_with_its_working_copy_alone() {
    let env = with_chain();
    env.world.start().unwrap();
    env.restore(&CHAIN, "folder");
    let path = env.rows("restore", "1")[0]["target_path"].as_str().unwrap().to_owned();
    assert_snapshot!(listing(path.as_ref()), @"full-1/");
    assert_eq!(content_of(&std::path::Path::new(&path).join("full-1")).unwrap(), env.world.content().unwrap());
    assert_eq!(env.rows("restore", "1")[0]["target"], "FOLDER");
    assert!(!env.path("data").exists(), "the data directory has nothing to do with it");
    env.restore(&["full-1"], "folder");
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.count("restore", "1"), 3);
}

/// A second server on the folder would write to the live file that an `.isl` leads to.
#[test]
fn a_folder_restore_leads_to_no_live_file_of_a_table_outside_the_data_directory() {
    let env = TestEnv::start();
    env.world.put("shop/orders.isl", b"/elsewhere/shop/orders.ibd").unwrap();
    env.full("full-1");
    env.world.put("shop/new.isl", b"/elsewhere/shop/new.ibd").unwrap();
    env.incremental("inc-1", "full-1");
    env.restore(&["full-1", "inc-1"], "folder");
    let path = env.rows("restore", "1")[0]["target_path"].as_str().unwrap().to_owned();
    assert_snapshot!(listing(format!("{path}/full-1/shop").as_ref()), @"orders.frm orders.ibd");
    assert!(env.backup("full-1/shop/orders.isl").exists(), "a stored backup keeps it, and a database restore needs it");
}

#[test]
fn an_idle_servers_incremental_is_restored_too() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.hold_checkpoint().unwrap();
    env.world.put("shop/orders.ibd", b"written, and no checkpoint since").unwrap();
    env.incremental("inc-1", "full-1");
    env.world.stop().unwrap();
    env.restore(&["full-1", "inc-1"], "database");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

#[test]
fn mysql_keeps_its_log_open_for_the_next_incremental() {
    let mut env = TestEnv::new();
    env.mysql();
    env.start_daemon();
    chain(&env);
    let id = env.restore(&CHAIN, "database");
    let prepares: Vec<_> = env.commands(&id).into_iter().filter(|command| command.contains("--prepare")).collect();
    let open: Vec<_> = prepares.iter().map(|command| command.ends_with("--apply-log-only")).collect();
    assert_eq!(open, [true, true, false], "{prepares:?}");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

/// Names, words and redo logs differ from series to series. What tells of a redo log that is cut does so in each of MariaDB's.
#[test]
fn a_chain_of_each_series_is_restored_and_a_cut_redo_log_is_not() {
    let cases = [
        ("mariadb", "10.5.23-MariaDB", "xtrabackup_checkpoints"),
        ("mariadb", "10.11.19-MariaDB", "xtrabackup_checkpoints"),
        ("mariadb", "11.8.6-MariaDB", "mariadb_backup_checkpoints"),
        ("mysql", "8.0.35-30", "xtrabackup_checkpoints"),
        ("mysql", "8.4.0-1", "xtrabackup_checkpoints"),
        ("mysql", "9.1.0-1", "xtrabackup_checkpoints"),
    ];
    for (kind, version, checkpoints) in cases {
        let mut env = TestEnv::new();
        let tool = if kind == "mysql" { "xtrabackup" } else { "mariabackup" };
        if kind == "mysql" {
            env.mysql();
        }
        env.world.set_version(version).unwrap();
        // As large as a first page, which is where 10.5 notes the end of its redo log.
        env.world.put("ibdata1", &[b's'; 16384]).unwrap();
        env.start_daemon();
        chain(&env);
        assert_eq!(env.count("backup", "1"), 3, "{version}: {:?}", env.process_rows());
        assert!(env.backup("inc-2").join(checkpoints).exists(), "{version}");
        for _ in 0..2 {
            env.restore(&CHAIN, "database");
            assert_eq!(env.newest("status"), "success", "{version}: {}", env.newest("error"));
            let [mut restored, mut served] = [content_of(&env.path("data")).unwrap(), env.world.content().unwrap()];
            if version.starts_with("10.5") {
                let note = restored.remove("ibdata1").unwrap();
                let end = u64::from_be_bytes(note[26..34].try_into().unwrap());
                assert!(end > 0 && served.remove("ibdata1").unwrap()[34..] == note[34..], "{version}");
            }
            assert_eq!(restored, served, "{version}");
            fs::remove_dir_all(env.path("data")).unwrap();
        }
        if kind == "mysql" {
            // Where its redo log ends is not known from a run: see docs/how-it-works.md, "Limits".
            continue;
        }
        for step in 0..3 {
            fault_at(&env, step, r#""cut_redo""#);
            env.restore(&CHAIN, "database");
            env.expect_log("restore failed");
            assert!(env.newest("error").starts_with("the redo log of"), "{version}: {}", env.newest("error"));
        }
        env.world.start().unwrap();
        env.script(tool, r#"{"fault":"cut_redo"}"#);
        env.full("cut");
        env.expect_log("backup failed");
        assert!(env.newest("error").contains("where its LSNs need"), "{version}: {}", env.newest("error"));
        assert!(!env.backup("cut").exists(), "{version}");
    }
}

#[test]
fn every_failing_step_leaves_everything_as_it_was() {
    // The calls of the tool in a restore: prepare, apply, apply, copy-back. A status 0 alone convinces nobody.
    let faults = [
        (0, r#"{"exit":1}"#),
        (0, r#"{"dies_by":"SEGV"}"#),
        (0, r#""cut_redo""#),
        (0, r#""no_completed_ok""#),
        (1, r#""wrong_lsn""#),
        (1, r#""cut_redo""#),
        (2, r#"{"dies_after":"KILL"}"#),
        (2, r#""no_completed_ok""#),
        (3, r#""partial""#),
        (3, r#""enospc""#),
        (3, r#"{"dies_by":"KILL"}"#),
        (3, r#""no_completed_ok""#),
    ];
    let env = with_chain();
    fs::create_dir(env.path("data")).unwrap();
    fs::write(env.path("data/ibdata1"), "an old one").unwrap();
    fs::write(env.path("data/host.err"), "its log").unwrap();
    let (data, backups) = (env.fingerprint("data"), env.fingerprint("backups"));
    for (calls_before, fault) in faults {
        fault_at(&env, calls_before, fault);
        env.restore(&CHAIN, "database");
        env.expect_log("restore failed");
        assert_eq!(env.rows("process", "id = (SELECT max(id) FROM process)")[0]["status"], "failed", "{fault}");
        assert_eq!(env.fingerprint("data"), data, "{fault} at call {calls_before}");
        assert_eq!(env.fingerprint("backups"), backups, "{fault} at call {calls_before}");
        assert_eq!(env.listing("backups/tmp"), "(empty)", "{fault}");
        assert_eq!(env.count("restore", "1"), 0, "{fault}");
    }
    env.restore(&CHAIN, "database");
    let mut expected = env.world.content().unwrap();
    expected.insert("host.err".to_owned(), b"its log".to_vec());
    assert_eq!(
        content_of(&env.path("data")).unwrap(),
        expected,
        "the old ibdata1 has made room, the rest is still there"
    );
}

/// The third of these has a name that leaves no room for the ending of what is set aside.
#[test]
fn what_was_set_aside_before_the_way_could_not_be_cleared_is_brought_back() {
    let env = with_chain();
    fs::create_dir(env.path("data")).unwrap();
    for name in ["ib_buffer_pool", "ib_logfile0", &format!("ib_logfile{}", "9".repeat(240)), "ibdata1"] {
        fs::write(env.path("data").join(name), name).unwrap();
    }
    let data = env.fingerprint("data");
    let id = env.restore(&CHAIN, "database");
    env.expect_log("restore failed");
    assert!(env.newest("error").ends_with("File name too long (os error 36)"), "{}", env.newest("error"));
    assert_eq!(env.fingerprint("data"), data);
    assert_eq!(env.listing("backups/tmp"), "(empty)");
    assert!(env.commands(&id).last().unwrap().contains("--move-back"));
}

#[test]
fn a_failed_folder_restore_is_removed() {
    let env = with_chain();
    fault_at(&env, 1, r#"{"exit":1}"#);
    env.restore(&CHAIN, "folder");
    env.expect_log("restore failed");
    assert_snapshot!(env.listing("backups/restores"), @"(empty)");
    assert_eq!(env.count("restore", "1"), 0);
}

#[test]
fn a_cut_redo_log_is_a_failure_that_says_so() {
    let env = with_chain();
    fault_at(&env, 0, r#""cut_redo""#);
    env.restore(&["full-1"], "folder");
    env.expect_log("the redo log of");
    assert!(env.newest("error").contains("before the backup's own end at"), "{}", env.newest("error"));
}

/// A predecessor has no manifest, and applied the stored incremental itself: applied again, it loses its tables and ends well.
#[test]
fn an_incremental_that_was_consumed_is_not_restored() {
    let env = with_chain();
    fs::remove_file(env.backup("inc-1").join("dbcalm.sha256")).unwrap();
    for path in env.fingerprint("backups/inc-1").keys().map(|path| env.backup("inc-1").join(path)) {
        if path.extension().is_some_and(|extension| extension == "delta") {
            fs::remove_file(path).unwrap();
        }
    }
    env.restore(&CHAIN, "folder");
    env.expect_log("restore failed");
    assert!(env.newest("error").starts_with("copy: the incremental has been consumed"), "{}", env.newest("error"));
    assert_eq!(env.count("restore", "1"), 0);
}

#[test]
fn a_symlink_in_a_stored_backup_is_not_written_through() {
    let env = with_chain();
    fs::remove_file(env.backup("full-1").join("dbcalm.sha256")).unwrap();
    let (stored, elsewhere) = (env.backup("full-1").join("ibdata1"), env.path("elsewhere"));
    fs::rename(&stored, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &stored).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    env.restore(&["full-1"], "folder");
    env.expect_log("restore failed");
    assert!(env.newest("error").starts_with("copy: 'ibdata1' is not a plain file"), "{}", env.newest("error"));
    assert_eq!(fs::read(&elsewhere).unwrap(), before);
}

#[test]
fn what_a_failed_restore_could_not_take_away_is_said_in_its_row() {
    let env = with_chain();
    env.script("mariabackup", "{}");
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    // Somebody puts files of his own where the second half would go: the tool clashes with them, and says so with status 1.
    for path in env.world.content().unwrap().keys().chain([&"shop/orders.ibd".to_owned()]) {
        let file = env.path("data").join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        if !file.exists() {
            fs::write(file, "mine").unwrap();
        }
    }
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    env.expect_log("restore failed");
    let error = env.newest("error");
    assert!(
        error.contains("Destination file exists") && error.contains("what it left could not be removed"),
        "{error}"
    );
    let left = content_of(&env.path("data")).unwrap();
    assert!(!left.is_empty() && left.values().all(|content| content == b"mine"), "{left:?}");
}

#[test]
fn a_restore_waits_for_no_server_and_fills_no_full_directory() {
    let env = with_chain();
    env.world.start().unwrap();
    let ask = || env.send(&restore_request(&CHAIN, "database"));
    let running = r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#;
    assert_eq!(ask(), running);
    env.script("mariadb-admin", r#"{"fault":"hangs"}"#);
    assert_eq!(ask(), running, "a server that does not answer may yet be there");
    env.world.stop().unwrap();
    fs::create_dir_all(env.path("data/mysql")).unwrap();
    assert_snapshot!(ask(), @r#"{"code": 503, "status": "cannot restore to database, mysql/mariadb data directory is not empty (usually /var/lib/mysql)"}"#);
    assert!(env.log().contains("it holds 'mysql'"), "the log says what is in the way");
    assert_snapshot!(env.listing("backups"), @"full-1/ inc-1/ inc-2/");
    assert_eq!(env.count("restore", "1"), 0);
}

#[test]
fn a_server_that_is_started_during_the_restore_is_not_overwritten() {
    let env = with_chain();
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    env.world.start().unwrap();
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    env.expect_log("the server is not stopped any more");
    assert!(!env.path("data").exists());
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
    assert!(env.newest("command").contains("--move-back"), "the row of the step that could not be taken says why");
}

/// Lets the prepare of the full backup wait until the first incremental has been copied beside it.
fn prepare_while_copied(env: &TestEnv) -> String {
    fault_at(env, 0, &format!(r#"{{"slow_until":"{}"}}"#, env.path("go").display()));
    let id = env.accepted(&restore_request(&CHAIN, "database"));
    env.wait_for_fake("mariabackup");
    let own = env.path("backups/tmp").read_dir().unwrap().next().unwrap().unwrap().path();
    wait_for("the copy of the incremental", || own.join("inc-1/xtrabackup_info").exists().then_some(()));
    assert!(env.commands(&id).last().unwrap().contains("--prepare"), "it has no row before its turn");
    assert!(!own.join("inc-2").exists(), "one at a time");
    id
}

#[test]
fn an_incremental_is_copied_while_the_backup_before_it_is_prepared() {
    let env = with_chain();
    let backups = env.fingerprint("backups");
    let id = prepare_while_copied(&env);
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
    assert_eq!(env.fingerprint("backups"), backups);
    let rows = env.rows("process", &format!("command_id = '{id}'"));
    assert!(rows.iter().all(|row| row["status"] == "success" && row["pid"].as_i64() > Some(0)), "{rows:?}");
}

#[test]
fn what_was_copied_before_its_turn_goes_with_a_daemon_that_is_killed() {
    let env = with_chain();
    let backups = env.fingerprint("backups");
    prepare_while_copied(&env);
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert_eq!(env.fingerprint("backups"), backups);
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
    assert!(!env.path("data").exists());
}

/// A damaged incremental is found while the full backup is prepared, and told in its turn.
#[test]
fn what_fails_before_its_turn_fails_the_restore_in_its_turn() {
    let env = with_chain();
    let delta = env.backup("inc-1").join("shop/orders.ibd.delta");
    assert!(delta.is_file());
    fs::write(delta, "another").unwrap();
    let id = env.restore(&CHAIN, "database");
    env.expect_log("restore failed");
    assert!(env.newest("error").contains("'shop/orders.ibd.delta' has changed since"), "{}", env.newest("error"));
    let commands = env.commands(&id);
    assert_eq!(commands.len(), 3, "{commands:?}");
    assert!(commands[2].contains("copy --from=~/backups/inc-1"), "{commands:?}");
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
}

#[test]
fn one_restore_at_a_time_holds_the_data_directory() {
    let env = with_chain();
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(&restore_request(&CHAIN, "database"));
    env.wait_for_fake("mariabackup");
    assert_snapshot!(env.send(&restore_request(&CHAIN, "database")), @r#"{"code": 503, "status": "cannot restore to database, another restore holds the data directory"}"#);
    env.accepted(&restore_request(&["full-1"], "folder"));
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    assert_eq!(env.count("restore", "1"), 2);
}

#[test]
fn what_is_no_chain_is_refused() {
    let env = with_chain();
    let ask = |ids: &[&str]| env.send(&restore_request(ids, "folder"));
    assert_snapshot!(ask(&["full-1", "inc-2"]), @r#"{"code": 400, "status": "id_list is not a chain: inc-2 was taken from inc-1, not from full-1"}"#);
    assert_snapshot!(ask(&["inc-1"]), @r#"{"code": 400, "status": "id_list is not a chain: it begins with inc-1, an incremental from full-1"}"#);
    assert_snapshot!(ask(&["full-1", "inc-1", "nothing"]), @r#"{"code": 404, "status": "Backup with id nothing not found"}"#);
    fs::create_dir(env.backup("nothing")).unwrap();
    assert_snapshot!(ask(&["nothing"]), @r#"{"code": 404, "status": "Backup with id nothing not found"}"#);
    fs::remove_dir_all(env.backup("inc-1")).unwrap();
    assert_snapshot!(ask(&["full-1", "inc-1"]), @r#"{"code": 404, "status": "Backup with id inc-1 not found"}"#);
    assert_eq!(env.count("process", "type = 'restore'"), 0);
}

#[test]
fn a_poll_never_sees_success_before_the_restore_is_done() {
    let env = with_chain();
    let database = env.database();
    let mut seen = Vec::new();
    for _ in 0..20 {
        let id = env.accepted(&restore_request(&CHAIN, "database"));
        loop {
            // One snapshot for both tables, as a reader has it.
            let (status, restored): (String, i64) = database
                .query_row(
                    "SELECT (SELECT status FROM process WHERE command_id = ?1 ORDER BY id DESC LIMIT 1),
                     (SELECT count(*) FROM restore JOIN process ON restore.process_id = process.id WHERE command_id = ?1)",
                    [&id],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
                .unwrap();
            assert_eq!(status == "success", restored == 1, "{status} with {restored} rows of the restore");
            if seen.last() != Some(&status) {
                seen.push(status.clone());
            }
            if status != "running" {
                break;
            }
        }
        fs::remove_dir_all(env.path("data")).unwrap();
    }
    assert_eq!(seen.len(), 40, "running, then success, 20 times: {seen:?}");
}
