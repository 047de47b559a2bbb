//! docs/any-moment.md, whose blocks are typed as they stand over a real MariaDB.
//!
//! Stand-ins are the time, the GTID and the data directory, and for `systemctl` the harness's server.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Command, Stdio};

use dbcalm_db_cmd::model::Moment;

use super::real::{BINLOG, wait_for_the_archive};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, page, program, wait_for};

/// Has the test do what it is asked, and waits for that.
const SYSTEMCTL: &str = r#"#!/bin/sh
echo "$1" > ASKED.new && mv ASKED.new ASKED && while [ -e ASKED ]; do sleep 0.02; done
"#;

/// A block, ready to be typed.
fn shell(env: &TestEnv, text: &str) -> Command {
    let path = format!("{}:{}", env.path("typed").display(), std::env::var("PATH").unwrap());
    let mut shell = program("/bin/sh");
    shell.args(["-euc", text]).env("PATH", path).env("DBCALM_CONFIG", env.etc("config.yml"));
    shell.env("DBCALM_SOCKET", env.socket()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

fn typed(env: &TestEnv, text: &str) -> String {
    let said = shell(env, text).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout).into_owned(), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{text}\n{out}{err}");
    out
}

#[test]
fn the_page_on_any_moment_is_typed_as_it_stands() {
    if !is_installed() {
        return;
    }
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/any-moment.md")).unwrap();
    let blocks = page::blocks(&text, &["sh", "yaml", "ini"]);
    let mut server = MariaDb::with(|_root| BINLOG.to_owned());
    let mut env = TestEnv::real(&server);
    let (key, value) = blocks["setting"].split_once(": ").unwrap();
    env.set(key, value);
    env.set("binlog_interval", "1");
    let metrics = env.path("dbcalm.prom").display().to_string();
    env.set("metrics_file", &metrics);
    fs::create_dir(env.path("typed")).unwrap();
    symlink(env!("CARGO_BIN_EXE_dbcalm-db-cmd"), env.path("typed").join("dbcalm-db-cmd")).unwrap();
    let (asked, systemctl) = (env.path("asked"), env.path("typed").join("systemctl"));
    fs::write(&systemctl, SYSTEMCTL.replace("ASKED", &asked.display().to_string())).unwrap();
    fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
    env.start_daemon();

    server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY) ENGINE=InnoDB");
    env.full("full-1");
    server.sql("INSERT INTO shop.orders VALUES (1), (2)");
    let then = server.content();
    server.sql("DROP TABLE shop.orders");
    let dropped = server.sql("SELECT @@gtid_binlog_pos").trim().to_owned();
    wait_for_the_archive(&env);

    let now = Moment::now().to_seconds();
    let found = typed(&env, &blocks["find"].replace("2026-11-30 14:03", &now));
    let lines: Vec<_> = found.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    // Date, time, GTID, what and where.
    assert_eq!(lines.last().unwrap()[2..6], [dropped.as_str(), "DROP", "TABLE", "shop.orders"], "{found}");
    let data_dir = server.data_dir().display().to_string();
    let ready = |block: &str| {
        let text = blocks[block].replace("0-7-4712", &dropped).replace("/var/lib/mysql", &data_dir);
        text.replace("-o mysql -g mysql ", "")
    };
    let said = typed(&env, &ready("look"));
    assert!(said.contains("full-1, begun ") && said.contains("and replays "), "{said}");
    assert!(said.contains("INSERT shop.orders") && said.contains(&format!("not any more: {dropped}, ")), "{said}");

    let typing = shell(&env, &ready("restore")).spawn().unwrap();
    let asks = |what: &str| {
        let said = wait_for("systemctl", || fs::read_to_string(&asked).ok());
        assert_eq!(said.trim(), what);
    };
    asks("stop");
    server.stop();
    fs::remove_file(&asked).unwrap();
    env.expect_log("the binary log is not archived");
    asks("start");
    server.run();
    fs::remove_file(&asked).unwrap();
    let said = typing.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(server.content(), then);
    env.expect_log("a new timeline of the binary log is begun: take a full backup");
    let done = ["setting", "find", "look", "restore"];
    assert_eq!(blocks.keys().copied().collect::<BTreeSet<_>>(), done.into_iter().collect());
}
