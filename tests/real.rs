//! The real thing: a MariaDB server, mariadb-backup, and the daemon between a socket and both.

use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;

use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, program};

const CHAIN: [&str; 3] = ["full-1", "inc-1", "inc-2"];

/// Several engines and shapes of table, with rows.
const SCHEMA: &str = "
    CREATE DATABASE shop CHARACTER SET utf8mb4;
    USE shop;
    CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, note VARCHAR(200), data BLOB,
                         length INT AS (char_length(note)) PERSISTENT) ENGINE=InnoDB;
    CREATE TABLE parts (id INT, year INT) ENGINE=InnoDB PARTITION BY RANGE (year)
        (PARTITION old VALUES LESS THAN (2000), PARTITION new VALUES LESS THAN MAXVALUE);
    CREATE TABLE packed (id INT PRIMARY KEY, text TEXT) ENGINE=InnoDB ROW_FORMAT=COMPRESSED;
    CREATE TABLE log (id INT, text VARCHAR(100)) ENGINE=Aria;
    CREATE TABLE old (id INT, text VARCHAR(100)) ENGINE=MyISAM;
    CREATE VIEW recent AS SELECT id, note FROM orders WHERE id > 10;
    CREATE TRIGGER noted AFTER INSERT ON packed FOR EACH ROW INSERT INTO log VALUES (NEW.id, 'packed');
    INSERT INTO orders (note, data) SELECT concat('ordér ☃ ', seq), repeat(char(seq % 256), 500) FROM seq_1_to_3000;
    INSERT INTO parts SELECT seq, 1900 + seq % 200 FROM seq_1_to_1000;
    INSERT INTO packed SELECT seq, repeat('x', 300) FROM seq_1_to_300;
    INSERT INTO old SELECT seq, concat('old ', seq) FROM seq_1_to_500;";

const FIRST_CHANGE: &str = "
    USE shop;
    UPDATE orders SET note = concat(note, '!') WHERE id % 7 = 0;
    INSERT INTO orders (note) SELECT concat('later ', seq) FROM seq_1_to_500;
    CREATE TABLE new_one (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB;
    INSERT INTO new_one SELECT seq, 'new' FROM seq_1_to_200;
    DELETE FROM old WHERE id > 400;";

const SECOND_CHANGE: &str = "
    USE shop;
    DROP TABLE parts;
    DELETE FROM orders WHERE id BETWEEN 100 AND 200;
    INSERT INTO log SELECT seq, 'by hand' FROM seq_1_to_100;
    ALTER TABLE new_one ADD COLUMN more INT DEFAULT 5;";

/// A server with data, and a daemon for it.
fn start() -> (MariaDb, TestEnv) {
    let server = MariaDb::start();
    server.sql(SCHEMA);
    let env = TestEnv::real(&server);
    env.start_daemon();
    (server, env)
}

/// A chain of three; gives what the server held at each of them.
fn chain(server: &MariaDb, env: &TestEnv) -> [Vec<String>; 3] {
    let full = server.content();
    env.full("full-1");
    server.sql(FIRST_CHANGE);
    let first = server.content();
    env.incremental("inc-1", "full-1");
    server.sql(SECOND_CHANGE);
    let second = server.content();
    env.incremental("inc-2", "inc-1");
    assert_eq!(env.count("backup", "1"), 3, "{}", env.process_rows().join("\n"));
    [full, first, second]
}

#[test]
fn a_chain_restored_three_times_gives_the_same_data_each_time() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    let [full, first, second] = chain(&server, &env);
    let stored = env.fingerprint("backups");
    for round in 0..3 {
        server.lose_everything();
        env.restore(&CHAIN, "database");
        server.run();
        assert_eq!(server.content(), second, "restore {round} of the whole chain");
    }
    for (ids, content) in [(&CHAIN[..1], full), (&CHAIN[..2], first)] {
        server.lose_everything();
        env.restore(ids, "database");
        server.run();
        assert_eq!(server.content(), content, "{ids:?}");
    }
    assert_eq!(server.sql("SELECT count(*) FROM shop.recent").trim(), "3490", "the view works");
    let mut now = env.fingerprint("backups");
    now.retain(|path, _| stored.contains_key(path));
    assert!(now == stored, "the stored backups are byte-identical");
    assert_eq!(env.listing("backups"), "full-1/ inc-1/ inc-2/ tmp/");
    assert_eq!(env.listing("backups/tmp"), "(empty)");
}

