//! The daemon's own life: starting, stopping, reading its settings again, and what it finds after it was killed.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use insta::assert_snapshot;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, test_kill_process};

use crate::harness::daemon::restore_request;
use crate::harness::world::content_of;
use crate::harness::{TestEnv, program, wait_for};

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;

fn is_alive(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

fn hold(env: &TestEnv, calls_before: usize) {
    for _ in 0..calls_before {
        env.script("mariabackup", "{}");
    }
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
}

#[test]
fn term_ends_the_jobs_and_records_them() {
    for signal in [Signal::TERM, Signal::INT] {
        let env = TestEnv::start();
        hold(&env, 0);
        env.accepted(FULL);
        let pid = env.wait_for_fake("mariabackup");
        env.signal(signal);
        assert_eq!(env.wait_for_end(), Some(0));
        assert!(!is_alive(pid));
        env.expect_log("backup failed");
        assert_eq!(env.records(), "1 failed -2 | backups: none | restores: none");
        let error = env.newest("error");
        assert!(error.starts_with("mariabackup stopped by the daemon, by signal 2"), "{error}");
        assert_eq!((env.listing("backups"), env.listing("run")), ("(empty)".to_owned(), "(empty)".to_owned()));
    }
}

#[test]
fn term_in_a_restore_leaves_the_data_directory_as_it_was() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    fs::create_dir(env.path("data")).unwrap();
    hold(&env, 1);
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    assert_ne!(env.listing("data"), "(empty)", "the copy-back is half done");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("restore failed");
    assert_snapshot!(env.listing("data"), @"(empty)");
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0, 3 success 0, 4 failed -2 | backups: full-1 | restores: none");
}

#[test]
fn a_backup_that_a_killed_daemon_left_is_ended_and_taken_away() {
    let env = TestEnv::start();
    hold(&env, 0);
    env.accepted(FULL);
    let pid = env.wait_for_fake("mariabackup");
    assert_snapshot!(env.listing("backups"), @"full-1/");
    env.kill_and_restart();
    wait_for("the orphan to be gone", || (!is_alive(pid)).then_some(()));
    env.expect_log("ended a command of an earlier daemon");
    assert_snapshot!(env.records(), @"1 failed -1 | backups: none | restores: none");
    assert_snapshot!(env.newest("error"), @"the daemon was gone before this command ended: it was stopped, and what it left was removed");
    assert_snapshot!(env.listing("backups"), @"(empty)");
    env.full("full-1");
    assert_eq!(env.count("backup", "1"), 1);
}

#[test]
fn a_restore_that_a_killed_daemon_left_is_undone_at_every_step() {
    for calls_before in 0..4 {
        let env = TestEnv::start();
        env.full("full-1");
        env.world.put("shop/orders.ibd", b"order 2\n").unwrap();
        env.incremental("inc-1", "full-1");
        env.incremental("inc-2", "inc-1");
        env.world.stop().unwrap();
        fs::create_dir(env.path("data")).unwrap();
        fs::write(env.path("data/ib_logfile0"), "an old one").unwrap();
        let before = (env.fingerprint("data"), env.fingerprint("backups"));
        hold(&env, calls_before);
        env.accepted(&restore_request(&["full-1", "inc-1", "inc-2"], "database"));
        let pid = env.wait_for_fake("mariabackup");
        env.kill_and_restart();
        env.expect_log("ended a command of an earlier daemon");
        wait_for("the orphan to be gone", || (!is_alive(pid)).then_some(()));
        assert_eq!((env.fingerprint("data"), env.fingerprint("backups")), before, "killed at call {calls_before}");
        assert_eq!(env.listing("backups"), "full-1/ inc-1/ inc-2/ tmp/");
        assert_eq!(env.listing("backups/tmp"), "(empty)");
        assert_eq!((env.count("process", "status = 'running'"), env.count("restore", "1")), (0, 0));
        env.restore(&["full-1", "inc-1", "inc-2"], "database");
        assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
    }
}

#[test]
fn a_data_directory_that_somebody_has_used_since_is_left_alone() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    hold(&env, 1);
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    env.signal(Signal::KILL);
    env.wait_for_end();
    // The operator helps himself before the daemon is back.
    fs::remove_dir_all(env.path("data")).unwrap();
    fs::create_dir_all(env.path("data/shop")).unwrap();
    fs::write(env.path("data/shop/orders.ibd"), "made by hand").unwrap();
    env.start_daemon();
    env.expect_log("was left as it is");
    assert_eq!(fs::read_to_string(env.path("data/shop/orders.ibd")).unwrap(), "made by hand");
    assert!(env.newest("error").contains("holds files that this restore did not put there"), "{}", env.newest("error"));
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
}

