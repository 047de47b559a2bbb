//! A restore to a moment with a real server: what comes out is what the server held then.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::encrypted::key;
use super::real::{BINLOG, wait_for_the_archive};
use crate::cli::{json, run, stdout};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, wait_for};

/// What a server does between the moments that are gone back to; each a session of its own.
const CHAPTERS: [&str; 7] = [
    "USE shop; SET binlog_format = STATEMENT; SET @v = 7; INSERT INTO orders (note) VALUES (@v), (NOW()), (LAST_INSERT_ID());
     INSERT INTO flat SELECT id FROM orders; INSERT INTO aria VALUES (1); UPDATE orders SET note = CONCAT(note, 'é') WHERE id < 3",
    "USE shop; SET binlog_format = ROW; UPDATE orders SET note = REPEAT('long', 500) WHERE id % 2; DELETE FROM orders WHERE id = 4;
     CREATE TABLE parts (id INT PRIMARY KEY, d DATE) ENGINE=InnoDB PARTITION BY HASH(id) PARTITIONS 3;
     INSERT INTO parts SELECT seq, NOW() FROM seq_1_to_50; ALTER TABLE parts DROP COLUMN d; RENAME TABLE flat TO flatter;
     CREATE TABLE copied ENGINE=InnoDB SELECT * FROM orders; TRUNCATE parts",
    "USE shop; XA START 'q'; INSERT INTO orders (note) VALUES ('xa'); XA END 'q'; XA PREPARE 'q'; XA COMMIT 'q';
     SET gtid_domain_id = 3; INSERT INTO orders (note) VALUES ('third'); SET gtid_domain_id = 0;
     XA START 'r'; INSERT INTO orders (note) VALUES ('never'); XA END 'r'; XA PREPARE 'r'; XA ROLLBACK 'r';
     CREATE USER 'eve'@'localhost' IDENTIFIED BY 'secret'; GRANT SELECT ON shop.* TO 'eve'@'localhost'",
    "USE shop; CREATE TABLE plain (i INT); CREATE TABLE log (id INT AUTO_INCREMENT PRIMARY KEY, what TEXT) ENGINE=InnoDB;
     CREATE TRIGGER told AFTER INSERT ON orders FOR EACH ROW INSERT INTO log (what) VALUES (NEW.note);
     SET binlog_format = STATEMENT; INSERT INTO orders (note) VALUES ('told once'); SET binlog_format = ROW; INSERT INTO orders (note) VALUES ('told by row');
     CREATE FUNCTION plus(a INT) RETURNS INT DETERMINISTIC RETURN a + 1; CREATE PROCEDURE twice() INSERT INTO orders (note) VALUES (plus(1)), (plus(2));
     SET binlog_format = MIXED; CALL twice(); CREATE VIEW seen AS SELECT id FROM orders",
    "USE shop; SET binlog_format = STATEMENT; CREATE TEMPORARY TABLE t (i INT); INSERT INTO t VALUES (801), (802); FLUSH BINARY LOGS;
     INSERT INTO aria SELECT i FROM t; FLUSH BINARY LOGS; INSERT INTO aria SELECT i + 10 FROM t; DROP TEMPORARY TABLE t",
    "USE shop; CREATE EVENT often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO shop.log (what) VALUES ('event');
     START TRANSACTION; INSERT INTO orders (note) VALUES ('kept'); SAVEPOINT s; INSERT INTO orders (note) VALUES ('not'); ROLLBACK TO s;
     INSERT INTO aria VALUES (900); COMMIT; START TRANSACTION; INSERT INTO orders (note) VALUES ('never'); ROLLBACK",
    "DROP TABLE shop.orders; CREATE DATABASE other; CREATE TABLE other.t (i INT); INSERT INTO other.t VALUES (1); DROP DATABASE other",
];

/// What a server holds: tables and their rows, and all that is made beside them.
fn held(server: &MariaDb) -> Vec<String> {
    let mut held = server.content();
    for more in [
        "SELECT table_name, engine, row_format, table_collation FROM information_schema.tables WHERE table_schema = 'shop' ORDER BY 1",
        "SELECT event_schema, event_name, status FROM information_schema.events ORDER BY 1, 2",
        "SELECT user, host FROM mysql.global_priv ORDER BY 1, 2",
        "SELECT trigger_name, action_statement FROM information_schema.triggers WHERE trigger_schema = 'shop' ORDER BY 1",
        "SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = 'shop' ORDER BY 1",
        "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = 'shop' ORDER BY 1",
        "SELECT schema_name FROM information_schema.schemata ORDER BY 1",
        "SELECT @@gtid_slave_pos",
    ] {
        held.push(server.sql(more).trim().to_owned());
    }
    held
}

