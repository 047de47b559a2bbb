//! The daemon with a real server, a bucket and keys: what it archives is there, comes back on another machine with its backup, and goes with it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::encrypted::key;
use super::real::BINLOG;
use crate::cli::{json, run, stdout};
use crate::harness::bucket::Bucket;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::{TestEnv, wait_for};
use crate::repository::keeping_in;

/// Waits until all is in the repository that is committed now.
fn wait_for_the_repository(env: &TestEnv) {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    wait_for("the repository", || {
        let text = fs::read_to_string(env.path("dbcalm.prom")).unwrap_or_default();
        let name = "dbcalm_binlog_repository_until_timestamp_seconds ";
        let until: f64 = text.lines().find(|line| line.starts_with(name))?.rsplit(' ').next()?.parse().ok()?;
        (until > now).then_some(())
    });
}

/// Whether no file below a directory has this text.
fn is_nowhere(dir: &Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().all(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_nowhere(&path, text);
        }
        // What is gone by now had another's word.
        !has(&fs::read(&path).unwrap_or_default(), text)
    })
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn what_was_archived_comes_back_on_another_machine_with_its_backup_and_goes_with_it() {
    if !is_installed() {
        return;
    }
    let bucket = Bucket::start();
    let server = MariaDb::with(|_root| BINLOG.to_owned());
    let mut env = TestEnv::real(&server);
    let (identity, public) = key(env.root(), "key.txt");
    keeping_in(&mut env, bucket.login(), true);
    env.set("encrypt_to", &format!("[{public}]"));
    env.set("binlog_archive", "true");
    env.set("binlog_interval", "1");
    let metrics = env.path("dbcalm.prom").display().to_string();
    env.set("metrics_file", &metrics);
    env.start_daemon();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.orders (id INT, note TEXT) ENGINE=InnoDB");
    env.full("full-1");
    server.sql("SET binlog_format = STATEMENT; INSERT INTO shop.orders VALUES (1, 'everybody knows')");
    let then = server.content();
    server.sql("DROP TABLE shop.orders");
    let dropped = server.sql("SELECT @@gtid_binlog_pos").trim().to_owned();
    wait_for_the_repository(&env);
    assert!(is_nowhere(&env.path("backups"), "everybody knows") && is_nowhere(&env.path("lib"), "everybody knows"));
    for key in bucket.keys().into_keys() {
        assert!(!has(&bucket.read(&key).unwrap(), "everybody knows"), "{key}");
    }
    let said = stdout(&env, 0, "check");
    assert!(said.contains("ok       the archive of the binary log in s3://dbcalm-backups/db1 is up to date"), "{said}");
    let listed = json(&env, 0, "list binlogs");
    assert_eq!((&listed["binlogs"][0]["unsent"], &listed["binlogs"][0]["received"]), (&Value::from(0), &false.into()));

    let spare = MariaDb::start();
    let mut other = TestEnv::real(&spare);
    keeping_in(&mut other, bucket.login(), true);
    other.start_daemon();
    stdout(&other, 0, "adopt --all --yes");
    let listed = json(&other, 0, "list binlogs");
    assert_eq!(listed["binlogs"][0]["backups"], Value::from(vec!["full-1"]), "{listed}");
    assert_eq!(listed["binlogs"][0]["received"], true);
    let ask = "binlog --around 2026-01-01 --within 5000w --table shop.orders";
    let refused = run(&other, ask);
    assert!(refused.status == 1 && refused.stderr.contains(&format!("is encrypted to {public}")), "{}", refused.stderr);
    other.set("identity_file", &identity.display().to_string());
    let found = json(&other, 0, ask);
    let last = found["transactions"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["gtid"], &last["kinds"][0]),
        (&Value::from(dropped.clone()), &Value::from("DROP TABLE")),
        "{found}"
    );
    other.kill_and_restart();
    stdout(&other, 0, &format!("restore latest --target folder --before-gtid {dropped}"));
    let rows = other.rows("restore", "1");
    let folder = Path::new(rows[0]["target_path"].as_str().unwrap()).join("full-1");
    assert_eq!(MariaDb::over(&folder).content(), then, "chain and binary log are read from the bucket");

    server.sql("FLUSH BINARY LOGS; CREATE TABLE shop.more (id INT) ENGINE=InnoDB");
    wait_for_the_repository(&env);
    env.full("full-2");
    wait_for_the_repository(&env);
    let first = || bucket.keys().into_keys().filter(|key| key.contains("/bin.000001/")).count();
    assert!(first() > 1);
    // A pass may be at work just then: the next removal would do it.
    wait_for("the first file to be needed no more", || {
        if env.count("backup", "id = 'full-1'") > 0 {
            stdout(&env, 0, "remove full-1 --yes");
        } else if first() > 0 {
            env.full("extra");
            stdout(&env, 0, "remove extra --yes");
        }
        (first() == 0).then_some(())
    });
    assert!(bucket.keys().into_keys().any(|key| key.contains("/bin.000002/")));
}
