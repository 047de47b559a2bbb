//! A repository in a real store, Ceph's object gateway: what the tests' own store shows, and what that one does otherwise.

use insta::assert_snapshot;

use super::{chain, checked, keeping_in, nothing_is_on_its_way, restored};
use crate::cli::{json, run, stdout};
use crate::harness::boto::Boto;
use crate::harness::bucket::Login;
use crate::harness::radosgw::Radosgw;
use crate::harness::{TestEnv, wait_for};

/// A daemon that keeps its backups there.
fn start(login: &Login, keep_local: bool) -> TestEnv {
    let mut env = TestEnv::new();
    keeping_in(&mut env, login, keep_local);
    env.start_daemon();
    env
}

/// The keys, by another client, without what no two backups have in common.
fn keys(boto: &mut Boto, login: &Login) -> String {
    let plain = |key: &String| key.split('/').filter(|part| part.len() != 36).collect::<Vec<_>>().join("/");
    let mut keys = boto.keys(login).keys().map(plain).collect::<Vec<_>>();
    keys.sort();
    keys.join(" ")
}

#[test]
fn a_chain_is_taken_restored_verified_listed_and_removed() {
    let (Some(store), Some(mut boto)) = (Radosgw::shared(), Boto::start()) else { return };
    for keep_local in [true, false] {
        let bucket = store.bucket();
        let env = start(bucket.login(), keep_local);
        chain(&env);
        assert_is_the_chain(&keys(&mut boto, bucket.login()));
        stdout(&env, 0, "verify --all --repository");
        if keep_local {
            for id in ["full-1", "inc-1"] {
                std::fs::remove_file(env.backup(id).join(format!("backup-{id}.xbstream.zst"))).unwrap();
            }
        }
        assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
        let listed = json(&env, 0, "list --repository");
        let ids = listed["backups"].as_array().unwrap().iter().map(|held| held["id"].as_str().unwrap());
        assert_eq!(ids.collect::<Vec<_>>(), ["full-1", "inc-1"]);
        let said = stdout(&env, 0, "remove full-1 --chain --yes");
        assert!(said.contains("nothing of these 2 is left in the repository"), "{said}");
        nothing_is_on_its_way(&env);
        assert_eq!((keys(&mut boto, bucket.login()), boto.uploads(bucket.login())), (String::new(), Vec::new()));
    }
}

fn assert_is_the_chain(keys: &str) {
    let of = |id: &str, backup: &str| {
        let files = ["backup.json", backup, "dbcalm.sha256", "xtrabackup_checkpoints", "xtrabackup_info"];
        files.map(|name| format!("db1/v1/{id}/{name}")).join(" ")
    };
    let wanted = [("full-1", "backup-full-1.xbstream.zst"), ("inc-1", "backup-inc-1.xbstream.zst")];
    let mut wanted =
        wanted.map(|(id, stream)| of(id, stream)).join(" ").split(' ').map(str::to_owned).collect::<Vec<_>>();
    wanted.sort();
    assert_eq!(keys, wanted.join(" "));
}

