//! A host that is lost: everything comes back from the bucket, and what does not prove itself does not.

use std::fs;

use insta::assert_snapshot;

use super::{chain, keeping_in, restored, start};
use crate::cli::{json, run, stdout};
use crate::harness::TestEnv;
use crate::harness::bucket::Bucket;

/// A machine that has nothing but the settings, the credentials and the bucket.
fn another(bucket: &Bucket, keep_local: bool) -> TestEnv {
    let mut env = TestEnv::new();
    keeping_in(&mut env, bucket.login(), keep_local);
    env.start_daemon();
    env
}

/// The table of what is adopted, without what differs from run to run.
fn adopted(said: &str) -> String {
    let line = |line: &str| {
        let words = line.split_whitespace().filter(|word| !word.contains(':') || word.ends_with(':'));
        words.filter(|word| !word.starts_with("20") && word.parse::<f64>().is_err()).collect::<Vec<_>>().join(" ")
    };
    said.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_new_machine_adopts_what_the_bucket_has_and_restores_it() {
    let bucket = Bucket::start();
    for keep_local in [true, false] {
        let lost = start(&bucket, keep_local);
        chain(&lost);
        let there = bucket.keys();
        drop(lost);
        let env = another(&bucket, keep_local);
        let said = adopted(&stdout(&env, 0, "adopt --all --dry-run"));
        insta::allow_duplicates! {
            assert_snapshot!(said, @r"
            BACKUP TYPE FROM BEGUN FORM SIZE PROVED BY
            full-1 full - UTC repository B backup.json, metadata and manifest
            inc-1 incremental full-1 UTC repository B backup.json, metadata and manifest
            ");
        }
        assert_eq!(env.listing("backups"), "(empty)", "nothing was done");
        stdout(&env, 0, "adopt --all --yes");
        assert_eq!(env.records(), "1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
        assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
        stdout(&env, 0, "verify --all");
        assert_eq!(bucket.keys(), there, "nothing was written there");
        env.world.put("shop/orders.ibd", b"order 1\norder 2\norder 3\n").unwrap();
        env.incremental("inc-2", "inc-1");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        assert_eq!(restored(&env, &["full-1", "inc-1", "inc-2"]), "order 1\norder 2\norder 3\n");
        stdout(&env, 0, "remove full-1 --chain --yes");
        assert!(bucket.keys().is_empty(), "{:?}", bucket.keys());
    }
}

#[test]
fn one_is_adopted_with_what_it_was_taken_from() {
    let bucket = Bucket::start();
    let lost = start(&bucket, false);
    chain(&lost);
    lost.full("full-2");
    drop(lost);
    let env = another(&bucket, false);
    stdout(&env, 0, "adopt inc-1 --yes");
    assert_eq!(env.records(), "1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
    let said = run(&env, "adopt full-3 --yes");
    assert_eq!(said.status, 3, "{}", said.stderr);
    stdout(&env, 0, "adopt --all --yes");
    assert_eq!(env.count("backup", "1"), 3);
}

/// What becomes of an object's bytes. None if it goes.
type Change = Box<dyn Fn(Vec<u8>) -> Option<Vec<u8>>>;

/// Each thing that can be wrong with a backup in the bucket, and what is said of it.
#[test]
fn what_does_not_prove_itself_is_not_adopted() {
    let bucket = Bucket::start();
    let lost = start(&bucket, false);
    lost.full("full-1");
    drop(lost);
    let key = |end: &str| bucket.keys().into_keys().find(|key| key.ends_with(end)).unwrap();
    let (card, sealed, stream, points) =
        (key("/backup.json"), key("/dbcalm.sha256"), key(".xbstream.zst"), key("/xtrabackup_checkpoints"));
    let env = another(&bucket, false);
    let other = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("full-1", "full-9").into_bytes();
    let cases: [(&str, &str, Change); 9] = [
        ("no stream", &stream, Box::new(|_| None)),
        ("a shorter stream", &stream, Box::new(|bytes| Some(bytes[1..].to_vec()))),
        ("no manifest", &sealed, Box::new(|_| None)),
        ("a cut manifest", &sealed, Box::new(|bytes| Some(bytes[..bytes.len() - 1].to_vec()))),
        ("no checkpoints", &points, Box::new(|_| None)),
        ("other checkpoints", &points, Box::new(|bytes| Some([bytes, b"\n".to_vec()].concat()))),
        ("another's backup.json", &card, Box::new(move |bytes| Some(other(bytes)))),
        ("half a backup.json", &card, Box::new(|bytes| Some(bytes[..bytes.len() / 2].to_vec()))),
        ("a newer backup.json", &card, Box::new(|_| Some(br#"{"format": 2}"#.to_vec()))),
    ];
    let mut told = Vec::new();
    for (what, key, change) in cases {
        let whole = bucket.read(key).unwrap();
        match change(whole.clone()) {
            Some(bytes) => bucket.write(key, &bytes),
            None => assert!(bucket.remove(key)),
        }
        let said = run(&env, "adopt --all --yes");
        assert_eq!(said.status, 1, "{what}: {}{}", said.stdout, said.stderr);
        let refused = said.stdout.lines().find(|line| line.starts_with("refused")).unwrap_or_default();
        told.push(format!("{what}: {refused}"));
        assert_eq!(
            (env.count("backup", "1"), env.listing("backups/full-1")),
            (0, env.listing("backups/none")),
            "{what}"
        );
        bucket.write(key, &whole);
    }
    let numbers = |c: char| if c.is_ascii_digit() { 'N' } else { c };
    let told = told
        .join(
            "
",
        )
        .replace("full-1", "full")
        .replace("full-9", "another")
        .chars()
        .map(numbers)
        .collect::<String>();
    assert_snapshot!(told, @r"
    no stream: refused  full: the daemon refused (NNN): 'full' cannot be adopted: in the repository its stream is missing
    a shorter stream: refused  full: the daemon refused (NNN): 'full' cannot be adopted: in the repository its stream has NNN bytes, which is not what its backup.json says
    no manifest: refused  full: the daemon refused (NNN): 'full' cannot be adopted: in the repository its manifest is missing
    a cut manifest: refused  full: the daemon refused (NNN): 'full' cannot be adopted: in the repository its manifest is damaged
    no checkpoints: refused  full: the daemon refused (NNN): 'full' cannot be adopted: in the repository its 'xtrabackup_checkpoints' is missing
    other checkpoints: refused  full: the daemon refused (NNN): 'full' cannot be adopted: in the repository its 'xtrabackup_checkpoints' is not the one that its manifest names
    another's backup.json: refused  full: its backup.json is that of 'another'
    half a backup.json: refused  full: its backup.json cannot be read: EOF while parsing a string at line NN column NN
    a newer backup.json: refused  full: 'full/backup.json' has format N, but this program knows only up to N: use a newer dbcalm-db-cmd
    ");
    stdout(&env, 0, "adopt --all --yes");
    assert_eq!(restored(&env, &["full-1"]), "order 1\n");
}

#[test]
fn two_hosts_share_a_bucket_by_a_prefix_each() {
    let bucket = Bucket::start();
    let first = start(&bucket, false);
    let mut second = TestEnv::new();
    keeping_in(&mut second, bucket.login(), false);
    second.set("repository", &format!("s3://{}/db2", bucket.login().bucket));
    second.start_daemon();
    second.world.put("shop/orders.ibd", b"the second's\n").unwrap();
    first.full("full-1");
    second.full("full-1");
    assert_eq!(json(&first, 0, "list --repository")["backups"].as_array().unwrap().len(), 1);
    assert_eq!(restored(&first, &["full-1"]), "order 1\n");
    assert_eq!(restored(&second, &["full-1"]), "the second's\n");
    stdout(&first, 0, "remove full-1 --yes");
    assert_eq!(restored(&second, &["full-1"]), "the second's\n");
}

/// A backup that was sent elsewhere before the settings changed is restored from there.
#[test]
fn a_backup_stays_where_it_was_sent_when_the_settings_change() {
    let bucket = Bucket::start();
    let mut env = start(&bucket, false);
    env.full("full-1");
    env.set("repository", &format!("s3://{}/moved", bucket.login().bucket));
    env.kill_and_restart();
    env.full("full-2");
    assert_eq!(restored(&env, &["full-1"]), "order 1\n");
    assert_eq!(restored(&env, &["full-2"]), "order 1\n");
    stdout(&env, 0, "verify --all");
    assert_eq!(json(&env, 0, "list --repository")["backups"].as_array().unwrap().len(), 1);
    let shown = json(&env, 0, "show full-1");
    assert_eq!(shown["repository"]["address"], format!("s3://{}/db1", bucket.login().bucket));
    stdout(&env, 0, "remove full-1 --yes");
    assert!(bucket.keys().keys().all(|key| key.starts_with("moved/")));
}

/// An incremental whose base is not there cannot be restored from there.
#[test]
fn an_incremental_whose_base_is_not_in_the_bucket_is_named() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    chain(&env);
    for key in bucket.keys().into_keys().filter(|key| key.contains("/full-1/")) {
        bucket.remove(&key);
    }
    let listed = json(&env, 0, "list --repository");
    assert_eq!(listed["backups"][0]["problem"], "its base 'full-1' is not there");
    fs::remove_dir_all(env.backup("inc-1")).unwrap();
}

/// The disk of the backups is lost, and the records are not.
#[test]
fn what_is_recorded_and_lost_here_is_described_again() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    chain(&env);
    let before = env.records();
    for id in ["full-1", "inc-1"] {
        fs::remove_dir_all(env.backup(id)).unwrap();
    }
    assert_eq!(json(&env, 0, "list")["backups"][0]["state"], "missing");
    let said = stdout(&env, 0, "adopt --all --yes");
    assert!(said.contains("'full-1' is recorded, and described here again"), "{said}");
    assert_eq!(env.records(), before);
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    // An id that is used again is another backup's.
    fs::remove_dir_all(env.backup("full-1")).unwrap();
    let database = env.database();
    database.execute("UPDATE backup SET start_time = '2026-01-01 00:00:00.000000' WHERE id = 'full-1'", []).unwrap();
    let said = stdout(&env, 1, "adopt full-1 --yes");
    assert!(said.contains("it is recorded as another backup than the one that the repository has"), "{said}");
    assert_eq!(env.listing("backups/full-1"), env.listing("backups/none"));
}

/// More than a page of a listing.
#[test]
fn a_bucket_with_more_backups_than_a_page_has_is_listed_whole() {
    let bucket = Bucket::start();
    let env = start(&bucket, false);
    for number in 0..1_100 {
        bucket.write(&format!("db1/v1/old-{number}/backup.json"), b"{}");
        bucket.write(&format!("db1/v1/unfinished-{number}/x"), b"");
    }
    let listed = json(&env, 0, "list --repository");
    let listed = listed["backups"].as_array().unwrap();
    assert_eq!(listed.len(), 1_100);
    assert!(listed.iter().all(|held| held["problem"].as_str().unwrap().starts_with("its backup.json cannot be read")));
}

/// A chain that was begun as a directory is not in the bucket.
#[test]
fn an_incremental_on_a_base_that_is_not_sent_says_so() {
    let bucket = Bucket::start();
    let mut env = TestEnv::new();
    env.start_daemon();
    env.full("full-1");
    keeping_in(&mut env, bucket.login(), true);
    env.kill_and_restart();
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.expect_log("its base 'full-1' is not in the repository and no stream");
    let said = env.newest("output");
    assert!(said.starts_with("warning: its base 'full-1' is not in the repository"), "{said}");
    env.full("full-2");
    assert!(!env.newest("output").contains("warning: "));
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n", "a directory here and a stream");
}
