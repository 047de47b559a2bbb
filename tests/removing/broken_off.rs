//! The daemon dies between two steps of a removal, or in the midst of one: the next start does the rest.

use std::fs;

use rustix::process::Signal;

use super::{recorded, request, two_chains};
use crate::cli::json;
use crate::harness::{TestEnv, wait_for};

/// All that is there: what is recorded, and what lies in `backup_dir`.
fn there(env: &TestEnv) -> String {
    format!("{} | {}", recorded(env), env.listing("backups"))
}

#[test]
fn a_kill_before_the_record_is_gone_leaves_a_removal_that_the_next_start_does() {
    let env = two_chains();
    let other = env.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let removal = env.try_send_aside(request(&["full-1", "inc-1", "inc-2"]));
    wait_for("the removal to begin", || env.backup(".inc-2.removing").exists().then_some(()));
    env.signal(Signal::KILL);
    assert_eq!(env.wait_for_end(), None);
    other.execute_batch("ROLLBACK").unwrap();
    assert!(!removal.join().unwrap().is_ok_and(|said| said.contains("200")));
    env.may_log("the records cannot be written");
    assert_eq!(there(&env), "full-1 full-2 inc-1 inc-2 | .inc-2.removing/ full-1/ full-2/ inc-1/");
    env.start_daemon();
    assert_eq!(
        there(&env),
        "full-1 full-2 inc-1 | full-1/ full-2/ inc-1/",
        "what was left at each moment is whole chains"
    );
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success");
}

#[test]
fn a_start_finishes_a_removal_at_each_of_its_steps() {
    let env = two_chains();
    let forget = |env: &TestEnv, id: &str| env.database().execute("DELETE FROM backup WHERE id = ?1", [id]).unwrap();
    let row = "INSERT INTO backup (id, start_time, process_id) VALUES ('old', '2026-01-01 00:00:00.000000', 1)";
    env.database().execute_batch(row).unwrap();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    // After the first step, of a folder and of a predecessor's stream.
    fs::rename(env.backup("inc-2"), env.backup(".inc-2.removing")).unwrap();
    fs::write(env.backup(".backup-old.xbstream.gz.removing"), "x").unwrap();
    // After the second, with something left of an earlier one.
    fs::rename(env.backup("inc-1"), env.backup(".inc-1.removing")).unwrap();
    forget(&env, "inc-1");
    fs::create_dir_all(env.backup(".inc-1.gone/shop")).unwrap();
    // After the third, and in the midst of the fourth.
    fs::rename(env.backup("full-1"), env.backup(".full-1.gone")).unwrap();
    fs::remove_file(env.backup(".full-1.gone/ibdata1")).unwrap();
    forget(&env, "full-1");
    fs::write(env.backup(".backup-older.xbstream.gone"), "x").unwrap();
    // What is none.
    fs::write(env.backup(".notes.removing"), "x").unwrap();
    env.start_daemon();
    assert_eq!(there(&env), "full-2 | .notes.removing full-2/");
}

#[test]
fn a_record_whose_files_are_there_again_stays() {
    let env = two_chains();
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    fs::create_dir_all(env.backup(".full-2.removing/shop")).unwrap();
    env.start_daemon();
    env.expect_log("something of that id is there again");
    assert_eq!(there(&env), "full-1 full-2 inc-1 inc-2 | full-1/ full-2/ inc-1/ inc-2/");
}

#[test]
fn a_kill_while_the_files_go_leaves_nothing_after_the_next_start() {
    for (signal, status) in [(Signal::KILL, None), (Signal::TERM, Some(0))] {
        let env = two_chains();
        let many = env.backup("full-2/shop");
        for number in 0..20_000 {
            fs::write(many.join(number.to_string()), "").unwrap();
        }
        let removal = env.try_send_aside(request(&["full-2"]));
        let begun = || !env.backup("full-2").exists() && recorded(&env) == "full-1 inc-1 inc-2";
        wait_for("the files to go", || begun().then_some(()));
        env.signal(signal);
        assert_eq!(env.wait_for_end(), status);
        env.may_log("a removal is not complete");
        drop(removal.join().unwrap());
        env.start_daemon();
        assert_eq!(there(&env), "full-1 inc-1 inc-2 | full-1/ inc-1/ inc-2/");
    }
}

#[test]
fn a_record_that_cannot_be_removed_keeps_its_files_and_those_of_what_it_was_taken_from() {
    let env = two_chains();
    let refuse =
        "CREATE TRIGGER keep BEFORE DELETE ON backup WHEN old.id = 'inc-1' BEGIN SELECT RAISE(ABORT, 'kept'); END";
    env.database().execute_batch(refuse).unwrap();
    let said = env.send(&request(&["full-1", "inc-1", "inc-2"]));
    assert!(said.starts_with(r#"{"code": 500, "status": "removed inc-2: "#), "{said}");
    assert!(said.contains(" freed; 'inc-1' is not removed: ") && said.contains("kept"), "{said}");
    env.expect_log("a record could not be written");
    env.expect_log("'inc-1' is not removed: ");
    assert_eq!(there(&env), "full-1 full-2 inc-1 | full-1/ full-2/ inc-1/");
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success");
    let said = json(&env, 1, "remove full-1 --chain --yes");
    let outcomes: Vec<_> = said["backups"].as_array().unwrap().iter().map(|backup| &backup["outcome"]).collect();
    assert_eq!(outcomes, ["failed", "failed"], "{said:#}");
    env.expect_log("a record could not be written");
    env.expect_log("'inc-1' is not removed: ");
    env.database().execute_batch("DROP TRIGGER keep").unwrap();
    let said = env.send(&request(&["inc-1", "full-1"]));
    assert!(said.starts_with(r#"{"code": 200"#), "{said}");
}
