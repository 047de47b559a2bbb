//! What happens when the store fails, or the daemon is killed, while a backup is on its way there or back.

use std::fs;

use super::{chain, keeping_in, nothing_is_on_its_way, restored, start, start_behind};
use crate::cli::stdout;
use crate::harness::bucket::Bucket;
use crate::harness::proxy::{Fault, Rule};
use crate::harness::{TestEnv, wait_for};

/// What passes is tried again, and signed anew; the backup is whole.
#[test]
fn what_passes_is_tried_again() {
    let faults: [fn() -> Rule; 12] = [
        || Rule::new(Fault::Answer(500, "InternalError")).method("PUT"),
        || Rule::new(Fault::Answer(503, "SlowDown")).method("PUT").query("partNumber=1"),
        || Rule::new(Fault::Answer(429, "TooManyRequests")).method("POST").query("uploads"),
        || Rule::new(Fault::LoseAnswer).method("POST").query("uploads"),
        || Rule::new(Fault::CutRequest(10)).method("PUT").query("partNumber=1"),
        || Rule::new(Fault::LoseAnswer).method("PUT").query("partNumber=1"),
        || Rule::new(Fault::LoseAnswer).method("POST").query("uploadId"),
        || Rule::new(Fault::Answer(200, "InternalError")).method("POST").query("uploadId"),
        || Rule::new(Fault::Answer(502, "BadGateway")).method("HEAD"),
        || Rule::new(Fault::LoseAnswer).method("PUT").key("backup.json"),
        || Rule::new(Fault::Answer(503, "SlowDown")).method("PUT").key("backup.json"),
        || Rule::new(Fault::CutAnswer(3)).method("GET").key("xbstream"),
    ];
    for keep_local in [true, false] {
        let bucket = Bucket::start();
        let (proxy, env) = start_behind(&bucket, keep_local);
        for (number, fault) in faults.iter().enumerate() {
            let id = format!("full-{number}");
            proxy.add(fault());
            env.full(&id);
            assert_eq!(env.newest("status"), "success", "fault {number}: {}", env.newest("error"));
            assert!(!env.newest("output").contains("warning: "), "fault {number}: {}", env.newest("output"));
            if !keep_local {
                assert_eq!(restored(&env, &[&id]), "order 1\n", "fault {number}");
            }
            stdout(&env, 0, &format!("verify {id} --repository"));
            proxy.clear();
        }
        nothing_is_on_its_way(&env);
        assert!(bucket.uploads().is_empty());
    }
}

/// What does not pass fails at once, and says what the store said.
#[test]
fn what_does_not_pass_is_said_and_not_tried_again() {
    let bucket = Bucket::start();
    let (proxy, env) = start_behind(&bucket, false);
    for (fault, said) in [
        (
            Rule::new(Fault::Answer(403, "AccessDenied")).method("PUT").query("partNumber"),
            "the store answered 403 AccessDenied",
        ),
        (Rule::new(Fault::Answer(404, "NoSuchBucket")).method("POST").query("uploads"), "make the bucket"),
        (
            Rule::new(Fault::Answer(403, "SignatureDoesNotMatch")).method("POST").query("uploads"),
            "repository_region is another",
        ),
        (
            Rule::new(Fault::Answer(403, "RequestTimeTooSkewed")).method("POST").query("uploads"),
            "this machine's clock is wrong",
        ),
        (Rule::new(Fault::Answer(400, "EntityTooSmall")).method("POST").query("uploadId"), "EntityTooSmall"),
    ] {
        let before = proxy.requests().len();
        proxy.add(fault.always());
        env.full("full-1");
        env.expect_log("backup failed");
        let error = env.newest("error");
        assert!(error.contains(said), "{said}: {error}");
        assert!(proxy.requests().len() - before < 12, "{said}: {} requests", proxy.requests().len() - before);
        proxy.clear();
        wait_for("the bucket to be empty", || (bucket.keys().is_empty() && bucket.uploads().is_empty()).then_some(()));
    }
}

/// The store is away while a backup is taken and comes back.
#[test]
fn a_store_that_is_away_gets_the_backup_when_it_is_back() {
    let bucket = Bucket::start();
    let (proxy, env) = start_behind(&bucket, true);
    // Nobody waits for a store that has no right to give.
    proxy.add(Rule::new(Fault::Answer(403, "AccessDenied")).always());
    env.full("full-1");
    env.expect_log("is not in the repository");
    env.expect_log("send: not done");
    assert_eq!(env.newest("status"), "success");
    proxy.clear();
    env.kill_and_restart();
    wait_for("it to be in the bucket", || bucket.keys().contains_key("db1/v1/full-1/backup.json").then_some(()));
    nothing_is_on_its_way(&env);
    stdout(&env, 0, "verify full-1 --repository");
}

