//! What does not prove itself is refused, each with its reason, by the command line and by the daemon alike.

use std::fs;

use insta::assert_snapshot;

use super::{as_a_predecessors, forget, lose_the_records, without_lengths};
use crate::cli::{json, run, stdout};
use crate::harness::{TestEnv, program};

fn edit(env: &TestEnv, file: &str, change: impl FnOnce(String) -> String) {
    let path = env.backup(file);
    fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
}

fn replace(env: &TestEnv, file: &str, old: &str, new: &str) {
    edit(env, file, |text| {
        assert!(text.contains(old), "{text}");
        text.replacen(old, new, 1)
    });
}

fn remove(env: &TestEnv, file: &str) {
    fs::remove_file(env.backup(file)).unwrap();
}

/// Leaves of a manifest the lines that name this.
fn only(env: &TestEnv, id: &str, name: &str) {
    edit(env, &format!("{id}/dbcalm.sha256"), |text| {
        text.lines().filter(|line| line.ends_with(name)).collect::<Vec<_>>().join("\n") + "\n"
    });
}

/// A backup that is made unfit: its id, and how.
type Case = (&'static str, fn(&TestEnv));

const DIRECTORIES: [Case; 18] = [
    ("another-tool", |env| {
        replace(env, "another-tool/backup.json", r#""db_type": "mariadb""#, r#""db_type": "mysql""#);
    }),
    ("card-of-another", |env| replace(env, "card-of-another/backup.json", "card-of-another", "somebody")),
    ("cut-card", |env| edit(env, "cut-card/backup.json", |text| text[..20].to_owned())),
    ("cut-manifest", |env| edit(env, "cut-manifest/dbcalm.sha256", |text| text[..text.len() - 3].to_owned())),
    ("fifo", |env| {
        remove(env, "fifo/dbcalm.sha256");
        assert!(program("mkfifo").arg(env.backup("fifo/dbcalm.sha256")).status().unwrap().success());
    }),
    // Whoever may write there may say anything, to whoever reads it on a terminal too.
    ("hostile", |env| replace(env, "hostile/backup.json", r#""id": "hostile""#, r#""id": "\u001b[2J\nok""#)),
    ("half-sealed", |env| remove(env, "half-sealed/dbcalm.sha256")),
    ("missing-file", |env| remove(env, "missing-file/shop/orders.ibd")),
    ("newer", |env| replace(env, "newer/backup.json", r#""format": 1"#, r#""format": 2"#)),
    ("no-checkpoints", |env| remove(env, "no-checkpoints/xtrabackup_checkpoints")),
    ("no-info", |env| remove(env, "no-info/xtrabackup_info")),
    ("no-lsn", |env| replace(env, "no-lsn/xtrabackup_checkpoints", "to_lsn", "to_isn")),
    ("other-lsn", |env| replace(env, "other-lsn/backup.json", r#""last": "#, r#""last": 1"#)),
    ("partial", |env| replace(env, "partial/xtrabackup_info", "partial = N", "partial = Y")),
    ("prepared", |env| replace(env, "prepared/xtrabackup_checkpoints", "full-backuped", "log-applied")),
    ("shorter", |env| edit(env, "shorter/shop/orders.ibd", |text| text[1..].to_owned())),
    ("unfinished", |env| {
        as_a_predecessors(env, "unfinished");
        remove(env, "unfinished/xtrabackup_checkpoints");
    }),
    ("was-renamed", |env| {
        as_a_predecessors(env, "was-renamed");
        replace(env, "was-renamed/xtrabackup_info", "backups/was-renamed", "backups/monday");
    }),
];

#[test]
fn each_directory_that_does_not_prove_itself_is_refused_with_its_reason() {
    let env = TestEnv::start();
    for (id, change) in DIRECTORIES {
        env.full(id);
        change(&env);
    }
    env.full("good");
    fs::create_dir(env.backup("notes")).unwrap();
    lose_the_records(&env);
    let said = env.redact(&stdout(&env, 1, "adopt --all --dry-run"));
    let refused: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("refused  ")).collect();
    assert_snapshot!(without_lengths(&refused.join("\n")), @r"
    another-tool: it is of mysql, and db_type is mariadb
    card-of-another: its backup.json is that of 'somebody': its folder was renamed, or is another backup's; give it its name again
    cut-card: '~/backups/cut-card/backup.json' cannot be read: EOF while parsing a string at line 3 column 3
    cut-manifest: its manifest 'dbcalm.sha256' is damaged
    fifo: '~/backups/fifo/dbcalm.sha256' is not a plain file
    half-sealed: its manifest does not name its backup.json: the backup was broken off before it was whole
    hostile: its backup.json is that of '\u{1b}[2J\nok': its folder was renamed, or is another backup's; give it its name again
    missing-file: 'shop/orders.ibd' is missing
    newer: '~/backups/newer/backup.json' has format 2, but this program knows only up to 1: use a newer dbcalm-db-cmd
    no-checkpoints: it has no 'xtrabackup_checkpoints': the tool writes that at its end, so it was broken off, or is no backup
    no-info: 'xtrabackup_info' is missing; the backup's metadata cannot be trusted: no xtrabackup_info in '~/backups/no-info'
    no-lsn: '~/backups/no-lsn/xtrabackup_checkpoints' has no valid to_lsn
    notes: it has no 'xtrabackup_checkpoints': the tool writes that at its end, so it was broken off, or is no backup
    other-lsn: its backup.json and its checkpoints are not of one backup
    partial: the tool left databases or tables out ('partial = Y' in its info file in '~/backups/partial'): look for tables, databases and the like in the option files that it reads
    prepared: its checkpoints say 'log-applied': it was prepared, and is no backup any more
    shorter: its files have N bytes, and its backup.json says N
    unfinished: it has no 'xtrabackup_checkpoints': the tool writes that at its end, so it was broken off, or is no backup
    was-renamed: it was taken as 'monday': its folder was renamed, or is another backup's; give it its name again
    ");
    // The daemon looks itself, and comes to the same.
    for line in &refused {
        let (id, why) = line.split_once(": ").unwrap();
        let reply = env.send(&format!(r#"{{"cmd":"adopt_backup","args":{{"id":"{id}"}}}}"#));
        let wanted = serde_json::json!({"code": 400, "status": format!("'{id}' cannot be adopted: {why}")});
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply, wanted);
    }
    assert_eq!(env.count("process", "1"), 0);
    let done = json(&env, 1, "adopt --all --yes");
    let adopted = done["backups"].as_array().unwrap().iter().filter(|one| one["adopted"] == true);
    assert_eq!(adopted.map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(env.count("backup", "1"), 1);
}

#[test]
fn each_stream_that_does_not_prove_itself_is_refused_with_its_reason() {
    let mut env = TestEnv::new();
    env.set("stream", "true");
    env.start_daemon();
    let cases: [Case; 5] = [
        ("cut", |env| edit_bytes(env, "cut/backup-cut.xbstream")),
        // Killed between the store step's end and the card, and between the card and the manifest's end.
        ("killed-1", |env| {
            only(env, "killed-1", ".xbstream");
            remove(env, "killed-1/backup.json");
        }),
        ("killed-2", |env| only(env, "killed-2", ".xbstream")),
        ("lost", |env| remove(env, "lost/backup-lost.xbstream")),
        ("unsealed", |env| remove(env, "unsealed/dbcalm.sha256")),
    ];
    for (id, change) in cases {
        env.full(id);
        change(&env);
    }
    lose_the_records(&env);
    assert_snapshot!(without_lengths(&stdout(&env, 1, "adopt --all --yes")), @r"
    refused  cut: its stream has N bytes, and its backup.json says N
    refused  killed-1: its manifest names its stream alone: the backup was broken off before it was whole
    refused  killed-2: its manifest does not name its backup.json: the backup was broken off before it was whole
    refused  lost: its stream 'backup-lost.xbstream' is missing
    refused  unsealed: it has a stream, and no manifest 'dbcalm.sha256' with it
    ");
    assert_eq!((env.count("backup", "1"), env.count("process", "1")), (0, 0));
}

fn edit_bytes(env: &TestEnv, file: &str) {
    let path = env.backup(file);
    let bytes = fs::read(&path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

#[test]
fn a_base_that_is_not_there_or_is_another_is_named() {
    let env = TestEnv::start();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    env.world.put("shop/orders.ibd", b"order 3\n").unwrap();
    env.incremental("inc-2", "inc-1");
    for id in ["inc-1", "inc-2", "full-1"] {
        forget(&env, id);
    }
    let kept = env.path("kept");
    fs::rename(env.backup("full-1"), &kept).unwrap();
    assert_snapshot!(stdout(&env, 1, "adopt inc-2 --yes"), @"refused  inc-2: its base 'inc-1' cannot be adopted: its base 'full-1' is neither recorded nor to be adopted before it");
    assert_snapshot!(env.send(r#"{"cmd":"adopt_backup","args":{"id":"inc-1"}}"#), @r#"{"code": 400, "status": "'inc-1' cannot be adopted: its base 'full-1' is neither recorded nor to be adopted before it"}"#);
    // Its id was used again.
    env.full("full-1");
    assert_snapshot!(stdout(&env, 1, "adopt inc-1 --yes"), @"refused  inc-1: it was taken from another backup than the 'full-1' that is here");
    assert_snapshot!(env.send(r#"{"cmd":"adopt_backup","args":{"id":"inc-1"}}"#), @r#"{"code": 400, "status": "'inc-1' cannot be adopted: it was taken from another backup than the 'full-1' that is here"}"#);
    fs::remove_dir_all(env.backup("full-1")).unwrap();
    forget(&env, "full-1");
    fs::rename(&kept, env.backup("full-1")).unwrap();
    // It is there, and has no record yet.
    assert_snapshot!(env.send(r#"{"cmd":"adopt_backup","args":{"id":"inc-1"}}"#), @r#"{"code": 400, "status": "'inc-1' cannot be adopted: its base 'full-1' is neither recorded nor to be adopted before it"}"#);
    stdout(&env, 0, "adopt inc-2 --yes");
    assert_eq!(env.count("backup", "1"), 3);
    // What is recorded stays as it is.
    let rows = env.rows("backup", "1");
    assert_snapshot!(env.send(r#"{"cmd":"adopt_backup","args":{"id":"full-1"}}"#), @r#"{"code": 409, "status": "Backup with id full-1 already exists"}"#);
    let said = run(&env, "adopt full-1 --yes");
    assert_snapshot!(format!("{} {}", said.status, said.stderr), @r"
    1 error: 'full-1' is recorded already
    hint: dbcalm-db-cmd show full-1
    ");
    assert_eq!(env.rows("backup", "1"), rows);
    let said = run(&env, "adopt none --yes");
    assert_snapshot!(format!("{} {}", said.status, said.stderr), @r"
    3 error: no backup 'none' without a record is here
    hint: dbcalm-db-cmd check names what lies there without a record
    ");
    assert_snapshot!(env.send(r#"{"cmd":"adopt_backup","args":{"id":"none"}}"#), @r#"{"code": 404, "status": "Backup with id none not found"}"#);
}
