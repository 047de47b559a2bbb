//! Chains that go by a rule.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::recorded;
use crate::cli::{json, run, stdout};
use crate::harness::TestEnv;

/// Three chains, the oldest first, of two backups, of one, and of one.
fn three_chains() -> TestEnv {
    let env = TestEnv::start();
    for id in ["a", "b", "c"] {
        env.full(id);
        if id == "a" {
            env.incremental("a1", "a");
        }
    }
    env
}

/// A backup becomes so many days older.
fn age(env: &TestEnv, id: &str, days: u32) {
    let older = format!(
        "UPDATE backup SET start_time = strftime('%Y-%m-%d %H:%M:%f', start_time, '-{days} days') || '000' WHERE id = '{id}'"
    );
    env.database().execute_batch(&older).unwrap();
}

/// What a rule would do: what goes, and what stays with the beginning of why.
fn planned(env: &TestEnv, rule: &str) -> (String, String) {
    let said = json(env, 0, &format!("remove {rule} --dry-run"));
    let names =
        |of: &Value| of.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let goes = said["backups"].as_array().unwrap().iter().map(|backup| backup["id"].as_str().unwrap().to_owned());
    let kept = said["kept"].as_array().unwrap().iter();
    let kept = kept.map(|kept| format!("{}: {}", names(&kept["ids"]).join(" "), kept["reason"].as_str().unwrap()));
    (goes.collect::<Vec<_>>().join(" "), kept.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_rule_keeps_chains_by_number_by_age_and_by_both() {
    let env = three_chains();
    for (id, days) in [("a", 30), ("a1", 10), ("b", 20), ("c", 5)] {
        age(&env, id, days);
    }
    let newest = "c: it has the newest backup that can be restored";
    let (goes, kept) = planned(&env, "--keep-full 1");
    assert_eq!((goes.as_str(), kept.as_str()), ("a a1 b", newest));
    let (goes, kept) = planned(&env, "--keep-full 2");
    assert_eq!((goes, kept), ("a a1".to_owned(), format!("b: number 2 of the newest 2\n{newest}")));
    let (goes, kept) = planned(&env, "--keep-days 14");
    assert_eq!((goes, kept), ("b".to_owned(), format!("a a1: it has a backup of the last 14 days\n{newest}")));
    assert_eq!(planned(&env, "--keep-full 2 --keep-days 14").0, "");
    assert_eq!(planned(&env, "--keep-days 1").0, "a a1 b", "the newest stays, however old it is");

    let said = stdout(&env, 0, "remove --keep-full 1 --keep-days 14 --yes");
    let lines: Vec<_> = said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "CHAIN BACKUPS SIZE WHAT BECOMES OF IT");
    assert!(lines[1].starts_with("b 1 ") && lines[1].ends_with(" goes"), "{said}");
    assert_eq!(
        lines[2..4],
        ["a 2 - stays: it has a backup of the last 14 days", &format!("c 1 - stays: {}", &newest[3..])]
    );
    assert!(lines[5].starts_with("removed b: "), "{said}");
    assert_eq!(recorded(&env), "a a1 c");
    assert!(stdout(&env, 0, "remove --keep-full 1 --keep-days 14 --yes").ends_with("There is nothing to remove.\n"));
    let said = json(&env, 0, "remove --keep-full 1 --yes");
    assert_eq!((&said["backups"][1]["outcome"], &said["dry_run"]), (&"removed".into(), &false.into()), "{said:#}");
    assert_eq!(recorded(&env), "c");
    assert_eq!(run(&env, "remove --keep-full 1").status, 0, "nothing to ask for");
}

#[test]
fn what_is_broken_or_in_use_stays_and_is_named() {
    let env = three_chains();
    fs::remove_file(env.backup("c/xtrabackup_checkpoints")).unwrap();
    let (goes, kept) = planned(&env, "--keep-full 1");
    assert_eq!(goes, "a a1");
    assert!(kept.starts_with("b: it has the newest backup that can be restored\nc: it cannot be restored, and goes by id alone: 'c' has changed"), "{kept}");
    fs::rename(env.path("backups"), env.path("moved")).unwrap();
    fs::create_dir(env.path("backups")).unwrap();
    let (goes, kept) = planned(&env, "--keep-full 1");
    assert_eq!((goes.as_str(), kept.matches("goes by id alone: the files of ").count()), ("", 3), "{kept}");
    fs::remove_dir(env.path("backups")).unwrap();
    fs::rename(env.path("moved"), env.path("backups")).unwrap();

    env.script("mariabackup", r#"{"fault":"hangs"}"#);
    env.accepted(r#"{"cmd":"incremental_backup","args":{"id":"a2","from_backup_id":"a1"}}"#);
    env.wait_for_fake("mariabackup");
    let (goes, kept) = planned(&env, "--keep-full 1");
    assert!(goes.is_empty() && kept.starts_with("a a1: a backup or a restore works with 'a1'\n"), "{goes} {kept}");
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    env.expect_log("backup failed");
}
