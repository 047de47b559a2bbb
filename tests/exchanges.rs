//! What a daemon and its client said to each other, recorded, and said again to this one: over fakes and over the real
//! server, with the bytes and the timing of the Python client. The first 21 are the Python daemon's; `ci/record` writes more.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::harness::stand::{self, Stand};
use crate::harness::{TestEnv, program, redact, wait_for};

/// Where the recorded exchanges are.
const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/exchanges");

/// How many of them the Python daemon said. There may be more, but never fewer.
const OF_THE_PYTHON_DAEMON: usize = 21;

/// On each stand but MySQL's, whose commands are another tool's.
pub(crate) fn the_recorded_exchanges(stand: &mut dyn Stand) {
    assert_eq!(replay(stand, Path::new(RECORDED)), recorded());
}

/// Each file has the next number, from 01 on: one that is lost leaves a gap.
#[test]
fn no_recorded_exchange_is_lost() {
    assert!(recorded() >= OF_THE_PYTHON_DAEMON, "{} exchanges", recorded());
    for (index, path) in files(Path::new(RECORDED)).iter().enumerate() {
        let name = name_of(path);
        assert!(name.starts_with(&format!("{:02}-", index + 1)), "{name} is not number {}", index + 1);
    }
}

#[test]
fn all_exchanges_that_differ_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for number in 1..=3 {
        let wrong = json!({"given": {"server": "running"}, "request": {"cmd": "nope", "args": {}},
                           "response": {"code": 400, "status": if number == 2 { "Invalid command" } else { "else" }}});
        fs::write(dir.path().join(format!("{number:02}-nope.json")), wrong.to_string()).unwrap();
    }
    let mut stand = stand::fakes();
    let why = catch_unwind(AssertUnwindSafe(|| replay(stand.as_mut(), dir.path()))).unwrap_err();
    assert_eq!(*why.downcast::<String>().unwrap(), "2 of 3 exchanges differ: 01-nope, 03-nope");
}

fn recorded() -> usize {
    files(Path::new(RECORDED)).len()
}

/// The files of a directory, in the order of their names.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn name_of(path: &Path) -> &str {
    path.file_stem().unwrap().to_str().unwrap()
}

/// Says all exchanges of a directory again, each by its name; gives how many there were. All that differ are told at the end.
pub(crate) fn replay(stand: &mut dyn Stand, dir: &Path) -> usize {
    // The Python daemon always said where the server is, and this was its default.
    stand.env_mut().set("host", "localhost");
    stand.env().start_daemon();
    let paths = files(dir);
    let mut differ = Vec::new();
    for path in &paths {
        let name = name_of(path);
        eprintln!("exchange {name}");
        let exchange: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        let said_again = catch_unwind(AssertUnwindSafe(|| {
            assert_eq!(exchange.get("fault"), None, "{name} is no example to follow");
            give(stand, &exchange["given"]);
            one(stand.env(), name, &exchange);
        }));
        if said_again.is_err() {
            differ.push(name);
        }
    }
    assert!(differ.is_empty(), "{} of {} exchanges differ: {}", differ.len(), paths.len(), differ.join(", "));
    paths.len()
}

/// Brings about what was given when the exchange was recorded. The backups are there from the exchanges before.
pub(crate) fn give(stand: &mut dyn Stand, given: &Value) {
    let (good, env) = (stand.credentials(), stand.env());
    match given["credentials"].as_str() {
        None => env.credentials(&good),
        Some("missing") => drop(fs::remove_file(env.etc("credentials.cnf"))),
        Some("no [client-dbcalm] section") => env.credentials(&good.replace("-dbcalm", "")),
        Some("wrong password") => env.credentials(&stand.credentials_of("nosuchuser", "wrong")),
        Some(other) => panic!("credentials {other}"),
    }
    for id in given["backups"].as_array().into_iter().flatten() {
        let id = id.as_str().unwrap();
        assert_eq!(env.count("backup", &format!("id = '{id}'")), 1, "{id} is given");
    }
    if given["server"] == "running" {
        stand.start_server();
    } else {
        stand.stop_server();
    }
    match given["data_dir"].as_str() {
        Some("empty") => stand.lose_everything(),
        Some("not empty") => fs::create_dir_all(stand.data_dir().join("mysql")).unwrap(),
        _ => {}
    }
}

