//! Ids that the Go daemon allowed and no new backup may have: what is there under them is found, verified and restored by the operator.

use std::fs;

use insta::assert_snapshot;
use serde_json::json;

use super::{json, run, stdout};
use crate::harness::TestEnv;
use crate::harness::daemon::restore_request;

/// A chain of a predecessor's with such ids: directories without a manifest or a card.
fn predecessors_chain() -> TestEnv {
    let env = TestEnv::start();
    env.full("monday");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("tuesday", "monday");
    for (id, odd) in [("monday", "my backup"), ("tuesday", "full:1")] {
        let folder = env.backup(odd);
        fs::rename(env.backup(id), &folder).unwrap();
        for own in ["dbcalm.sha256", "backup.json"] {
            fs::remove_file(folder.join(own)).unwrap();
        }
        let info = folder.join("xtrabackup_info");
        let text = fs::read_to_string(&info).unwrap();
        let text = text.replace(&format!("/backups/{id}"), &format!("/backups/{odd}"));
        fs::write(&info, text).unwrap();
        let rename = format!(
            "UPDATE backup SET id = '{odd}' WHERE id = '{id}'; UPDATE backup SET from_backup_id = '{odd}' WHERE from_backup_id = '{id}'"
        );
        env.database().execute_batch(&rename).unwrap();
    }
    env
}

/// The program with one argument that holds a space.
fn with_id(env: &TestEnv, args: &[&str]) -> (i32, String) {
    let said = env.command().args(args).output().unwrap();
    (said.status.code().unwrap(), String::from_utf8(said.stdout).unwrap())
}

#[test]
fn what_the_go_daemon_allowed_is_listed_verified_and_restored() {
    let env = predecessors_chain();
    let listed = json(&env, 0, "list");
    for backup in listed["backups"].as_array().unwrap() {
        assert_eq!((&backup["state"], &backup["restorable"]), (&json!("present"), &json!(true)), "{backup}");
    }
    assert!(!stdout(&env, 0, "check").contains("warning"));
    let shown = json(&env, 0, "show full:1");
    assert_eq!(shown["chain"], json!(["my backup", "full:1"]));
    let (status, said) = with_id(&env, &["verify", "my backup", "--json"]);
    assert_eq!(status, 0, "{said}");
    let verified: serde_json::Value = serde_json::from_str(&said).unwrap();
    let outcome = |verified: &serde_json::Value| verified["backups"][0]["outcome"].clone();
    assert_eq!(outcome(&verified), "ok");
    assert_eq!(json(&env, 0, "verify --all")["backups"][1]["outcome"], "ok");
    let (status, said) = with_id(&env, &["restore", "latest", "--target", "folder", "--json"]);
    assert_eq!(status, 0, "{said}");
    let restored: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(restored["args"]["id_list"], json!(["my backup", "full:1"]));
    let place = std::path::PathBuf::from(restored["args"]["tmp_dir"].as_str().unwrap()).join("my backup");
    assert_eq!(fs::read(place.join("shop/orders.ibd")).unwrap(), b"order 1\norder 2\n");

    env.world.stop().unwrap();
    let (status, said) = with_id(&env, &["restore", "full:1", "--target", "database", "--yes"]);
    assert_eq!(status, 0, "{said}");
    assert_eq!(fs::read(env.path("data/shop/orders.ibd")).unwrap(), b"order 1\norder 2\n");
}

#[test]
fn no_client_names_such_ids_and_no_new_backup_has_one() {
    let env = predecessors_chain();
    let refused = env.send(&restore_request(&["my backup", "full:1"], "folder"));
    assert_snapshot!(refused, @r#"{"code": 400, "status": "in id_list, 'my backup' is not a backup id: it may contain only A-Z a-z 0-9 . _ -"}"#);
    let full = env.send(r#"{"cmd":"full_backup","args":{"id":"another one"}}"#);
    assert!(full.starts_with(r#"{"code": 400, "#), "{full}");
    let unknown = env.send(r#"{"cmd":"full_backup","args":{"id":"a","recorded_ids":true}}"#);
    assert_snapshot!(unknown, @r#"{"code": 400, "status": "unknown argument 'recorded_ids'"}"#);
    // The newest that a client can name is the base of an incremental; there is none.
    assert_eq!(run(&env, "backup incremental next").status, 3);
    env.full("new");
    assert_eq!(json(&env, 0, "backup incremental next")["args"]["from_backup_id"], "new");
}

#[test]
fn an_id_that_no_folder_can_have_is_said_to_be_one_and_its_files_not_to_be_gone() {
    let env = TestEnv::start();
    env.full("monday");
    fs::create_dir(env.backup("sub")).unwrap();
    fs::rename(env.backup("monday"), env.backup("sub").join("monday")).unwrap();
    env.database().execute("UPDATE backup SET id = 'sub/monday'", []).unwrap();
    let listed = json(&env, 0, "list");
    let one = &listed["backups"][0];
    assert_eq!((&one["state"], &one["restorable"]), (&json!("unknown"), &json!(false)), "{one}");
    let why = "'sub/monday' is no name that a folder of backup_dir can have, so nothing is looked for under it";
    assert_eq!(one["problem"], why);
    assert!(stdout(&env, 1, "verify --all").contains(why));
    let said = env.redact(&stdout(&env, 0, "check"));
    let warnings: Vec<_> = said.lines().skip_while(|line| !line.starts_with("warning  backup")).take(2).collect();
    assert_snapshot!(warnings.join("\n"), @"
    warning  backup 'sub/monday' is recorded, and no folder of backup_dir can have that name: nothing here looks for its files
             hint: nothing says that they are gone: look at '~/backups/sub/monday'; what you find there restores by the tool's own commands, after a copy of it
    ");
    assert!(!said.contains("gone, and") && !said.contains("removes the record"), "{said}");
}
