//! Backups removed: what goes and what stays, who is in the way, and what the next start makes of a removal that was broken off.

mod broken_off;
mod by_rule;
mod in_the_way;

use std::fs;

use insta::assert_snapshot;

use crate::cli::{json, run, stdout};
use crate::harness::TestEnv;
use crate::harness::small_disk::SmallDisk;

/// A full backup with two incrementals, one after the other, and a second full backup.
fn two_chains() -> TestEnv {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.incremental("inc-2", "inc-1");
    env.full("full-2");
    env
}

/// The request of a removal.
fn request(ids: &[&str]) -> String {
    serde_json::json!({"cmd": "remove_backup", "args": {"id_list": ids}}).to_string()
}

/// The ids that are recorded.
fn recorded(env: &TestEnv) -> String {
    let rows = env.rows("backup", "1");
    let mut ids: Vec<_> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.join(" ")
}

/// How a subcommand ended, and what it said on stderr, without the test's own paths.
fn refused(env: &TestEnv, args: &str) -> String {
    let said = run(env, args);
    env.redact(&format!("{}: {}", said.status, said.stderr))
}

#[test]
fn what_is_removed_is_gone_and_what_was_done_with_it_stays_in_the_records() {
    let env = two_chains();
    env.restore(&["full-1", "inc-1"], "folder");
    stdout(&env, 0, "verify --all");
    let history = (env.count("process", "1"), env.count("restore", "1"));
    let said = stdout(&env, 0, "remove inc-1 --chain --yes");
    assert!(said.starts_with("removed inc-2, inc-1: ") && said.ends_with(" freed\n"), "{said}");
    assert_eq!(
        (recorded(&env).as_str(), env.listing("backups").as_str()),
        ("full-1 full-2", "full-1/ full-2/ restores/")
    );
    assert_eq!((env.count("process", "1"), env.count("restore", "1")), history);
    let verified = fs::read_to_string(env.path("lib/verified.json")).unwrap();
    assert!(verified.contains("\"full-1\"") && !verified.contains("\"inc-1\""), "{verified}");
    // The id is free again, and nothing of the old backup is in the new one's way.
    env.incremental("inc-1", "full-1");
    assert_eq!(json(&env, 0, "show inc-1")["restorable"], true);
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success");
}