#[test]
fn a_backup_that_fails_leaves_nothing_there() {
    let (Some(store), Some(mut boto)) = (Radosgw::shared(), Boto::start()) else { return };
    let bucket = store.bucket();
    let env = start(bucket.login(), false);
    for fault in [r#"{"dies_by":"KILL"}"#, r#""no_completed_ok""#] {
        env.script("mariabackup", &format!(r#"{{"fault":{fault}}}"#));
        env.full("full-1");
        env.expect_log("backup failed");
        nothing_is_on_its_way(&env);
        assert_eq!(
            (keys(&mut boto, bucket.login()), boto.uploads(bucket.login())),
            (String::new(), Vec::new()),
            "{fault}"
        );
    }
    env.full("full-1");
    assert_eq!(restored(&env, &["full-1"]), "order 1\n");
}

#[test]
fn a_daemon_that_is_killed_while_it_sends_leaves_nothing_there() {
    let (Some(store), Some(mut boto)) = (Radosgw::shared(), Boto::start()) else { return };
    let bucket = store.bucket();
    let env = start(bucket.login(), false);
    let go = serde_json::json!({"fault": {"slow_until": env.path("go")}});
    env.script("mariabackup", &go.to_string());
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
    env.wait_for_fake("mariabackup");
    wait_for("the upload", || (boto.uploads(bucket.login()).len() == 1).then_some(()));
    env.kill_and_restart();
    env.expect_log("ended a command of an earlier daemon");
    nothing_is_on_its_way(&env);
    assert_eq!((keys(&mut boto, bucket.login()), boto.uploads(bucket.login())), (String::new(), Vec::new()));
}

#[test]
fn a_key_that_may_not_delete_takes_and_restores_and_removes_nothing() {
    let (Some(store), Some(mut boto)) = (Radosgw::shared(), Boto::start()) else { return };
    let bucket = store.bucket();
    let env = start(&bucket.keeper(), false);
    chain(&env);
    let there = keys(&mut boto, bucket.login());
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    let said = stdout(&env, 0, "remove full-1 --chain --yes");
    assert!(
        said.contains("/db1 still has 'full-1': removing 'db1/v1/full-1/backup.json': the store answered 403"),
        "{said}"
    );
    nothing_is_on_its_way(&env);
    assert_eq!(keys(&mut boto, bucket.login()), there);
    // What is still there comes back.
    stdout(&env, 0, "adopt --all --yes");
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
}

#[test]
fn what_check_says_of_it() {
    let Some(store) = Radosgw::shared() else { return };
    let bucket = store.bucket();
    let env = start(bucket.login(), true);
    let said = |env: &TestEnv, login: &Login| checked(env).replace(&login.bucket, "[BUCKET]");
    assert_snapshot!(said(&env, bucket.login()), @r"
    ok       the repository s3://[BUCKET]/db1 can be reached, written, listed and read
    ok       what is in the repository may be removed by this key, as remove needs it
    ");
    bucket.keeper().write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(said(&env, bucket.login()), @r"
    ok       the repository s3://[BUCKET]/db1 can be reached, written, listed and read
    ok       what is in the repository may not be removed by this key: whoever has it destroys nothing, and remove only says what it leaves
    ");
    bucket.reader().write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(said(&env, bucket.login()), @r"
    problem  the repository s3://[BUCKET]/db1: writing 'db1/v1/.check/object': the store answered 403 AccessDenied (the key has no right to this: docs/offsite.md lists the rights that it needs)
             hint: backups stay here alone until this is mended: docs/offsite.md
    ");
    let stranger = Login { key: "AKIANOBODY".to_owned(), ..bucket.login().clone() };
    stranger.write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(said(&env, bucket.login()), @r"
    problem  the repository s3://[BUCKET]/db1: writing 'db1/v1/.check/object': the store answered 403 InvalidAccessKeyId (the store does not know this key: mend repository_credentials_file)
             hint: backups stay here alone until this is mended: docs/offsite.md
    ");
    let wrong = Login { secret: "wrong".to_owned(), ..bucket.login().clone() };
    wrong.write_credentials(&env.path("repository.credentials"));
    assert_snapshot!(said(&env, bucket.login()), @r"
    problem  the repository s3://[BUCKET]/db1: writing 'db1/v1/.check/object': the store answered 403 SignatureDoesNotMatch (the secret is not the key's, or repository_region is another: mend repository_credentials_file or the settings)
             hint: backups stay here alone until this is mended: docs/offsite.md
    ");

    let locked = store.locked_bucket();
    let env = start(locked.login(), false);
    let said = run(&env, "check").stdout.replace(&locked.login().bucket, "[BUCKET]");
    let of_it = said.lines().skip_while(|line| !line.contains("the repository")).take(4).collect::<Vec<_>>();
    assert_snapshot!(of_it.join("\n"), @r"
    ok       the repository s3://[BUCKET]/db1 can be reached, written, listed and read
    warning  the store does not heed If-None-Match, as Ceph's gateway does not in a bucket with versions: two hosts that take one id in the same moment are not told
             hint: give each host a prefix of its own: repository: s3://bucket/host
    ok       what is in the repository may be removed by this key, as remove needs it
    ");
    // It works all the same, and a second host with the same prefix is told.
    chain(&env);
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    let second = start(locked.login(), false);
    second.full("full-1");
    second.expect_log("backup failed");
    assert!(
        second.newest("error").contains("the repository has another backup with id full-1"),
        "{}",
        second.newest("error")
    );
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    let said = stdout(&env, 0, "remove full-1 --chain --yes");
    assert!(said.contains("nothing of these 2 is left in the repository"), "{said}");
}
