//! A predecessor's backups, and the rows that are written, in the tables of both APIs.

use insta::{allow_duplicates, assert_snapshot};
use rusqlite::Connection;
use rustix::process::Signal;

use super::{as_a_predecessors, as_the_go_daemons, forget, set, still};
use crate::cli::{run, stdout};
use crate::harness::TestEnv;
use crate::harness::stand::Place;

const SCHEMAS: [(&str, &str); 2] =
    [("python", include_str!("../schemas/schema-python.sql")), ("go", include_str!("../schemas/schema-go.sql"))];

/// A chain as the Python daemon left it, taken by nothing but its metadata, in the tables of each API.
#[test]
fn a_predecessors_chain_is_known_by_its_metadata() {
    for (name, schema) in SCHEMAS {
        let env = TestEnv::new();
        Connection::open(env.path("lib/db.sqlite3")).unwrap().execute_batch(schema).unwrap();
        env.start_daemon();
        env.full("full-1");
        for (id, base, text) in [("inc-1", "full-1", "order 2\n"), ("inc-2", "inc-1", "order 3\n")] {
            env.world.put("shop/orders.ibd", text.as_bytes()).unwrap();
            env.incremental(id, base);
        }
        let before = env.rows("backup", "1");
        for id in ["full-1", "inc-1", "inc-2"] {
            as_a_predecessors(&env, id);
            forget(&env, id);
        }
        let said = still(&stdout(&env, 0, "adopt --all --yes"));
        allow_duplicates! { assert_snapshot!(said, @r"
        BACKUP | TYPE | FROM | FORM | PROVED BY
        full-1 | full | - | directory | metadata alone
        inc-1 | incremental | full-1 | directory | metadata alone
        inc-2 | incremental | inc-1 | directory | metadata alone
        adopted 'full-1' by its metadata alone
        adopted 'inc-1' by its metadata alone
        adopted 'inc-2' by its metadata alone
        No content was read: dbcalm-db-cmd verify --all holds each byte against its hash
        "); }
        let rows = env.rows("backup", "1");
        for (row, before) in rows.iter().zip(&before) {
            assert_eq!((&row["id"], &row["from_backup_id"]), (&before["id"], &before["from_backup_id"]), "{name}");
            // To the second, as the tool writes them.
            let second =
                |row: &serde_json::Map<String, serde_json::Value>| row["start_time"].as_str().unwrap()[..16].to_owned();
            assert_eq!(second(row), second(before), "{name}");
            assert!(row["start_time"].as_str().unwrap().ends_with(".000000"), "{name}: {row:?}");
            assert_eq!(row.contains_key("size"), name == "go");
            assert!(row.get("size").is_none_or(|size| size.as_u64().unwrap() > 0), "{row:?}");
        }
        let process = &env.rows("process", "command LIKE '%adopt%'")[1];
        let kept =
            ["command", "pid", "status", "return_code", "error", "type", "args"].map(|name| process[name].to_string());
        allow_duplicates! { assert_snapshot!(kept.join(" | "), @r#""dbcalm-db-cmd adopt inc-1 --from full-1" | 0 | "success" | 0 | null | "backup" | "{\"id\": \"inc-1\", \"from_backup_id\": \"full-1\"}""#); }
        assert!(process["output"].as_str().unwrap().ends_with(" UTC by its metadata alone"), "{process:?}");
        assert_eq!(process["start_time"], rows[1]["start_time"]);
        assert_eq!(rows[1]["process_id"], process["id"]);
        env.restore(&["full-1", "inc-1", "inc-2"], "folder");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        env.incremental("inc-3", "inc-2");
        assert_eq!(env.count("backup", "id = 'inc-3'"), 1);
    }
}

/// The Go daemon's streams have all that they say of themselves at their end.
#[test]
fn a_stream_of_the_go_daemons_is_known_by_its_first_file() {
    let mut env = TestEnv::new();
    for (key, value) in [("stream", "true"), ("compression", "gzip")] {
        env.set(key, value);
    }
    env.start_daemon();
    env.full("full-1");
    env.world.put("shop/orders.ibd", b"order 2\n").unwrap();
    env.incremental("inc-1", "full-1");
    for id in ["full-1", "inc-1"] {
        as_the_go_daemons(&env, id, ".gz");
        forget(&env, id);
    }
    assert_snapshot!(still(&stdout(&env, 1, "adopt --all --dry-run")), @r"
    BACKUP | TYPE | FROM | FORM | PROVED BY
    full-1 | full | - | stream | first file alone
    warning  full-1: its times are that of its file
    refused  inc-1: it is an incremental, and what it was taken from is inside its stream: say it with --from
    ");
    let said = run(&env, "adopt full-1 inc-1 --from full-1 --yes");
    assert_snapshot!(format!("{} {}", said.status, said.stderr), @r"
    2 error: --from says what one backup was taken from, and several are named
    hint: adopt them one after the other
    ");
    assert_snapshot!(still(&stdout(&env, 0, "adopt inc-1 --from full-1 --yes")), @r"
    BACKUP | TYPE | FROM | FORM | PROVED BY
    full-1 | full | - | stream | first file alone
    inc-1 | incremental | full-1 | stream | first file alone
    warning  full-1: its times are that of its file
    warning  inc-1: its times are that of its file
    adopted 'full-1' by its first file alone
    adopted 'inc-1' by its first file alone
    No content was read: dbcalm-db-cmd verify --all holds each byte against its hash
    ");
    env.restore(&["full-1", "inc-1"], "folder");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
    // What is no stream is none.
    std::fs::write(env.backup("backup-none.xbstream.gz"), "x").unwrap();
    assert_snapshot!(stdout(&env, 1, "adopt none --yes"), @"refused  none: the stream is in an unknown format, not gzip as its name says");
}

/// What a real tool leaves, and nothing of ours beside it.
#[test]
fn what_a_real_tool_left_is_adopted_and_restores() {
    let Some(mut stand) = Place::Local.set_up() else { return };
    stand.env().start_daemon();
    stand.full("full-1");
    stand.change(1);
    let content = stand.content();
    stand.incremental("inc-1", "full-1");
    set(stand.as_mut(), &[("stream", "true"), ("compression", "gzip")]);
    stand.full("full-2");
    stand.change(2);
    stand.incremental("inc-2", "full-2");
    let env = stand.env();
    let before = env.rows("backup", "1");
    for id in ["full-1", "inc-1"] {
        as_a_predecessors(env, id);
    }
    for id in ["full-2", "inc-2"] {
        as_the_go_daemons(env, id, ".gz");
    }
    for id in ["full-1", "inc-1", "full-2", "inc-2"] {
        forget(env, id);
    }
    assert_snapshot!(still(&stdout(env, 1, "adopt --all --yes")), @r"
    BACKUP | TYPE | FROM | FORM | PROVED BY
    full-1 | full | - | directory | metadata alone
    inc-1 | incremental | full-1 | directory | metadata alone
    full-2 | full | - | stream | first file alone
    warning  full-2: its times are that of its file
    refused  inc-2: it is an incremental, and what it was taken from is inside its stream: say it with --from
    adopted 'full-1' by its metadata alone
    adopted 'inc-1' by its metadata alone
    adopted 'full-2' by its first file alone
    No content was read: dbcalm-db-cmd verify --all holds each byte against its hash
    ");
    stdout(env, 0, "adopt inc-2 --from full-2 --yes");
    let rows = env.rows("backup", "1");
    for (row, before) in rows.iter().zip(&before) {
        assert_eq!((&row["id"], &row["from_backup_id"]), (&before["id"], &before["from_backup_id"]));
        let seconds = |row: &serde_json::Map<String, serde_json::Value>, name| {
            let query = "SELECT strftime('%s', ?1)";
            let text = env.database().query_row(query, [row[name].as_str().unwrap()], |row| row.get::<_, String>(0));
            text.unwrap().parse::<i64>().unwrap()
        };
        assert!(seconds(row, "end_time").abs_diff(seconds(before, "end_time")) < 30, "{row:?} {before:?}");
    }
    stand.env().restore(&["full-2", "inc-2"], "folder");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    stand.lose_everything();
    stand.env().restore(&["full-1", "inc-1"], "database");
    assert_eq!(stand.env().newest("status"), "success", "{}", stand.env().newest("error"));
    assert_eq!(stand.restored(), content);
}

/// The Go API's table has a size, and the one of an adopted backup is that which it had.
#[test]
fn a_size_is_what_it_was_in_each_form() {
    let mut env = TestEnv::new();
    Connection::open(env.path("lib/db.sqlite3")).unwrap().execute_batch(SCHEMAS[1].1).unwrap();
    env.start_daemon();
    env.full("directory");
    for (id, settings) in [
        ("stream", [("stream", "true"), ("compression", "zstd")]),
        ("forwarded", [("stream", "true"), ("forward", "cat > /dev/null")]),
    ] {
        env.signal(Signal::TERM);
        assert_eq!(env.wait_for_end(), Some(0));
        for (key, value) in settings {
            env.set(key, value);
        }
        env.start_daemon();
        env.full(id);
    }
    let sizes =
        || env.rows("backup", "1").into_iter().map(|row| (row["id"].clone(), row["size"].clone())).collect::<Vec<_>>();
    let before = sizes();
    env.database().execute("DELETE FROM backup", []).unwrap();
    stdout(&env, 0, "adopt --all --yes");
    assert_eq!(sizes(), before);
}