#[test]
fn what_needs_it_is_named_and_the_newest_that_can_be_restored_is_asked_for_in_so_many_words() {
    let env = two_chains();
    assert_snapshot!(refused(&env, "remove full-1 --yes"), @r"
    1: error: 'full-1' is needed by inc-1, inc-2: they could not be restored without it
    hint: dbcalm-db-cmd remove full-1 --chain removes them too
    ");
    assert_snapshot!(refused(&env, "remove none --yes"), @r"
    3: error: no backup 'none' is recorded
    hint: dbcalm-db-cmd list shows all backups
    ");
    assert_snapshot!(refused(&env, "remove full-1 --chain"), @r"
    2: error: a removal asks for confirmation, but there is no terminal
    hint: confirm with --yes
    ");
    for wrong in [
        "remove",
        "remove full-1 --keep-full 1",
        "remove --keep-full 0",
        "remove --keep-days 0 --keep-full 0",
        "remove --chain",
    ] {
        assert_eq!(run(&env, wrong).status, 2, "{wrong}");
    }
    let planned = stdout(&env, 0, "remove full-1 --chain --dry-run");
    let lines: Vec<_> = planned.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(lines[..4], ["To be removed:", "  full-1", "  inc-1", "  inc-2"], "{planned}");
    assert!(lines[4].starts_with("This frees "), "{planned}");
    assert_eq!(recorded(&env), "full-1 full-2 inc-1 inc-2");
    // At a terminal, which `script` makes.
    let asked = |ids: &str, answer: &str| {
        let command = env.command();
        let words: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
        let words = words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ");
        let mut script = crate::harness::program("script");
        script.args(["-qec", &format!("{words} remove {ids}"), "/dev/null"]).stdin(std::process::Stdio::piped());
        let mut script = script.stdout(std::process::Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(script.stdin.as_mut().unwrap(), answer.as_bytes()).unwrap();
        let output = script.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().replace('\r', "")
    };
    let said = asked("full-2", "n\n");
    assert!(said.contains("'full-2' is the newest backup that can be restored: without it the newest is 'inc-2'.\nRemove them all the same? [y/N] "), "{said}");
    assert!(said.contains("error: nothing was done"), "{said}");
    let said = asked("full-1 --chain", "n\n");
    assert!(said.contains("\nContinue? [y/N] ") && !said.contains("the newest"), "{said}");
    assert_eq!(recorded(&env), "full-1 full-2 inc-1 inc-2");
    let said = asked("inc-2", "y\n");
    assert!(said.contains("removed inc-2: "), "{said}");
    assert_eq!(stdout(&env, 0, "remove full-2 --yes --quiet"), "", "it was asked for by its id");
    let said = asked("inc-1 full-1", "n\n");
    assert!(said.contains("without it nothing here can be restored"), "{said}");
}

#[test]
fn the_daemon_removes_all_that_is_named_or_nothing() {
    let env = two_chains();
    let send = |ids: &[&str]| env.send(&request(ids));
    assert_snapshot!(send(&["full-2", "none"]), @r#"{"code": 404, "status": "Backup with id none not found"}"#);
    assert_snapshot!(send(&["full-2", "inc-1"]), @r#"{"code": 409, "status": "Backup with id inc-1 is needed by inc-2"}"#);
    assert_eq!(
        (recorded(&env).as_str(), env.listing("backups").as_str()),
        ("full-1 full-2 inc-1 inc-2", "full-1/ full-2/ inc-1/ inc-2/")
    );
    // In whatever order, and however often, they are named.
    let said = send(&["full-1", "inc-2", "inc-1", "inc-2"]);
    assert!(said.starts_with(r#"{"code": 200, "status": "removed inc-2, inc-1, full-1: "#), "{said}");
    assert_eq!((recorded(&env).as_str(), env.listing("backups").as_str()), ("full-2", "full-2/"));
    assert!(env.log().contains("cmd=\"remove_backup\""), "{}", env.log());
}

#[test]
fn a_predecessors_stream_goes_and_what_is_gone_already_is_forgotten() {
    let env = two_chains();
    fs::remove_dir_all(env.backup("full-2")).unwrap();
    fs::write(env.backup("backup-old.xbstream.gz"), "stream").unwrap();
    fs::write(env.backup("backup-older.xbstream.gz"), "stream").unwrap();
    let row = "INSERT INTO backup (id, start_time, process_id) VALUES ('old', '2026-01-01 00:00:00.000000', 1), ('my backup', '2026-01-02 00:00:00.000000', 1)";
    env.database().execute_batch(row).unwrap();
    fs::create_dir(env.backup("my backup")).unwrap();
    let planned = json(&env, 0, "remove old full-2 --dry-run");
    assert_eq!((&planned["size"], &planned["backups"][0]["state"]), (&6.into(), &"missing".into()), "{planned:#}");
    let said = json(&env, 0, "remove old full-2 --yes");
    let outcomes: Vec<_> = said["backups"].as_array().unwrap().iter().map(|backup| &backup["outcome"]).collect();
    assert_eq!(outcomes, ["removed", "removed"]);
    let odd = env.command().args(["remove", "my backup", "--yes"]).output().unwrap();
    assert!(odd.status.success(), "{}", String::from_utf8_lossy(&odd.stderr));
    assert_eq!(recorded(&env), "full-1 inc-1 inc-2");
    assert_eq!(env.listing("backups"), "backup-older.xbstream.gz full-1/ inc-1/ inc-2/");
}

#[test]
fn nothing_outside_a_backup_is_reached_and_no_half_of_one_removed() {
    let env = two_chains();
    let precious = env.path("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("data"), "x").unwrap();
    std::os::unix::fs::symlink(&precious, env.backup("full-2/shop/out")).unwrap();
    let inside = env.backup("full-2/mounted");
    fs::create_dir(&inside).unwrap();
    if let Some(disk) = SmallDisk::mount(&inside) {
        fs::write(inside.join("data"), "y").unwrap();
        let said = run(&env, "remove full-2 --yes");
        let wanted = "cannot be removed: another file system is mounted at 'mounted' in it";
        assert!(said.status == 1 && said.stderr.contains(wanted), "{}", said.stderr);
        assert_eq!(fs::read_to_string(inside.join("data")).unwrap(), "y");
        assert_eq!(json(&env, 0, "show full-2")["restorable"], true);
        env.expect_log("another file system is mounted");
        drop(disk);
    }
    stdout(&env, 0, "remove full-2 --yes");
    assert_eq!(fs::read_to_string(precious.join("data")).unwrap(), "x");
    // A symlink in the place of a folder is none of ours.
    fs::rename(env.backup("inc-2"), env.path("aside")).unwrap();
    std::os::unix::fs::symlink(env.path("aside"), env.backup("inc-2")).unwrap();
    stdout(&env, 0, "remove inc-2 --yes");
    assert_eq!((recorded(&env).as_str(), env.listing("backups").as_str()), ("full-1 inc-1", "full-1/ inc-1/ inc-2"));
    assert!(env.path("aside/xtrabackup_checkpoints").exists());
}
