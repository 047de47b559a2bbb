//! A repository behind a real server and the real tools: what is in the bucket is a whole backup, for us and for tools that are not ours.

use std::fs;
use std::path::{Path, PathBuf};

use super::keeping_in;
use crate::cli::{json, run, stdout};
use crate::harness::boto::Boto;
use crate::harness::bucket::{Bucket, Login};
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::proxy::Proxy;
use crate::harness::radosgw::Radosgw;
use crate::harness::{TestEnv, program};

/// How many rows the first backup has, of 8 KiB that no compression makes smaller: 24 MiB, which is more than two parts of 8 MiB.
const ROWS: u32 = 3000;

/// A server with tables of three engines, and a daemon that keeps its backups in the bucket alone.
fn site(login: &Login) -> Option<(TestEnv, MariaDb)> {
    if !is_installed() {
        return None;
    }
    let server = MariaDb::start();
    server.sql(&format!(
        "CREATE DATABASE shop; USE shop;
        CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, round INT, data MEDIUMBLOB) ENGINE=InnoDB;
        CREATE TABLE log (id INT PRIMARY KEY, text VARCHAR(200)) ENGINE=Aria;
        CREATE TABLE old (id INT PRIMARY KEY, text VARCHAR(200)) ENGINE=MyISAM;
        INSERT INTO orders (round, data) SELECT 0, concat({}) FROM seq_1_to_{ROWS};
        INSERT INTO log SELECT seq, concat('log ', seq) FROM seq_1_to_2000;
        INSERT INTO old SELECT seq, concat('old ', seq) FROM seq_1_to_2000",
        ["random_bytes(1024)"; 8].join(", ")
    ));
    Some((keeping(&server, login), server))
}

fn keeping(server: &MariaDb, login: &Login) -> TestEnv {
    let mut env = TestEnv::real(server);
    keeping_in(&mut env, login, false);
    env.start_daemon();
    env
}

fn write(server: &MariaDb, round: u32) {
    server.sql(&format!(
        "USE shop;
        INSERT INTO orders (round, data) SELECT {round}, random_bytes(1000) FROM seq_1_to_500;
        UPDATE orders SET data = concat('changed ', id) WHERE id % 7 = {round};
        UPDATE log SET text = 'changed in round {round}' WHERE id % 5 = {round};
        DELETE FROM old WHERE id % 11 = {round};
        CREATE TABLE made_{round} (id INT PRIMARY KEY) ENGINE=InnoDB; INSERT INTO made_{round} VALUES ({round})"
    ));
}

/// Takes a chain of three; gives what the server has after it.
fn chain_of_three(env: &TestEnv, server: &MariaDb) -> Vec<String> {
    let is_done = || assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    env.full("full-1");
    is_done();
    for (round, (id, base)) in [("inc-1", "full-1"), ("inc-2", "inc-1")].into_iter().enumerate() {
        write(server, u32::try_from(round).unwrap() + 1);
        env.incremental(id, base);
        is_done();
    }
    let streams = ["full-1", "inc-1", "inc-2"].map(|id| env.listing(&format!("backups/{id}")));
    assert!(streams.iter().all(|names| !names.contains("xbstream")), "{streams:?}");
    server.content()
}

#[test]
fn a_real_chain_is_restored_from_the_bucket_alone() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(&bucket.login().endpoint);
    let Some((env, mut server)) = site(&bucket.login().by(&proxy.endpoint())) else { return };
    let content = chain_of_three(&env, &server);
    let is_third = |query: &str| query.split('&').any(|word| word == "partNumber=3");
    assert!(proxy.requests().iter().any(|seen| is_third(&seen.query)), "the full backup has three parts at the least");
    assert!(bucket.uploads().is_empty());
    stdout(&env, 0, "verify --all");
    server.lose_everything();
    env.restore(&["full-1", "inc-1", "inc-2"], "database");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    server.run();
    assert_eq!(server.content(), content);
    assert_eq!(server.sql("CHECK TABLE shop.orders, shop.log, shop.old").matches("\tOK\n").count(), 3);
    by_hand(&bucket, &content);
}

