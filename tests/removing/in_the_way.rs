//! What reads a backup keeps it from being removed, and while it is removed nobody begins to read it.

use std::fs::File;

use insta::assert_snapshot;
use rustix::fs::{FlockOperation, flock};
use rustix::process::Signal;

use super::{recorded, refused, request, two_chains};
use crate::cli::{run, stdout};
use crate::harness::daemon::restore_request;
use crate::harness::{TestEnv, wait_for};

/// The next call of the tool waits until it is ended.
fn hold(env: &TestEnv) {
    // Of an earlier one that did.
    let _gone = std::fs::remove_file(env.path("bin/mariabackup.waiting"));
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
}

#[test]
fn a_restore_and_an_incremental_keep_their_whole_chain() {
    let env = two_chains();
    hold(&env);
    env.accepted(&restore_request(&["full-1", "inc-1"], "folder"));
    env.wait_for_fake("mariabackup");
    for id in ["full-1", "inc-1"] {
        let said = env.send(&request(&["inc-2", "inc-1", "full-1"]));
        assert!(
            said.starts_with(
                r#"{"code": 503, "status": "Backup with id full-1 cannot be removed now: it is being restored"#
            ),
            "{id}: {said}"
        );
    }
    assert_snapshot!(refused(&env, "remove full-1 --chain --yes"), @r"
    1: error: the daemon refused (503): Backup with id full-1 cannot be removed now: it is being restored
    hint: nothing was removed: try again when that has ended
    ");
    // What nobody reads may go meanwhile.
    stdout(&env, 0, "remove inc-2 --yes");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("restore failed");
    env.start_daemon();

    hold(&env);
    env.accepted(r#"{"cmd":"incremental_backup","args":{"id":"inc-3","from_backup_id":"inc-1"}}"#);
    env.wait_for_fake("mariabackup");
    let said = env.send(&request(&["inc-1", "full-1"]));
    assert!(
        said.contains(
            "full-1 cannot be removed now: an incremental is being taken from it, or from what was taken from it"
        ),
        "{said}"
    );
    assert_snapshot!(env.send(&request(&["inc-3"])), @r#"{"code": 503, "status": "Backup with id inc-3 cannot be removed now: it is being taken"}"#);
    assert_eq!(recorded(&env), "full-1 full-2 inc-1");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("backup failed");
    env.start_daemon();
    stdout(&env, 0, "remove full-1 --chain --yes");
    assert_eq!(recorded(&env), "full-2");
}

#[test]
fn a_verification_is_in_the_way_and_leaves_out_what_is_removed() {
    let env = two_chains();
    let folder = File::open(env.backup("full-2")).unwrap();
    flock(&folder, FlockOperation::NonBlockingLockShared).unwrap();
    assert_snapshot!(refused(&env, "remove full-2 --yes"), @r"
    1: error: the daemon refused (503): Backup with id full-2 cannot be removed now: a verification reads it
    hint: nothing was removed: try again when that has ended
    ");
    assert_eq!(run(&env, "verify full-2").status, 0, "beside another one");
    flock(&folder, FlockOperation::NonBlockingLockExclusive).unwrap();
    let said = run(&env, "verify full-1 full-2");
    assert_eq!(said.stderr, "'full-2' is left out: it is being removed, or has just been\n");
    assert!(said.status == 0 && said.stdout.starts_with("ok       full-1"), "{}", said.stdout);
    drop(folder);
    stdout(&env, 0, "remove full-2 --yes");
}

/// While somebody holds the records' lock, a removal stands still between its first step and its second.
#[test]
fn what_is_being_removed_is_neither_restored_nor_a_base_nor_removed_twice() {
    let env = two_chains();
    let other = env.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let removal = env.try_send_aside(request(&["inc-2"]));
    wait_for("the removal to begin", || env.backup(".inc-2.removing").exists().then_some(()));
    assert_snapshot!(env.send(&restore_request(&["full-1", "inc-1", "inc-2"], "folder")), @r#"{"code": 503, "status": "Backup with id inc-2 is being removed"}"#);
    assert_snapshot!(env.send(r#"{"cmd":"incremental_backup","args":{"id":"x","from_backup_id":"inc-2"}}"#), @r#"{"code": 503, "status": "Backup with id inc-2 is being removed"}"#);
    assert_snapshot!(env.send(r#"{"cmd":"full_backup","args":{"id":"inc-2"}}"#), @r#"{"code": 409, "status": "Backup with id inc-2 already exists"}"#);
    assert_snapshot!(env.send(&request(&["inc-2"])), @r#"{"code": 503, "status": "Backup with id inc-2 cannot be removed now: it is being removed already"}"#);
    other.execute_batch("ROLLBACK").unwrap();
    let said = removal.join().unwrap().unwrap();
    assert!(said.starts_with(r#"{"code": 200, "status": "removed inc-2: "#), "{said}");
    env.may_log("the records cannot be written");
    env.may_log("the records are written again");
    assert_eq!(
        (recorded(&env).as_str(), env.listing("backups").as_str()),
        ("full-1 full-2 inc-1", "full-1/ full-2/ inc-1/")
    );
}
