//! `verify`: what is damaged is found and named, at the depth that can see it, and what is whole is not accused.

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use super::{command, json, run, stderr, stdout};
use crate::harness::TestEnv;
use crate::harness::mariadb::{MariaDb, is_installed};

/// The chain that each test damages: a full backup and two incrementals.
fn chain(settings: &[(&str, &str)]) -> TestEnv {
    let mut env = TestEnv::new();
    for (key, value) in settings {
        env.set(key, value);
    }
    env.start_daemon();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 1\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.world.put("shop/orders.ibd", b"order 2\n").unwrap();
    env.incremental("inc-2", "inc-1");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    env
}

/// What is said of each backup, as `id outcome: problems`.
fn outcomes(env: &TestEnv, status: i32, args: &str) -> Vec<String> {
    let said = json(env, status, args);
    let one = |backup: &serde_json::Value| {
        let problems: Vec<_> = backup["problems"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
        let said = format!("{} {}", backup["id"].as_str().unwrap(), backup["outcome"].as_str().unwrap());
        if problems.is_empty() { said } else { env.redact(&format!("{said}: {}", problems.join("; "))) }
    };
    said["backups"].as_array().unwrap().iter().map(one).collect()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

const WHOLE: [&str; 3] = ["full-1 ok", "inc-1 ok", "inc-2 ok"];

#[test]
fn a_whole_chain_is_whole_and_list_and_show_say_so() {
    let env = chain(&[]);
    let before = env.fingerprint("backups");
    assert_eq!(outcomes(&env, 0, "verify inc-2"), WHOLE);
    assert_eq!(outcomes(&env, 0, "verify --all --quick"), WHOLE);
    assert_eq!(outcomes(&env, 0, "verify inc-1 full-1 latest"), WHOLE, "each is verified once");
    let said = stdout(&env, 0, "verify full-1");
    assert!(said.starts_with("ok       full-1  directory  ") && said.contains("  hashed in "), "{said}");
    assert_eq!(stdout(&env, 0, "verify latest --quiet"), "");
    let listed = json(&env, 0, "list");
    assert_eq!(
        (&listed["backups"][0]["verified"]["outcome"], &listed["backups"][0]["verified"]["depth"]),
        (&"ok".into(), &"content".into())
    );
    assert!(stdout(&env, 0, "list").contains(" s ago"));
    assert!(stdout(&env, 0, "show inc-2").contains("\nverified     "));
    assert_eq!(env.fingerprint("backups"), before, "nothing is added to a backup's folder");
    assert!(stderr(&env, 3, "verify none").starts_with("error: no backup 'none' is recorded\nhint: "));
    assert_eq!(run(&env, "verify").status, 2);
}

#[test]
fn a_flipped_byte_is_named_and_only_a_closer_look_sees_it() {
    let env = chain(&[]);
    flip(&env.backup("inc-1/ibdata1.delta"));
    assert_eq!(outcomes(&env, 0, "verify --all --quick"), WHOLE);
    let wanted = [
        "full-1 ok",
        "inc-1 damaged: 'ibdata1.delta' has changed since the backup was taken",
        "inc-2 broken: its base 'inc-1' is damaged",
    ];
    assert_eq!(outcomes(&env, 1, "verify inc-2"), wanted);
    let said = stdout(&env, 1, "verify inc-1");
    assert!(said.contains("DAMAGED  inc-1: 'ibdata1.delta' has changed since"), "{said}");
    assert!(said.contains("\n         hint: the chain can be restored up to 'full-1'; "), "{said}");
    // A glance does not take the word back, and the list has it.
    assert_eq!(outcomes(&env, 0, "verify inc-1 --quick"), ["full-1 ok", "inc-1 ok"]);
    let list = stdout(&env, 0, "list");
    assert!(list.contains("  DAMAGED") && list.contains("  BROKEN"), "{list}");
    assert!(stdout(&env, 0, "show inc-1").contains("\nverified     DAMAGED: 'ibdata1.delta' has changed"));
    // Another backup of the same id was never verified.
    env.database().execute("UPDATE backup SET start_time = '2020-01-01 00:00:00' WHERE id = 'inc-1'", []).unwrap();
    assert_eq!(json(&env, 0, "show inc-1")["verified"], serde_json::Value::Null);
}

#[test]
fn a_missing_file_and_a_damaged_manifest_are_seen_at_a_glance() {
    let env = chain(&[]);
    fs::remove_file(env.backup("full-1/ibdata1")).unwrap();
    let wanted = [
        "full-1 damaged: 'ibdata1' is missing",
        "inc-1 broken: its base 'full-1' is damaged",
        "inc-2 broken: its base 'inc-1' cannot be restored",
    ];
    assert_eq!(outcomes(&env, 1, "verify --all --quick"), wanted);
    assert_eq!(outcomes(&env, 1, "verify --all"), wanted);
    fs::write(env.backup("full-1/dbcalm.sha256"), "0123").unwrap();
    assert_eq!(outcomes(&env, 1, "verify full-1 --quick"), ["full-1 damaged: its manifest 'dbcalm.sha256' is damaged"]);
    fs::remove_file(env.backup("full-1/dbcalm.sha256")).unwrap();
    // It had one when it was verified before, and so is no predecessor's.
    assert_eq!(outcomes(&env, 1, "verify full-1"), ["full-1 damaged: its manifest 'dbcalm.sha256' is gone"]);
    fs::remove_file(env.path("lib/verified.json")).unwrap();
    let said = stdout(&env, 0, "verify full-1");
    assert!(said.contains("no manifest: only its metadata was checked"), "{said}");
    assert!(said.ends_with("\nwarning  full-1: no manifest: its bytes were not checked\n"), "{said}");
    let said = json(&env, 0, "verify full-1 --quick");
    assert_eq!(said["backups"][0]["warnings"], serde_json::json!(["no manifest: its bytes were not checked"]));
    assert_eq!(said["backups"][0]["sealed"], false);
}

/// As a predecessor's restore leaves it: every delta is gone, which is one misfortune and not as many as there are tables.
#[test]
fn an_incremental_that_was_consumed_is_told_in_a_line() {
    let env = chain(&[]);
    for delta in env
        .fingerprint("backups/inc-1")
        .into_keys()
        .filter(|path| Path::new(path).extension() == Some("delta".as_ref()))
    {
        fs::remove_file(env.backup("inc-1").join(delta)).unwrap();
    }
    let consumed = "the incremental has been consumed, since 'ibdata1.meta' has lost its delta: an earlier restore applied it in place";
    let wanted = ["full-1 ok", &format!("inc-1 damaged: {consumed}"), "inc-2 broken: its base 'inc-1' is damaged"];
    assert_eq!(outcomes(&env, 1, "verify --all"), wanted);
    fs::remove_file(env.backup("inc-1/xtrabackup_info")).unwrap();
    let said = outcomes(&env, 1, "verify inc-1 --quick");
    assert!(said[1].contains(consumed) && said[1].contains("'xtrabackup_info' is missing"), "{said:?}");
}

#[test]
fn swapped_folders_do_not_fit_into_the_chain() {
    let env = chain(&[]);
    let (one, other, aside) = (env.backup("inc-1"), env.backup("inc-2"), env.path("aside"));
    fs::rename(&one, &aside).unwrap();
    fs::rename(&other, &one).unwrap();
    fs::rename(&aside, &other).unwrap();
    let said = outcomes(&env, 1, "verify inc-2 --quick");
    let swapped = |one: &str, other: &str| {
        format!(
            "{one} damaged: its metadata is that of '{other}': the two were swapped, or one was put in the other's place"
        )
    };
    assert!(said[1].starts_with(&format!("{}; from_lsn is ", swapped("inc-1", "inc-2"))), "{said:?}");
    assert!(said[2].starts_with(&format!("{}; from_lsn is ", swapped("inc-2", "inc-1"))), "{said:?}");

    // Any full backup's LSNs fit in a full backup's place.
    env.full("full-2");
    fs::rename(env.backup("full-1"), &aside).unwrap();
    fs::rename(env.backup("full-2"), env.backup("full-1")).unwrap();
    assert_eq!(outcomes(&env, 1, "verify full-1"), [swapped("full-1", "full-2")]);
    env.database().execute("DELETE FROM backup WHERE id = 'full-2'", []).unwrap();
    let said = stdout(&env, 0, "verify full-1 --quick");
    assert!(
        said.ends_with(
            "\nwarning  full-1: its metadata is that of 'full-2': its folder was renamed, or is another backup's\n"
        ),
        "{said}"
    );
}

#[test]
fn a_member_that_is_gone_is_named_by_what_needs_it() {
    let env = chain(&[]);
    fs::rename(env.backup("inc-1"), env.path("aside")).unwrap();
    let wanted =
        ["full-1 ok", "inc-1 damaged: the files of 'inc-1' are gone", "inc-2 broken: its base 'inc-1' is damaged"];
    assert_eq!(outcomes(&env, 1, "verify inc-2"), wanted);
    env.database().execute("DELETE FROM backup WHERE id = 'inc-1'", []).unwrap();
    assert_eq!(outcomes(&env, 1, "verify inc-2"), ["inc-2 broken: its base 'inc-1' is not recorded"]);
    env.database().execute("UPDATE backup SET from_backup_id = 'inc-2' WHERE id = 'inc-2'", []).unwrap();
    assert_eq!(outcomes(&env, 1, "verify inc-2"), ["inc-2 broken: 'inc-2' descends from itself"]);
}

/// What `check` warns of, without the paths.
fn warnings(env: &TestEnv) -> String {
    let said = env.redact(&stdout(env, 0, "check"));
    let lines: Vec<_> = said.lines().skip_while(|line| !line.starts_with("warning")).collect();
    lines.into_iter().take_while(|line| !line.starts_with("ok")).collect::<Vec<_>>().join("\n")
}

#[test]
fn check_names_folders_without_a_record_and_records_without_a_folder() {
    let env = chain(&[]);
    assert_eq!(warnings(&env), "");
    fs::create_dir_all(env.backup("tmp")).unwrap();
    fs::rename(env.backup("inc-1"), env.backup("moved")).unwrap();
    fs::write(env.backup("backup-old.xbstream.gz"), "x").unwrap();
    fs::write(env.backup("notes.txt"), "x").unwrap();
    assert_snapshot!(warnings(&env), @r"
    warning  '~/backups/moved' is in backup_dir, but no record names it: it cannot be restored by its id
             hint: it may be the only copy of a backup, so remove nothing: dbcalm-db-cmd adopt moved records it, or says why not; then set it aside: mkdir -p '~/backups/.unrecorded' && mv -n '~/backups/moved' '~/backups/.unrecorded/'
    warning  '~/backups/backup-old.xbstream.gz' is in backup_dir, but no record names it: it cannot be restored by its id
             hint: it may be the only copy of a backup, so remove nothing: dbcalm-db-cmd adopt old records it, or says why not; then set it aside: mkdir -p '~/backups/.unrecorded' && mv -n '~/backups/backup-old.xbstream.gz' '~/backups/.unrecorded/'
    warning  backup 'inc-1' is recorded, but its files are gone; backups that need them: 1
             hint: if they were moved, put them back into '~/backups'; if they are lost, dbcalm-db-cmd remove inc-1 --chain removes the record, and dbcalm-db-cmd show inc-1 says what needs it
    ");
}

#[test]
fn check_says_as_json_what_it_says_to_a_person() {
    let env = chain(&[]);
    fs::rename(env.backup("inc-2"), env.backup("moved")).unwrap();
    let lines = |said: &str| said.lines().map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    let as_lines = |said: &serde_json::Value| {
        let found = said["findings"].as_array().unwrap().iter().flat_map(|finding| {
            let line = format!("{:<8} {}", finding["level"].as_str().unwrap(), finding["text"].as_str().unwrap());
            std::iter::once(line).chain(finding["hint"].as_str().map(|hint| format!("hint: {hint}")))
        });
        found.collect::<Vec<_>>()
    };
    let (said, text) = (json(&env, 0, "check"), lines(&stdout(&env, 0, "check")));
    assert_eq!(said["works"], true);
    assert_eq!(as_lines(&said), text[..text.len() - 1]);
    assert!(as_lines(&said).iter().any(|line| line.starts_with("warning ")), "{said}");
    assert_eq!(stdout(&env, 0, "check --quiet"), "");
    fs::remove_file(env.path("credentials.cnf")).unwrap();
    let (said, text) = (json(&env, 1, "check"), lines(&stdout(&env, 1, "check")));
    assert_eq!(said["works"], false);
    assert_eq!(as_lines(&said), text[..text.len() - 1]);
    assert_eq!(stdout(&env, 1, "check --quiet"), "");
    assert_eq!(run(&env, "serve --json").status, 2);
}

#[test]
fn a_folder_that_a_running_backup_fills_is_no_stray() {
    let env = TestEnv::start();
    env.full("full-1");
    env.database().execute("UPDATE process SET status = 'running'", []).unwrap();
    env.database().execute("DELETE FROM backup", []).unwrap();
    assert_eq!(warnings(&env), "");
    env.database().execute("UPDATE process SET status = 'failed'", []).unwrap();
    assert!(warnings(&env).contains("backups/full-1' is in backup_dir, but no record names it"));
}

#[test]
fn a_cut_stream_is_seen_by_its_content_and_one_that_is_gone_by_a_glance() {
    let env = chain(&[("stream", "true"), ("compression", "zstd")]);
    assert_eq!(outcomes(&env, 0, "verify inc-2"), WHOLE);
    let stream = env.backup("inc-1/backup-inc-1.xbstream.zst");
    let whole = fs::read(&stream).unwrap();
    fs::write(&stream, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(outcomes(&env, 0, "verify inc-2 --quick"), WHOLE);
    let said = outcomes(&env, 1, "verify inc-2");
    assert!(said[1].starts_with("inc-1 damaged: the stream "), "{said:?}");
    assert_eq!(said[2], "inc-2 broken: its base 'inc-1' is damaged");
    fs::copy(env.backup("full-1/backup-full-1.xbstream.zst"), &stream).unwrap();
    let said = outcomes(&env, 1, "verify inc-1");
    assert_eq!(said[1], "inc-1 damaged: 'backup-inc-1.xbstream.zst' has changed since the backup was taken");
    // What is named in the manifest and is not there was not forwarded, by the command that took it.
    fs::remove_file(&stream).unwrap();
    let gone = "inc-1 damaged: its stream 'backup-inc-1.xbstream.zst' is gone: it was stored here, not forwarded";
    assert_eq!(outcomes(&env, 1, "verify inc-1 --quick"), ["full-1 ok", gone]);
    let listed = json(&env, 0, "list");
    assert_eq!(
        (&listed["backups"][1]["state"], &listed["backups"][1]["restorable"]),
        (&"missing".into(), &false.into())
    );
    let full = env.backup("full-1/dbcalm.sha256");
    let sealed = fs::read(&full).unwrap();
    fs::remove_file(&full).unwrap();
    fs::remove_file(env.path("lib/verified.json")).unwrap();
    let said = outcomes(&env, 1, "verify full-1 --quick");
    assert_eq!(said, ["full-1 damaged: its manifest 'dbcalm.sha256' is gone"], "a stream of ours has one");
    fs::write(&full, sealed).unwrap();
    let command = "replace(command, '--threads', '--forward --threads')";
    env.database().execute(&format!("UPDATE process SET command = {command}"), []).unwrap();
    assert_eq!(outcomes(&env, 0, "verify inc-2"), ["full-1 ok", "inc-1 elsewhere", "inc-2 ok"]);
    assert!(stdout(&env, 0, "verify inc-1").contains("not here inc-1  forwarded  only its metadata was checked\n"));
}

#[test]
fn what_several_that_verify_at_once_find_is_all_kept() {
    let env = TestEnv::start();
    let ids: Vec<_> = (1..=8).map(|number| format!("full-{number}")).collect();
    for id in &ids {
        env.full(id);
    }
    for _ in 0..10 {
        let start = |id: &String| command(&env, &format!("verify {id} --quiet")).spawn().unwrap();
        let started: Vec<_> = ids.iter().map(start).collect();
        for mut one in started {
            assert!(one.wait().unwrap().success());
        }
        let listed = json(&env, 0, "list");
        let kept = listed["backups"].as_array().unwrap().iter().filter(|backup| !backup["verified"].is_null());
        assert_eq!(kept.count(), ids.len());
        fs::remove_file(env.path("lib/verified.json")).unwrap();
    }
}

#[test]
fn a_real_chain_is_restored_and_each_of_its_tables_checked() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    server.sql("CREATE DATABASE shop; CREATE TABLE shop.`odd name` (id INT PRIMARY KEY) ENGINE=Aria; CREATE TABLE shop.orders (id INT PRIMARY KEY, note CHAR(200)) ENGINE=InnoDB; USE shop; INSERT INTO shop.orders SELECT seq, 'x' FROM seq_1_to_5000");
    // Its pages are in the table's file then, and not in the redo log alone.
    server.stop();
    server.run();
    stdout(&env, 0, "backup full full-1");
    server.sql("USE shop; INSERT INTO shop.orders SELECT seq, 'y' FROM seq_5001_to_6000");
    stdout(&env, 0, "backup incremental inc-1");
    assert_eq!(outcomes(&env, 0, "verify inc-1"), ["full-1 ok", "inc-1 ok"]);
    let folders = || fs::read_dir(env.path("backups/restores")).map_or(0, Iterator::count);
    let said = json(&env, 0, "verify --restore inc-1");
    let report = &said["backups"][0];
    assert_eq!(
        (&report["id"], &report["outcome"], &report["depth"]),
        (&"inc-1".into(), &"ok".into(), &"restore".into())
    );
    let tables = server.sql("SELECT count(*) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema IN ('mysql', 'shop')");
    assert_eq!(report["tables"].to_string(), tables.trim());
    assert_eq!(folders(), 0, "what was restored is removed");
    assert!(stdout(&env, 0, "show inc-1").contains(" ago, restored\n"));

    // Damage that no manifest tells of: only a server that reads the table sees it.
    for id in ["full-1", "inc-1"] {
        fs::remove_file(env.backup(id).join("dbcalm.sha256")).unwrap();
    }
    fs::remove_file(env.path("lib/verified.json")).unwrap();
    let table = env.backup("full-1/shop/orders.ibd");
    let mut pages = fs::read(&table).unwrap();
    let page = 16 * 1024;
    let last = pages.len() / page - 1;
    let used =
        (4..=last).rev().find(|at| pages[at * page + 200..at * page + 300].iter().any(|byte| *byte != 0)).unwrap();
    pages[used * page + 200..used * page + 300].fill(0xaa);
    fs::write(&table, pages).unwrap();
    assert_eq!(outcomes(&env, 0, "verify full-1"), ["full-1 ok"]);
    let said = outcomes(&env, 1, "verify --restore full-1");
    assert!(said[0].starts_with("full-1 damaged: ") && said[0].contains("orders"), "{said:?}");
    assert_eq!(folders(), 0);
}
