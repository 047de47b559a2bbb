//! What an incremental may be taken from, and what an id that was used again is the base of: the socket and the commands agree.

use std::fs;

use insta::assert_snapshot;

use super::{json, run, stderr, stdout};
use crate::harness::TestEnv;

/// A full backup, and a chain of three: `old`, `full-1`, `inc-1`, `inc-2`.
fn chain() -> TestEnv {
    let env = TestEnv::start();
    env.full("old");
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.world.put("shop/orders.ibd", b"order 2\n").unwrap();
    env.incremental("inc-2", "inc-1");
    env
}

/// A fault of the chain: its name, what makes it, what is said of it, and the newest backup that can be a base then.
type Fault = (&'static str, fn(&TestEnv), &'static str, &'static str);

fn edit(env: &TestEnv, file: &str, change: impl FnOnce(String) -> String) {
    let path = env.backup(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

fn forget(env: &TestEnv, id: &str) {
    env.database().execute("DELETE FROM backup WHERE id = ?1", [id]).unwrap();
}

fn consume(env: &TestEnv) {
    for path in env.fingerprint("backups/inc-1").keys().map(|path| env.backup("inc-1").join(path)) {
        if path.extension().is_some_and(|extension| extension == "delta") {
            fs::remove_file(path).unwrap();
        }
    }
}

fn damage(env: &TestEnv, file: &str) {
    edit(env, file, |text| text.replacen('o', "0", 1));
    assert_eq!(run(env, "verify full-1").status, 1);
}

fn use_again(env: &TestEnv) {
    forget(env, "full-1");
    fs::remove_dir_all(env.backup("full-1")).unwrap();
    env.world.put("shop/orders.ibd", b"order 3\n").unwrap();
    env.full("full-1");
}

const ANOTHER: &str =
    "'inc-1' was taken from another backup than the 'full-1' that is here: an id was used again, or a folder exchanged";

const FAULTS: [Fault; 9] = [
    ("gone", |env| fs::remove_dir_all(env.backup("inc-1")).unwrap(), "the files of 'inc-1' are gone", "full-1"),
    ("gone", |env| fs::remove_dir_all(env.backup("full-1")).unwrap(), "the files of 'full-1' are gone", "old"),
    ("unrecorded", |env| forget(env, "full-1"), "its base 'full-1' is not recorded", "old"),
    (
        "damaged",
        |env| damage(env, "full-1/shop/orders.ibd"),
        "the last verification found 'full-1' damaged: dbcalm-db-cmd show full-1 says how",
        "old",
    ),
    ("consumed", consume, "'inc-1' has been consumed: an earlier restore applied it in place", "full-1"),
    (
        "prepared",
        |env| edit(env, "full-1/xtrabackup_checkpoints", |text| text.replace("full-backuped", "full-prepared")),
        "'full-1' has changed since it was taken: backup_type in '~/backups/full-1' is 'full-prepared' where 'full-backuped' was expected",
        "old",
    ),
    (
        "emptied",
        |env| {
            fs::remove_dir_all(env.backup("inc-1")).unwrap();
            fs::create_dir(env.backup("inc-1")).unwrap();
        },
        "'inc-1' has changed since it was taken: no xtrabackup_checkpoints in '~/backups/inc-1'",
        "full-1",
    ),
    ("used again", use_again, ANOTHER, "full-1"),
    (
        "exchanged",
        |env| {
            env.world.put("shop/orders.ibd", b"order 3\n").unwrap();
            env.full("other");
            fs::remove_dir_all(env.backup("full-1")).unwrap();
            fs::rename(env.backup("other"), env.backup("full-1")).unwrap();
        },
        ANOTHER,
        "full-1",
    ),
];

#[test]
fn no_incremental_is_taken_on_a_chain_that_cannot_be_restored() {
    for (name, make, why, newest) in FAULTS {
        let env = chain();
        make(&env);
        let before = env.records();
        let refused = format!("the chain of base inc-2 cannot be restored: {why}; take a full backup");
        let said = env.send(r#"{"cmd":"incremental_backup","args":{"id":"x","from_backup_id":"inc-2"}}"#);
        assert_eq!(said, format!(r#"{{"code": 400, "status": "{refused}"}}"#), "{name}");
        let said = stderr(&env, 1, "backup incremental x --from inc-2");
        let hint = "hint: dbcalm-db-cmd backup full; without --from, the base is the newest backup that can be one\n";
        assert_eq!(said, format!("error: the daemon refused (400): {refused}\n{hint}"), "{name}");
        assert_eq!((env.records(), env.backup("x").exists()), (before, false), "{name}");
        let taken = json(&env, 0, "backup incremental y");
        assert_eq!(taken["args"]["from_backup_id"], newest, "{name}: the daemon takes what the command chooses");
    }
}

/// The frozen text is for the base itself, and only where it is not there.
#[test]
fn a_base_that_is_there_and_of_no_use_is_named() {
    let env = chain();
    consume(&env);
    let ask = || env.send(r#"{"cmd":"incremental_backup","args":{"id":"x","from_backup_id":"inc-1"}}"#);
    assert_snapshot!(ask(), @r#"{"code": 400, "status": "the chain of base inc-1 cannot be restored: 'inc-1' has been consumed: an earlier restore applied it in place; take a full backup"}"#);
    fs::remove_dir_all(env.backup("inc-1")).unwrap();
    assert_snapshot!(ask(), @r#"{"code": 404, "status": "Base backup with id inc-1 not found"}"#);
}

#[test]
fn what_was_mended_and_verified_again_is_a_base_again() {
    let env = chain();
    let whole = fs::read(env.backup("full-1/shop/orders.ibd")).unwrap();
    damage(&env, "full-1/shop/orders.ibd");
    let ask = || run(&env, "backup incremental inc-3 --from inc-2").status;
    assert_eq!(ask(), 1);
    fs::write(env.backup("full-1/shop/orders.ibd"), whole).unwrap();
    assert_eq!(run(&env, "verify full-1 --quick").status, 0);
    assert_eq!(ask(), 1, "a glance takes nothing back");
    assert_eq!(run(&env, "verify full-1").status, 0);
    assert_eq!(ask(), 0);
    // What was found of another backup of that id says nothing.
    damage(&env, "full-1/shop/orders.ibd");
    use_again(&env);
    assert_eq!(run(&env, "backup incremental inc-4 --from full-1").status, 0);
}

/// A chain over streams, here and elsewhere, is a chain: what lies beside a stream tells where it begins and ends.
#[test]
fn a_chain_of_streams_can_be_gone_on_with_unless_one_is_lost() {
    let mut env = TestEnv::new();
    for (key, value) in [("stream", "true"), ("forward", "cat >/dev/null")] {
        env.set(key, value);
    }
    env.start_daemon();
    env.full("full-1");
    env.incremental("inc-1", "full-1");
    env.incremental("inc-2", "inc-1");
    assert_eq!(env.count("backup", "1"), 3, "what was forwarded is not lost");

    let mut env = TestEnv::new();
    env.set("stream", "true");
    env.start_daemon();
    env.full("full-1");
    env.incremental("inc-1", "full-1");
    env.incremental("inc-2", "inc-1");
    assert_eq!(env.count("backup", "1"), 3);
    fs::remove_file(env.backup("full-1/backup-full-1.xbstream")).unwrap();
    let said = env.send(r#"{"cmd":"incremental_backup","args":{"id":"x","from_backup_id":"inc-2"}}"#);
    assert!(said.contains("the chain of base inc-2 cannot be restored: the files of 'full-1' are gone"), "{said}");
    assert_eq!(run(&env, "backup incremental x").status, 3, "nothing else is a base");
}

#[test]
fn an_id_that_was_used_again_is_not_the_base_of_what_was_taken_before() {
    let env = chain();
    use_again(&env);
    let listed = json(&env, 0, "list");
    let said: Vec<_> = listed["backups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{} {}", row["id"].as_str().unwrap(), row["problem"].as_str().unwrap_or("is whole")))
        .collect();
    let another = format!("inc-1 {ANOTHER}");
    assert_eq!(said, ["old is whole", &another, &another.replacen("inc-1", "inc-2", 1), "full-1 is whole"]);
    let shown = json(&env, 0, "show inc-2");
    assert_eq!(
        (&shown["restorable"], &shown["problem"], &shown["chain"]),
        (&false.into(), &ANOTHER.into(), &serde_json::json!([]))
    );
    assert_eq!(json(&env, 0, "show full-1")["needed_by"], serde_json::json!([]));
    assert_eq!(json(&env, 0, "show latest")["id"], "full-1");
    assert_eq!(
        stderr(&env, 1, "restore inc-2 --target folder"),
        format!(
            "error: 'inc-2' cannot be restored: {ANOTHER}\nhint: the newest backup that can be restored is 'full-1': dbcalm-db-cmd list shows all\n"
        )
    );
    let restore = crate::harness::daemon::restore_request(&["full-1", "inc-1", "inc-2"], "folder");
    assert_eq!(env.send(&restore), format!(r#"{{"code": 400, "status": "id_list is not a chain: {ANOTHER}"}}"#));
    // They are whole themselves, and no damage is told of them.
    let verified = json(&env, 1, "verify inc-2");
    let said: Vec<_> =
        verified["backups"].as_array().unwrap().iter().map(|one| format!("{} {}", one["id"], one["outcome"])).collect();
    assert_eq!(said, [r#""inc-1" "broken""#, r#""inc-2" "broken""#]);
}

/// Rows that somebody has written anew, in whatever order, leave a true chain what it is.
#[test]
fn a_true_base_that_is_recorded_later_is_still_one() {
    let env = chain();
    let rows = "CREATE TABLE kept AS SELECT * FROM backup ORDER BY id DESC; DELETE FROM backup;
                INSERT INTO backup SELECT * FROM kept; DROP TABLE kept;";
    env.database().execute_batch(rows).unwrap();
    assert_eq!(env.rows("backup", "1")[0]["id"], "old");
    assert_eq!(env.rows("backup", "1")[1]["id"], "inc-2");
    assert_eq!(json(&env, 0, "show inc-2")["chain"], serde_json::json!(["full-1", "inc-1", "inc-2"]));
    assert_eq!(stdout(&env, 0, "list").matches("broken").count(), 0);
    env.incremental("inc-3", "inc-2");
    env.restore(&["full-1", "inc-1", "inc-2", "inc-3"], "folder");
    assert_eq!((env.count("backup", "id = 'inc-3'"), env.count("restore", "1")), (1, 1));
}
