//! Faults that strike where a real mariadb-backup runs: a relay stands before it.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, wait_for};

/// A server with a table, and a daemon for it whose tools are relays before the real ones.
fn start() -> (MariaDb, TestEnv) {
    let server = MariaDb::start();
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT) ENGINE=InnoDB; INSERT INTO shop.orders VALUES (1)",
    );
    let mut env = TestEnv::real(&server);
    env.relay("mariabackup", Path::new("/usr/bin/mariabackup"));
    env.relay("mariadb-admin", Path::new("/usr/bin/mariadb-admin"));
    env.start_daemon();
    (server, env)
}

#[test]
fn a_relay_does_what_the_real_tool_does_and_records_it() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    let content = server.content();
    env.script("mariabackup", r#"{"expects":["--backup"]}"#);
    env.full("full-1");
    server.lose_everything();
    env.restore(&["full-1"], "database");
    server.run();
    assert_eq!(server.content(), content);
    assert_snapshot!(env.calls("mariabackup").len(), @"3");
    assert_snapshot!(env.calls("mariadb-admin").join("\n"), @"
    --defaults-file=~/credentials.cnf --defaults-group-suffix=-dbcalm ping
    --defaults-file=~/credentials.cnf --defaults-group-suffix=-dbcalm variables
    --defaults-file=~/credentials.cnf --defaults-group-suffix=-dbcalm ping
    --defaults-file=~/credentials.cnf --defaults-group-suffix=-dbcalm ping
    ");
    // The real tool's own words, under its own name.
    let output = env.rows("process", "id = 1")[0]["output"].as_str().unwrap().to_owned();
    assert!(output.contains("\n/usr/bin/mariabackup based on MariaDB server"), "{output}");
}

#[test]
fn a_real_backup_that_is_struck_leaves_nothing() {
    if !is_installed() {
        return;
    }
    let (_server, env) = start();
    let cases = [
        (r#"{"exit":3}"#, 3, ""),
        (r#"{"dies_by":"KILL"}"#, -9, "mariabackup ended by signal 9"),
        (r#"{"dies_by":"INT"}"#, -2, "mariabackup ended by signal 2"),
        (r#"{"dies_after":"SEGV"}"#, -11, "mariabackup ended by signal 11"),
        (r#""partial""#, 1, "mariabackup ended with status 1"),
        (r#""enospc""#, 1, "No space left on device"),
        (r#""no_completed_ok""#, 0, "did not say 'completed OK!'"),
        (r#""empty_metadata""#, 0, "_info' has no valid tool_name"),
        (r#""missing_metadata""#, 0, "_checkpoints in"),
    ];
    for (index, (fault, code, text)) in cases.into_iter().enumerate() {
        env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
        env.full("full-1");
        env.expect_log("backup failed");
        let row = &env.rows("process", &format!("id = {}", index + 1))[0];
        assert_eq!(
            (row["status"].as_str(), row["return_code"].as_i64()),
            (Some("failed"), Some(code)),
            "{fault}: {row:?}"
        );
        let said = format!("{}{}", env.newest("error"), env.log());
        assert!(said.contains(text), "{fault}: {said}");
        assert_eq!(env.listing("backups"), "(empty)", "{fault}");
    }
    env.full("full-1");
    assert_eq!(env.count("backup", "1"), 1);
}

#[test]
fn a_real_restore_that_is_struck_leaves_everything_as_it_was() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    env.full("full-1");
    let content = server.content();
    server.lose_everything();
    let stored = env.fingerprint("backups");
    let faults = [r#"{"dies_by":"KILL"}"#, r#""partial""#, r#"{"dies_after":"INT"}"#, r#""no_completed_ok""#];
    for calls_before in [0, 1] {
        for fault in faults {
            (0..calls_before).for_each(|_| env.script("mariabackup", "{}"));
            env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
            env.restore(&["full-1"], "database");
            env.expect_log("restore failed");
            assert_eq!(crate::harness::listing(&server.data_dir()), "(empty)", "{fault} at call {calls_before}");
            assert!(env.fingerprint("backups") == stored, "{fault} at call {calls_before}");
        }
    }
    assert_eq!(env.count("restore", "1"), 0);
    env.restore(&["full-1"], "database");
    server.run();
    assert_eq!(server.content(), content);
}

/// The waiting relay is the process that becomes the real tool, so its row's pid is the real tool's too.
#[test]
fn a_relay_waits_and_then_becomes_the_real_tool() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    env.full("full-1");
    server.lose_everything();
    env.script("mariabackup", "{}");
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(&restore_request(&["full-1"], "database"));
    let waiting = env.wait_for_fake("mariabackup");
    assert_eq!(crate::harness::listing(&server.data_dir()), "(empty)", "nothing runs before the word is given");
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    assert_eq!(env.newest("status"), "success");
    assert_eq!(env.count("process", &format!("pid = {waiting}")), 1);
    server.run();
}

/// A signal to the relay alone reaches the real tool, and what it does to that one is what the relay does too.
#[test]
fn a_signal_to_the_relay_alone_reaches_the_real_tool() {
    if !is_installed() {
        return;
    }
    let (server, env) = start();
    // A backup waits for this lock, and so can be met.
    let mut lock =
        server.session("SET lock_wait_timeout = 60; BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT; SELECT sleep(60)");
    let sleepers = "SELECT count(*) FROM information_schema.processlist WHERE state = 'User sleep'";
    wait_for("the lock", || (server.sql(sleepers).trim() == "1").then_some(()));
    env.script("mariabackup", r#"{"fault":{"dies_after":"KILL"}}"#);
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
    let pid = wait_for("the pid to be recorded", || {
        env.rows("process", "pid != 0").first().and_then(|row| row["pid"].as_i64())
    });
    wait_for("the backup to begin", || env.backup("full-1").join("ib_logfile0").exists().then_some(()));
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::INT).unwrap();
    env.settled();
    env.expect_log("backup failed");
    assert_snapshot!(env.records(), @"1 failed -2 | backups: none | restores: none");
    assert_snapshot!(env.listing("backups"), @"(empty)");
    lock.kill().unwrap();
    lock.wait().unwrap();
}
