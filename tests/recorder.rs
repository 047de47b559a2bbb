//! The recorder behind `ci/record`: what it writes of this daemon can be replayed, and what is no answer is recorded as what
//! it is.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Output;

use insta::assert_snapshot;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::exchanges::{give, replay};
use crate::harness::{TestEnv, listing, program, redact, stand, wait_for};

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ci/record");

/// The recorder with a socket, a database and a directory.
fn recorder(socket: &Path, database: &Path, out: &Path) -> std::process::Command {
    let mut command = program(RECORD);
    command.args(["--pause", "0", "--patience", "20", "--socket"]).arg(socket);
    command.arg("--database").arg(database).arg("--out").arg(out);
    command
}

/// The recorder at this test's daemon, with the paths of an ordinary server.
fn recorder_of(env: &TestEnv, out: &Path) -> std::process::Command {
    let mut command = recorder(&env.socket(), &env.path("lib/db.sqlite3"), out);
    for (ours, ordinary) in [
        ("backups", "/var/backups/dbcalm"),
        ("credentials.cnf", "/etc/dbcalm/credentials.cnf"),
        ("bin/mariabackup", "/usr/bin/mariabackup"),
        ("data", "/var/lib/mysql"),
    ] {
        command.arg("--path").arg(format!("{}={ordinary}", env.path(ours).display()));
    }
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn what_is_recorded_of_this_daemon_is_replayed() {
    let out = tempfile::tempdir().unwrap();
    let chain = json!({"id_list": ["full-1", "inc-1"], "target": "folder"});
    let stopped = json!({"server": "stopped", "data_dir": "empty", "backups": ["full-1", "inc-1"]});
    let mut stand = stand::fakes();
    stand.env_mut().set("host", "localhost");
    stand.env().start_daemon();
    give(stand.as_mut(), &json!({"server": "running"}));
    // A file of requests, and one after the other on the command line.
    let requests = stand.env().path("requests");
    let lines = [
        json!({"name": "unknown command", "cmd": "nope"}),
        json!({"name": "full backup", "cmd": "full_backup", "args": {"id": "full-1", "schedule_id": 7}}),
        json!({"name": "a used id", "cmd": "full_backup", "args": {"id": "full-1"}, "given": {"backups": ["full-1"]}}),
        json!({"name": "incremental backup", "cmd": "incremental_backup",
               "args": {"id": "inc-1", "from_backup_id": "full-1"}, "given": {"backups": ["full-1"]}}),
        json!({"name": "folder restore of a chain", "cmd": "restore_backup", "args": chain}),
    ];
    fs::write(&requests, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let output = recorder_of(stand.env(), out.path()).arg("--requests").arg(&requests).output().unwrap();
    assert_snapshot!(said(&output), @"
    01-unknown-command.json: 400 Invalid command
    02-full-backup.json: 202 Accepted
    03-a-used-id.json: 409 Backup with id full-1 already exists
    04-incremental-backup.json: 202 Accepted
    05-folder-restore-of-a-chain.json: 202 Accepted
    ");
    let chain = json!({"id_list": ["full-1", "inc-1"], "target": "database"});
    let more = [
        (
            "Wrong password!",
            json!({"server": "running", "credentials": "wrong password"}),
            "full_backup",
            json!({"id": "b"}),
        ),
        ("no server", json!({"server": "stopped", "data_dir": "not empty"}), "full_backup", json!({"id": "b"})),
        ("database restore of a chain", stopped, "restore_backup", chain),
    ];
    for (name, given, cmd, args) in more {
        give(stand.as_mut(), &given);
        let mut record = recorder_of(stand.env(), out.path());
        record.args(["--name", name, "--given", &given.to_string(), cmd, &args.to_string()]);
        let output = record.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    stand.env().expect_log("backup failed");
    assert_snapshot!(listing(out.path()), @"01-unknown-command.json 02-full-backup.json 03-a-used-id.json 04-incremental-backup.json 05-folder-restore-of-a-chain.json 06-wrong-password.json 07-no-server.json 08-database-restore-of-a-chain.json");
    assert_eq!(replay(stand::fakes().as_mut(), out.path()), 8);
}

#[test]
fn a_file_says_what_was_given_asked_answered_and_recorded() {
    let env = TestEnv::start();
    let out = tempfile::tempdir().unwrap();
    for (name, given, args) in [
        ("full backup", json!({}), json!({"id": "full-1", "schedule_id": 7})),
        ("a used id", json!({"backups": ["full-1"]}), json!({"id": "full-1"})),
    ] {
        let mut record = recorder_of(&env, out.path());
        let output =
            record.args(["--name", name, "--given", &given.to_string(), "full_backup", &args.to_string()]).output();
        assert!(output.as_ref().unwrap().status.success(), "{}", said(&output.unwrap()));
    }
    assert_snapshot!(shape(&out.path().join("01-full-backup.json")), @r#"
    {
      "given": {
        "server": "running"
      },
      "name": "full backup",
      "request": {
        "args": {
          "id": "full-1",
          "schedule_id": 7
        },
        "cmd": "full_backup"
      },
      "response": {
        "code": 202,
        "id": "[ID]",
        "status": "Accepted"
      },
      "rows": {
        "backup": [
          {
            "end_time": "[end_time]",
            "from_backup_id": null,
            "id": "full-1",
            "process_id": 1,
            "schedule_id": 7,
            "start_time": "[start_time]"
          }
        ],
        "process": [
          {
            "args": "{\"id\": \"full-1\", \"schedule_id\": 7}",
            "command": "/usr/bin/mariabackup --defaults-file=/etc/dbcalm/credentials.cnf --defaults-group-suffix=-dbcalm --backup --target-dir=/var/backups/dbcalm/full-1",
            "command_id": "[ID]",
            "end_time": "[end_time]",
            "error": null,
            "id": 1,
            "output": "[output]",
            "pid": "[pid]",
            "return_code": 0,
            "start_time": "[start_time]",
            "status": "success",
            "type": "backup"
          }
        ],
        "restore": []
      }
    }
    "#);
    assert_snapshot!(shape(&out.path().join("02-a-used-id.json")), @r#"
    {
      "given": {
        "backups": [
          "full-1"
        ],
        "server": "running"
      },
      "name": "a used id",
      "request": {
        "args": {
          "id": "full-1"
        },
        "cmd": "full_backup"
      },
      "response": {
        "code": 409,
        "status": "Backup with id full-1 already exists"
      }
    }
    "#);
}

/// A file with all that is another each time taken out.
fn shape(path: &Path) -> String {
    let mut exchange = read(path);
    let rows = exchange.get_mut("rows").into_iter().flat_map(|rows| rows.as_object_mut().unwrap().values_mut());
    for row in rows.flat_map(|rows| rows.as_array_mut().unwrap()) {
        for (column, value) in row.as_object_mut().unwrap() {
            if column.ends_with("_time") || column == "pid" || column == "output" {
                assert!(!value.is_null(), "{column} in {}", path.display());
                *value = Value::from(format!("[{column}]"));
            }
        }
    }
    redact(&serde_json::to_string_pretty(&exchange).unwrap())
}

#[test]
fn a_recorded_exchange_is_overwritten_only_if_that_is_asked_for() {
    let env = TestEnv::start();
    let out = tempfile::tempdir().unwrap();
    let record = |more: &[&str], id: &str| {
        let mut command = recorder_of(&env, out.path());
        let output =
            command.args(["--name", "full backup"]).args(more).arg("full_backup").arg(json!({ "id": id }).to_string());
        let output = output.output().unwrap();
        (output.status.code().unwrap(), said(&output))
    };
    assert_eq!(record(&[], "full-1").0, 0);
    let first = fs::read(out.path().join("01-full-backup.json")).unwrap();
    let (status, why) = record(&[], "full-2");
    assert_eq!(status, 2);
    assert_snapshot!(why, @"record: '01-full-backup.json' is there already: take another name, or --overwrite");
    assert_eq!(fs::read(out.path().join("01-full-backup.json")).unwrap(), first);
    assert_eq!(env.count("process", "1"), 1, "nothing was sent");
    assert_eq!(record(&["--overwrite"], "full-2").0, 0);
    assert_eq!(read(&out.path().join("01-full-backup.json"))["request"]["args"]["id"], "full-2");
    assert_snapshot!(listing(out.path()), @"01-full-backup.json");
}

#[test]
fn a_mistake_in_what_is_to_be_recorded_is_told_before_anything_is_sent() {
    let env = TestEnv::start();
    let dir = tempfile::tempdir().unwrap();
    let good = r#"{"name": "a", "cmd": "full_backup", "args": {"id": "full-1"}}"#;
    let mut told = String::new();
    for bad in [
        "nonsense",
        "[]",
        r#"{"cmd": "nope"}"#,
        r#"{"name": "b", "cmd": "nope", "given": {"weather": "fine"}}"#,
        r#"{"name": "b", "cmd": "nope", "given": {"server": "asleep"}}"#,
        r#"{"name": "A!", "cmd": "nope"}"#,
        r#"{"name": "?", "cmd": "nope"}"#,
    ] {
        fs::write(env.path("requests"), format!("{good}\n{bad}\n")).unwrap();
        let output = recorder_of(&env, dir.path()).arg("--requests").arg(env.path("requests")).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{bad}");
        told.push_str(&said(&output));
    }
    assert_snapshot!(told, @"
    record: line 2: not JSON: Expecting value: line 1 column 1 (char 0)
    record: line 2: a request is an object with name, cmd, args and given
    record: line 2: 'name' is missing
    record: line 2: given.weather is unknown; there are server, data_dir, credentials, backups
    record: line 2: given.server is one of: running, stopped
    record: '01-a.json' is there already: take another name, or --overwrite
    record: no file can be named after '?'
    ");
    assert_eq!(env.count("process", "1"), 0);
    assert_eq!(listing(dir.path()), "(empty)");
}

/// The predecessors say `success` between two steps of a restore: it is over only when the restore is recorded, too.
#[test]
fn a_success_between_two_steps_is_not_taken_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let records = Connection::open(at("db")).unwrap();
    records.execute_batch(include_str!("schemas/schema-python.sql")).unwrap();
    records
        .execute_batch(
            "INSERT INTO process (command, command_id, pid, status, return_code, type, args)
             VALUES ('cp -r a b', 'c-1', 1, 'success', 0, 'restore', '{}')",
        )
        .unwrap();
    let record = |name: &str| {
        let listener = UnixListener::bind(at(name)).unwrap();
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
            stream.write_all(br#"{"code": 202, "status": "Accepted", "id": "c-1"}"#).unwrap();
        });
        let mut record = recorder(&at(name), &at("db"), dir.path());
        let output = record.args(["--patience", "0.2", "--name", name, "restore_backup"]).output().unwrap();
        answer.join().unwrap();
        said(&output)
    };
    assert_eq!(record("between"), "01-between.json: not over after 0.2 s\n");
    let rows = &read(&at("01-between.json"))["rows"];
    assert_eq!((rows["process"].as_array().unwrap().len(), &rows["restore"]), (1, &json!([])));
    records
        .execute_batch(
            "INSERT INTO restore (target, target_path, backup_id, process_id) VALUES ('FOLDER', 'b', 'a', 1)",
        )
        .unwrap();
    assert_eq!(record("after"), "02-after.json: 202 Accepted\n");
    assert_eq!(read(&at("02-after.json"))["rows"]["restore"][0]["target"], "FOLDER");
}

/// Each daemon that is none, all at the same time: the client waits 5 s for the one that says nothing.
#[test]
fn a_daemon_that_does_not_answer_is_recorded_as_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let silent = UnixListener::bind(at("silent")).unwrap();
    drop(UnixListener::bind(at("gone")).unwrap());
    let says: [(&str, &'static [u8]); 4] = [
        ("garbage", b"<html>\xff"),
        ("no-object", b"[202]"),
        ("leaves", b""),
        ("forgets", br#"{"code": 202, "status": "Accepted", "id": "cad1f48d-be6f-4ca2-b631-1a7ae7429c93"}"#),
    ];
    for (name, reply) in says {
        let listener = UnixListener::bind(at(name)).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The request is read, or the end would be an error for the client.
            let _ = std::io::Read::read(&mut stream, &mut [0; 1024]);
            stream.write_all(reply).unwrap();
        });
    }
    let running: Vec<_> = ["silent", "gone", "absent", "garbage", "no-object", "leaves", "forgets"]
        .map(|name| {
            let mut record = recorder(&at(name), &at("no.sqlite3"), dir.path());
            record.args(["--name", name, "nope"]).stdout(std::process::Stdio::piped());
            (name, record.stderr(std::process::Stdio::piped()).spawn().unwrap())
        })
        .into();
    let mut recorded = String::new();
    for (name, mut child) in running {
        let status = wait_for("the recorder to end", || child.try_wait().unwrap());
        let output = child.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(1), "{name}: {}", said(&output));
        let file = String::from_utf8_lossy(&output.stdout);
        let mut exchange = read(&dir.path().join(file.split(':').next().unwrap()));
        let exchange = exchange.as_object_mut().unwrap();
        for same in ["given", "request"] {
            exchange.remove(same).unwrap();
        }
        recorded.push_str(&redact(&Value::Object(exchange.clone()).to_string()));
        recorded.push('\n');
    }
    drop(silent);
    assert_snapshot!(recorded, @r#"
    {"fault":"no answer","name":"silent","response":{"code":503,"status":"no answer within 5 s"}}
    {"fault":"no connection: Connection refused","name":"gone","response":null}
    {"fault":"no connection: No such file or directory","name":"absent","response":null}
    {"fault":"not JSON","name":"garbage","response":null,"said":"<html>\\xff"}
    {"fault":"no reply: an object with a code","name":"no-object","response":null,"said":"[202]"}
    {"fault":"no answer","name":"leaves","response":{"code":503,"status":"no answer within 5 s"}}
    {"fault":"the records cannot be read: unable to open database file","name":"forgets","response":{"code":202,"id":"[ID]","status":"Accepted"},"rows":null}
    "#);
}