fn one(env: &TestEnv, name: &str, exchange: &Value) {
    let last = env.rows("process", "1").len();
    let reply = python_client(env, &exchange["request"]);
    let mut reply: Value = serde_json::from_str(&reply).unwrap_or_else(|why| panic!("{name}: {why}: {reply}"));
    let id = reply["id"].as_str().map(str::to_owned);
    let mut wanted = exchange["response"].clone();
    for reply in [&mut reply, &mut wanted] {
        if let Some(id) = reply.get_mut("id") {
            *id = Value::from(redact(id.as_str().unwrap()));
        }
    }
    assert_eq!(reply, wanted, "{name}");
    if reply["status"].as_str().is_some_and(|status| status.starts_with("credentials")) {
        env.expect_log("no credentials");
    }
    let Some(rows) = exchange.get("rows") else {
        assert_eq!(env.rows("process", "1").len(), last, "{name}: a refusal leaves no row");
        return;
    };
    env.settled();
    let id = id.unwrap();
    let of = |condition: &str| condition.replace('?', &format!("'{id}'"));
    let process = env.rows("process", &of("command_id = ?"));
    let link = of("process_id IN (SELECT id FROM process WHERE command_id = ?)");
    compare_processes(env, name, &process, rows["process"].as_array().unwrap());
    let first = process.first().unwrap();
    let newest = process.last().unwrap();
    for (table, begin) in [("backup", newest), ("restore", first)] {
        let (ours, theirs) = (env.rows(table, &link), rows[table].as_array().unwrap());
        assert_eq!(ours.len(), theirs.len(), "{name}: rows of {table}");
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert_eq!(ours["process_id"], newest["id"], "{name}: the last command's row");
            assert_eq!(ours["start_time"], begin["start_time"], "{name}");
            assert_eq!(ours["end_time"], newest["end_time"], "{name}");
            same(
                env,
                name,
                ours,
                theirs.as_object().unwrap(),
                &["id", "process_id", "start_time", "end_time", "backup_timestamp"],
            );
            if table == "backup" {
                assert_eq!(ours["id"], theirs["id"], "{name}");
            } else {
                let last: Value = serde_json::from_str(newest["args"].as_str().unwrap()).unwrap();
                let last = last["id_list"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned();
                let backup = &env.rows("backup", &format!("id = '{last}'"))[0];
                assert_eq!(ours["backup_timestamp"], backup["start_time"], "{name}");
            }
        }
    }
    if newest["status"] == "failed" {
        env.expect_log("failed");
    }
}