#[test]
fn a_folder_restore_is_a_data_directory() {
    if !is_installed() {
        return;
    }
    let (server, env) = start();
    let [_, _, second] = chain(&server, &env);
    env.restore(&CHAIN, "folder");
    let folder = PathBuf::from(env.rows("restore", "1")[0]["target_path"].as_str().unwrap());
    let restored = MariaDb::over(&folder.join("full-1"));
    assert_eq!(restored.content(), second);
    assert_eq!(server.content(), second, "the server that runs was not touched");
}

#[test]
fn what_is_written_while_the_backup_runs_does_not_harm_it() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    let socket = server.socket();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                server.sql(
                    "USE shop; INSERT INTO orders (note) SELECT concat('during ', seq) FROM seq_1_to_200;
                            UPDATE orders SET data = repeat(char(id % 26 + 65), 400) WHERE id % 11 = 0",
                );
                rounds += 1;
            }
            rounds
        });
        env.full("full-1");
        env.incremental("inc-1", "full-1");
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0, "at {}", socket.display());
    });
    env.incremental("inc-2", "inc-1");
    let content = server.content();
    server.lose_everything();
    env.restore(&CHAIN, "database");
    server.run();
    assert_eq!(server.content(), content);
}

#[test]
fn leftovers_in_the_data_directory_make_room_or_stay() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    env.full("full-1");
    let content = server.content();
    server.lose_everything();
    for name in ["ibdata1", "ib_logfile0", "ib_logfile1", "ib_buffer_pool"] {
        fs::write(server.data_dir().join(name), "of a server that is gone").unwrap();
    }
    for name in ["host.pid", "host.err", "debian-10.11.flag", "my.cnf", "mysql.sock"] {
        fs::write(server.data_dir().join(name), "stays").unwrap();
    }
    fs::create_dir(server.data_dir().join("lost+found")).unwrap();
    env.restore(&["full-1"], "database");
    assert!(env.newest("command").ends_with("--force-non-empty-directories"));
    assert!(!server.data_dir().join("ib_logfile1").exists(), "an old redo log beside the new one would be read");
    for name in ["host.pid", "host.err", "debian-10.11.flag", "my.cnf", "mysql.sock"] {
        assert_eq!(fs::read_to_string(server.data_dir().join(name)).unwrap(), "stays", "{name}");
    }
    server.run();
    assert_eq!(server.content(), content);
}

#[test]
fn a_wrong_password_and_a_missing_privilege_fail_without_a_trace() {
    if !is_installed() {
        return;
    }
    let (server, env) = start();
    server.sql("CREATE USER weak@localhost IDENTIFIED BY 'weak-password'; GRANT USAGE ON *.* TO weak@localhost");
    for (password, text) in
        [("wrong-password", "Access denied for user"), ("weak-password", "missing required privilege")]
    {
        let socket = server.socket();
        env.credentials(&format!("[client-dbcalm]\nuser=weak\npassword={password}\nsocket={}\n", socket.display()));
        env.full("full-1");
        env.expect_log("backup failed");
        let error = env.newest("error");
        assert!(error.contains(text), "{error}");
        assert!(!error.contains(password) && !error.contains("PASSWORD '*"), "{error}");
        assert_eq!(env.listing("backups"), "(empty)");
    }
    assert_snapshot!(env.records(), @"1 failed 1, 2 failed 1 | backups: none | restores: none");
}

/// Restores `full-1` to the data directory, which must fail and leave it empty; gives the reason.
fn refused(server: &MariaDb, env: &TestEnv) -> String {
    env.restore(&["full-1"], "database");
    env.expect_log("restore failed");
    let newest = env.rows("process", "id = (SELECT max(id) FROM process)");
    assert_eq!(newest[0]["status"], "failed", "{newest:?}");
    assert_eq!(env.count("restore", "1"), 0);
    assert_eq!(fs::read_dir(server.data_dir()).unwrap().count(), 0);
    env.newest("error")
}