/// The last line of what a session prints.
fn last_line(said: &str) -> String {
    said.trim().lines().last().unwrap().to_owned()
}

/// What comes out of a restore to a folder.
fn restored(env: &TestEnv, id: &str, moment: &str) -> Vec<String> {
    stdout(env, 0, &format!("restore {id} --target folder {moment}"));
    held_in(env, "full-1")
}

/// What a server holds over the folder that was restored last, which is taken away.
fn held_in(env: &TestEnv, full: &str) -> Vec<String> {
    let rows = env.rows("restore", "id = (SELECT max(id) FROM restore)");
    let folder = PathBuf::from(rows[0]["target_path"].as_str().unwrap());
    let server = MariaDb::over_with(&folder.join(full), |_root| "lower-case-table-names=1\n".to_owned());
    let held = held(&server);
    fs::remove_dir_all(folder).unwrap();
    held
}

#[test]
fn each_moment_is_what_the_server_held_then() {
    if !is_installed() {
        return;
    }
    each_moment("", false);
    // And the backups and the archive are encrypted.
    each_moment(
        "binlog-checksum=NONE\nlog-bin-compress=ON\nlog-bin-compress-min-len=10\ndefault-storage-engine=Aria\nlower-case-table-names=1\n",
        true,
    );
}

/// The options of a server whose binary log does not lie in the data directory.
fn outside(root: &Path) -> String {
    fs::create_dir(root.join("logs")).unwrap();
    format!("{BINLOG}log-bin={}/logs/bin\n", root.display())
}

/// `is_outside`: the binary log does not lie in the data directory.
fn each_moment(options: &str, is_outside: bool) {
    let mut server =
        MariaDb::with(|root| if is_outside { outside(root) + options } else { format!("{BINLOG}{options}") });
    let mut env = TestEnv::real(&server);
    env.set("binlog_archive", "true");
    env.set("binlog_interval", "1");
    let metrics = env.path("dbcalm.prom").display().to_string();
    env.set("metrics_file", &metrics);
    if is_outside {
        let (identity, public) = key(&env.path(""), "first");
        env.set("stream", "true");
        env.set("encrypt_to", &public);
        env.set("identity_file", &identity.display().to_string());
    }
    env.start_daemon();
    server.sql(
        "CREATE DATABASE shop; USE shop; CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, note TEXT) ENGINE=InnoDB;
         CREATE TABLE flat (i INT) ENGINE=MyISAM; CREATE TABLE aria (i INT) ENGINE=Aria; INSERT INTO orders (note) VALUES ('first')",
    );
    env.full("full-1");
    let mut moments = Vec::new();
    for (number, chapter) in CHAPTERS.iter().enumerate() {
        if number == 2 {
            env.incremental("inc-1", "full-1");
        }
        let gtid = last_line(&server.sql(&format!("{chapter}; SELECT @@last_gtid")));
        moments.push((gtid, held(&server)));
    }
    wait_for_the_archive(&env);
    for (number, (gtid, then)) in moments.iter().enumerate() {
        let id = if number < 2 { "full-1" } else { "inc-1" };
        assert_eq!(&restored(&env, id, &format!("--to-gtid {gtid}")), then, "{number}, {options}");
    }
    assert_eq!(restored(&env, "latest", "--to end"), moments.last().unwrap().1);

    // Somebody has dropped a table.
    let found = json(&env, 0, "binlog --around 2026-01-01 --within 5000w --table shop.orders");
    let dropped = found["transactions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(dropped["kinds"], Value::from(vec!["DROP TABLE"]));
    let before = format!("restore latest --target database --before-gtid {}", dropped["gtid"].as_str().unwrap());
    let planned = json(&env, 0, &format!("{before} --dry-run"));
    assert_eq!(planned["restore"]["chain"], Value::from(vec!["full-1", "inc-1"]), "{planned}");
    let next = planned["restore"]["replay"]["next"].as_str().unwrap();
    assert!(next.contains("DROP TABLE shop.orders"), "{next}");
    server.stop();
    fs::rename(server.data_dir(), env.path("lost")).unwrap();
    if !is_outside {
        env.expect_log("the binary log is not archived");
    }
    stdout(&env, 0, &format!("{before} --yes"));
    server.run();
    assert_eq!(held(&server), moments[5].1);

    // What was dropped was never dropped by the server that there is now.
    env.expect_log("a new timeline of the binary log is begun: take a full backup");
    env.full("full-2");
    server.sql("INSERT INTO shop.orders (note) VALUES ('after the restore')");
    let then = held(&server);
    wait_for_the_archive(&env);
    let listed = json(&env, 0, "list binlogs");
    let on = |timeline: usize| listed["binlogs"][timeline]["backups"].clone();
    assert_eq!((on(0), on(1)), (Value::from(vec!["full-1", "inc-1"]), Value::from(vec!["full-2"])), "{listed}");
    assert_eq!(listed["binlogs"][1]["because"]["reason"], "restored", "{listed}");
    stdout(&env, 0, "restore latest --target folder --to end");
    assert_eq!(held_in(&env, "full-2"), then);
    for (moment, why) in [
        ("--to-gtid 9-9-9", "9-9-9 is not on timeline 1 of the archive, behind backup 'inc-1'"),
        ("--to-gtid 0-7-2", "0-7-2 lies before the end of backup 'inc-1'"),
        ("--to 2026-01-01T00:00", "2026-01-01 00:00:00 UTC lies before the end of backup 'inc-1'"),
        ("--to 2100-01-01T00:00", "reaches until 2"),
    ] {
        let said = run(&env, &format!("restore inc-1 --target folder {moment}"));
        assert!(said.status == 1 && said.stderr.contains(why), "{moment}: {}", said.stderr);
    }
}

/// The server of a replay, whose process has this word among its arguments.
fn replaying(env: &TestEnv) -> Option<i32> {
    let own = env.path("backups").display().to_string();
    let processes =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_it = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("--relay-log=") && line.contains(&own) && !line.contains("held")
    };
    processes.into_iter().find(is_it)
}

