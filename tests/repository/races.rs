//! What is done in the bucket beside a backup: nothing of one that is recorded, or that can be recorded again, is taken away there.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{nothing_is_on_its_way, restored, start, start_behind};
use crate::cli::stdout;
use crate::harness::bucket::Bucket;
use crate::harness::proxy::{Fault, Rule};
use crate::harness::{TestEnv, wait_for};

/// How many backups that failed are erased before and after the one that is being taken: in which order they are, the directory says.
const FAILED: usize = 8;

/// Writes an entry of the journal.
fn note_as_begun(env: &TestEnv, id: &str, uuid: &str, repository: &Value) {
    let dir = env.path("backups/.sending");
    fs::create_dir_all(&dir).unwrap();
    let entry = json!({"id": id, "uuid": uuid, "repository": repository});
    fs::write(dir.join(format!("{uuid}.json")), entry.to_string()).unwrap();
}

fn entries(env: &TestEnv) -> Vec<Value> {
    let files = fs::read_dir(env.path("backups/.sending")).into_iter().flatten().flatten();
    files.filter_map(|file| serde_json::from_slice(&fs::read(file.path()).ok()?).ok()).collect()
}

#[test]
fn a_backup_that_is_completed_while_others_are_erased_stays() {
    let bucket = Bucket::start();
    let (proxy, env) = start_behind(&bucket, false);
    let go = json!({"fault": {"slow_until": env.path("go")}});
    env.script("mariabackup", &go.to_string());
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#);
    env.wait_for_fake("mariabackup");
    let begun = wait_for("its entry", || entries(&env).pop());
    assert_eq!(begun["id"], "full-1");
    for number in 0..FAILED {
        let uuid = uuid::Uuid::new_v4().to_string();
        note_as_begun(&env, &format!("failed-{number}"), &uuid, &begun["repository"]);
    }
    // The first that is erased stands still, with the list of what is to be erased after it made before.
    proxy.add(Rule::new(Fault::HoldRequest).method("GET").key("failed-"));
    let other = env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    let its_success = format!("command_id = '{other}' AND status = 'success'");
    wait_for("the other", || (env.count("process", &its_success) == 1).then_some(()));
    proxy.arrived("GET", "failed-", "");
    fs::write(env.path("go"), b"").unwrap();
    env.settled();
    assert_eq!(env.count("backup", "1"), 2);
    proxy.release();
    nothing_is_on_its_way(&env);
    for id in ["full-1", "full-2"] {
        assert!(bucket.keys().contains_key(&format!("db1/v1/{id}/backup.json")), "{id}: {:?}", bucket.keys());
        assert_eq!(restored(&env, &[id]), "order 1\n");
    }
}

/// The records are lost, and with them that the backup on its way was a success.
#[test]
fn a_backup_whose_record_was_lost_stays_and_is_adopted() {
    let bucket = Bucket::start();
    let env = start(&bucket, false);
    env.full("full-1");
    nothing_is_on_its_way(&env);
    let note: Value = serde_json::from_slice(&fs::read(env.backup("full-1").join("repository.json")).unwrap()).unwrap();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    for name in ["db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm"] {
        let _not_there = fs::remove_file(env.path("lib").join(name));
    }
    note_as_begun(&env, "full-1", note["uuid"].as_str().unwrap(), &note["repository"]);
    let there = bucket.keys();
    env.start_daemon();
    // What ends wakes it: after this it has looked at either.
    env.full("full-2");
    wait_for("the other to be settled", || (entries(&env).len() == 1).then_some(()));
    assert!(there.keys().all(|key| bucket.keys().contains_key(key)), "{:?} of {there:?}", bucket.keys());
    stdout(&env, 0, "adopt full-1 --yes");
    env.full("full-3");
    nothing_is_on_its_way(&env);
    assert_eq!(restored(&env, &["full-1"]), "order 1\n");
}

/// A removal waits for nobody, and does not come between what is sent late and its end.
#[test]
fn a_backup_that_is_being_sent_is_not_removed_meanwhile() {
    let bucket = Bucket::start();
    let (proxy, env) = start_behind(&bucket, true);
    proxy.add(Rule::new(Fault::Answer(403, "AccessDenied")).method("POST").key("full-1").times(2));
    env.full("full-1");
    env.expect_log("is not in the repository");
    env.expect_log("send: not done");
    proxy.clear();
    proxy.add(Rule::new(Fault::HoldRequest).method("PUT").key("full-1/backup.json"));
    env.full("full-2");
    proxy.arrived("PUT", "full-1/backup.json", "");
    let said = crate::cli::run(&env, "remove full-1 --yes");
    assert!(said.status == 1 && said.stderr.contains("it is being sent to the repository"), "{}", said.stderr);
    proxy.release();
    nothing_is_on_its_way(&env);
    stdout(&env, 0, "remove full-1 --yes");
    assert!(bucket.keys().keys().all(|key| !key.contains("/full-1/")), "{:?}", bucket.keys());
}

/// A key that is wrong for a while is no reason to lose sight of what was begun.
#[test]
fn what_was_begun_is_taken_away_once_the_key_is_right_again() {
    let bucket = Bucket::start();
    let env = start(&bucket, true);
    env.full("full-1");
    nothing_is_on_its_way(&env);
    let stranger = crate::harness::bucket::Login { key: "AKIANOBODY".to_owned(), ..bucket.login().clone() };
    stranger.write_credentials(&env.path("repository.credentials"));
    let said = stdout(&env, 0, "remove full-1 --yes");
    assert!(said.contains("still has 'full-1'"), "{said}");
    assert!(!bucket.keys().is_empty());
    bucket.login().write_credentials(&env.path("repository.credentials"));
    env.kill_and_restart();
    wait_for("the bucket to be empty", || bucket.keys().is_empty().then_some(()));
    nothing_is_on_its_way(&env);
}