/// A prepare ends with status 0 on each of these.
#[test]
fn a_stored_backup_that_was_damaged_is_not_restored() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    env.full("full-1");
    let content = server.content();
    server.lose_everything();
    // A table that was made after the server's last checkpoint has another ending, until it is prepared.
    let names = ["shop/orders.ibd", "shop/orders.new"].map(|name| env.backup("full-1").join(name));
    let table = names.into_iter().find(|path| path.exists()).unwrap();
    let whole = fs::read(&table).unwrap();

    let text = format!("'shop/{}' is not what it was when the backup was taken", table.file_name().unwrap().display());
    fs::remove_file(&table).unwrap();
    assert_eq!(refused(&server, &env), text);

    // One byte in the middle of a page, as a disk loses it.
    let mut damaged = whole.clone();
    damaged[5 * 16384 + 5000] ^= 1;
    fs::write(&table, damaged).unwrap();
    assert_eq!(refused(&server, &env), text);

    fs::write(&table, whole).unwrap();
    env.restore(&["full-1"], "database");
    server.run();
    assert_eq!(server.content(), content);
}

#[test]
fn a_redo_log_that_was_cut_is_not_restored() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    server.sql(FIRST_CHANGE);
    env.full("full-1");
    server.lose_everything();
    // A predecessor's backup has no manifest: the redo log has to speak for itself.
    fs::remove_file(env.backup("full-1").join("dbcalm.sha256")).unwrap();
    let redo = env.backup("full-1").join("ib_logfile0");
    let length = fs::metadata(&redo).unwrap().len();
    for part in [1, length / 10, length / 2] {
        fs::OpenOptions::new().write(true).open(&redo).unwrap().set_len(length - part).unwrap();
        let error = refused(&server, &env);
        assert!(error.contains("the redo log of '~/backups/full-1'") || error.contains("InnoDB:"), "{error}");
    }
}

#[test]
fn an_incremental_that_a_predecessor_consumed_is_not_restored() {
    if !is_installed() {
        return;
    }
    let (server, env) = start();
    env.full("full-1");
    server.sql(FIRST_CHANGE);
    env.incremental("inc-1", "full-1");
    for id in ["full-1", "inc-1"] {
        fs::remove_file(env.backup(id).join("dbcalm.sha256")).unwrap();
    }
    // As the Python daemon restores: the base is copied, the incremental is applied where it is stored.
    let work = env.path("work");
    let run = |command: &mut std::process::Command| assert!(command.output().unwrap().status.success());
    run(program("cp").arg("-r").arg(env.backup("full-1")).arg(&work));
    run(program("mariabackup").arg("--prepare").arg("--target-dir").arg(&work));
    run(program("mariabackup")
        .arg("--prepare")
        .arg("--target-dir")
        .arg(&work)
        .arg("--incremental-dir")
        .arg(env.backup("inc-1")));

    env.restore(&CHAIN[..2], "folder");
    env.expect_log("restore failed");
    assert!(env.newest("error").starts_with("the incremental has been consumed"), "{}", env.newest("error"));
    assert_eq!(env.count("restore", "1"), 0);
}

#[test]
fn a_predecessors_backup_without_a_manifest_is_restored() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    env.full("full-1");
    let content = server.content();
    fs::remove_file(env.backup("full-1").join("dbcalm.sha256")).unwrap();
    server.lose_everything();
    env.restore(&["full-1"], "database");
    server.run();
    assert_eq!(server.content(), content);
}

#[test]
fn a_killed_daemon_leaves_nothing_behind_on_a_real_server() {
    if !is_installed() {
        return;
    }
    let (mut server, env) = start();
    env.full("full-1");
    let content = server.content();
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    assert_eq!(env.listing("backups"), "full-1/");
    server.lose_everything();
    let request = crate::harness::daemon::restore_request(&["full-1"], "database");
    for _ in 0..3 {
        env.accepted(&request);
        env.kill_and_restart();
        assert_eq!(fs::read_dir(server.data_dir()).unwrap().count(), 0);
        assert_eq!(env.listing("backups/tmp"), "(empty)");
    }
    env.restore(&["full-1"], "database");
    server.run();
    assert_eq!(server.content(), content);
}

#[test]
fn a_server_on_the_data_directory_is_seen_though_no_socket_answers() {
    if !is_installed() {
        return;
    }
    let (server, env) = start();
    env.full("full-1");
    // The credentials name a socket where nobody listens, and the files of the running server were deleted under it.
    env.credentials("[client-dbcalm]\nuser=root\nsocket=/nowhere/db.sock\n");
    for entry in fs::read_dir(server.data_dir()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    assert_snapshot!(env.send(&crate::harness::daemon::restore_request(&["full-1"], "database")), @r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#);
}
