//! The catalogue of faults, and what the daemon makes of each: the row, its reason, nothing left, and the next request works.
//!
//! The first of each kind are in `backup.rs` and `restore.rs`; here is the rest, at every step in which it can strike.

use std::fs;

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::harness::TestEnv;
use crate::harness::daemon::restore_request;
use crate::harness::world::content_of;

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;
const CHAIN: [&str; 3] = ["full-1", "inc-1", "inc-2"];

/// A chain of three, and the server stopped afterwards.
fn with_chain() -> TestEnv {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.world.put("shop/new.ibd", b"created later").unwrap();
    env.incremental("inc-2", "inc-1");
    env.world.stop().unwrap();
    env
}

/// A fault at one of the tool's next calls.
fn fault_at(env: &TestEnv, calls_before: usize, fault: &str) {
    (0..calls_before).for_each(|_| env.script("mariabackup", "{}"));
    env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
}

/// Status, return code and error of the newest row.
fn newest(env: &TestEnv) -> (String, Option<i64>, String) {
    let row = &env.rows("process", "id = (SELECT max(id) FROM process)")[0];
    (env.newest("status"), row["return_code"].as_i64(), env.newest("error"))
}

#[test]
fn a_backup_full_or_incremental_that_is_struck_leaves_nothing() {
    let cases = [
        (r#"{"dies_before":"KILL"}"#, -9, "mariabackup ended by signal 9"),
        (r#"{"dies_by":"INT"}"#, -2, "mariabackup ended by signal 2"),
        (r#"{"dies_after":"ABRT"}"#, -6, "mariabackup ended by signal 6"),
        (r#"{"damaged_metadata":"kind"}"#, 0, "backup_type in '~/backups/"),
        (r#"{"damaged_metadata":"cut"}"#, 0, "xtrabackup_checkpoints' has no valid last_lsn"),
        (r#"{"damaged_metadata":"checkpoints"}"#, 0, "xtrabackup_checkpoints' has no valid backup_type"),
        (r#"{"damaged_metadata":"info"}"#, 0, "xtrabackup_info' has no valid tool_name"),
        (r#"{"damaged_metadata":"options"}"#, 0, "backup-my.cnf' has no valid [mysqld] section"),
        (r#""wrong_to_lsn""#, 0, "has no valid last_lsn"),
        (r#""wrong_last_lsn""#, 0, "has no valid last_lsn"),
        (r#"{"enospc_at":5}"#, 1, "No space left on device"),
    ];
    let env = TestEnv::start();
    env.full("full-0");
    for (fault, code, reason) in cases {
        for take in [|env: &TestEnv| env.full("next"), |env: &TestEnv| env.incremental("next", "full-0")] {
            env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
            take(&env);
            env.expect_log("backup failed");
            let (status, found, error) = newest(&env);
            assert_eq!((status.as_str(), found), ("failed", Some(code)), "{fault}: {error}");
            assert!(error.contains(reason), "{fault}: {error}");
            assert_eq!(env.listing("backups"), "full-0/", "{fault}");
        }
    }
    env.incremental("inc-1", "full-0");
    assert_eq!(env.newest("status"), "success");
    assert_eq!(env.count("backup", "1"), 2);
}

/// Wherever the disk is full, a backup that is not whole is none: also where the tool itself ends with status 0.
#[test]
fn a_disk_that_is_full_at_any_byte_makes_no_backup() {
    let env = TestEnv::start();
    let (mut lies, mut bytes) = (0, 0);
    loop {
        env.script("mariabackup", &format!(r#"{{"fault":{{"enospc_at":{bytes}}}}}"#));
        env.full("full-1");
        let (status, code, error) = newest(&env);
        if status == "success" {
            break;
        }
        env.expect_log("backup failed");
        assert!(code == Some(1) || code == Some(0), "{bytes}: {error}");
        assert!(error.contains("No space left on device"), "{bytes}: {error}");
        assert_eq!(env.listing("backups"), "(empty)", "{bytes}");
        lies += usize::from(code == Some(0));
        // The redo log is the largest, and the smallest step is for the files behind it.
        bytes += if bytes < 12_000 { 1_500 } else { 50 };
    }
    assert!(lies > 3 && bytes > 12_000, "{lies} ended with status 0, {bytes} bytes are enough");
    env.world.stop().unwrap();
    env.restore(&["full-1"], "database");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

#[test]
fn a_restore_that_is_struck_at_any_step_leaves_everything_as_it_was() {
    // The calls of the tool in a restore: prepare, apply, apply, move-back, which needs no room; a copy-back on a full disk is in
    // full_disks.rs.
    let cases = [
        (0, r#"{"dies_before":"KILL"}"#, -9, "ended by signal 9"),
        (0, r#"{"dies_by":"ABRT"}"#, -6, "ended by signal 6"),
        (0, r#"{"damaged_metadata":"kind"}"#, 0, "backup_type in"),
        (0, r#"{"damaged_metadata":"cut"}"#, 0, "has no valid last_lsn"),
        (0, r#"{"damaged_metadata":"checkpoints"}"#, 0, "has no valid backup_type"),
        (0, r#"{"enospc_at":20}"#, 1, "No space left on device"),
        (1, r#""wrong_to_lsn""#, 0, "to_lsn is"),
        (1, r#""wrong_last_lsn""#, 0, "last_lsn is"),
        (1, r#"{"enospc_at":40}"#, 1, "No space left on device"),
        (2, r#"{"dies_before":"SEGV"}"#, -11, "ended by signal 11"),
        (2, r#"{"dies_by":"INT"}"#, -2, "ended by signal 2"),
        (2, r#"{"damaged_metadata":"checkpoints"}"#, 0, "has no valid backup_type"),
        (3, r#"{"exit":1}"#, 1, ""),
        (3, r#"{"dies_before":"KILL"}"#, -9, "ended by signal 9"),
        (3, r#"{"dies_after":"ABRT"}"#, -6, "ended by signal 6"),
    ];
    let env = with_chain();
    fs::create_dir(env.path("data")).unwrap();
    let backups = env.fingerprint("backups");
    for (calls_before, fault, code, reason) in cases {
        fault_at(&env, calls_before, fault);
        env.restore(&CHAIN, "database");
        env.expect_log("restore failed");
        let (status, found, error) = newest(&env);
        assert_eq!((status.as_str(), found), ("failed", Some(code)), "{fault} at {calls_before}: {error}");
        assert!(error.contains(reason), "{fault} at {calls_before}: {error}");
        assert_eq!(env.listing("data"), "(empty)", "{fault} at {calls_before}");
        assert_eq!(env.listing("backups/tmp"), "(empty)", "{fault} at {calls_before}");
        assert_eq!(env.fingerprint("backups"), backups, "{fault} at {calls_before}");
        assert_eq!(env.count("restore", "1"), 0, "{fault} at {calls_before}");
    }
    env.restore(&CHAIN, "database");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

#[test]
fn noise_harms_no_step() {
    let env = with_chain();
    let noises = [r#"{"flood":2000000}"#, r#"{"flood_stdout":2000000}"#, r#""not_utf8""#];
    for (id, noise) in ["loud", "loud-too", "strange"].into_iter().zip(noises) {
        env.world.start().unwrap();
        fault_at(&env, 0, noise);
        env.full(id);
        env.world.stop().unwrap();
        (0..4).for_each(|_| fault_at(&env, 0, noise));
        env.restore(&CHAIN, "database");
        assert_eq!(newest(&env).0, "success", "{noise}");
        assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap(), "{noise}");
        fs::remove_dir_all(env.path("data")).unwrap();
        let longest = "SELECT max(length(coalesce(output, '')) + length(coalesce(error, ''))) FROM process";
        let longest: i64 = env.database().query_row(longest, [], |row| row.get(0)).unwrap();
        assert!(longest < 600_000, "{noise}: {longest} bytes");
    }
    assert_eq!((env.count("backup", "1"), env.count("restore", "1")), (6, 3));
}

/// A tool that heeds no TERM and no INT is killed when its time is up, with all that it had begun taken away.
#[test]
fn a_tool_that_does_not_listen_is_killed() {
    for is_restore in [false, true] {
        let env = with_chain();
        fs::create_dir(env.path("data")).unwrap();
        if is_restore {
            fault_at(&env, 1, r#""deaf""#);
            env.accepted(&restore_request(&["full-1"], "database"));
            env.wait_for_fake("mariabackup");
            assert_ne!(env.listing("data"), "(empty)", "the copy-back is half done");
        } else {
            env.world.start().unwrap();
            fault_at(&env, 0, r#""deaf""#);
            env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
            env.wait_for_fake("mariabackup");
        }
        env.signal(Signal::TERM);
        assert_eq!(env.wait_for_end(), Some(0));
        env.expect_log(if is_restore { "restore failed" } else { "backup failed" });
        let killed = "return_code = -9 AND error LIKE 'mariabackup stopped by the daemon, by signal 9%'";
        assert_eq!(env.count("process", killed), 1);
        assert_eq!(env.listing("data"), "(empty)");
        let tmp = if is_restore { " tmp/" } else { "" };
        assert_eq!(env.listing("backups"), format!("full-1/ inc-1/ inc-2/{tmp}"));
        if is_restore {
            assert_eq!(env.listing("backups/tmp"), "(empty)");
        }
    }
}

/// An admin tool that says nothing in time, or something else than that nobody is there, keeps no half filled directory: the processes tell.
#[test]
fn a_restore_that_fails_is_undone_though_the_admin_tool_does_not_say_whether_a_server_runs() {
    for last in [r#""hangs""#, r#"{"says":"Unknown server host 'db1' (-2)"}"#] {
        let env = with_chain();
        fs::create_dir(env.path("data")).unwrap();
        fault_at(&env, 1, r#""partial""#);
        for fault in [r#""down""#, r#""down""#, last] {
            env.script("mariadb-admin", &format!(r#"{{"fault":{fault}}}"#));
        }
        env.restore(&["full-1"], "database");
        env.expect_log("restore failed");
        assert_eq!((env.newest("status").as_str(), env.listing("data").as_str()), ("failed", "(empty)"), "{last}");
    }
}

/// Whoever starts a server on what a restore has half brought, before that fails, keeps it: a server's files are not taken from under it.
#[test]
fn a_server_that_is_started_before_a_restore_fails_keeps_its_files() {
    let env = with_chain();
    fs::create_dir(env.path("data")).unwrap();
    fault_at(&env, 1, r#""deaf""#);
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    let half = env.listing("data");
    assert_ne!(half, "(empty)");
    env.world.start().unwrap();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("restore failed");
    let error = env.newest("error");
    let left = "/data' was left as it is: it may be half filled, but its server may still run";
    assert!(error.contains(left), "{error}");
    assert_eq!(env.listing("data"), half);
}

#[test]
fn a_tool_that_cannot_be_started_is_said_and_leaves_nothing() {
    let env = TestEnv::start();
    for (is_executable, reason) in
        [(false, "Permission denied (os error 13)"), (true, "No such file or directory (os error 2)")]
    {
        env.cannot_start("mariabackup", is_executable);
        let refused = env.send(FULL);
        assert!(
            refused.starts_with(r#"{"code": 500, "status": "'~/bin/mariabackup' could not be started: "#),
            "{refused}"
        );
        assert!(refused.contains(reason), "{refused}");
        env.settled();
        env.expect_log("could not be started");
        let (status, code, error) = newest(&env);
        assert_eq!((status.as_str(), code), ("failed", Some(-1)));
        assert!(error.contains(reason), "{error}");
        assert_eq!(env.listing("backups"), "(empty)");
        env.can_start_again("mariabackup");

        env.cannot_start("mariadb-admin", is_executable);
        let refused = env.send(FULL);
        assert!(
            refused.contains(r#"{"code": 500, "status": "'~/bin/mariadb-admin' could not be started: "#),
            "{refused}"
        );
        env.can_start_again("mariadb-admin");
    }
    env.full("full-1");
    assert_eq!(env.count("backup", "1"), 1);
}

#[test]
fn a_tool_that_cannot_be_started_any_more_ends_its_restore() {
    let env = with_chain();
    let before = env.count("process", "1");
    fault_at(&env, 0, &format!(r#"{{"slow_until":"{}"}}"#, env.path("go").display()));
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    env.cannot_start("mariabackup", false);
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    env.expect_log("restore failed");
    assert_eq!(env.count("process", "1"), before + 3, "the copy, the prepare, and the move-back that was not");
    let (status, code, error) = newest(&env);
    assert_eq!((status.as_str(), code), ("failed", Some(-1)), "{error}");
    assert!(error.contains("could not be started: Permission denied"), "{error}");
    assert!(env.newest("command").contains("--move-back"));
    assert_eq!(env.listing("backups/tmp"), "(empty)");
    assert!(!env.path("data").exists());
    env.can_start_again("mariabackup");
    env.restore(&CHAIN, "database");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

/// What the tools of each series say of themselves; so said by the real ones, but for xtrabackup, whose text is Percona's documentation's.
#[test]
fn the_version_of_each_series_is_understood() {
    let said = |env: &TestEnv| {
        let output = env.command().arg("check").output().unwrap();
        let text = env.redact(&String::from_utf8(output.stdout).unwrap());
        let lines: Vec<_> = text.lines().filter(|line| line.contains(" tool ")).map(str::to_owned).collect();
        lines.join("\n")
    };
    let mut env = TestEnv::new();
    env.world.set_version("10.5.23-MariaDB").unwrap();
    assert_snapshot!(said(&env), @r"
    ok       backup tool '~/bin/mariabackup', version 10.5: ~/bin/mariabackup based on MariaDB server 10.5.23-MariaDB debian-linux-gnu (x86_64)
    ok       admin tool '~/bin/mariadb-admin': ~/bin/mariadb-admin  Ver 9.1 Distrib 10.5.23-MariaDB, for debian-linux-gnu on x86_64
    ");
    env.world.set_version("10.11.19-MariaDB").unwrap();
    assert_snapshot!(said(&env), @r"
    ok       backup tool '~/bin/mariabackup', version 10.11: ~/bin/mariabackup based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)
    ok       admin tool '~/bin/mariadb-admin': ~/bin/mariadb-admin  Ver 10.0 Distrib 10.11.19-MariaDB, for debian-linux-gnu on x86_64
    ");
    env.world.set_version("11.8.6-MariaDB").unwrap();
    assert_snapshot!(said(&env), @r"
    ok       backup tool '~/bin/mariabackup', version 11.8: ~/bin/mariabackup based on MariaDB server 11.8.6-MariaDB debian-linux-gnu (x86_64)
    ok       admin tool '~/bin/mariadb-admin': ~/bin/mariadb-admin from 11.8.6-MariaDB, client 10.0 for debian-linux-gnu (x86_64)
    ");
    env.mysql();
    env.world.set_version("8.0.35-30").unwrap();
    assert_snapshot!(said(&env), @r"
    ok       backup tool '~/bin/xtrabackup', version 8.0: xtrabackup version 8.0.35-30 based on MySQL server 8.0.35 Linux (x86_64) (revision id: fake)
    ok       admin tool '~/bin/mariadb-admin': ~/bin/mariadb-admin  Ver 8.0.35-30 for Linux on x86_64 ((Fake))
    ");
}

/// A server is up or down as each request finds it; one whose state cannot be told is neither.
#[test]
fn a_ping_that_flaps_or_does_not_answer_decides_each_request_alone() {
    let env = with_chain();
    let backup = || env.send(FULL);
    let restore = || env.send(&restore_request(&CHAIN, "database"));
    let not_running = r#"{"code": 503, "status": "cannot create backup, MySQL/MariaDB server is not running"}"#;
    let not_stopped = r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#;
    let script = |fault: &str| env.script("mariadb-admin", &format!(r#"{{"fault":{fault}}}"#));

    for fault in [r#""up""#, r#""deaf""#, r#"{"exit":0}"#, r#"{"exit":1}"#, r#"{"dies_before":"KILL"}"#] {
        script(fault);
        assert_eq!(restore(), not_stopped, "{fault}");
    }
    env.world.start().unwrap();
    let new = |id: &str| env.send(&format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#));
    for fault in [r#""down""#, r#""hangs""#, r#"{"exit":1}"#, r#"{"dies_before":"SEGV"}"#] {
        script(fault);
        assert_eq!(new("flap"), not_running, "{fault}");
    }
    assert!(backup().contains("already exists"), "the records are asked before the server");
    // One that is up is asked what it is, too.
    ["\"down\"", "\"up\"", "\"up\"", "\"down\"", "\"up\"", "\"up\""].into_iter().for_each(script);
    let codes = ["flap-1", "flap-2", "flap-3", "flap-4"].map(|id| new(id).contains(r#""code": 202"#));
    assert_eq!(codes, [false, true, false, true]);
    env.settled();
    assert_snapshot!(env.listing("backups"), @"flap-2/ flap-4/ full-1/ inc-1/ inc-2/");

    // A server that comes up between the request and the copy-back is not overwritten.
    env.world.stop().unwrap();
    ["\"down\"", "\"up\""].into_iter().for_each(script);
    env.restore(&CHAIN, "database");
    env.expect_log("the server is not stopped any more");
    assert!(!env.path("data").exists());
    assert_eq!(env.listing("backups/tmp"), "(empty)");
}