/// The objects got by boto3, and made into data by zstd, mbstream and mariadb-backup.
fn by_hand(bucket: &Bucket, content: &[String]) {
    let Some(mut boto) = Boto::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let keys = boto.keys(bucket.login());
    for id in ["full-1", "inc-1", "inc-2"] {
        let stream = keys.keys().find(|key| key.ends_with(&format!("/backup-{id}.xbstream.zst"))).unwrap();
        let file = dir.path().join("stream.zst");
        boto.fetch(bucket.login(), stream, &file);
        let into = dir.path().join(id);
        fs::create_dir(&into).unwrap();
        let script = r#"zstd -dc "$1" | mbstream -x -C "$2""#;
        done(&["sh", "-ec", script, "sh", &file.display().to_string(), &into.display().to_string()]);
    }
    let target = format!("--target-dir={}", dir.path().join("full-1").display());
    let tool = tool().display().to_string();
    done(&[&tool, "--prepare", &target]);
    for id in ["inc-1", "inc-2"] {
        done(&[&tool, "--prepare", &target, &format!("--incremental-dir={}", dir.path().join(id).display())]);
    }
    assert_eq!(MariaDb::over(&dir.path().join("full-1")).content(), content);
}

fn tool() -> PathBuf {
    ["/usr/bin/mariabackup", "/usr/bin/mariadb-backup"]
        .map(PathBuf::from)
        .into_iter()
        .find(|path| path.exists())
        .unwrap()
}

fn done(words: &[&str]) {
    let said = program(Path::new(words[0])).args(&words[1..]).output().unwrap();
    assert!(said.status.success(), "{words:?}: {}", String::from_utf8_lossy(&said.stderr));
}

#[test]
fn after_the_loss_of_all_but_the_bucket_a_real_server_is_brought_back() {
    let bucket = Bucket::start();
    lose_all_and_come_back(bucket.login());
    assert!(bucket.uploads().is_empty());
}

#[test]
fn after_the_loss_of_all_but_the_real_store_a_real_server_is_brought_back() {
    let Some(store) = Radosgw::shared() else { return };
    let (bucket, Some(mut boto)) = (store.bucket(), Boto::start()) else { return };
    lose_all_and_come_back(bucket.login());
    assert!(boto.uploads(bucket.login()).is_empty());
}

fn lose_all_and_come_back(login: &Login) {
    let Some((env, mut server)) = site(login) else { return };
    let content = chain_of_three(&env, &server);
    // The daemon, its records, its log, its settings and backup_dir; and the server's data.
    drop(env);
    server.lose_everything();

    let env = keeping(&server, login);
    assert_eq!(env.count("backup", "1"), 0);
    let said = stdout(&env, 0, "adopt --all --yes");
    assert!(["full-1", "inc-1", "inc-2"].iter().all(|id| said.contains(&format!("adopted '{id}'"))), "{said}");
    stdout(&env, 0, "restore latest --target database --yes");
    server.run();
    assert_eq!(server.content(), content);

    // The data are those of the last of the chain: it goes on from there.
    write(&server, 3);
    env.incremental("inc-3", "inc-2");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    env.full("full-2");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let content = server.content();
    server.lose_everything();
    env.restore(&["full-1", "inc-1", "inc-2", "inc-3"], "database");
    server.run();
    assert_eq!(server.content(), content);

    // And after a restore of an earlier one it does not.
    server.lose_everything();
    env.restore(&["full-1", "inc-1"], "database");
    server.run();
    write(&server, 4);
    let refused = run(&env, "backup incremental inc-4 --from inc-3");
    assert_eq!(refused.status, 1, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("do not descend from backup inc-3"), "{}", refused.stderr);
    env.incremental("inc-5", "inc-1");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let held = || {
        let listed = json(&env, 0, "list --repository");
        listed["backups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|held| held["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(held(), ["full-1", "inc-1", "inc-2", "inc-3", "full-2", "inc-5"]);
    let said = stdout(&env, 0, "remove full-1 --chain --yes");
    assert!(said.contains("nothing of these 5 is left in the repository"), "{said}");
    assert_eq!(held(), ["full-2"]);
}
