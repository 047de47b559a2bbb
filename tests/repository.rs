//! A repository in an object store: what a backup leaves there, what a restore takes from there, and what goes again.

mod ceph;
mod faults;
mod lost;
mod pages;
mod races;
mod real;
mod tls;

use std::fs;

use insta::assert_snapshot;

use crate::cli::{json, run, stdout};
use crate::harness::bucket::{Bucket, Login};
use crate::harness::proxy::{Fault, Proxy, Rule};
use crate::harness::{TestEnv, wait_for};

/// The settings of a daemon that keeps its backups in this bucket.
pub(crate) fn keeping_in(env: &mut TestEnv, login: &Login, keep_local: bool) {
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

/// A daemon whose store is behind a proxy.
fn start_behind(bucket: &Bucket, keep_local: bool) -> (Proxy, TestEnv) {
    let proxy = Proxy::before(&bucket.login().endpoint);
    let mut env = TestEnv::new();
    keeping_in(&mut env, &bucket.login().by(&proxy.endpoint()), keep_local);
    env.start_daemon();
    (proxy, env)
}

/// The keys, without what no two backups have in common.
fn keys(bucket: &Bucket) -> String {
    let plain = |key: &String| {
        let parts = key.split('/').map(|part| if part.len() == 36 { "UUID" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    // A uuid may come before and after any other key.
    let sorted = bucket.keys().keys().map(plain).collect::<std::collections::BTreeSet<_>>();
    sorted.into_iter().collect::<Vec<_>>().join("\n")
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
    assert_snapshot!(keys(&bucket), @r"
    db1/v1/full-1/UUID/backup-full-1.xbstream.zst
    db1/v1/full-1/UUID/dbcalm.sha256
    db1/v1/full-1/UUID/xtrabackup_checkpoints
    db1/v1/full-1/UUID/xtrabackup_info
    db1/v1/full-1/backup.json
    db1/v1/inc-1/UUID/backup-inc-1.xbstream.zst
    db1/v1/inc-1/UUID/dbcalm.sha256
    db1/v1/inc-1/UUID/xtrabackup_checkpoints
    db1/v1/inc-1/UUID/xtrabackup_info
    db1/v1/inc-1/backup.json
    ");
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
    assert_snapshot!(env.listing("backups"), @".sending/ full-1/ inc-1/");
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    let held = json(&env, 0, "list --repository");
    assert_eq!(held["backups"].as_array().unwrap().len(), 2);
    let rows = held["backups"].as_array().unwrap().iter().map(|held| {
        format!(
            "{} {} from {} recorded {} here {}",
            held["id"], held["type"], held["from_backup_id"], held["recorded"], held["local"]
        )
    });
    assert_snapshot!(rows.collect::<Vec<_>>().join("\n"), @r#"
        "full-1" "full" from null recorded true here false
        "inc-1" "incremental" from "full-1" recorded true here false
        "#);
    assert!(held["backups"][1]["size"].as_u64().unwrap() > 100, "{held}");
    let table = stdout(&env, 0, "list --repository");
    assert!(table.starts_with("BACKUP  TYPE         AGE") && table.contains("inc-1   incremental"), "{table}");
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
    let said = env.newest("error");
    assert!(
        said.contains(
            "store: beginning 'db1/v1/full-1/[ID]/backup-full-1.xbstream.zst': the store answered 403 AccessDenied"
        ),
        "{said}"
    );
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
    env.expect_log("send: not done");
    assert_snapshot!(env.newest("output").lines().next().unwrap(), @"warning: the backup is not in the repository: beginning 'db1/v1/full-1/[ID]/backup-full-1.xbstream.zst': the store answered 403 AccessDenied: Access Denied (the key has no right to this: docs/offsite.md lists the rights that it needs); it is whole here, and is sent as soon as that works");
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
    let said = second.newest("error");
    let wanted = "the repository did not take the backup: the repository has another backup with id full-1: 'db1/v1/full-1/backup.json' was there before";
    assert!(said.starts_with(wanted), "{said}");
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

#[test]
fn what_is_in_the_bucket_is_verified_there() {
    let bucket = Bucket::start();
    let (proxy, env) = start_behind(&bucket, false);
    chain(&env);
    let said = stdout(&env, 0, "verify --all --quick");
    assert!(said.contains("ok       inc-1  repository  metadata and presence checked"), "{said}");
    let said = stdout(&env, 0, "verify inc-1");
    assert!(said.contains("ok       inc-1  repository  ") && said.contains(" hashed in "), "{said}");
    let (key, _) = bucket.keys().into_iter().find(|(key, _)| key.ends_with("backup-inc-1.xbstream.zst")).unwrap();
    let whole = bucket.read(&key).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    bucket.write(&key, &flipped);
    stdout(&env, 0, "verify inc-1 --quick");
    let said = stdout(&env, 1, "verify inc-1");
    assert!(said.contains("inc-1") && said.contains("DAMAGED"), "{said}");
    bucket.write(&key, &whole[..whole.len() - 1]);
    let said = stdout(&env, 1, "verify inc-1 --quick");
    assert!(said.contains(&format!("has {} bytes, not {}", whole.len() - 1, whole.len())), "{said}");
    bucket.write(&key, &whole);
    let card = bucket.read("db1/v1/inc-1/backup.json").unwrap();
    bucket.remove("db1/v1/inc-1/backup.json");
    let said = stdout(&env, 1, "verify inc-1 --quick");
    assert!(said.contains("without which there is no backup"), "{said}");
    bucket.write("db1/v1/inc-1/backup.json", &card);
    stdout(&env, 0, "verify inc-1");
    proxy.add(Rule::new(Fault::Answer(403, "AccessDenied")).always());
    let said = stdout(&env, 1, "verify inc-1 --quick");
    assert!(said.contains("its stream was not looked at"), "{said}");
    assert_eq!(
        json(&env, 0, "list")["backups"][1]["verified"]["outcome"],
        "ok",
        "what could not be looked at is not kept"
    );
}

#[test]
fn a_copy_in_the_bucket_is_verified_beside_what_is_here() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    env.full("full-1");
    stdout(&env, 0, "verify full-1 --repository");
    let (key, _) = bucket.keys().into_iter().find(|(key, _)| key.ends_with("backup-full-1.xbstream.zst")).unwrap();
    bucket.write(&key, b"else");
    stdout(&env, 0, "verify full-1");
    stdout(&env, 1, "verify full-1 --repository");
    assert_eq!(
        json(&env, 0, "list")["backups"][0]["verified"]["outcome"],
        "ok",
        "a copy's damage is not that of what is here"
    );
}

/// What `check` says of the repository.
fn checked(env: &TestEnv) -> String {
    let said = run(env, "check").stdout;
    let of_it = said
        .lines()
        .skip_while(|line| !line.contains("repository"))
        .take_while(|line| line.contains("repository") || line.contains("hint"));
    let text = of_it.collect::<Vec<_>>().join("\n");
    env.redact(&text)
}

#[test]
fn a_repository_is_tried_before_it_is_needed() {
    let bucket = Bucket::start();
    let mut env = start(&bucket, true);
    assert_snapshot!(checked(&env), @r"
    ok       the repository s3://dbcalm-backups/db1 can be reached, written, listed and read
    ok       what is in the repository may be removed by this key, as remove needs it
    ");
    bucket.keeper().write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(checked(&env), @r"
    ok       the repository s3://dbcalm-backups/db1 can be reached, written, listed and read
    ok       what is in the repository may not be removed by this key: whoever has it destroys nothing, and remove only says what it leaves
    ");
    bucket.reader().write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(checked(&env), @r"
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store answered 403 AccessDenied: Access Denied (the key has no right to this: docs/offsite.md lists the rights that it needs)
             hint: backups stay here alone until this is mended: docs/offsite.md
    ");
    let stranger = Login { key: "AKIANOBODY".to_owned(), ..bucket.login().clone() };
    stranger.write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(checked(&env), @r"
    problem  the repository s3://dbcalm-backups/db1: writing 'db1/v1/.check/object': the store answered 403 InvalidAccessKeyId (the store does not know this key: mend repository_credentials_file)
             hint: backups stay here alone until this is mended: docs/offsite.md
    ");
    fs::remove_file(env.path("repository.credentials")).unwrap();
    assert_snapshot!(checked(&env), @r"
    problem  the repository s3://dbcalm-backups/db1: repository_credentials_file '~/repository.credentials' cannot be read: No such file or directory (os error 2)
             hint: mend the settings: docs/offsite.md
    ");
    bucket.login().write_credentials(&env.path("repository.credentials"));
    // Nobody listens at a port that is reserved.
    env.set("repository_endpoint", "http://127.0.0.1:1");
    assert!(checked(&env).contains("the store cannot be reached"), "{}", checked(&env));
}

#[test]
fn a_monitor_is_told_what_is_in_the_bucket_and_what_is_not() {
    let bucket = Bucket::start();
    let mut env = TestEnv::new();
    keeping_in(&mut env, &bucket.reader(), true);
    let file = env.path("lib/dbcalm.prom");
    env.set("metrics_file", &file.display().to_string());
    env.start_daemon();
    let says = |wanted: &str| {
        let says = || fs::read_to_string(&file).is_ok_and(|text| text.lines().any(|line| line == wanted));
        wait_for(&format!("'{wanted}' in the metrics"), || says().then_some(()));
    };
    says("dbcalm_repository_backups 0");
    env.full("full-1");
    env.expect_log("is not in the repository");
    env.expect_log("send: not done");
    says("dbcalm_repository_unsent_backups 1");
    says("dbcalm_repository_failures_total{class=\"denied\"} 2");
    bucket.login().write_credentials(&env.path("repository.credentials"));
    env.full("full-2");
    says("dbcalm_repository_unsent_backups 0");
    says("dbcalm_repository_backups 2");
    let sent = bucket.keys().into_iter().filter(|(key, _)| key.contains("xbstream")).map(|(_, size)| size).sum::<u64>();
    says(&format!("dbcalm_repository_bytes {sent}"));
    says(&format!("dbcalm_repository_objects {}", bucket.keys().len()));
}
