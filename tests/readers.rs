//! The two APIs over one database: whichever made it first, and whichever comes to it later, finds restores in its own words.

use rusqlite::Connection;

use crate::cli::{json, stdout};
use crate::harness::TestEnv;

const GO: &str = include_str!("schemas/schema-go.sql");

/// What the Go API does at each start: what is there is left, what is missing is made.
fn the_go_api_starts(env: &TestEnv) {
    let statements = GO
        .replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ")
        .replace("CREATE INDEX ", "CREATE INDEX IF NOT EXISTS ");
    let database = Connection::open(env.path("lib/db.sqlite3")).unwrap();
    database.execute_batch(&format!("PRAGMA foreign_keys = ON; {statements}")).unwrap();
}

fn targets(env: &TestEnv) -> Vec<String> {
    let rows = env.rows("restore", "1");
    rows.iter().map(|row| row["target"].as_str().unwrap().to_owned()).collect()
}

/// The line of `check` on the reader of the records, and its warnings.
fn told(env: &TestEnv) -> (String, Vec<String>) {
    let said = stdout(env, 0, "check");
    let line = said.lines().find(|line| line.contains("the records are written for")).unwrap();
    let warnings = said.lines().filter(|line| line.starts_with("warning")).map(str::to_owned).collect();
    (line.to_owned(), warnings)
}

#[test]
fn the_go_api_that_comes_to_our_tables_is_known_by_its_index_and_what_it_cannot_read_is_told() {
    let env = TestEnv::start();
    env.full("monday");
    env.restore(&["monday"], "folder");
    assert_eq!(targets(&env), ["FOLDER"]);
    let (line, warnings) = told(&env);
    assert_eq!(line, "ok       the records are written for the Python API: nothing in the database is the Go API's");
    assert!(warnings.is_empty(), "{warnings:?}");

    the_go_api_starts(&env);
    env.restore(&["monday"], "folder");
    assert_eq!(targets(&env), ["FOLDER", "folder"]);
    let (line, warnings) = told(&env);
    assert_eq!(
        line,
        "ok       the records are written for the Go API: the Go API has laid its index 'idx_processes_command_id' on the tables"
    );
    assert_eq!(
        warnings,
        ["warning  1 restores are recorded in the words of the other API, which the Go API does not know"]
    );
    // What the hint says.
    let hint = json(&env, 0, "check")["findings"].as_array().unwrap().iter().find_map(|one| {
        let hint = one["hint"].as_str()?;
        Some(hint.split_once("sqlite3 ")?.1.split_once(" \"")?.1.split_once("\";")?.0.to_owned())
    });
    env.database().execute_batch(&hint.unwrap()).unwrap();
    assert_eq!(targets(&env), ["folder", "folder"]);
    assert!(told(&env).1.is_empty());
    assert_eq!(json(&env, 0, "list restores")["restores"][1]["target"], "folder");
}

#[test]
fn tables_that_are_made_for_the_go_api_are_its_own() {
    let mut env = TestEnv::new();
    env.set("records_for", "go");
    assert!(stdout(&env, 0, "check").contains("will be created, as the Go API creates it"));
    env.start_daemon();
    let layout = |database: &Connection| {
        let query =
            "SELECT m.name, c.name, c.type, c.\"notnull\", c.pk FROM sqlite_schema m JOIN pragma_table_info(m.name) c
                     WHERE m.name IN ('process', 'backup', 'restore') ORDER BY m.name, c.cid";
        let mut statement = database.prepare(query).unwrap();
        let read = |row: &rusqlite::Row<'_>| (0..5).map(|at| row.get::<_, rusqlite::types::Value>(at)).collect();
        statement.query_map([], read).unwrap().collect::<Result<Vec<Vec<_>>, _>>().unwrap()
    };
    let its = Connection::open_in_memory().unwrap();
    its.execute_batch(GO).unwrap();
    assert_eq!(layout(&env.database()), layout(&its));
    the_go_api_starts(&env);
    env.full("monday");
    env.restore(&["monday"], "folder");
    env.world.stop().unwrap();
    env.restore(&["monday"], "database");
    assert_eq!(targets(&env), ["folder", "database"]);
    assert!(env.rows("backup", "1")[0]["size"].as_i64().unwrap() > 0);
}

#[test]
fn the_setting_goes_before_what_the_tables_tell() {
    for (schema, set, wanted) in [(GO, "python", "FOLDER"), ("", "go", "folder"), (GO, "", "folder")] {
        let mut env = TestEnv::new();
        Connection::open(env.path("lib/db.sqlite3")).unwrap().execute_batch(schema).unwrap();
        env.start_daemon();
        env.full("monday");
        if !set.is_empty() {
            env.set("records_for", set);
            env.signal(rustix::process::Signal::TERM);
            assert_eq!(env.wait_for_end(), Some(0));
            env.start_daemon();
        }
        env.restore(&["monday"], "folder");
        assert_eq!(targets(&env), [wanted], "{set}");
        if !set.is_empty() {
            assert!(told(&env).0.ends_with(&format!("records_for is '{set}'")));
        }
    }
    let mut env = TestEnv::new();
    env.set("records_for", "perl");
    assert!(stdout(&env, 1, "check").contains("records_for 'perl' is neither python nor go"));
}
