//! Many at once: clients, requests for one id, restores, and what is taken away meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use insta::assert_snapshot;

use crate::harness::daemon::restore_request;
use crate::harness::world::content_of;
use crate::harness::{TestEnv, wait_for};

fn full(id: &str) -> String {
    format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#)
}

/// Sends all of these before it reads the first reply; gives the code of each.
fn codes_of(env: &TestEnv, requests: &[String]) -> Vec<u64> {
    let mut streams: Vec<UnixStream> = requests.iter().map(|_| env.connect().unwrap()).collect();
    for (stream, request) in streams.iter_mut().zip(requests) {
        stream.write_all(request.as_bytes()).unwrap();
    }
    let code = |mut stream: UnixStream| {
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        reply["code"].as_u64().unwrap()
    };
    streams.into_iter().map(code).collect()
}

fn count(codes: &[u64], wanted: u64) -> usize {
    codes.iter().filter(|code| **code == wanted).count()
}

#[test]
fn five_hundred_clients_at_once_all_get_their_answer() {
    let env = TestEnv::start();
    env.full("full-0");
    let requests: Vec<String> = (0..500)
        .map(|number| match number % 5 {
            0 => r#"{"cmd":"nope","args":{}}"#.to_owned(),
            1 => full("full-0"),
            2 => r#"{"cmd":"incremental_backup","args":{"id":"x","from_backup_id":"nothing"}}"#.to_owned(),
            3 => full("../x"),
            // Of these, each tenth is another id.
            _ => full(&format!("many-{}", number / 50)),
        })
        .collect();
    let codes = codes_of(&env, &requests);
    assert_eq!((count(&codes, 400), count(&codes, 404)), (200, 100));
    assert_eq!((count(&codes, 202), count(&codes, 409)), (10, 190), "{codes:?}");
    env.settled();
    assert_eq!((env.count("backup", "1"), env.count("process", "status = 'success'")), (11, 11));
}

#[test]
fn of_many_database_restores_at_once_one_is_accepted() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    let codes = codes_of(&env, &vec![restore_request(&["full-1"], "database"); 50]);
    assert_eq!((count(&codes, 202), count(&codes, 503)), (1, 49), "{codes:?}");
    env.settled();
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
    assert_eq!((env.count("restore", "1"), env.listing("backups/tmp")), (1, "(empty)".to_owned()));
}

/// Folder restores of one chain share nothing but what they read.
#[test]
fn many_folder_restores_of_one_chain_at_once_all_succeed() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    let stored = env.fingerprint("backups");
    let codes = codes_of(&env, &vec![restore_request(&["full-1", "inc-1"], "folder"); 20]);
    assert_eq!(count(&codes, 202), 20, "{codes:?}");
    env.settled();
    let rows = env.rows("restore", "target = 'FOLDER'");
    let mut folders: Vec<_> = rows.iter().map(|row| row["target_path"].as_str().unwrap()).collect();
    folders.sort_unstable();
    folders.dedup();
    assert_eq!(folders.len(), 20, "each has a directory of its own");
    for folder in folders {
        let found = content_of(&std::path::Path::new(folder).join("full-1")).unwrap();
        assert!(env.world.content().unwrap().iter().all(|(path, bytes)| found.get(path) == Some(bytes)), "{folder}");
    }
    for (path, fingerprint) in stored {
        assert_eq!(env.fingerprint("backups").get(&path), Some(&fingerprint), "{path}");
    }
}

#[test]
fn many_incrementals_of_one_base_at_once_are_all_taken_from_it() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    let request =
        |number| format!(r#"{{"cmd":"incremental_backup","args":{{"id":"inc-{number}","from_backup_id":"full-1"}}}}"#);
    let requests: Vec<_> = (0..20).map(request).collect();
    assert_eq!(count(&codes_of(&env, &requests), 202), 20);
    env.settled();
    assert_eq!(env.count("backup", "from_backup_id = 'full-1'"), 20);
    env.world.stop().unwrap();
    env.restore(&["full-1", "inc-13"], "database");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

/// A backup needs the server, and a database restore needs it stopped: whichever is under way, the other is refused or fails, and
/// nothing of either is lost.
#[test]
fn a_restore_during_a_backup_and_a_backup_during_a_restore() {
    let env = TestEnv::start();
    env.full("full-1");
    let go = env.path("go");
    let hold = |env: &TestEnv| {
        env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, go.display()));
    };
    hold(&env);
    env.accepted(&full("full-2"));
    env.wait_for_fake("mariabackup");
    assert_snapshot!(env.send(&restore_request(&["full-1"], "database")), @r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped"}"#);
    assert_snapshot!(env.send(&restore_request(&["full-2"], "folder")), @r#"{"code": 404, "status": "Backup with id full-2 not found"}"#);
    let folder = env.accepted(&restore_request(&["full-1"], "folder"));
    wait_for("the folder restore to end beside the backup", || {
        (env.count("process", &format!("command_id = '{folder}' AND status != 'success'")) == 0
            && env.count("restore", "1") == 1)
            .then_some(())
    });
    fs::write(&go, "").unwrap();
    env.settled();
    fs::remove_file(&go).unwrap();

    env.world.stop().unwrap();
    hold(&env);
    env.accepted(&restore_request(&["full-1"], "database"));
    env.wait_for_fake("mariabackup");
    assert_snapshot!(env.send(&full("full-3")), @r#"{"code": 503, "status": "cannot create backup, MySQL/MariaDB server is not running"}"#);
    fs::write(&go, "").unwrap();
    env.settled();
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
    assert_eq!((env.count("backup", "1"), env.count("restore", "1")), (2, 2));
}

/// As the API's retention does it, at any time: the rows, then the folders. The first incremental may have been copied by then, since that is
/// begun while the full backup is prepared; the second is not.
#[test]
fn a_chain_that_is_deleted_while_it_is_restored_fails_and_leaves_nothing() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.incremental("inc-2", "inc-1");
    env.world.stop().unwrap();
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(&restore_request(&["full-1", "inc-1", "inc-2"], "database"));
    env.wait_for_fake("mariabackup");
    env.database().execute("DELETE FROM backup", []).unwrap();
    for id in ["full-1", "inc-1", "inc-2"] {
        fs::remove_dir_all(env.backup(id)).unwrap();
    }
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    env.expect_log("restore failed");
    assert_eq!(env.count("restore", "1"), 0);
    assert_snapshot!(env.listing("backups"), @"tmp/");
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
    assert_snapshot!(env.listing("data"), @"(absent)");
    assert!(!env.newest("error").is_empty());
}

/// Another process holds the write lock for longer than a client waits: it gets its answer in time, and no outcome is lost. Two jobs
/// end meanwhile.
#[test]
fn outcomes_of_many_jobs_outlast_a_lock_together() {
    let env = TestEnv::start();
    for _ in 0..2 {
        env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    }
    env.accepted(&full("full-1"));
    env.accepted(&full("full-2"));
    wait_for("both to run", || (env.calls("mariabackup").len() == 2).then_some(()));
    let other = env.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    fs::write(env.path("go"), "").unwrap();
    env.expect_log("the records cannot be written: trying again");
    other.execute_batch("ROLLBACK").unwrap();
    env.settled();
    env.expect_log("the records are written again");
    assert_eq!((env.count("backup", "1"), env.count("process", "status = 'success'")), (2, 2));
}