#[test]
fn a_replay_that_is_killed_leaves_nothing_and_no_server() {
    if !is_installed() {
        return;
    }
    // Where it is found whatever becomes of the data directory.
    let mut server = MariaDb::with(outside);
    let mut env = TestEnv::real(&server);
    env.set("binlog_archive", "true");
    env.set("binlog_interval", "1");
    let metrics = env.path("dbcalm.prom").display().to_string();
    env.set("metrics_file", &metrics);
    env.start_daemon();
    env.full("full-1");
    // It takes its time wherever it is applied.
    server.sql(
        "CREATE DATABASE shop; CREATE TABLE shop.t (i INT) ENGINE=InnoDB; SET binlog_format = STATEMENT;
         INSERT INTO shop.t SELECT SLEEP(IF(@@GLOBAL.server_id = 7, 0, 600))",
    );
    wait_for_the_archive(&env);
    server.stop();
    fs::rename(server.data_dir(), env.path("lost")).unwrap();
    fs::create_dir(server.data_dir()).unwrap();
    for victim in ["the step", "the server", "the daemon"] {
        stdout(&env, 0, "restore full-1 --target database --to end --yes --detach");
        let applying = wait_for("the replay", || replaying(&env).filter(|_| is_applying(&env)));
        let step = parent_of(applying);
        match victim {
            "the step" => kill(step),
            "the server" => kill(applying),
            _ => {
                env.kill_and_restart();
                env.expect_log("ended a command of an earlier daemon");
            }
        }
        env.settled();
        if victim != "the daemon" {
            env.expect_log("restore failed");
        }
        wait_for("the end of the server", || replaying(&env).is_none().then_some(()));
        assert_eq!(fs::read_dir(server.data_dir()).unwrap().count(), 0, "{victim}");
        assert_eq!(fs::read_dir(env.path("backups/tmp")).unwrap().count(), 0, "{victim}");
        assert_eq!(env.count("restore", "1"), 0, "{victim}");
    }
}

/// Whether the server of a replay has said that it is up.
fn is_applying(env: &TestEnv) -> bool {
    let logs =
        fs::read_dir(env.path("backups/tmp")).unwrap().flatten().flat_map(|entry| fs::read_dir(entry.path()).unwrap());
    logs.flatten().any(|entry| {
        let dir = entry.path();
        dir.join("relay.info").exists() && dir.join("sock").exists()
    })
}

fn parent_of(pid: i32) -> i32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap()
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
