//! Backups that describe themselves, and records that are made again from what lies in `backup_dir`.

mod refusals;
mod rows;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use insta::{allow_duplicates, assert_snapshot};
use rustix::process::Signal;
use serde_json::Value;

use crate::cli::{json, run, stdout};
use crate::harness::stand::{Place, Stand};
use crate::harness::{TestEnv, program, wait_for};

/// Stops the daemon, takes its database away with all that lies beside it, and starts it again.
pub(crate) fn lose_the_records(env: &TestEnv) {
    env.signal(Signal::TERM);
    assert_eq!(env.wait_for_end(), Some(0));
    for name in ["db.sqlite3", "db.sqlite3-wal", "db.sqlite3-shm", "db.sqlite3.db-cmd.lock", "verified.json"] {
        let _not_there = fs::remove_file(env.path("lib").join(name));
    }
    env.start_daemon();
    assert_eq!(env.count("backup", "1"), 0);
}

/// Makes a backup what a predecessor would have left: without what this daemon lays beside the data.
fn as_a_predecessors(env: &TestEnv, id: &str) {
    for name in ["backup.json", "dbcalm.sha256"] {
        fs::remove_file(env.backup(id).join(name)).unwrap();
    }
}

fn forget(env: &TestEnv, id: &str) {
    env.database().execute("DELETE FROM backup WHERE id = ?1", [id]).unwrap();
}

/// A table's cells but for those that hold times and sizes, which differ from run to run.
fn still(table: &str) -> String {
    let line = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        let is_still = |(at, cell): &(usize, &str)| *at == 0 || !matches!(at, 3 | 5) || cell.contains(' ') && *at == 6;
        cells.enumerate().filter(is_still).map(|(_, cell)| cell.to_owned()).collect::<Vec<_>>().join(" | ")
    };
    table
        .lines()
        .map(|text| if text.contains(": ") { text.to_owned() } else { line(text) })
        .collect::<Vec<_>>()
        .join("\n")
}

fn card(env: &TestEnv, id: &str) -> Value {
    serde_json::from_slice(&fs::read(env.backup(id).join("backup.json")).unwrap()).unwrap()
}

/// A text with an `N` for each long number, a length that differs from run to run.
fn without_lengths(text: &str) -> String {
    let mut lines = String::new();
    let mut number = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        lines.push_str(if number.len() > 3 { "N" } else { &number });
        number.clear();
        lines.push(c);
    }
    lines.trim_end().to_owned()
}

