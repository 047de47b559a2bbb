//! The power is cut: whatever was called a success is on the disk, and whatever was under way is gone or as before.
//!
//! On a device that loses what was not synced (`harness::device`).

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::harness::daemon::restore_request;
use crate::harness::device::Device;
use crate::harness::mariadb::{self, MariaDb};
use crate::harness::world::content_of;
use crate::harness::{TestEnv, program};

/// Lets backups, records and, for the fakes, the data directory lie on the device.
fn on_a_device(env: &TestEnv, names: &[&str]) -> Option<Device> {
    fs::create_dir(env.path("disk")).unwrap();
    let device = Device::mount(&env.path("disk"))?;
    for name in names {
        let own = env.path("disk").join(name);
        fs::create_dir(&own).unwrap();
        let place = env.path(name);
        let _ = fs::remove_dir(&place);
        symlink(&own, &place).unwrap();
    }
    // Of what was there before the daemon was, nothing is in question.
    rustix::fs::syncfs(fs::File::open(env.path("disk")).unwrap()).unwrap();
    Some(device)
}

/// Cuts the power under the daemon at this very moment, and starts another one afterwards.
fn cut_and_restart(env: &TestEnv, device: &mut Device) {
    env.signal(Signal::STOP);
    device.cut_power();
    env.signal(Signal::KILL);
    env.wait_for_end();
    // A tool that still runs works on a file system that is nobody's any more.
    env.start_daemon();
}

/// Every file of a backup by its manifest.
fn is_whole(backup: &Path) -> bool {
    let check =
        program("sha256sum").args(["--check", "--quiet", "--strict", "dbcalm.sha256"]).current_dir(backup).output();
    check.unwrap().status.success()
}

/// What the test itself relies on.
#[test]
fn a_device_loses_what_was_not_synced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut device) = Device::mount(dir.path()) else { return };
    fs::write(dir.path().join("synced"), "synced").unwrap();
    fs::File::open(dir.path().join("synced")).unwrap().sync_all().unwrap();
    fs::File::open(dir.path()).unwrap().sync_all().unwrap();
    fs::write(dir.path().join("lost"), "lost").unwrap();
    device.cut_power();
    assert_eq!(fs::read_to_string(dir.path().join("synced")).unwrap(), "synced");
    assert!(
        fs::read_to_string(dir.path().join("lost")).is_ok_and(|text| text.is_empty())
            || !dir.path().join("lost").exists()
    );
}

#[test]
fn what_was_called_a_success_outlasts_a_power_cut() {
    let env = TestEnv::new();
    let Some(mut device) = on_a_device(&env, &["backups", "lib", "data"]) else { return };
    env.start_daemon();
    for table in 0..20 {
        env.world.put(&format!("shop/table_{table}.ibd"), &vec![b'x'; 20_000]).unwrap();
    }
    env.full("full-1");
    cut_and_restart(&env, &mut device);
    assert_snapshot!(env.records(), @"1 success 0 | backups: full-1 | restores: none");
    assert!(is_whole(&env.backup("full-1")));

    env.world.put("shop/table_3.ibd", &vec![b'y'; 20_000]).unwrap();
    env.incremental("inc-1", "full-1");
    cut_and_restart(&env, &mut device);
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
    assert!(is_whole(&env.backup("full-1")) && is_whole(&env.backup("inc-1")));

    env.world.stop().unwrap();
    for target in ["folder", "database"] {
        env.restore(&["full-1", "inc-1"], target);
        let folder = env.newest("status");
        assert_eq!(folder, "success", "{}", env.newest("error"));
        cut_and_restart(&env, &mut device);
        assert_eq!(env.count("restore", &format!("target = '{}'", target.to_uppercase())), 1, "{target}");
        let place = match target {
            "folder" => {
                let row = &env.rows("restore", "target = 'FOLDER'")[0];
                Path::new(row["target_path"].as_str().unwrap()).join("full-1")
            }
            _ => env.path("data"),
        };
        let found = content_of(&place).unwrap();
        for (path, bytes) in env.world.content().unwrap() {
            assert!(found.get(&path) == Some(&bytes), "{target}: {path}");
        }
    }
    assert_snapshot!(env.listing("backups/tmp"), @"(empty)");
}

/// At every step of a backup and of a restore: the row that says what is under way is on the disk before the step begins, so the
/// next start takes away what it left, and the data directory is as before.
#[test]
fn what_was_under_way_is_gone_after_a_power_cut() {
    let env = TestEnv::new();
    let Some(mut device) = on_a_device(&env, &["backups", "lib", "data"]) else { return };
    env.start_daemon();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    let stored = env.fingerprint("backups");
    let end = |env: &TestEnv, device: &mut Device| {
        let pid = env.wait_for_fake("mariabackup");
        cut_and_restart(env, device);
        env.expect_log("ended a command of an earlier daemon");
        assert_eq!(env.count("process", "status = 'running'"), 0);
        assert_eq!(env.newest("status"), "failed");
        crate::harness::wait_for("the tool to be ended", || {
            (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())
        });
        fs::remove_file(env.path("bin/mariabackup.waiting")).unwrap();
    };
    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    end(&env, &mut device);
    assert!(!env.backup("full-2").exists());
    assert_eq!(env.fingerprint("backups"), stored);

    env.world.stop().unwrap();
    for calls_before in 0..3 {
        (0..calls_before).for_each(|_| env.script("mariabackup", "{}"));
        env.script("mariabackup", r#"{"fault":"hangs"}"#);
        env.accepted(&restore_request(&["full-1", "inc-1"], "database"));
        end(&env, &mut device);
        assert_eq!(env.listing("data"), "(empty)", "{calls_before}");
        assert_eq!(env.listing("backups/tmp"), "(empty)", "{calls_before}");
        fs::remove_dir(env.backup("tmp")).unwrap();
        assert_eq!(env.fingerprint("backups"), stored, "{calls_before}");
    }
    env.restore(&["full-1", "inc-1"], "database");
    assert_eq!(env.newest("status"), "success");
}

#[test]
fn a_real_backup_that_was_called_a_success_outlasts_a_power_cut() {
    if !mariadb::is_installed() {
        return;
    }
    let server = MariaDb::start();
    let env = TestEnv::real(&server);
    let Some(mut device) = on_a_device(&env, &["backups", "lib"]) else { return };
    env.start_daemon();
    env.full("full-1");
    cut_and_restart(&env, &mut device);
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT PRIMARY KEY); INSERT INTO shop.t VALUES (1), (2)");
    env.incremental("inc-1", "full-1");
    cut_and_restart(&env, &mut device);
    assert_snapshot!(env.records(), @"1 success 0, 2 success 0 | backups: full-1, inc-1 from full-1 | restores: none");
    assert!(is_whole(&env.backup("full-1")) && is_whole(&env.backup("inc-1")));
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
}