#[test]
fn a_recovery_that_is_broken_off_does_not_forget_what_it_saw() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    hold(&env, 1);
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    env.signal(Signal::KILL);
    env.wait_for_end();
    fs::write(env.path("data/mine"), "x").unwrap();
    let other = env.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    env.spawn_daemon();
    assert_eq!(env.wait_for_end(), Some(1), "the row cannot be ended, so the daemon does not begin");
    other.execute_batch("ROLLBACK").unwrap();
    env.start_daemon();
    env.expect_log("was left as it is");
    let error = env.newest("error");
    assert!(error.contains("holds files that this restore did not put there, 'mine' among them"), "{error}");
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
}

/// The Python daemon's copy-back names no data directory.
#[test]
fn a_restore_that_a_killed_predecessor_left_is_undone() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    fs::create_dir(env.path("data")).unwrap();
    hold(&env, 1);
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    env.signal(Signal::KILL);
    env.wait_for_end();
    let data_dir = format!(" --datadir={}", env.path("data").display());
    env.database().execute("UPDATE process SET command = replace(command, ?1, '')", [data_dir]).unwrap();
    env.start_daemon();
    env.expect_log("ended a command of an earlier daemon");
    assert_snapshot!(env.listing("data"), @"(empty)");
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
}

/// A process that follows `file` and carries no tag of a daemon, and a row 9 of this kind that names it.
fn stranger(env: &TestEnv, file: &Path, kind: &str) -> std::process::Child {
    fs::write(file, "").unwrap();
    let other = program("/usr/bin/tail").arg("-f").arg(file).spawn().unwrap();
    let statement = "INSERT INTO process (id, command, command_id, pid, status, start_time, type, args)
                     VALUES (9, ?1, 'c-9', ?2, 'running', 'x', ?3, '{\"id\": \"x\"}')";
    let command = format!("/usr/bin/tail -f {}", file.display());
    env.database().execute(statement, (command, other.id(), kind)).unwrap();
    other
}

#[test]
fn a_start_that_is_refused_leaves_a_living_predecessors_jobs_alone() {
    let env = TestEnv::start();
    env.signal(Signal::TERM);
    env.wait_for_end();
    let _predecessor = UnixListener::bind(env.path("run/mariadb-cmd.sock")).unwrap();
    let mut tool = stranger(&env, &env.path("backups/log"), "backup");
    env.spawn_daemon();
    assert_eq!(env.wait_for_end(), Some(1));
    assert!(env.log().contains("another daemon answers at"));
    assert!(tool.try_wait().unwrap().is_none());
    assert_snapshot!(env.records(), @"9 running | backups: none | restores: none");
    tool.kill().unwrap();
    tool.wait().unwrap();
}

