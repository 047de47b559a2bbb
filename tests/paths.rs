//! What another user of the backup directory's group can lay into it: symlinks in the place of directories, directories in the place
//! of others. Nothing of it is followed, and nothing that this run did not make is removed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use insta::assert_snapshot;

use crate::harness::TestEnv;
use crate::harness::daemon::restore_request;
use crate::harness::world::content_of;

const NEXT: &str = r#"{"cmd":"full_backup","args":{"id":"next"}}"#;

/// The names of the APIs' backups are those of restores: a broom that is led to them takes them all.
#[test]
fn a_start_does_not_sweep_where_a_symlink_leads() {
    for place in ["tmp", "restores"] {
        for target in [".", "elsewhere"] {
            let env = TestEnv::start();
            env.full("2026-11-22-08-46-51");
            fs::create_dir_all(env.path("elsewhere/2026-11-22-09-00-00")).unwrap();
            fs::create_dir_all(env.path("elsewhere/.full.gone")).unwrap();
            let target = if target == "." { ".".into() } else { env.path(target) };
            symlink(target, env.backup(place)).unwrap();
            let before = env.fingerprint("backups/2026-11-22-08-46-51");
            env.kill_and_restart();
            env.expect_log("what an earlier daemon left cannot be removed");
            assert_eq!(env.fingerprint("backups/2026-11-22-08-46-51"), before);
            assert_eq!(env.listing("elsewhere"), ".full.gone/ [TIME]/");
        }
    }
}

#[test]
fn a_restore_does_not_work_where_a_symlink_leads() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    fs::create_dir(env.path("elsewhere")).unwrap();
    for (place, target) in [("tmp", "database"), ("restores", "folder")] {
        symlink(env.path("elsewhere"), env.backup(place)).unwrap();
        let said = env.send(&restore_request(&["full-1"], target));
        assert_eq!(
            said,
            format!(
                r#"{{"code": 500, "status": "no directory can be created in '~/backups/{place}': '{place}' is not a directory"}}"#
            )
        );
        env.expect_log("is not a directory");
        fs::remove_file(env.backup(place)).unwrap();
        env.restore(&["full-1"], target);
        assert_eq!(env.newest("status"), "success");
    }
    assert_eq!(env.listing("elsewhere"), "(empty)");
    assert_eq!(content_of(&env.path("data")).unwrap(), env.world.content().unwrap());
}

/// While the tool runs, somebody moves the new backup's folder away and puts a finished backup in its place, or a symlink.
#[test]
fn a_failed_backup_removes_nothing_that_took_its_place() {
    let env = TestEnv::start();
    env.full("full-0");
    let whole = env.fingerprint("backups/full-0");
    for is_link in [false, true] {
        env.script("mariabackup", r#"{"fault":"hangs"}"#);
        env.accepted(NEXT);
        let pid = env.wait_for_fake("mariabackup");
        fs::rename(env.backup("next"), env.path("moved")).unwrap();
        fs::rename(env.backup("full-0"), env.path("precious")).unwrap();
        if is_link {
            symlink(env.path("precious"), env.backup("next")).unwrap();
        } else {
            fs::rename(env.path("precious"), env.backup("next")).unwrap();
        }
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL)
            .unwrap();
        env.settled();
        env.expect_log("backup failed");
        let reason =
            if is_link { "'~/backups/next' is not a directory" } else { "made for this backup: it was left alone" };
        assert!(env.newest("error").contains(reason), "{}", env.newest("error"));
        if is_link {
            fs::remove_file(env.backup("next")).unwrap();
            fs::rename(env.path("precious"), env.backup("full-0")).unwrap();
        } else {
            fs::rename(env.backup("next"), env.backup("full-0")).unwrap();
        }
        assert_eq!(env.fingerprint("backups/full-0"), whole);
        fs::remove_dir_all(env.path("moved")).unwrap();
        fs::remove_file(env.path("bin/mariabackup.waiting")).unwrap();
    }
}