/// The hash of a file, by another program than ours.
fn sha256(path: &Path) -> String {
    let said = program("sha256sum").arg(path).output().unwrap().stdout;
    String::from_utf8(said).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_stream_says_how_long_it_is_and_its_hash() {
    let mut env = TestEnv::new();
    for (key, value) in [("stream", "true"), ("compression", "zstd")] {
        env.set(key, value);
    }
    env.start_daemon();
    env.full("full-1");
    let form = &card(&env, "full-1")["form"];
    let stream = env.backup("full-1/backup-full-1.xbstream.zst");
    let bytes = fs::read(&stream).unwrap();
    let hash = sha256(&stream);
    let plain = program("zstd").arg("-dc").arg(&stream).output().unwrap().stdout;
    assert_eq!((&form["stored_size"], &form["data_size"]), (&bytes.len().into(), &plain.len().into()));
    assert_eq!(form["sha256"], hash);
    let shown = json(&env, 0, "show full-1");
    assert_eq!(
        (&shown["sha256"], &shown["data_size"], &shown["compression"]),
        (&hash.into(), &plain.len().into(), &"zstd".into())
    );
    assert_eq!((&shown["uuid"], &shown["server_version"]), (&card(&env, "full-1")["uuid"], &"10.11.19-MariaDB".into()));
    assert_eq!(
        env.listing("backups/full-1"),
        "backup-full-1.xbstream.zst backup.json dbcalm.sha256 xtrabackup_checkpoints xtrabackup_info"
    );
}

#[test]
fn a_forwarded_stream_says_the_hash_of_what_went_on() {
    let mut env = TestEnv::new();
    env.set("stream", "true");
    let gone_to = env.path("elsewhere");
    env.set("forward", &format!("cat > {}", gone_to.display()));
    env.start_daemon();
    env.full("full-1");
    let form = &card(&env, "full-1")["form"];
    let bytes = fs::read(&gone_to).unwrap();
    let hash = sha256(&gone_to);
    assert_eq!(
        (&form["stored_size"], &form["sha256"], &form["forwarded"]),
        (&bytes.len().into(), &hash.into(), &true.into())
    );
    // Adopted, it is known to be elsewhere.
    let before = listed(&env);
    lose_the_records(&env);
    assert_snapshot!(still(&stdout(&env, 0, "adopt full-1 --yes")), @r"
    BACKUP | TYPE | FROM | FORM | PROVED BY
    full-1 | full | - | forwarded | backup.json, metadata and manifest
    adopted 'full-1' by its backup.json, metadata and manifest
    No content was read: dbcalm-db-cmd verify --all holds each byte against its hash
    ");
    assert_eq!(listed(&env), before);
    assert!(!run(&env, "verify full-1").stdout.contains("warning"), "the records say that it was forwarded");
}

/// What `list` says of each backup, but for the request that made it, its age, and its end: a card is written a moment before its row is.
fn listed(env: &TestEnv) -> Value {
    let mut all = json(env, 0, "list");
    for backup in all["backups"].as_array_mut().unwrap() {
        for name in ["command_id", "age_seconds", "end_time", "duration_seconds"] {
            assert!(!backup.as_object_mut().unwrap().remove(name).unwrap().is_null(), "{name}");
        }
    }
    all
}

/// Changes the settings of a daemon and starts it anew.
fn set(stand: &mut dyn Stand, settings: &[(&str, &str)]) {
    stand.env().signal(Signal::TERM);
    assert_eq!(stand.env().wait_for_end(), Some(0));
    for (key, value) in settings {
        stand.env_mut().set(key, value);
    }
    stand.env().start_daemon();
}

#[test]
fn a_lost_database_is_made_again() {
    made_again(Place::Fakes);
}

#[test]
fn a_lost_database_is_made_again_over_a_real_server() {
    made_again(Place::Local);
}

/// Chains of directories and streams, with schedules, and one chain on another.
fn made_again(place: Place) {
    let Some(mut stand) = place.set_up() else { return };
    stand.env().start_daemon();
    stand.full("full-1");
    stand.change(1);
    stand.calm();
    stand.env().done(r#"{"cmd":"incremental_backup","args":{"id":"inc-1","from_backup_id":"full-1","schedule_id":7}}"#);
    set(stand.as_mut(), &[("stream", "true"), ("compression", "zstd")]);
    stand.change(2);
    stand.incremental("inc-2", "inc-1");
    stand.full("full-2");
    set(stand.as_mut(), &[("stream", ""), ("compression", "")]);
    let content = stand.content();
    stand.incremental("inc-3", "inc-2");
    let env = stand.env();
    let (before, stored) = (listed(env), env.fingerprint("backups"));
    assert_eq!(before["backups"].as_array().unwrap().len(), 5);
    lose_the_records(env);
    let told = run(env, "check").stdout;
    assert!(told.contains("dbcalm-db-cmd adopt inc-3 records it, or says why not"), "{told}");

    let shown = still(&stdout(env, 0, "adopt --all --dry-run"));
    allow_duplicates! { assert_snapshot!(shown, @r"
    BACKUP | TYPE | FROM | FORM | PROVED BY
    full-1 | full | - | directory | backup.json, metadata and manifest
    inc-1 | incremental | full-1 | directory | backup.json, metadata and manifest
    inc-2 | incremental | inc-1 | stream | backup.json, metadata and manifest
    full-2 | full | - | stream | backup.json, metadata and manifest
    inc-3 | incremental | inc-2 | directory | backup.json, metadata and manifest
    "); }
    assert_eq!(env.count("backup", "1"), 0, "nothing is done by that");
    let asked = run(env, "adopt --all");
    assert_eq!((asked.status, env.count("backup", "1")), (2, 0), "{}", asked.stderr);
    // What it was taken from comes with it, and nothing else.
    let done = json(env, 0, "adopt inc-1 --yes");
    let ids = done["backups"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
    assert_eq!(ids.collect::<Vec<_>>(), ["full-1", "inc-1"]);
    assert!(stdout(env, 0, "adopt --all --yes").ends_with("holds each byte against its hash\n"));
    assert_eq!(listed(env), before);
    assert_eq!(
        stdout(env, 0, "adopt --all"),
        format!("nothing to adopt: each backup in '{}' is recorded\n", env.here(&backup_dir(env)).display())
    );
    assert_eq!(env.fingerprint("backups"), stored, "nothing is written there");
    assert_eq!(run(env, "verify --all").status, 0);
    let told = run(env, "check").stdout;
    assert!(!told.contains("adopt"), "{told}");

    // The chain goes on, and is restored whole.
    stand.incremental("inc-4", "inc-3");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    stand.lose_everything();
    stand.env().restore(&["full-1", "inc-1", "inc-2", "inc-3", "inc-4"], "database");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    assert_eq!(stand.restored(), content);
}

fn backup_dir(env: &TestEnv) -> String {
    env.path("backups").display().to_string()
}

/// What is adopted is not newer than what was taken since: `latest`, and the base of the next incremental, go by the order of the records.
#[test]
fn what_is_adopted_late_is_not_the_newest() {
    let env = TestEnv::start();
    for id in ["full-1", "full-2", "full-3"] {
        env.full(id);
    }
    forget(&env, "full-2");
    stdout(&env, 0, "adopt full-2 --yes");
    let ids = |all: &Value| all["backups"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&json(&env, 0, "list")), ["full-1", "full-2", "full-3"]);
    assert_eq!(json(&env, 0, "show latest")["id"], "full-3");
}

/// The daemon dies at any moment of an adoption: a backup is recorded with its process, or not at all, and adopting goes on.
#[test]
fn a_daemon_that_is_killed_while_it_adopts_leaves_a_record_or_none() {
    let env = TestEnv::start();
    let ids = ["a", "b", "c", "d", "e", "f"];
    for id in ids {
        env.full(id);
    }
    let stored = env.fingerprint("backups");
    lose_the_records(&env);
    for id in ids {
        let asked = env.try_send_aside(format!(r#"{{"cmd":"adopt_backup","args":{{"id":"{id}"}}}}"#));
        env.kill_and_restart();
        let _broken_off = asked.join().unwrap();
        assert_eq!(env.count("backup", "1"), env.count("process", "command LIKE 'dbcalm-db-cmd adopt %'"));
        assert_eq!(env.count("backup", "process_id NOT IN (SELECT id FROM process)"), 0);
        assert!(env.fingerprint("backups") == stored, "a start takes no backup away");
    }
    let done = run(&env, "adopt --all --yes");
    assert_eq!(done.status, 0, "{}{}", done.stdout, done.stderr);
    assert_eq!(env.count("backup", "1"), 6);
}

/// A restore that came after a backup was taken, and before it was recorded, is one since.
#[test]
fn what_was_taken_before_a_restore_is_no_base_after_it_whenever_it_was_adopted() {
    let env = TestEnv::start();
    fs::create_dir(env.path("data")).unwrap();
    env.full("before");
    as_a_predecessors(&env, "before");
    forget(&env, "before");
    env.full("other");
    env.world.stop().unwrap();
    fs::remove_dir_all(env.path("data")).unwrap();
    env.restore(&["other"], "database");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    env.world.start().unwrap();
    env.full("after");
    as_a_predecessors(&env, "after");
    forget(&env, "after");
    stdout(&env, 0, "adopt --all --yes");
    // The tool writes seconds, and all of this takes less than one.
    let later =
        "UPDATE backup SET start_time = strftime('%Y-%m-%d %H:%M:%f000', start_time, '+5 seconds') WHERE id = 'after'";
    env.database().execute(later, []).unwrap();
    let ask = |base: &str| {
        env.send(&format!(r#"{{"cmd":"incremental_backup","args":{{"id":"inc-{base}","from_backup_id":"{base}"}}}}"#))
    };
    assert!(ask("before").contains("do not descend from backup before"), "{}", ask("before"));
    assert!(ask("after").starts_with(r#"{"code": 202"#));
    wait_for("the backup", || (env.count("backup", "id = 'inc-after'") == 1).then_some(()));
}

/// In a group's directory anybody of the group may make a folder with a card.
#[test]
fn what_others_may_have_written_is_adopted_with_a_warning() {
    let env = TestEnv::start();
    env.full("full-1");
    forget(&env, "full-1");
    fs::set_permissions(env.backup("full-1/backup.json"), fs::Permissions::from_mode(0o666)).unwrap();
    let said = stdout(&env, 0, "adopt full-1 --yes");
    let warning = "others than the daemon's user and root may have written its backup.json";
    assert!(said.contains(&format!("\nwarning  full-1: {warning}\n")), "{said}");
    assert!(env.newest("output").ends_with(&format!("\nwarning: {warning}")), "{}", env.newest("output"));
}

/// Copies a backup's stream to where the Go daemon put its own, with nothing beside it.
fn as_the_go_daemons(env: &TestEnv, id: &str, ending: &str) {
    let name = format!("backup-{id}.xbstream{ending}");
    fs::rename(env.backup(id).join(&name), env.backup(&name)).unwrap();
    fs::remove_dir_all(env.backup(id)).unwrap();
    assert!(Path::new(&env.backup(&name)).is_file());
}