#[test]
fn a_request_that_is_looked_at_when_the_daemon_stops_is_refused() {
    let env = TestEnv::start();
    env.script("mariadb-admin", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    let reply = env.send_aside(FULL);
    env.wait_for_fake("mariadb-admin");
    env.signal(Signal::TERM);
    wait_for("the daemon to be told", || env.log().contains("stopping").then_some(()));
    fs::write(env.path("go"), "").unwrap();
    assert_eq!(reply.join().unwrap(), r#"{"code": 503, "status": "the daemon is shutting down"}"#);
    assert_eq!(env.wait_for_end(), Some(0));
    assert_snapshot!(env.records(), @"none | backups: none | restores: none");
}

#[test]
fn a_reused_pid_is_not_killed() {
    let env = TestEnv::start();
    env.full("full-1");
    // A row that says `running` with the pid of somebody else: this test.
    let statement = "INSERT INTO process (id, command, command_id, pid, status, start_time, type, args)
                     VALUES (9, 'mariabackup --backup', 'c-9', ?1, 'running', 'x', 'backup', '{\"id\": \"other\"}')";
    env.database().execute(statement, [std::process::id()]).unwrap();
    fs::create_dir(env.backup("other")).unwrap();
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert_snapshot!(env.records(), @"1 success 0, 9 failed -1 | backups: full-1 | restores: none");
    assert_snapshot!(env.listing("backups"), @"full-1/ other/");
}

#[test]
fn a_row_of_another_kind_is_left_to_its_own_program() {
    let env = TestEnv::start();
    let mut other = stranger(&env, &env.path("backups/log"), "clean_up");
    env.kill_and_restart();
    assert_snapshot!(env.records(), @"9 running | backups: none | restores: none");
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_predecessors_process_is_known_by_its_arguments_and_ended() {
    let env = TestEnv::start();
    // It carries no tag of ours; its pid and its arguments are in the row.
    let mut other = stranger(&env, &env.path("backups/log"), "backup");
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert!(!wait_for("it to be ended", || other.try_wait().unwrap()).success());
    assert_snapshot!(env.records(), @"9 failed -1 | backups: none | restores: none");
}

/// Whoever may write the records could have the server killed.
#[test]
fn a_process_that_works_on_no_backup_is_not_ended_on_a_rows_word() {
    let env = TestEnv::start();
    let mut other = stranger(&env, &env.path("log"), "backup");
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert!(other.try_wait().unwrap().is_none());
    assert_snapshot!(env.records(), @"9 failed -1 | backups: none | restores: none");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_backup_that_is_recorded_is_never_taken_away() {
    let env = TestEnv::start();
    env.full("full-1");
    env.database().execute("UPDATE process SET status = 'running'", []).unwrap();
    env.kill_and_restart();
    env.expect_log("was left as it is");
    assert_snapshot!(env.listing("backups"), @"full-1/");
    assert_snapshot!(env.records(), @"1 failed -1 | backups: full-1 | restores: none");
}

#[test]
fn what_no_row_tells_of_is_swept() {
    let env = TestEnv::new();
    for dir in [
        "tmp/2026-11-22-09-03-37/full-1",
        "tmp/notes",
        ".full-9.gone/x",
        "restores/2026-11-22-09-03-38",
        "restores/2026-11-22-09-03-39/full-1",
    ] {
        fs::create_dir_all(env.backup(dir)).unwrap();
    }
    env.start_daemon();
    assert_snapshot!(env.listing("backups"), @"restores/ tmp/");
    assert_snapshot!(env.listing("backups/tmp"), @"notes/");
    assert_eq!(fs::read_dir(env.backup("restores")).unwrap().count(), 1, "a restored folder stays");
}

#[test]
fn hup_reads_the_settings_again_and_bad_ones_change_nothing() {
    let mut env = TestEnv::start();
    env.set("backup_bin", "/nowhere/mariabackup");
    env.signal(Signal::HUP);
    wait_for("the settings to be read", || env.log().contains("the settings were read again").then_some(()));
    assert!(env.send(FULL).contains("'/nowhere/mariabackup' could not be started"));
    env.expect_log("could not be started");
    env.settled();

    env.set("db_type", "oracle");
    env.signal(Signal::HUP);
    env.expect_log("the settings are bad: the old ones stay in force");
    let log = env.log();
    let line = log.lines().find(|line| line.contains("the settings are bad")).unwrap();
    assert!(line.contains("line 7") && line.contains("db_type 'oracle' is not known"), "{line}");
    assert!(env.send(FULL).contains("'/nowhere/mariabackup' could not be started"));
    env.settled();
}

#[test]
fn hup_opens_the_log_anew_though_the_settings_are_bad() {
    let mut env = TestEnv::start();
    env.set("db_type", "oracle");
    fs::rename(env.path("lib/dbcalm.log"), env.path("lib/dbcalm.log.1")).unwrap();
    env.signal(Signal::HUP);
    wait_for("the new log file", || {
        let text = fs::read_to_string(env.path("lib/dbcalm.log"));
        text.is_ok_and(|text| text.contains("the settings are bad")).then_some(())
    });
    env.expect_log("the settings are bad: the old ones stay in force");
}

#[test]
fn hup_opens_the_log_anew_for_the_sake_of_rotation() {
    let env = TestEnv::start();
    fs::rename(env.path("lib/dbcalm.log"), env.path("lib/dbcalm.log.1")).unwrap();
    env.signal(Signal::HUP);
    wait_for("the new log file", || {
        fs::read_to_string(env.path("lib/dbcalm.log")).is_ok_and(|text| text.contains("read again")).then_some(())
    });
}

#[test]
fn a_second_daemon_on_the_same_socket_or_database_or_directory_refuses_to_start() {
    let mut env = TestEnv::start();
    let refused = |env: &TestEnv| {
        let said = env.command().output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        let text = String::from_utf8(said.stderr).unwrap();
        let lines: Vec<_> =
            text.lines().filter(|line| line.starts_with("error:") || line.starts_with("hint:")).collect();
        env.redact(&lines.join("\n"))
    };
    assert_snapshot!(refused(&env), @r"
    error: another daemon works in backup_dir '~/backups'
    hint: stop the other daemon first, or give this one another backup_dir
    ");
    fs::create_dir(env.path("elsewhere")).unwrap();
    env.set("backup_dir", &env.path("elsewhere").display().to_string());
    assert_snapshot!(refused(&env), @r"
    error: another daemon works on this database
    hint: stop the other daemon first, or give this one another database_path
    ");
    env.set("database_path", &env.path("elsewhere/db.sqlite3").display().to_string());
    assert_snapshot!(refused(&env), @r"
    error: another daemon answers at '~/run/db-cmd.sock'
    hint: stop the other daemon first, or give this one another --socket
    ");
    assert_snapshot!(env.send(r#"{"cmd":"nope"}"#), @r#"{"code": 400, "status": "Invalid command"}"#);
}

/// A daemon that is killed while it starts a program leaves a child which holds, until it has become that program, all that the
/// daemon held. Found by `ci/torture crash`.
#[test]
fn a_start_waits_for_what_a_daemon_that_has_just_died_still_holds() {
    fn locked(file: File) -> OwnedFd {
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        file.into()
    }
    let holds: [fn(&TestEnv) -> OwnedFd; 3] = [
        |env| locked(File::open(env.path("backups")).unwrap()),
        |env| locked(File::create(env.path("lib/db.sqlite3.db-cmd.lock")).unwrap()),
        |env| UnixListener::bind(env.path("run/db-cmd.sock")).unwrap().into(),
    ];
    for hold in holds {
        let env = TestEnv::new();
        let held = hold(&env);
        env.spawn_daemon();
        wait_for("the daemon to wait, or to give up", || {
            let log = env.log();
            (log.contains("still holds it: waiting") || log.contains("error: ")).then_some(())
        });
        drop(held);
        wait_for("the daemon to be ready, or to have given up", || {
            let log = env.log();
            (log.contains(" ready version=") || log.contains("error: ")).then_some(())
        });
        assert!(!env.log().contains("error: "), "{}", env.log());
    }
}

#[test]
fn a_start_that_cannot_be_says_why_and_what_to_do() {
    let mut env = TestEnv::new();
    let refused = |env: &TestEnv| {
        let said = env.command().output().unwrap();
        assert_eq!(said.status.code(), Some(1));
        env.redact(String::from_utf8(said.stderr).unwrap().trim_end())
    };
    env.set("compression", "zstd");
    assert_snapshot!(refused(&env), @r"
    error: bad settings in '~/config.yml', line 5: compression needs stream: true
    hint: write 'stream: true' too, or remove 'compression'
    ");
    env.set("compression", "");
    env.set("backup_dir", "/nowhere/backups");
    assert_snapshot!(refused(&env), @r"
    error: backup_dir '/nowhere/backups' cannot be used: No such file or directory (os error 2)
    hint: create it for this daemon's user: install -d -o mysql -g dbcalm -m 2770 '/nowhere/backups'
    ");
    env.set("backup_dir", &env.path("backups").display().to_string());
    fs::write(env.path("lib/db.sqlite3"), "this is no database, and never was one").unwrap();
    assert_snapshot!(refused(&env), @r"
    error: the database cannot be used: file is not a database
    hint: '~/lib/db.sqlite3' and its directory must be writable by this user, and it must be an SQLite file
    ");
    fs::remove_file(env.path("config.yml")).unwrap();
    assert_snapshot!(refused(&env), @r"
    error: the settings cannot be read from '~/config.yml': No such file or directory (os error 2)
    hint: write the settings there, readable by this user, or name another file with --config
    ");
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let env = TestEnv::new();
    let path = env.path("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    let mut child = env.command().env("NOTIFY_SOCKET", &path).stderr(std::process::Stdio::null()).spawn().unwrap();
    let told = |wanted: &str| {
        let mut bytes = [0; 1024];
        let length = socket.recv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..length].to_vec()).unwrap();
        assert!(text.contains(wanted), "{text}");
    };
    told("READY=1");
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    told("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_outcome_outlasts_a_locked_database() {
    let env = TestEnv::start();
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(FULL);
    env.wait_for_fake("mariabackup");
    let other = env.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::write(env.path("go"), "").unwrap();
    env.expect_log("the records cannot be written: trying again");
    let reply = env.send(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    assert_snapshot!(reply, @r#"{"code": 500, "status": "the records in '~/lib/db.sqlite3' cannot be written: the database cannot be used: database is locked"}"#);
    env.expect_log("cannot be written: the database");
    other.execute_batch("ROLLBACK").unwrap();
    env.settled();
    env.expect_log("the records are written again");
    assert_eq!(env.log().matches("trying again").count(), 1, "it was tried many times, and is said once");
    assert_snapshot!(env.records(), @"1 success 0 | backups: full-1 | restores: none");
    assert_snapshot!(env.listing("backups"), @"full-1/");
}

#[test]
fn a_database_that_cannot_be_opened_is_a_clear_error_and_the_daemon_stays_up() {
    let env = TestEnv::start();
    env.full("full-1");
    fs::rename(env.path("lib/db.sqlite3"), env.path("lib/moved")).unwrap();
    fs::create_dir(env.path("lib/db.sqlite3")).unwrap();
    let reply = env.send(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    assert_snapshot!(reply, @r#"{"code": 500, "status": "the records in '~/lib/db.sqlite3' cannot be read: the database cannot be used: unable to open database file: ~/lib/db.sqlite3"}"#);
    env.expect_log("cannot be read: the database");
    fs::remove_dir(env.path("lib/db.sqlite3")).unwrap();
    fs::rename(env.path("lib/moved"), env.path("lib/db.sqlite3")).unwrap();
    env.full("full-2");
    env.expect_log("the database was opened again");
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, full-2 | restores: none");
}

#[test]
fn check_says_what_would_not_work_and_what_to_do() {
    let env = TestEnv::new();
    let check = |env: &TestEnv| {
        let said = env.command().arg("check").output().unwrap();
        (said.status.code(), env.redact(String::from_utf8(said.stdout).unwrap().trim_end()))
    };
    let (code, text) = check(&env);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("ok       the server accepts the credentials") && text.ends_with("ok       backups would work"),
        "{text}"
    );
    assert_snapshot!(env.listing("lib"), @"(empty)");

    env.world.stop().unwrap();
    let (code, text) = check(&env);
    assert_eq!(code, Some(1));
    assert!(text.contains("problem  no server answers\n         hint: start the server"), "{text}");
    env.world.start().unwrap();

    env.credentials("[client-dbcalm]\nuser=backup\npassword=wrong\n");
    let (code, text) = check(&env);
    assert_eq!(code, Some(1));
    assert!(text.contains("the server does not accept the credentials"), "{text}");

    env.credentials("[client]\n");
    fs::remove_file(env.path("bin/mariabackup")).unwrap();
    fs::write(env.path("lib/db.sqlite3"), "this is no database, and never was one").unwrap();
    let (code, text) = check(&env);
    assert_eq!(code, Some(1));
    for line in [
        "cannot be started: No such file",
        "no section [client-dbcalm]",
        "file is not a database",
        "backups would not work: 3 problems",
    ] {
        assert!(text.contains(line), "no '{line}' in {text}");
    }
}

#[test]
fn check_warns_of_credentials_that_others_may_read_or_write() {
    let env = TestEnv::new();
    for (mode, code, line) in
        [(0o644, 0, "warning  '~/credentials.cnf' may be read by everybody"), (0o666, 1, "may be written by everybody")]
    {
        fs::set_permissions(env.path("credentials.cnf"), fs::Permissions::from_mode(mode)).unwrap();
        let said = env.command().arg("check").output().unwrap();
        let text = env.redact(&String::from_utf8(said.stdout).unwrap());
        assert_eq!(said.status.code(), Some(code), "{text}");
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn the_command_line_speaks_for_itself() {
    use assert_cmd::Command;
    let said = Command::cargo_bin("dbcalm-db-cmd").unwrap().arg("--version").assert().success();
    assert_eq!(said.get_output().stdout, format!("dbcalm-db-cmd {}\n", env!("CARGO_PKG_VERSION")).into_bytes());
    let said = Command::cargo_bin("dbcalm-db-cmd").unwrap().arg("--help").assert().success();
    let help = String::from_utf8(said.get_output().stdout.clone()).unwrap();
    for word in
        ["serve", "check", "DBCALM_CONFIG", "DBCALM_SOCKET", "/etc/dbcalm/config.yml", "/var/run/dbcalm/db-cmd.sock"]
    {
        assert!(help.contains(word), "no {word} in {help}");
    }
    Command::cargo_bin("dbcalm-db-cmd").unwrap().arg("--nonsense").assert().code(2);
}

/// Writes a program that says what signals it was started with, and becomes another one.
fn saying_signals(env: &TestEnv, name: &str, then: &str) -> String {
    let path = env.path("bin").join(format!("{name}-saying"));
    let said = env.path("signals");
    let text = format!("#!/bin/sh\ngrep -E '^Sig(Blk|Ign):' /proc/self/status >>'{}'\n{then}\n", said.display());
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// docs/safety.md, "What a program of the daemon's starts with".
#[test]
fn a_program_starts_with_no_signal_ignored_or_blocked_whatever_the_daemon_was_started_with() {
    const SIGNALS: &str = "INT,TERM,PIPE,HUP,QUIT,USR1,USR2,ALRM,CHLD,TSTP,TTIN,TTOU,WINCH,XFSZ,RTMIN";
    const PIPE: u64 = 1 << 12;
    // The C library's own, which its posix_spawn(3) has ignored in whatever it starts; no program uses them.
    const LIBRARYS: u64 = 0b11 << 31;
    for how in ["--ignore-signal", "--block-signal"] {
        let mut env = TestEnv::new();
        let looked = env.path("looked");
        let wait = format!("until [ -e '{}' ]; do sleep 0.02; done; ", looked.display());
        for (key, tool, wait) in [("backup_bin", "mariabackup", wait.as_str()), ("admin_bin", "mariadb-admin", "")] {
            let then = format!("{wait}exec '{}' \"$@\"", env.path("bin").join(tool).display());
            let program = saying_signals(&env, tool, &then);
            env.set(key, &program);
        }
        // The daemon's own step is the one before, in the same process group; it is there as long as the tool has written nothing.
        let own = env.path("own-step");
        let forward = format!(
            "group=$(grep NSpgid: /proc/self/status)
             for status in /proc/[0-9]*/status; do
                 if grep -qx \"$group\" $status && grep -qE '^Name:.(exe|dbcalm-db-cmd)$' $status; then
                     grep -E '^Sig(Blk|Ign):' $status >>'{}'
                 fi
             done 2>/dev/null
             : >'{}'
             cat >/dev/null",
            own.display(),
            looked.display()
        );
        let forward = saying_signals(&env, "forward", &forward);
        env.set("stream", "true");
        env.set("forward", &forward);
        let daemon = env.command();
        let mut started = program("/usr/bin/env");
        started.arg(format!("{how}={SIGNALS}")).arg(daemon.get_program()).args(daemon.get_args());
        env.start_as(started);
        env.full("full-1");
        assert!(env.records().contains("success"), "{how}: {}", env.records());
        let masks = |path: &Path, ours: u64| {
            let text = fs::read_to_string(path).unwrap();
            let mask = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap() & !ours;
            text.lines().map(mask).collect::<Vec<_>>()
        };
        let said = masks(&env.path("signals"), LIBRARYS);
        assert!(said.len() >= 6 && said.iter().all(|mask| *mask == 0), "{how}: {said:x?}");
        // It ignores PIPE itself, as each program of Rust does.
        assert_eq!(masks(&own, PIPE | LIBRARYS), [0, 0], "{how}");
        // And the daemon heeds its signals: TERM ends it, at the end of this test.
        env.signal(Signal::HUP);
        wait_for("the settings to be read again", || env.log().contains("were read again").then_some(()));
    }
}

#[test]
fn settings_that_nobody_gives_delay_no_client_and_not_the_end() {
    let env = TestEnv::start();
    let settings = env.path("config.yml");
    fs::remove_file(&settings).unwrap();
    assert!(program("mkfifo").arg(&settings).status().unwrap().success());
    env.signal(Signal::HUP);
    // It can be opened so as soon as somebody reads it.
    let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
    let silent = wait_for("the settings to be read", || {
        fs::OpenOptions::new().write(true).custom_flags(nonblocking).open(&settings).ok()
    });
    env.full("full-1");
    env.expect_log("the settings are still being read");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    drop(silent);
}
