//! A real MariaDB: what it writes is read as its own tool reads it, and the daemon archives it, finds what was dropped in it, and says how far it is.

use std::fs;

use dbcalm_db_cmd::binlog::archive::{Archive, Pass};
use dbcalm_db_cmd::binlog::reader::Reader;
use dbcalm_db_cmd::binlog::transaction::{Item, Transactions};
use serde_json::Value;

use crate::cli::{json, stdout};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, program, wait_for};

pub(super) const BINLOG: &str = "log-bin=bin\nserver-id=7\nsync-binlog=0\n";

/// Some of all that a server writes.
const WORK: &str = "
    CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT PRIMARY KEY, note TEXT) ENGINE=InnoDB;
    SET binlog_format = MIXED; INSERT INTO orders VALUES (1, 'one'), (2, 'two');
    SET binlog_format = ROW; INSERT INTO orders VALUES (3, REPEAT('long', 500)); UPDATE orders SET note = 'x' WHERE id < 3;
    CREATE TABLE flat (i INT) ENGINE=MyISAM; INSERT INTO flat VALUES (1); INSERT INTO flat SELECT i + 1 FROM flat;
    SET gtid_domain_id = 3; DELETE FROM orders WHERE id = 1;
    XA START 'q'; INSERT INTO orders VALUES (4, 'xa'); XA END 'q'; XA PREPARE 'q'; XA COMMIT 'q';
    XA START 'r'; INSERT INTO orders VALUES (5, 'xa'); XA END 'r'; XA PREPARE 'r'; XA ROLLBACK 'r';
    SET gtid_domain_id = 0; SET binlog_format = STATEMENT; INSERT INTO orders VALUES (6, REPEAT('s', 300));
    SET @v = 7; INSERT INTO orders VALUES (@v, UUID_SHORT() IS NULL);
    CREATE TEMPORARY TABLE t (i INT); INSERT INTO t VALUES (8); INSERT INTO orders SELECT i, 'tmp' FROM t; FLUSH BINARY LOGS;
    INSERT INTO orders SELECT i + 1, 'tmp' FROM t; DROP TABLE t;
    START TRANSACTION; INSERT INTO orders VALUES (10, 'a'); SAVEPOINT s; INSERT INTO orders VALUES (11, 'b');
    ROLLBACK TO s; INSERT INTO flat VALUES (9); COMMIT; START TRANSACTION; INSERT INTO flat VALUES (10); ROLLBACK;
    CREATE TABLE copy ENGINE=InnoDB SELECT * FROM orders; SET binlog_format = ROW; CREATE TABLE again ENGINE=InnoDB SELECT * FROM orders;
    CREATE TRIGGER w AFTER INSERT ON orders FOR EACH ROW INSERT INTO flat VALUES (NEW.id); INSERT INTO orders VALUES (12, 't');
    ALTER TABLE copy ADD c INT; TRUNCATE copy; RENAME TABLE copy TO old; CREATE USER 'a'@'b' IDENTIFIED BY 'secret'; DROP USER 'a'@'b';
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO INSERT INTO flat VALUES (1); ANALYZE TABLE orders; DROP TABLE old, again;";

/// Each transaction of a file by mariadb-binlog: where it begins, and its GTID.
fn by_the_tool(path: &std::path::Path) -> Vec<(u64, String)> {
    let said = program("mariadb-binlog").arg("--no-defaults").arg(path).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let (mut found, mut at) = (Vec::new(), 0);
    for line in String::from_utf8_lossy(&said.stdout).lines() {
        if let Some(place) = line.strip_prefix("# at ") {
            at = place.parse().unwrap();
        } else if let Some((_, gtid)) = line.split_once("\tGTID ").filter(|_| line.starts_with('#')) {
            found.push((at, gtid.split(' ').next().unwrap().to_owned()));
        }
    }
    found
}

fn by_us(path: &std::path::Path) -> Vec<(u64, String)> {
    let mut all = Transactions::new(Reader::begin(fs::File::open(path).unwrap()).unwrap(), true);
    let mut found = Vec::new();
    while let Some(item) = all.item().unwrap() {
        if let Item::Transaction(transaction) = item {
            found.push((transaction.at, transaction.gtid.unwrap().to_string()));
        }
    }
    assert_eq!(all.reader().torn(), 0);
    found
}

#[test]
fn what_a_real_server_writes_is_read_as_its_own_tool_reads_it() {
    if !is_installed() {
        return;
    }
    for options in
        ["", "binlog-checksum=NONE\nlog-bin-compress=ON\n", "log-bin-compress=ON\nlog-bin-compress-min-len=10\n"]
    {
        let mut server = MariaDb::with(|_root| format!("{BINLOG}{options}"));
        let backups = tempfile::tempdir().unwrap();
        let (index, data_dir) = (server.data_dir().join("bin.index"), server.data_dir());
        let pass = || {
            Pass { backup_dir: backups.path(), index: &index, data_dir: &data_dir, server_uid: None, recipients: &[] }
                .run()
                .unwrap()
        };
        pass();
        server.sql(WORK);
        pass();
        let state = |server: &MariaDb| server.sql("SELECT @@gtid_binlog_state").trim().to_owned();
        let newest = || {
            let archive = Archive::of(backups.path());
            let (_, file) = archive.files(1).unwrap().pop().unwrap();
            archive.entry(1, &file).unwrap().unwrap().after.to_string()
        };
        assert_eq!(newest(), state(&server));
        server.crash();
        server.run();
        server.sql("INSERT INTO shop.orders VALUES (20, 'after'); FLUSH BINARY LOGS; INSERT INTO shop.orders VALUES (21, 'more')");
        pass();
        assert_eq!(newest(), state(&server));
        server.stop();
        pass();
        let archive = Archive::of(backups.path());
        assert_eq!(archive.timelines().unwrap(), [1], "a crash and a stop lose nothing");
        let files = archive.files(1).unwrap();
        assert_eq!(files.len(), 4);
        let mut count = 0;
        for (_, file) in files {
            let (tools, ours) = (by_the_tool(&data_dir.join(&file)), by_us(&data_dir.join(&file)));
            assert_eq!(ours, tools, "{file}");
            count += ours.len();
        }
        assert!(count > 35, "{count}");
    }
}