/// The daemon is killed at each request of a backup; nothing that was begun is left after the next start, and the next backup works.
#[test]
fn a_daemon_that_is_killed_leaves_nothing_in_the_bucket() {
    let holds: [fn() -> Rule; 7] = [
        || Rule::new(Fault::HoldRequest).method("POST").query("uploads"),
        || Rule::new(Fault::HoldAnswer).method("POST").query("uploads"),
        || Rule::new(Fault::HoldRequest).method("PUT").query("partNumber=1"),
        || Rule::new(Fault::HoldAnswer).method("PUT").query("partNumber=1"),
        || Rule::new(Fault::HoldAnswer).method("POST").query("uploadId"),
        || Rule::new(Fault::HoldRequest).method("PUT").key("backup.json"),
        || Rule::new(Fault::HoldAnswer).method("PUT").key("backup.json"),
    ];
    for keep_local in [true, false] {
        for (number, hold) in holds.iter().enumerate() {
            let bucket = Bucket::start();
            let (proxy, env) = start_behind(&bucket, keep_local);
            proxy.add(hold());
            env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
            let (method, path, query) = match number {
                0 | 1 => ("POST", "", "uploads"),
                2 | 3 => ("PUT", "", "partNumber=1"),
                4 => ("POST", "", "uploadId"),
                _ => ("PUT", "backup.json", ""),
            };
            proxy.arrived(method, path, query);
            if number != 5 && number != 0 && number != 2 {
                wait_for("the store to have done it", || match number {
                    1 => (!bucket.uploads().is_empty()).then_some(()),
                    3 => bucket.uploads().iter().any(|upload| !upload.parts.is_empty()).then_some(()),
                    4 => bucket.keys().keys().any(|key| key.contains("xbstream")).then_some(()),
                    _ => bucket.keys().contains_key("db1/v1/full-1/backup.json").then_some(()),
                });
            }
            env.kill_and_restart();
            env.expect_log("ended a command of an earlier daemon");
            // What was on its way arrives after its sender is gone.
            proxy.release();
            proxy.clear();
            wait_for(&format!("the bucket to be empty after hold {number}"), || {
                (bucket.keys().is_empty() && bucket.uploads().is_empty()).then_some(())
            });
            nothing_is_on_its_way(&env);
            assert_eq!((env.count("backup", "1"), env.listing("backups/full-1")), (0, env.listing("backups/none")));
            env.full("full-1");
            assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
            stdout(&env, 0, "verify full-1 --repository");
        }
    }
}

/// A restore goes on where the answer broke off, and takes nothing that is not what was sent.
#[test]
fn a_restore_from_the_bucket_is_of_what_was_sent_or_fails() {
    let bucket = Bucket::start();
    let (proxy, env) = start_behind(&bucket, false);
    chain(&env);
    for fault in
        [Fault::CutAnswer(5), Fault::Answer(500, "InternalError"), Fault::Answer(503, "SlowDown"), Fault::LoseAnswer]
    {
        proxy.add(Rule::new(fault).method("GET").key("xbstream"));
        assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
        proxy.clear();
    }
    proxy.add(Rule::new(Fault::WrongByte(100)).method("GET").key("xbstream").always());
    env.restore(&["full-1", "inc-1"], "folder");
    env.expect_log("restore failed");
    assert_eq!(env.newest("status"), "failed");
    proxy.clear();
    proxy.down();
    let begun = std::time::Instant::now();
    env.accepted(&crate::harness::daemon::restore_request(&["full-1"], "folder"));
    // It is patient; the daemon's end is not.
    wait_for("the step to run", || (env.count("process", "status = 'running'") == 1).then_some(()));
    proxy.up();
    env.settled();
    assert_eq!(env.newest("status"), "success", "{} after {:?}", env.newest("error"), begun.elapsed());
}

#[test]
fn a_removed_backup_is_removed_from_the_bucket_too() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    chain(&env);
    let said = stdout(&env, 0, "remove full-1 --chain --yes");
    assert!(said.contains("nothing of these 2 is left in the repository"), "{said}");
    assert!(bucket.keys().is_empty());
    nothing_is_on_its_way(&env);
}

