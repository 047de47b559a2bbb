//! Backups over fake tools: what is accepted, what is refused, and what every way to fail leaves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use insta::assert_snapshot;

use crate::harness::{TestEnv, wait_for};

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;

#[test]
fn a_full_backup_is_taken_and_recorded() {
    let env = TestEnv::start();
    assert_snapshot!(env.send(FULL), @r#"{"code": 202, "status": "Accepted", "id": "[ID]"}"#);
    env.settled();
    assert_snapshot!(env.records(), @"1 success 0 | backups: full-1 | restores: none");
    assert_snapshot!(env.listing("backups"), @"full-1/");
    assert_snapshot!(env.calls("mariabackup").join("\n"), @"--defaults-file=~/credentials.cnf --defaults-group-suffix=-dbcalm --backup --target-dir=~/backups/full-1");
    let mode = fs::metadata(env.backup("full-1")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn an_incremental_is_taken_from_its_base_and_keeps_its_schedule() {
    let env = TestEnv::start();
    env.full("full-1");
    env.done(r#"{"cmd":"incremental_backup","args":{"schedule_id":7,"from_backup_id":"full-1","id":"inc-1"}}"#);
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
    assert_eq!(env.rows("backup", "id = 'inc-1'")[0]["schedule_id"], 7);
    assert_eq!(
        env.rows("process", "id = 2")[0]["args"],
        r#"{"id": "inc-1", "from_backup_id": "full-1", "schedule_id": 7}"#
    );
    assert_snapshot!(env.commands(env.rows("process", "id = 2")[0]["command_id"].as_str().unwrap())[0], @"~/bin/mariabackup --defaults-file=~/credentials.cnf --defaults-group-suffix=-dbcalm --backup --target-dir=~/backups/inc-1 --incremental-basedir=~/backups/full-1");
}

#[test]
fn mysql_is_backed_up_by_xtrabackup() {
    let mut env = TestEnv::new();
    env.mysql();
    env.start_daemon();
    env.full("full-1");
    env.incremental("inc-1", "full-1");
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
}

#[test]
fn times_are_texts_that_pythons_orm_reads() {
    let env = TestEnv::start();
    env.full("full-1");
    for (table, columns) in [("process", &["start_time", "end_time"][..]), ("backup", &["start_time", "end_time"])] {
        for column in columns {
            let text = env.rows(table, "1")[0][*column].as_str().unwrap().to_owned();
            let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            assert_eq!(shape, "0000-00-00 00:00:00.000000", "{table}.{column} is {text}");
        }
    }
}

/// Each way in which a tool fails or lies: the row says so, no backup is recorded, nothing is left, and the next one works.
#[test]
fn a_backup_that_fails_or_lies_leaves_nothing() {
    let cases = [
        (r#"{"fault":{"exit":3}}"#, 3, ""),
        (r#"{"fault":{"dies_by":"KILL"}}"#, -9, "mariabackup ended by signal 9"),
        (r#"{"fault":{"dies_after":"SEGV"}}"#, -11, "mariabackup ended by signal 11"),
        (r#"{"fault":"no_completed_ok"}"#, 0, "mariabackup ended with status 0 but did not say 'completed OK!'"),
        (r#"{"fault":"empty_metadata"}"#, 0, "xtrabackup_info' has no valid tool_name"),
        (r#"{"fault":"missing_metadata"}"#, 0, "no xtrabackup_checkpoints in"),
        (r#"{"fault":"partial"}"#, 1, ""),
        (r#"{"fault":"enospc"}"#, 1, "No space left on device"),
        (r#"{"fault":"wrong_lsn"}"#, 0, "from_lsn is 1 where 0 was expected"),
    ];
    let env = TestEnv::start();
    for (index, (script, code, text)) in cases.into_iter().enumerate() {
        env.script("mariabackup", script);
        env.full("full-1");
        env.expect_log("backup failed");
        let row = &env.rows("process", &format!("id = {}", index + 1))[0];
        assert_eq!(
            (row["status"].as_str(), row["return_code"].as_i64()),
            (Some("failed"), Some(code)),
            "{script}: {row:?}"
        );
        assert!(env.newest("error").contains(text), "{script}: {}", env.newest("error"));
        assert_eq!(env.rows("backup", "1"), [], "{script}");
        assert_eq!(env.listing("backups"), "(empty)", "{script}");
    }
    env.full("full-1");
    assert_eq!(env.count("backup", "1"), 1);
}

#[test]
fn an_incremental_of_another_base_is_no_backup() {
    let env = TestEnv::start();
    env.full("full-1");
    env.script("mariabackup", r#"{"fault":"wrong_lsn"}"#);
    env.incremental("inc-1", "full-1");
    env.expect_log("the chain does not fit together");
    assert_snapshot!(env.records(), @"1 success 0, 2 failed 0 | backups: full-1 | restores: none");
    assert_snapshot!(env.listing("backups"), @"full-1/");
}

#[test]
fn a_tool_that_cannot_be_started_is_a_500_with_a_row() {
    let mut env = TestEnv::new();
    env.set("backup_bin", "/nowhere/mariabackup");
    env.start_daemon();
    assert_snapshot!(env.send(FULL), @r#"{"code": 500, "status": "'/nowhere/mariabackup' could not be started: No such file or directory (os error 2)"}"#);
    env.settled();
    env.expect_log("could not be started");
    assert_snapshot!(env.records(), @"1 failed -1 | backups: none | restores: none");
    assert_snapshot!(env.newest("error"), @"'/nowhere/mariabackup' could not be started: No such file or directory (os error 2)");
}

#[test]
fn a_missing_admin_tool_is_a_500_and_nothing_runs() {
    let mut env = TestEnv::new();
    env.set("admin_bin", "/nowhere/mariadb-admin");
    env.start_daemon();
    assert_snapshot!(env.send(FULL), @r#"{"code": 500, "status": "'/nowhere/mariadb-admin' could not be started: No such file or directory (os error 2)"}"#);
    env.expect_log("could not be started");
    assert_snapshot!(env.records(), @"none | backups: none | restores: none");
}

#[test]
fn a_backup_directory_that_vanished_is_a_clear_error_and_the_daemon_stays_up() {
    let env = TestEnv::start();
    fs::remove_dir(env.path("backups")).unwrap();
    assert_snapshot!(env.send(FULL), @r#"{"code": 500, "status": "backup_dir '~/backups' cannot be used: No such file or directory (os error 2)"}"#);
    env.expect_log("backup_dir");
    fs::create_dir(env.path("backups")).unwrap();
    env.full("full-1");
    assert_snapshot!(env.records(), @"1 success 0 | backups: full-1 | restores: none");
}

#[test]
fn a_used_id_is_refused_wherever_it_is_used() {
    let env = TestEnv::start();
    env.full("full-1");
    let taken = |id: &str| env.send(&format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#));
    assert_snapshot!(taken("full-1"), @r#"{"code": 409, "status": "Backup with id full-1 already exists"}"#);

    fs::create_dir(env.backup("folder")).unwrap();
    fs::write(env.backup("folder").join("precious"), "x").unwrap();
    fs::write(env.backup("file"), "x").unwrap();
    symlink("/nowhere", env.backup("link")).unwrap();
    for id in ["folder", "file", "link"] {
        assert_eq!(taken(id), format!(r#"{{"code": 409, "status": "Backup with id {id} already exists"}}"#));
    }
    assert!(env.backup("folder").join("precious").exists(), "what was there before is never removed");

    env.database().execute("INSERT INTO backup VALUES ('recorded', NULL, NULL, 'x', 'x', 1)", []).unwrap();
    assert_snapshot!(taken("recorded"), @r#"{"code": 409, "status": "Backup with id recorded already exists"}"#);

    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"flight"}}"#);
    env.wait_for_fake("mariabackup");
    assert_snapshot!(taken("flight"), @r#"{"code": 409, "status": "Backup with id flight already exists"}"#);
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, recorded, flight | restores: none");
}

/// What appears while the server is asked is not this run's to remove.
#[test]
fn a_folder_that_appears_at_the_last_moment_is_not_removed() {
    let env = TestEnv::start();
    env.script("mariadb-admin", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    let reply = env.send_aside(FULL);
    env.wait_for_fake("mariadb-admin");
    fs::create_dir(env.backup("full-1")).unwrap();
    fs::write(env.backup("full-1").join("precious"), "x").unwrap();
    fs::write(env.path("go"), "").unwrap();
    assert_eq!(reply.join().unwrap(), r#"{"code": 409, "status": "Backup with id full-1 already exists"}"#);
    env.settled();
    env.expect_log("backup failed");
    assert!(env.backup("full-1").join("precious").exists());
    assert!(env.calls("mariabackup").is_empty());
}

#[test]
fn of_many_requests_at_once_for_one_id_one_is_accepted() {
    let env = TestEnv::start();
    let socket = env.socket();
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
        std::io::Write::write_all(&mut stream, FULL.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    let replies: Vec<String> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let count = |code: &str| replies.iter().filter(|reply| reply.starts_with(&format!("{{\"code\": {code}"))).count();
    assert_eq!((count("202"), count("409")), (1, 49), "{replies:?}");
    env.settled();
}

#[test]
fn a_base_that_is_not_there_is_refused() {
    let env = TestEnv::start();
    let ask = || env.send(r#"{"cmd":"incremental_backup","args":{"id":"inc-1","from_backup_id":"full-1"}}"#);
    let refused = r#"{"code": 404, "status": "Base backup with id full-1 not found"}"#;
    assert_eq!(ask(), refused);
    fs::create_dir(env.backup("full-1")).unwrap();
    assert_eq!(ask(), refused, "a folder without a record is no backup");
    fs::remove_dir(env.backup("full-1")).unwrap();
    env.full("full-1");
    fs::remove_dir_all(env.backup("full-1")).unwrap();
    assert_eq!(ask(), refused, "a record without a folder is no backup either");
    assert_eq!(env.count("process", "1"), 1);
}

#[test]
fn a_base_that_is_deleted_while_the_incremental_runs_makes_it_fail() {
    let env = TestEnv::start();
    env.full("full-1");
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(r#"{"cmd":"incremental_backup","args":{"id":"inc-1","from_backup_id":"full-1"}}"#);
    env.wait_for_fake("mariabackup");
    // As the API does it: the row, then the folder.
    env.database().execute("DELETE FROM backup WHERE id = 'full-1'", []).unwrap();
    fs::remove_dir_all(env.backup("full-1")).unwrap();
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    env.expect_log("backup failed");
    assert_snapshot!(env.records(), @"1 success 0, 2 failed 0 | backups: none | restores: none");
    assert_snapshot!(env.listing("backups"), @"(empty)");
}

#[test]
fn no_backup_without_a_server_or_credentials() {
    let env = TestEnv::start();
    env.world.stop().unwrap();
    let stopped = r#"{"code": 503, "status": "cannot create backup, MySQL/MariaDB server is not running"}"#;
    assert_eq!(env.send(FULL), stopped);
    env.world.start().unwrap();
    env.script("mariadb-admin", r#"{"fault":"hangs"}"#);
    assert_eq!(env.send(FULL), stopped, "a server that does not answer in 3 s is none");

    let refused = r#"{"code": 503, "status": "credentials file not found or missing [client-dbcalm] section"}"#;
    env.credentials("[client]\nuser=x\n");
    assert_eq!(env.send(FULL), refused);
    fs::remove_file(env.path("credentials.cnf")).unwrap();
    assert_eq!(env.send(FULL), refused);
    env.expect_log("no credentials");
    assert_snapshot!(env.records(), @"none | backups: none | restores: none");
}

/// The tool takes options from there too, and ends with `completed OK!`.
#[test]
fn a_credentials_file_that_leaves_something_out_is_refused_for_backups_alone() {
    let env = TestEnv::start();
    env.full("full-1");
    let login = "[client-dbcalm]\nuser=backup\npassword=s3cret-of-the-test\n";
    env.credentials(&format!("{login}[mariabackup]\nthrottle=9\nlog_innodb_page_corruption\n"));
    let second = FULL.replace("full-1", "full-2");
    assert_snapshot!(env.send(&second), @r#"{"code": 503, "status": "cannot create backup, 'log_innodb_page_corruption' in section [mariabackup] of '~/credentials.cnf' lets a backup with damaged pages succeed, which no prepare can use: repair the table in the server, then back up"}"#);
    env.done(r#"{"cmd":"restore_backup","args":{"id_list":["full-1"],"target":"folder"}}"#);
    env.credentials(&format!("{login}[mariabackup]\nthrottle=9\n"));
    env.full("full-2");
    assert_eq!((env.count("backup", "1"), env.count("restore", "1")), (2, 1));
}

/// The list of damaged pages is known by its name, wherever the option that makes it stood.
#[test]
fn a_backup_with_damaged_pages_is_none_as_a_directory_and_as_a_stream() {
    for stream in ["", "true"] {
        let mut env = TestEnv::new();
        env.set("stream", stream);
        env.start_daemon();
        env.world.put("innodb_corrupted_pages", b"shop/orders 7\n20\n").unwrap();
        env.full("full-1");
        env.expect_log("backup failed");
        assert!(env.newest("error").contains("innodb_corrupted_pages"), "{}", env.newest("error"));
        assert_eq!((env.count("backup", "1"), env.listing("backups").as_str()), (0, "(empty)"));
    }
}

#[test]
fn no_secret_is_recorded_or_logged() {
    let env = TestEnv::start();
    env.script("mariabackup", r#"{"fault":"secret"}"#);
    env.full("full-1");
    env.expect_log("backup failed");
    let error = env.newest("error");
    assert!(error.contains("IDENTIFIED BY PASSWORD '<hidden>'"), "{error}");
    assert!(error.contains("parameter :  '--file_key_management_filekey=<hidden>'\n"), "{error}");
    let file = wait_for("the log file to have what stderr has", || {
        fs::read_to_string(env.path("lib/dbcalm.log")).ok().filter(|text| text.contains("backup failed"))
    });
    let everything = format!("{:?}{}{file}", env.rows("process", "1"), env.log());
    assert!(!everything.contains("s3cret-of-the-test") && !everything.contains("Pass phrase"));
    let hash =
        everything.split('*').any(|piece| piece.len() >= 40 && piece.bytes().take(40).all(|b| b.is_ascii_hexdigit()));
    assert!(!hash, "{everything}");
}

#[test]
fn what_a_tool_writes_is_bounded_and_made_text() {
    let env = TestEnv::start();
    env.script("mariabackup", r#"{"fault":{"flood":20000000}}"#);
    env.full("full-1");
    let output = env.newest("output");
    assert!(output.len() < 300_000, "{} bytes", output.len());
    assert!(
        output.contains("bytes left out") && output.ends_with("completed OK!"),
        "{}",
        &output[output.len() - 200..]
    );
    env.script("mariabackup", r#"{"fault":"not_utf8"}"#);
    env.full("full-2");
    assert!(env.newest("output").contains('\u{fffd}'));
    assert_eq!(env.count("backup", "1"), 2);
}

#[test]
fn children_get_nothing_of_ours() {
    let env = TestEnv::start();
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    let id = env.accepted(FULL);
    let pid = env.wait_for_fake("mariabackup");
    let proc = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap();
    let mut environment: Vec<String> = proc("environ").split_terminator('\0').map(str::to_owned).collect();
    environment.sort();
    assert_eq!(
        environment,
        [
            format!("DBCALM_COMMAND_ID={id}"),
            "LC_ALL=C".to_owned(),
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()
        ]
    );
    assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap().to_str(), Some("/dev/null"));
    let recorded = fs::read_to_string(env.path("bin/mariabackup.calls")).unwrap();
    let call: serde_json::Value = serde_json::from_str(recorded.lines().last().unwrap()).unwrap();
    // What cargo leaves open is inherited by the test and so by the daemon; it is not the daemon's own.
    let links = |entry: std::io::Result<fs::DirEntry>| fs::read_link(entry.unwrap().path()).ok();
    let of_the_test: Vec<_> = fs::read_dir("/proc/self/fd").unwrap().filter_map(links).collect();
    let mut inherited: Vec<String> = serde_json::from_value(call["inherited"].clone()).unwrap();
    inherited.retain(|target| !of_the_test.contains(&target.into()));
    assert_eq!(inherited, Vec::<String>::new(), "three descriptors, and no other of ours");
    // Its own group: the fifth field of stat, behind the name in brackets.
    let group = proc("stat").rsplit(')').next().unwrap().split_whitespace().nth(2).map(str::to_owned);
    assert_eq!(group, Some(pid.to_string()));
    let recorded = wait_for("the pid to be recorded", || {
        env.rows("process", "pid != 0").first().and_then(|row| row["pid"].as_i64())
    });
    assert_eq!(recorded, i64::from(pid));
    fs::write(env.path("go"), "").unwrap();
    env.settled();
}

/// What a power cut would take is on the disk before the records say `success`: seen in a trace of the daemon's system calls.
#[test]
fn everything_is_synced_before_a_backup_is_a_success() {
    let env = TestEnv::new();
    let trace = env.path("trace");
    let options = ["-D", "-f", "-qq", "-y", "-e", "trace=fsync,fdatasync,syncfs,write", "-o"];
    if !env.start_traced("/usr/bin/strace", &options, &trace) {
        return;
    }
    env.full("full-1");
    let trace = wait_for("the trace", || fs::read_to_string(&trace).ok().filter(|text| text.contains("dbcalm.sha256")));
    let lines = &trace.lines().collect::<Vec<_>>()[..];
    // A call that takes its time, as on a disk, is told in two lines, between which there are those of other threads.
    let ended = |at: usize| {
        if !lines[at].ends_with("<unfinished ...>") {
            return Some(at).filter(|at| lines[*at].trim_end().ends_with("= 0"));
        }
        let thread = lines[at].split_whitespace().next().unwrap();
        let resumed = |line: &&str| line.split_whitespace().next() == Some(thread) && line.contains(" resumed>");
        let end = at + 1 + lines[at + 1..].iter().position(resumed)?;
        Some(end).filter(|end| lines[*end].trim_end().ends_with("= 0"))
    };
    let calls = |place: String| (0..lines.len()).filter(move |at| lines[*at].contains(&place));
    let is = |at: usize, call: &str| lines[at].contains(&format!(" {call}("));
    // A file system on a disk is synced as a whole, once all is written; on a tmpfs, where that tells of no error, each file by itself.
    let written = calls(format!("<{}/", env.path("backups/full-1").display())).rfind(|at| is(*at, "write"));
    let whole = calls(format!("<{}", env.path("backups").display()))
        .filter(|at| is(*at, "syncfs") && Some(*at) > written)
        .find_map(ended);
    let place = |path: &std::path::Path| {
        let own = calls(format!("<{}>", path.display())).filter(|at| !is(*at, "write")).find_map(ended);
        own.or(whole.filter(|_| path != env.path("backups")))
    };
    // Every commit syncs the log of the database; the last one before the trace ends is that of the success.
    let wal = format!("<{}>", env.path("lib/db.sqlite3-wal").display());
    let success = lines.iter().rposition(|line| line.contains(&wal)).unwrap();
    for path in [
        "backups/full-1/ibdata1",
        "backups/full-1/shop/orders.ibd",
        "backups/full-1/dbcalm.sha256",
        "backups/full-1/shop",
        "backups/full-1",
        "backups",
    ] {
        let synced = place(&env.path(path)).unwrap_or_else(|| panic!("{path} is not synced: {trace}"));
        assert!(synced < success, "{path} is synced after the success is written: {trace}");
    }
}