/// The commands: each of the recorded ones, in their order. Where a predecessor applied the stored incrementals themselves, and
/// named no data directory, it is over private copies, and with one: what differs is what the contract changes. Our own program makes
/// the copies, and they are moved into place from wherever they can be.
fn compare_processes(env: &TestEnv, name: &str, ours: &[Map<String, Value>], theirs: &[Value]) {
    // What only makes it faster, and where the working copy is made.
    let plain = |command: &str| {
        let command = command.replace("/var/lib/mysql/.dbcalm-restore-[TIME]", "/var/backups/dbcalm/tmp/[TIME]");
        let tuned = ["--parallel=", "--threads=", "--use-memory=", "--force-non-empty-directories"];
        let words = command.split(' ').filter(|word| !tuned.iter().any(|option| word.starts_with(option)));
        words.collect::<Vec<_>>().join(" ").replace("--move-back", "--copy-back")
    };
    let command = |row: &Map<String, Value>| plain(&normal(env, row["command"].as_str().unwrap()));
    let copy = |stored: &str, dir: &Path| {
        let id = Path::new(stored).file_name().unwrap();
        format!("dbcalm-db-cmd copy --from={stored} --into={}", dir.join(id).display())
    };
    let mut wanted = Vec::new();
    for row in theirs {
        let recorded = plain(&redact(row["command"].as_str().unwrap()));
        let stored = recorded.split_once(" --incremental-dir ").filter(|(_, dir)| !dir.contains("[TIME]"));
        if let Some((front, incremental)) = stored {
            let dir = recorded.split(' ').find(|word| word.contains("[TIME]")).unwrap();
            let (own, id) = (Path::new(dir).parent().unwrap(), Path::new(incremental).file_name().unwrap());
            wanted.push(copy(incremental, own));
            wanted.push(format!("{front} --incremental-dir {}", own.join(id).display()));
        } else if let Some((stored, dir)) =
            recorded.strip_prefix("/usr/bin/cp -r ").and_then(|rest| rest.split_once(' '))
        {
            wanted.push(copy(stored, Path::new(dir)));
        } else if recorded.contains("--copy-back") && !recorded.contains("--datadir=") {
            wanted.push(format!("{recorded} --datadir=/var/lib/mysql"));
        } else {
            wanted.push(recorded);
        }
    }
    assert_eq!(ours.iter().map(command).collect::<Vec<_>>(), wanted, "{name}");
    let recorded: BTreeMap<&str, &Value> = theirs.iter().map(|row| (row["status"].as_str().unwrap(), row)).collect();
    for row in ours {
        let theirs = recorded[row["status"].as_str().unwrap()];
        same(
            env,
            name,
            row,
            theirs.as_object().unwrap(),
            &["id", "command", "command_id", "pid", "start_time", "end_time", "output", "error"],
        );
        let told = |column: &str| !row[column].is_null();
        assert_eq!(told("output"), row["status"] == "success", "{name}: {row:?}");
        assert_eq!(told("error"), row["status"] == "failed", "{name}: {row:?}");
        wait_for("the pid", || row["pid"].as_i64().filter(|pid| *pid > 0));
        for column in ["start_time", "end_time"] {
            assert_eq!(row[column].as_str().unwrap().len(), "2026-11-22 09:03:21.300030".len(), "{name}");
        }
    }
}

/// Every column of the recorded row, but for those that are another each time.
fn same(env: &TestEnv, name: &str, ours: &Map<String, Value>, theirs: &Map<String, Value>, but: &[&str]) {
    for (column, theirs) in theirs.iter().filter(|(column, _)| !but.contains(&column.as_str())) {
        let ours = match &ours[column] {
            Value::String(text) => Value::from(normal(env, text)),
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                other.clone()
            }
        };
        let theirs = theirs.as_str().map_or(theirs.clone(), |text| Value::from(redact(text)));
        assert_eq!(ours, theirs, "{name}: {column}");
    }
}

/// The paths of the recording in place of this test's own.
fn normal(env: &TestEnv, text: &str) -> String {
    let config = fs::read_to_string(env.etc("config.yml")).unwrap();
    let default = "/var/lib/mysql";
    let data_dir = config.lines().find_map(|line| line.strip_prefix("data_dir: ")).unwrap_or(default);
    redact(
        &text
            .replace(&env.path("backups").display().to_string(), "/var/backups/dbcalm")
            .replace(&env.etc("credentials.cnf").display().to_string(), "/etc/dbcalm/credentials.cnf")
            .replace(&env.path("bin/mariabackup").display().to_string(), "/usr/bin/mariabackup")
            .replace("/usr/bin/mariadb-backup", "/usr/bin/mariabackup")
            .replace(data_dir, default),
    )
}

/// Sends a request as the Python client does; gives what it prints of the reply.
fn python_client(env: &TestEnv, request: &Value) -> String {
    let client = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/client/dbcalm_client.py");
    // The client looks for the daemon under the name that its predecessor had.
    let said = program("python3")
        .arg(client)
        .arg(env.path("run/mariadb-cmd.sock"))
        .arg(request["cmd"].as_str().unwrap())
        .arg(request["args"].to_string())
        .output()
        .unwrap();
    assert!(said.stderr.is_empty(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).unwrap()
}