#[test]
fn what_may_not_be_removed_from_the_bucket_is_named() {
    let bucket = Bucket::start();
    let mut env = TestEnv::new();
    keeping_in(&mut env, &bucket.keeper(), true);
    env.start_daemon();
    env.full("full-1");
    assert_eq!(env.newest("status"), "success");
    let said = stdout(&env, 0, "remove full-1 --yes");
    assert!(
        said.contains("/db1 still has 'full-1': removing 'db1/v1/full-1/backup.json': the store answered 403"),
        "{said}"
    );
    assert_eq!((env.count("backup", "1"), env.listing("backups/full-1")), (0, env.listing("backups/none")));
    assert!(bucket.keys().contains_key("db1/v1/full-1/backup.json"));
    nothing_is_on_its_way(&env);
    assert!(fs::read_dir(env.path("backups/.sending")).unwrap().next().is_none());
}

/// A bucket with a default retention takes nothing that has no checksum.
#[test]
fn a_bucket_that_retains_what_is_written_takes_backups() {
    let bucket = Bucket::start();
    bucket.retain();
    for keep_local in [true, false] {
        let env = start(&bucket, keep_local);
        let id = format!("full-{keep_local}");
        env.full(&id);
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        assert!(bucket.keys().contains_key(&format!("db1/v1/{id}/backup.json")));
        stdout(&env, 0, &format!("verify {id} --repository"));
    }
}

/// The daemon is stopped while it waits for the store: the backup is none, and nothing of it stays.
#[test]
fn a_daemon_that_is_stopped_while_it_sends_leaves_nothing_that_is_not_recorded() {
    for keep_local in [false, true] {
        let bucket = Bucket::start();
        let (proxy, env) = start_behind(&bucket, keep_local);
        proxy.add(Rule::new(Fault::HoldRequest).method("PUT").key("backup.json"));
        env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
        proxy.arrived("PUT", "backup.json", "");
        env.signal(rustix::process::Signal::TERM);
        assert_eq!(env.wait_for_end(), Some(0));
        proxy.release();
        proxy.clear();
        env.start_daemon();
        if keep_local {
            env.expect_log("is not in the repository");
            assert_eq!((env.newest("status").as_str(), env.count("backup", "1")), ("success", 1));
            wait_for("it to be sent", || bucket.keys().contains_key("db1/v1/full-1/backup.json").then_some(()));
        } else {
            env.expect_log("backup failed");
            assert!(env.newest("error").starts_with("the daemon was stopped"), "{}", env.newest("error"));
            wait_for("the bucket to be empty", || {
                (bucket.keys().is_empty() && bucket.uploads().is_empty()).then_some(())
            });
        }
        nothing_is_on_its_way(&env);
    }
}

/// A stream that has rotted here, in each way that is told, is taken from the bucket, and that is said.
#[test]
fn what_is_damaged_here_is_restored_from_there() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    chain(&env);
    let stream = env.backup("inc-1").join("backup-inc-1.xbstream.zst");
    let whole = fs::read(&stream).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let another = [&whole[..], &whole[..]].concat();
    for (what, bytes) in [
        ("cut", &whole[..whole.len() / 2]),
        ("flipped", &flipped),
        ("empty", &[]),
        ("longer", &another),
        ("text", b"no stream"),
    ] {
        fs::write(&stream, bytes).unwrap();
        assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n", "{what}");
        env.expect_log("is damaged, so its copy in s3://dbcalm-backups/db1 is restored");
        let output = env.newest("output");
        assert!(output.starts_with("warning: ") && output.matches("so its copy in").count() == 1, "{what}: {output}");
    }
    // Both are damaged.
    let (key, _) = bucket.keys().into_iter().find(|(key, _)| key.ends_with("backup-inc-1.xbstream.zst")).unwrap();
    bucket.write(&key, &flipped);
    env.restore(&["full-1", "inc-1"], "folder");
    env.expect_log("restore failed");
    env.expect_log("is damaged, so its copy in");
    assert_eq!(env.newest("status"), "failed");
    bucket.write(&key, &whole);
    // With the store away the failure says both.
    fs::write(&stream, &flipped).unwrap();
    bucket.remove(&key);
    env.restore(&["full-1", "inc-1"], "folder");
    env.expect_log("restore failed");
    env.expect_log("is damaged, so its copy in");
    let error = env.newest("error");
    assert!(error.contains("is damaged, so its copy in") && error.contains("has no 'db1/v1/inc-1/"), "{error}");
    fs::write(&stream, &whole).unwrap();
    assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
    assert!(!env.newest("output").contains("warning: "));
}
