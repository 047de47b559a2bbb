//! A clock that was ahead, and is set right: what was taken last stays the last, whatever its time says.

use insta::assert_snapshot;

use super::{json, stdout};
use crate::harness::TestEnv;

/// Three full backups, the second of them under a clock that was 30 days ahead.
fn fast_clock() -> TestEnv {
    let env = TestEnv::start();
    for id in ["monday", "fast", "wednesday"] {
        env.full(id);
    }
    set(&env, "+30 days", "fast");
    env
}

fn set(env: &TestEnv, by: &str, id: &str) {
    let to = format!("strftime('%Y-%m-%d %H:%M:%S.000000', start_time, '{by}')");
    let changed =
        env.database().execute(&format!("UPDATE backup SET start_time = {to}, end_time = {to} WHERE id = ?1"), [id]);
    assert_eq!(changed, Ok(1));
}

#[test]
fn what_was_taken_last_is_the_latest_whatever_the_clock_said() {
    let env = fast_clock();
    assert_eq!(json(&env, 0, "show latest")["id"], "wednesday");
    assert_eq!(json(&env, 0, "backup incremental thursday")["args"]["from_backup_id"], "wednesday");
    assert_eq!(
        json(&env, 0, "restore latest --target folder")["args"]["id_list"],
        serde_json::json!(["wednesday", "thursday"])
    );
    assert_eq!(json(&env, 0, "verify latest --quick")["backups"][1]["id"], "thursday");
    let ids = |args: &str| {
        let listed = json(&env, 0, args);
        let ids = listed["backups"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids("list"), "monday fast wednesday thursday");
    assert_eq!(ids("list --limit 2"), "wednesday thursday");
    // And one whose clock was behind.
    set(&env, "-1 year", "thursday");
    assert_eq!(json(&env, 0, "show latest")["id"], "thursday");
    assert_eq!(ids("list --limit 1"), "thursday");
}

#[test]
fn a_time_in_the_future_is_told() {
    let env = fast_clock();
    let listed = stdout(&env, 0, "list");
    let line = listed.lines().find(|line| line.starts_with("fast ")).unwrap();
    assert!(line.contains("  in the future  "), "{line}");
    assert_eq!(listed.matches("in the future").count(), 1, "{listed}");
    assert!(stdout(&env, 0, "show fast").contains(" UTC (in the future)\n"));
    let age = json(&env, 0, "show fast")["age_seconds"].as_f64().unwrap();
    assert!(age < -29.0 * 86_400.0, "{age}");
    let said = env.redact(&stdout(&env, 0, "check"));
    let warnings: Vec<_> = said.lines().skip_while(|line| !line.starts_with("warning")).take(2).collect();
    let at = env.rows("backup", "id = 'fast'")[0]["start_time"].as_str().unwrap().to_owned();
    assert_snapshot!(warnings.join("\n").replace(&at, "[TIME]"), @r"
    warning  backup 'fast' is dated [TIME] UTC, in the future: the clock was ahead then, or is behind now
             hint: check the clock: timedatectl; the daemon orders backups by their records, but the API orders them by time and takes this one for the newest until then
    ");
    assert_eq!(said.matches("warning ").count(), 1, "{said}");
}
