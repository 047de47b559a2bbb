//! The daemon is killed while a tool works, and another one starts: nothing half-made stays, and no tool lives on.

use std::fs;

use super::{CHAIN, chain, same};
use crate::harness::daemon::restore_request;
use crate::harness::stand::Stand;
use crate::harness::wait_for;

/// Kills the daemon while its tool stands still, starts another, and sees that the tool is gone.
fn kill_and_restart(stand: &dyn Stand, command_id: &str) {
    stand.env().wait_for_fake(stand.tool());
    assert_ne!(children_of(command_id), 0, "the tool stands still");
    stand.env().kill_and_restart();
    wait_for("the tool to be gone", || (children_of(command_id) == 0).then_some(()));
    stand.env().expect_log("ended a command of an earlier daemon");
    assert_eq!(stand.env().count("process", "status = 'running'"), 0);
    // What the killed tool noted of itself.
    let _ = fs::remove_file(stand.env().path("bin").join(format!("{}.waiting", stand.tool())));
}

/// How many processes of this machine, in containers or not, carry a command's tag.
fn children_of(command_id: &str) -> usize {
    let tag = format!("DBCALM_COMMAND_ID={command_id}");
    let processes =
        fs::read_dir("/proc").unwrap().filter_map(|entry| fs::read(entry.ok()?.path().join("environ")).ok());
    processes.filter(|environ| environ.split(|byte| *byte == 0).any(|variable| variable == tag.as_bytes())).count()
}

pub(crate) fn a_backup_is_taken_back_when_the_daemon_was_killed(stand: &mut dyn Stand) {
    stand.script_the_tool();
    stand.env().start_daemon();
    stand.full("full-1");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    let stored = stand.env().fingerprint("backups");
    for request in [
        r#"{"cmd":"full_backup","args":{"id":"next"}}"#,
        r#"{"cmd":"incremental_backup","args":{"id":"next","from_backup_id":"full-1"}}"#,
    ] {
        stand.env().script(stand.tool(), r#"{"fault":"hangs"}"#);
        let id = stand.env().accepted(request);
        kill_and_restart(stand, &id);
        assert_eq!(stand.env().newest("status"), "failed");
        assert_eq!(stand.env().listing("backups"), "full-1/");
        assert!(stand.env().fingerprint("backups") == stored);
    }
    stand.incremental("next", "full-1");
    let content = stand.content();
    stand.lose_everything();
    stand.env().restore(&["full-1", "next"], "database");
    same("the backup after the kills", &stand.restored(), &content);
}

pub(crate) fn a_restore_is_taken_back_whichever_step_the_daemon_was_killed_at(stand: &mut dyn Stand) {
    stand.script_the_tool();
    stand.env().start_daemon();
    let contents = chain(stand, 3);
    stand.lose_everything();
    fs::write(stand.data_dir().join("host.err"), "an old log").unwrap();
    let stored = stand.env().fingerprint("backups");
    for target in ["database", "folder"] {
        let steps = if target == "database" { 4 } else { 3 };
        for step in 0..steps {
            for _ in 0..step {
                stand.env().script(stand.tool(), "{}");
            }
            stand.env().script(stand.tool(), r#"{"fault":"hangs"}"#);
            let id = stand.env().accepted(&restore_request(&CHAIN[..3], target));
            kill_and_restart(stand, &id);
            assert_eq!(crate::harness::listing(&stand.data_dir()), "host.err", "{target}, killed at step {step}");
            assert!(stand.env().fingerprint("backups") == stored, "{target}, killed at step {step}");
            assert_eq!(stand.env().count("restore", "1"), 0);
        }
    }
    stand.env().restore(&CHAIN[..3], "database");
    same("the restore after the kills", &stand.restored(), &contents[2]);
}

/// Without a script: the kills strike wherever the real tool happens to be.
pub(crate) fn a_daemon_that_is_killed_in_the_midst_of_real_work_leaves_nothing(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    let content = chain(stand, 1).remove(0);
    stand.env().accepted(r#"{"cmd":"full_backup","args":{"id":"full-2"}}"#);
    stand.env().kill_and_restart();
    stand.env().expect_log("ended a command of an earlier daemon");
    assert_eq!(stand.env().listing("backups"), "full-1/");
    stand.lose_everything();
    let request = restore_request(&["full-1"], "database");
    for newest in [1, 2, 3] {
        stand.env().accepted(&request);
        // Copying, preparing, copying back: where the daemon is killed.
        let steps = "command_id = (SELECT command_id FROM process ORDER BY id DESC LIMIT 1)";
        wait_for("the step", || (stand.env().count("process", steps) >= newest).then_some(()));
        stand.env().kill_and_restart();
        assert_eq!(fs::read_dir(stand.data_dir()).unwrap().count(), 0, "killed at step {newest}");
        assert_eq!(stand.env().listing("backups/tmp"), "(empty)", "killed at step {newest}");
    }
    stand.env().restore(&["full-1"], "database");
    same("the restore after the kills", &stand.restored(), &content);
}