/// The same, and the tool ends well: the folder under that name is not what was made, so there is no backup.
#[test]
fn a_backup_whose_folder_was_replaced_is_none() {
    let env = TestEnv::start();
    fs::create_dir(env.path("elsewhere")).unwrap();
    fs::set_permissions(env.path("elsewhere"), fs::Permissions::from_mode(0o755)).unwrap();
    env.script("mariabackup", &format!(r#"{{"fault":{{"slow_until":"{}"}}}}"#, env.path("go").display()));
    env.accepted(NEXT);
    env.wait_for_fake("mariabackup");
    fs::rename(env.backup("next"), env.path("elsewhere/next")).unwrap();
    symlink(env.path("elsewhere/next"), env.backup("next")).unwrap();
    fs::set_permissions(env.path("elsewhere/next"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(env.path("go"), "").unwrap();
    env.settled();
    env.expect_log("backup failed");
    assert_snapshot!(env.records(), @"1 failed 0 | backups: none | restores: none");
    assert_eq!(
        fs::metadata(env.path("elsewhere/next")).unwrap().permissions().mode() & 0o777,
        0o755,
        "nothing was done to it"
    );
    assert!(!env.path("elsewhere/next/dbcalm.sha256").exists());
}

/// A symlink to the backup directory is the operator's own.
#[test]
fn a_backup_directory_that_is_a_symlink_is_worked_in() {
    let mut env = TestEnv::new();
    symlink(env.path("backups"), env.path("link")).unwrap();
    let link = env.path("link").display().to_string();
    env.set("backup_dir", &link);
    env.start_daemon();
    env.full("full-1");
    env.script("mariabackup", r#"{"fault":"partial"}"#);
    env.full("full-2");
    env.expect_log("backup failed");
    env.world.stop().unwrap();
    env.restore(&["full-1"], "database");
    assert_snapshot!(env.records(), @"1 success 0, 2 failed 1, 3 success 0, 4 success 0, 5 success 0 | backups: full-1 | restores: DATABASE full-1");
    assert_snapshot!(env.listing("backups"), @"full-1/ tmp/");
    assert!(fs::symlink_metadata(env.path("link")).unwrap().is_symlink());
}

#[test]
fn a_backup_is_for_its_owner_alone() {
    let env = TestEnv::start();
    env.full("full-1");
    env.incremental("inc-1", "full-1");
    env.restore(&["full-1", "inc-1"], "folder");
    for path in ["full-1", "inc-1"] {
        assert_eq!(fs::metadata(env.backup(path)).unwrap().permissions().mode() & 0o777, 0o700, "{path}");
    }
    for entry in fs::read_dir(env.backup("restores")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}

/// Whoever may write to the backup directory makes a folder that looks like a backup: its card leads a tool nowhere, and nothing is removed
/// there after a failure.
#[test]
fn a_card_that_others_may_have_written_leads_nowhere_outside_the_data_directory() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.stop().unwrap();
    let (folder, elsewhere) = (env.backup("full-1"), env.path("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    let path = folder.join("backup.json");
    let mut card: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    card["server"]["places"]["innodb_log_group_home_dir"] = elsewhere.to_str().unwrap().into();
    fs::write(&path, card.to_string()).unwrap();
    fs::remove_file(folder.join("dbcalm.sha256")).unwrap();
    let mode = |of: &std::path::Path, mode| fs::set_permissions(of, fs::Permissions::from_mode(mode)).unwrap();
    let calls = env.count("process", "1");
    for (of_folder, of_file) in [(0o770, 0o640), (0o702, 0o640), (0o700, 0o660), (0o700, 0o642)] {
        mode(&folder, of_folder);
        mode(&path, of_file);
        let said = env.send(&restore_request(&["full-1"], "database"));
        assert_eq!(
            said,
            r#"{"code": 503, "status": "cannot restore to database, backup.json names '~/elsewhere' as a directory of the server, but others than the daemon's user may have written it: if you trust it, chown '~/backups/full-1' and backup.json to that user and chmod go-w both; or restore to a folder"}"#
        );
    }
    assert_eq!((env.count("process", "1"), env.listing("elsewhere")), (calls, "(empty)".to_owned()));
    // A restore to a folder goes nowhere else, and one of a server without such places needs no card.
    env.restore(&["full-1"], "folder");
    assert_eq!(env.newest("status"), "success");
    card["server"]["places"] = serde_json::json!({});
    fs::write(&path, card.to_string()).unwrap();
    env.restore(&["full-1"], "database");
    assert_eq!(env.newest("status"), "success");
}
