//! A repository in an object store: what a backup leaves there, what a restore takes from there, and what goes again.

use std::fs;

use insta::assert_snapshot;

use crate::cli::{json, run, stdout};
use crate::harness::bucket::{Bucket, Login};
use crate::harness::{TestEnv, wait_for};

/// The settings of a daemon that keeps its backups in this bucket.
fn keeping_in(env: &mut TestEnv, login: &Login, keep_local: bool) {
    login.write_credentials(&env.path("repository.credentials"));
    env.set("stream", "true");
    env.set("compression", "zstd");
    env.set("repository", &format!("s3://{}/db1", login.bucket));
    env.set("repository_endpoint", &login.endpoint);
    let file = env.path("repository.credentials").display().to_string();
    env.set("repository_credentials_file", &file);
    env.set("keep_local", if keep_local { "true" } else { "false" });
}

fn start(bucket: &Bucket, keep_local: bool) -> TestEnv {
    let mut env = TestEnv::new();
    keeping_in(&mut env, bucket.login(), keep_local);
    env.start_daemon();
    env
}

/// The keys, without what no two backups have in common.
fn keys(bucket: &Bucket) -> String {
    let plain = |key: &String| {
        let parts = key.split('/').map(|part| if part.len() == 36 { "UUID" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    bucket.keys().keys().map(plain).collect::<Vec<_>>().join("\n")
}

/// Takes a chain of two, with another content each.
fn chain(env: &TestEnv) {
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    assert_eq!(env.records(), "1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
}

/// Restores the chain to a folder, and gives the content of its table.
fn restored(env: &TestEnv, ids: &[&str]) -> String {
    env.restore(ids, "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    let args: serde_json::Value = serde_json::from_str(&env.newest_raw("args")).unwrap();
    let dir = std::path::PathBuf::from(args["tmp_dir"].as_str().unwrap()).join(ids[0]);
    fs::read_to_string(dir.join("shop/orders.ibd")).unwrap()
}

#[test]
fn a_backup_is_kept_here_and_in_the_bucket_and_restored_from_there_alone() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    chain(&env);
    assert_snapshot!(keys(&bucket), @"");
    for id in ["full-1", "inc-1"] {
        let card = format!("db1/v1/{id}/backup.json");
        assert_eq!(bucket.read(&card).unwrap(), fs::read(env.backup(id).join("backup.json")).unwrap());
        let stream = env.backup(id).join(format!("backup-{id}.xbstream.zst"));
        let (key, _) =
            bucket.keys().into_iter().find(|(key, _)| key.ends_with(&format!("/backup-{id}.xbstream.zst"))).unwrap();
        assert_eq!(bucket.read(&key).unwrap(), fs::read(&stream).unwrap());
        fs::remove_file(stream).unwrap();
    }
    let listed = json(&env, 0, "list");
    assert_eq!(listed["backups"][1]["state"], "repository");
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    assert!(bucket.uploads().is_empty());
}

#[test]
fn a_backup_that_is_kept_in_the_bucket_alone_takes_no_room_here() {
    let bucket = Bucket::start();
    let env = start(&bucket, false);
    chain(&env);
    assert_snapshot!(env.listing("backups"), @"");
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    let held = json(&env, 0, "list --repository");
    assert_eq!(held["backups"].as_array().unwrap().len(), 2);
    assert_snapshot!(stdout(&env, 0, "list --repository"), @"");
}

#[test]
fn a_backup_that_fails_leaves_nothing_in_the_bucket() {
    for keep_local in [true, false] {
        let bucket = Bucket::start();
        let env = start(&bucket, keep_local);
        for fault in [r#"{"dies_by":"KILL"}"#, r#""no_completed_ok""#, r#""missing_metadata""#] {
            env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
            env.full("full-1");
            env.expect_log("backup failed");
            assert_eq!(env.newest("status"), "failed", "{fault}");
            wait_for("the bucket to be empty", || {
                (bucket.keys().is_empty() && bucket.uploads().is_empty()).then_some(())
            });
        }
        nothing_is_on_its_way(&env);
        chain_after_failures(&env);
    }
}

/// Waits until the journal is empty.
fn nothing_is_on_its_way(env: &TestEnv) {
    let journal = env.path("backups/.sending");
    let count = || fs::read_dir(&journal).map_or(0, Iterator::count);
    wait_for("nothing to be on its way", || (count() == 0).then_some(()));
}

fn chain_after_failures(env: &TestEnv) {
    env.full("full-1");
    assert_eq!(env.newest("status"), "success");
}

#[test]
fn a_store_that_does_not_take_it_fails_a_backup_only_if_it_is_kept_nowhere_else() {
    let bucket = Bucket::start();
    let mut env = TestEnv::new();
    keeping_in(&mut env, &bucket.reader(), false);
    env.start_daemon();
    env.full("full-1");
    env.expect_log("backup failed");
    assert_snapshot!(env.newest("error").lines().next().unwrap(), @"");
    assert_eq!(env.count("backup", "1"), 0);
}

#[test]
fn what_a_store_did_not_take_is_sent_as_soon_as_it_does() {
    let bucket = Bucket::start();
    let mut env = TestEnv::new();
    keeping_in(&mut env, &bucket.reader(), true);
    env.start_daemon();
    env.full("full-1");
    env.expect_log("is not in the repository");
    assert_snapshot!(env.newest("output").lines().next().unwrap(), @"");
    assert_eq!((env.count("backup", "1"), keys(&bucket)), (1, String::new()));
    bucket.login().write_credentials(&env.path("repository.credentials"));
    // What ends wakes it, a failure too.
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    wait_for("both to be in the bucket", || {
        let there = bucket.keys();
        ["full-1", "inc-1"].iter().all(|id| there.contains_key(&format!("db1/v1/{id}/backup.json"))).then_some(())
    });
    nothing_is_on_its_way(&env);
}

#[test]
fn an_id_that_another_host_has_taken_is_told_and_nothing_of_it_is_touched() {
    let bucket = Bucket::start();
    let first = start(&bucket, false);
    first.full("full-1");
    let there = bucket.keys();
    let second = start(&bucket, false);
    second.full("full-1");
    second.expect_log("backup failed");
    assert_snapshot!(second.newest("error").lines().next().unwrap().replace(first.root().to_str().unwrap(), "~"), @"");
    wait_for("what the second has sent to be gone", || (bucket.keys() == there).then_some(()));
    assert_eq!(restored(&first, &["full-1"]), "order 1\n");
}

#[test]
fn the_secret_is_in_no_row_no_log_and_no_argument() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    chain(&env);
    let said = [run(&env, "check").stdout, run(&env, "list --repository").stdout, run(&env, "show inc-1").stdout];
    let rows = format!("{:?}", env.rows("process", "1"));
    let log = env.log();
    for text in said.iter().chain([&rows, &log]) {
        for secret in [&bucket.login().secret, &bucket.login().key] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }
    for id in ["full-1", "inc-1"] {
        assert!(!fs::read_to_string(env.backup(id).join("repository.json")).unwrap().contains("AKIA"));
    }
}
