//! What `list`, `show`, `status` and `logs` say.

use std::fs;

use insta::assert_snapshot;

use super::{json, run, stderr, stdout};
use crate::harness::TestEnv;

/// A table's cells but for those that hold times, which differ from run to run.
fn still(table: &str, columns: &[usize]) -> String {
    let line = |line: &str| {
        let line = line.replace("│  ", "! ").replace("├─ ", "+-").replace("└─ ", "`-");
        let cells: Vec<_> =
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect();
        columns.iter().filter_map(|at| cells.get(*at).cloned()).collect::<Vec<_>>().join(" | ")
    };
    table.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn backups_are_listed_as_chains_and_broken_ones_say_why() {
    let env = TestEnv::start();
    assert_eq!(stdout(&env, 0, "list"), "no backups\n");
    env.full("monday");
    env.incremental("tuesday", "monday");
    env.incremental("wednesday", "tuesday");
    env.incremental("other", "monday");
    env.full("sunday");
    env.incremental("late", "sunday");
    fs::remove_dir_all(env.backup("tuesday")).unwrap();
    env.database().execute("DELETE FROM backup WHERE id = 'sunday'", []).unwrap();
    let list = stdout(&env, 0, "list");
    assert_snapshot!(still(&list, &[0, 1, 5, 6, 7, 8]), @r"
    BACKUP | TYPE | STATE | VERIFIED | FROM
    monday | full | present | -
    +-tuesday | incremental | missing | - | broken: the files of 'tuesday' are gone
    ! `-wednesday | incremental | present | - | broken: the files of 'tuesday' are gone
    `-other | incremental | present | - | monday
    late | incremental | present | - | sunday | broken: its base 'sunday' is not recorded
    ");
    assert!(!list.contains('\x1b'));

    let listed = json(&env, 0, "list");
    let ids = |value: &serde_json::Value| {
        let all = value["backups"].as_array().unwrap();
        all.iter().map(|backup| backup["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&listed), "monday tuesday wednesday other late");
    let first = &listed["backups"][0];
    assert_eq!((&first["type"], &first["restorable"]), (&"full".into(), &true.into()));
    assert!(first["size"].as_u64().unwrap() > 0, "it is measured where the table has no size: {first}");
    assert_eq!(listed["backups"][2]["problem"], "the files of 'tuesday' are gone");
    assert_eq!(ids(&json(&env, 0, "list --chain wednesday")), "monday tuesday wednesday other");
    assert_eq!(ids(&json(&env, 0, "list --limit 2")), "other late");
    assert_eq!(ids(&json(&env, 0, "list --limit 0")), "");
    env.database().execute("UPDATE backup SET start_time = '2020-01-01 00:00:00' WHERE id = 'monday'", []).unwrap();
    assert_eq!(ids(&json(&env, 0, "list --since 1h")), "tuesday wednesday other late");
    assert_eq!(stdout(&env, 0, "list --quiet"), "");
    assert_snapshot!(stderr(&env, 3, "list --chain none"), @r"
    error: no backup 'none' is recorded
    hint: dbcalm-db-cmd list shows all backups
    ");
    assert_eq!(run(&env, "list --since soon").status, 2);
}

#[test]
fn a_backup_is_shown_with_its_chain_and_what_depends_on_it() {
    let env = TestEnv::start();
    env.full("monday");
    let tuesday = env.incremental("tuesday", "monday");
    env.incremental("wednesday", "tuesday");
    let shown = json(&env, 0, "show tuesday");
    assert_eq!(shown["chain"], serde_json::json!(["monday", "tuesday"]));
    assert_eq!(shown["needed_by"], serde_json::json!(["wednesday"]));
    assert_eq!(shown["command_id"], tuesday.as_str());
    assert_eq!(shown["path"], env.backup("tuesday").display().to_string());
    assert!(stdout(&env, 0, "show tuesday").contains("needed by    wednesday: removing this backup breaks them\n"));
    assert_eq!(json(&env, 0, "show latest")["id"], "wednesday");
    assert_eq!(json(&env, 0, &format!("show {tuesday}"))["args"]["id"], "tuesday");
    assert_snapshot!(stderr(&env, 3, "show none"), @r"
    error: no backup or command 'none' is recorded
    hint: dbcalm-db-cmd list shows the backups, list processes the commands
    ");
}

#[test]
fn a_failure_is_listed_and_its_logs_say_why() {
    let env = TestEnv::start();
    env.full("monday");
    env.script("mariabackup", r#"{"fault":{"exit":3}}"#);
    let failed = env.full("tuesday");
    env.expect_log("backup failed");
    let listed = json(&env, 0, "list --failed");
    assert_eq!(listed["processes"].as_array().unwrap().len(), 1);
    assert_eq!(listed["processes"][0]["command_id"], failed.as_str());
    assert_eq!(json(&env, 0, "list restores --failed")["processes"], serde_json::json!([]));
    let status = json(&env, 1, &format!("status {failed}"));
    assert_eq!((&status["status"], &status["return_code"]), (&"failed".into(), &3.into()));
    assert!(
        stdout(&env, 1, &format!("status {failed}"))
            .ends_with(&format!("hint: dbcalm-db-cmd logs {failed} shows all that the tool said\n"))
    );
    let logs = stdout(&env, 0, &format!("logs {failed}"));
    assert!(logs.starts_with("step 1 of 1: failed, return code 3\n  $ ") && logs.contains("\nerror:\n"), "{logs}");
    for args in ["status none", "logs none"] {
        assert!(stderr(&env, 3, args).starts_with("error: no command 'none' is recorded\nhint: "));
    }
}

#[test]
fn records_that_cannot_be_read_are_a_failure_with_a_hint() {
    let env = TestEnv::new();
    assert!(stderr(&env, 1, "list").starts_with("error: the database file cannot be opened: "));
    assert!(!env.path("lib/db.sqlite3").exists());
    fs::write(env.path("lib/db.sqlite3"), "no database at all, but longer than a header").unwrap();
    assert!(stderr(&env, 1, "list").contains("\nhint: check the database: dbcalm-db-cmd check"));
}

#[test]
fn backups_inside_the_data_directory_are_warned_of_by_check_and_by_a_start() {
    let mut env = TestEnv::new();
    let inside = env.path("data/backups");
    fs::create_dir_all(&inside).unwrap();
    env.set("backup_dir", &inside.display().to_string());
    let said = env.redact(&stdout(&env, 0, "check"));
    let warnings: Vec<_> = said.lines().skip_while(|line| !line.starts_with("warning")).take(2).collect();
    assert_snapshot!(warnings.join("\n"), @"
    warning  backup_dir '~/data/backups' is inside data_dir '~/data': a database restore needs that empty, and who empties it for one removes the backups
             hint: make a directory elsewhere, on another disk at best, move all of '~/data/backups' there, and set backup_dir to it
    ");
    env.start_daemon();
    env.expect_log("is inside data_dir");
}