fn archived_until(env: &TestEnv) -> Option<f64> {
    let text = fs::read_to_string(env.path("dbcalm.prom")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("dbcalm_binlog_archived_until_timestamp_seconds "))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until all is archived that is committed now.
pub(super) fn wait_for_the_archive(env: &TestEnv) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    wait_for("the archive", || archived_until(env).filter(|until| *until > now));
}

#[test]
fn the_daemon_archives_a_real_servers_binary_log_and_what_was_dropped_is_found_in_it() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::with(|_root| BINLOG.to_owned());
    let mut env = TestEnv::real(&server);
    env.set("binlog_archive", "true");
    env.set("binlog_interval", "1");
    let metrics = env.path("dbcalm.prom").display().to_string();
    env.set("metrics_file", &metrics);
    env.start_daemon();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB;
         INSERT INTO shop.orders SELECT seq FROM seq_1_to_100",
    );
    env.full("full-1");
    server.sql(
        "INSERT INTO shop.orders VALUES (101); CREATE TABLE shop.other (id INT) ENGINE=InnoDB; DROP TABLE shop.orders",
    );
    let dropped = server.sql("SELECT @@gtid_binlog_pos").trim().to_owned();
    wait_for_the_archive(&env);
    let found = json(&env, 0, "binlog --around 2026-01-01 --within 5000w --table shop.orders");
    let last = found["transactions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["gtid"], &last["kinds"][0]), (&Value::from(dropped), &Value::from("DROP TABLE")), "{found}");
    let listed = json(&env, 0, "list binlogs");
    assert_eq!(listed["binlogs"][0]["backups"], Value::from(vec!["full-1"]), "{listed}");
    assert_eq!(listed["binlogs"].as_array().unwrap().len(), 1);
    let metrics = fs::read_to_string(env.path("dbcalm.prom")).unwrap();
    let value = |name: &str| {
        metrics.lines().find(|line| line.starts_with(name)).unwrap().rsplit(' ').next().unwrap().to_owned()
    };
    assert_eq!(
        value("dbcalm_recoverable_until_timestamp_seconds "),
        value("dbcalm_binlog_archived_until_timestamp_seconds ")
    );
    assert_eq!(value("dbcalm_binlog_gaps "), "0");
    // No flood of rows.
    assert_eq!(env.count("process", "1"), 1);

    // What no backup needs goes with the backup that needed it.
    server.sql("FLUSH BINARY LOGS; FLUSH BINARY LOGS; CREATE TABLE shop.kept (id INT) ENGINE=InnoDB");
    wait_for_the_archive(&env);
    env.full("full-1b");
    wait_for_the_archive(&env);
    let files = || {
        let files = Archive::of(&env.path("backups")).files(1).unwrap();
        files.into_iter().map(|(number, _)| number).collect::<Vec<_>>()
    };
    assert_eq!(files(), [1, 2, 3]);
    // A pass may be at work just then: the next removal would do it.
    wait_for("the first two to be needed no more", || {
        if env.count("backup", "id = 'full-1'") > 0 {
            stdout(&env, 0, "remove full-1 --yes");
        } else if files() != [3] {
            env.full("extra");
            stdout(&env, 0, "remove extra --yes");
        }
        (files() == [3]).then_some(())
    });
    stdout(&env, 0, "binlog --around 2026-01-01 --within 5000w --table shop.kept");

    // A stopped server has written until it was stopped; where it is, it has said before.
    server.sql("CREATE TABLE shop.last (id INT) ENGINE=InnoDB");
    server.stop();
    wait_for_the_archive(&env);
    env.kill_and_restart();
    wait_for_the_archive(&env);
    stdout(&env, 0, "binlog --around 2026-01-01 --within 5000w --table shop.last");

    server.run();
    server.sql("RESET MASTER; CREATE TABLE shop.new (id INT) ENGINE=InnoDB");
    wait_for("a new timeline", || Archive::of(&env.path("backups")).timelines().unwrap().get(1).copied());
    wait_for_the_archive(&env);
    env.expect_log("a new timeline of the binary log is begun: take a full backup");
    let listed = json(&env, 0, "list binlogs");
    assert_eq!(listed["binlogs"][1]["backups"], Value::from(Vec::<String>::new()), "{listed}");
    env.full("full-2");
    wait_for("the backup on the new timeline", || {
        let listed = json(&env, 0, "list binlogs");
        (listed["binlogs"][1]["backups"] == Value::from(vec!["full-2"])).then_some(())
    });
}

#[test]
fn a_server_without_a_binary_log_is_told_by_the_daemon_and_by_check() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    let mut env = TestEnv::real(&server);
    env.set("binlog_archive", "true");
    env.set("binlog_interval", "1");
    env.start_daemon();
    wait_for("a word", || env.log().contains("log_bin is off in the server").then_some(()));
    env.expect_log("the binary log is not archived");
    let said = stdout(&env, 1, "check");
    assert!(said.contains("problem  log_bin is off in the server: there is no binary log to archive"), "{said}");
}
