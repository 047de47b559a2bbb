//! The records, on real SQLite files.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::process::{Begun, Ended};
use super::{Records, RecordsError, Success};
use crate::model::{JobKind, Moment, Target};

mod chain;
mod digest;
mod notes;
mod reading;
mod refusals;

const PYTHON: &str = include_str!("../../tests/schemas/schema-python.sql");
const GO: &str = include_str!("../../tests/schemas/schema-go.sql");
/// The `backup` table from before schedules.
const OLD: &str = "CREATE TABLE backup (id VARCHAR NOT NULL, from_backup_id VARCHAR, start_time DATETIME NOT NULL,
                   end_time DATETIME, process_id INTEGER NOT NULL, PRIMARY KEY (id));";

struct Bench {
    dir: tempfile::TempDir,
    store: Records,
}

impl Bench {
    fn new(schema: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sqlite3");
        Connection::open(&path).unwrap().execute_batch(schema).unwrap();
        Self { store: Records::open(&path, None).unwrap(), dir }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("db.sqlite3")
    }

    fn rows(&self, query: &str) -> Vec<String> {
        rows(&self.path(), query)
    }

    async fn begin(&self) -> i64 {
        self.store.begin(begun("c-1"), soon()).await.unwrap()
    }
}

fn rows(path: &Path, query: &str) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare(query).unwrap();
    let width = statement.column_count();
    statement
        .query_map([], |row| {
            (0..width)
                .map(|index| {
                    let value: rusqlite::types::Value = row.get(index)?;
                    Ok(match value {
                        rusqlite::types::Value::Null => "NULL".to_owned(),
                        rusqlite::types::Value::Integer(number) => number.to_string(),
                        rusqlite::types::Value::Text(text) => text,
                        rusqlite::types::Value::Real(_) | rusqlite::types::Value::Blob(_) => {
                            panic!("no column is of this type")
                        }
                    })
                })
                .collect::<rusqlite::Result<Vec<_>>>()
                .map(|values| values.join("|"))
        })
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

fn begun(command_id: &str) -> Begun {
    Begun {
        command: "/usr/bin/mariabackup --backup".to_owned(),
        command_id: command_id.to_owned(),
        kind: JobKind::Backup,
        args: r#"{"id": "full-1"}"#.to_owned(),
        start: Moment::now(),
    }
}

fn ended(row: i64) -> Ended {
    let output = Some("completed OK!".to_owned());
    Ended { row, begun: begun("c-1"), pid: 42, return_code: 0, output, error: None, end: Moment::now() }
}

fn backup() -> Success {
    Success::Backup { id: "full-1".parse().unwrap(), from: None, schedule_id: Some(7), size: 4096 }
}

fn restore(target: Target) -> Success {
    Success::Restore {
        full: "full-1".parse().unwrap(),
        timestamp: Some("2026-11-22 09:03:21.300030".to_owned()),
        target,
        target_path: "/b/restores/x".to_owned(),
        start: Moment::now(),
    }
}

#[tokio::test]
async fn a_backup_is_a_running_row_then_a_success_and_a_backup_in_one() {
    for schema in ["", PYTHON, OLD] {
        let records = Bench::new(schema);
        let row = records.begin().await;
        assert_eq!(
            records.rows("SELECT id, command_id, pid, status, output, end_time, type, args FROM process"),
            [r#"1|c-1|0|running|NULL|NULL|backup|{"id": "full-1"}"#]
        );
        records.store.started(row, "c-1".to_owned(), 42);
        records.store.complete(ended(row), backup()).await.unwrap();
        assert_eq!(
            records.rows("SELECT pid, status, output, error, return_code FROM process"),
            ["42|success|completed OK!|NULL|0"]
        );
        assert_eq!(
            records.rows("SELECT id, from_backup_id, schedule_id, process_id FROM backup"),
            ["full-1|NULL|7|1"],
            "{schema}"
        );
        let known = records.store.known(vec!["full-1".to_owned(), "x".to_owned()], soon()).await.unwrap();
        assert_eq!(known.len(), 1);
    }
}

#[tokio::test]
async fn missing_tables_are_made_to_the_letter() {
    let records = Bench::new("");
    let made = records.rows("SELECT sql FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    assert_eq!(format!("{};\n", made.join(";\n")), PYTHON);
}

#[tokio::test]
async fn the_go_apis_tables_are_taken_as_they_are() {
    let records = Bench::new(GO);
    let row = records.begin().await;
    // Schedule 7 is not there, and the API's keys would refuse the row: the backup is recorded all the same.
    records.store.complete(ended(row), backup()).await.unwrap();
    assert_eq!(records.rows("SELECT id, schedule_id, size, process_id FROM backup"), ["full-1|7|4096|1"]);
    records.store.complete(ended(row), restore(Target::Database)).await.unwrap();
    assert_eq!(records.rows("SELECT target, backup_id FROM restore"), ["database|full-1"]);
}

#[tokio::test]
async fn the_python_apis_targets_are_an_enums_names() {
    let records = Bench::new(PYTHON);
    let row = records.begin().await;
    records.store.complete(ended(row), restore(Target::Database)).await.unwrap();
    records.store.complete(ended(row), restore(Target::Folder)).await.unwrap();
    assert_eq!(
        records.rows("SELECT target, target_path, backup_timestamp FROM restore"),
        ["DATABASE|/b/restores/x|2026-11-22 09:03:21.300030", "FOLDER|/b/restores/x|2026-11-22 09:03:21.300030"]
    );
}

#[tokio::test]
async fn the_newest_row_never_says_success_between_two_steps() {
    let records = Bench::new("");
    let row = records.begin().await;
    let next = records.store.advance(ended(row), begun("c-1")).await.unwrap();
    assert_eq!(records.rows("SELECT id, status FROM process ORDER BY id"), ["1|success", "2|running"]);
    records.store.fail(Ended { return_code: -9, ..ended(next) }).await.unwrap();
    assert_eq!(records.rows("SELECT status, return_code FROM process WHERE id = 2"), ["failed|-9"]);
}

#[tokio::test]
async fn the_records_are_wal_and_open_to_the_group() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db.sqlite3");
    let store = Records::open(&path, None).unwrap();
    store.begin(begun("c-1"), soon()).await.unwrap();
    assert_eq!(rows(&path, "PRAGMA journal_mode"), ["wal"]);
    for suffix in ["", "-wal"] {
        let file = format!("{}{suffix}", path.display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o660, "{file}");
    }
}

#[tokio::test]
async fn an_outcome_outlasts_a_lock_and_a_client_gets_its_answer() {
    let records = Bench::new("");
    let row = records.begin().await;
    let other = Connection::open(records.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = records.store.clone();
    let outcome = tokio::spawn(async move { store.complete(ended(row), backup()).await });
    // While the outcome waits, reading goes on and a client that would write is told within its time.
    assert!(records.store.known(vec!["full-1".to_owned()], soon()).await.unwrap().is_empty());
    let begun_at = Instant::now();
    let refused = records.store.begin(begun("c-2"), Instant::now() + Duration::from_millis(500)).await;
    assert!(matches!(refused, Err(RecordsError::Sqlite(_))), "{refused:?}");
    assert!(begun_at.elapsed() < Duration::from_secs(3), "{:?}", begun_at.elapsed());
    assert!(!outcome.is_finished());
    other.execute_batch("ROLLBACK").unwrap();
    outcome.await.unwrap().unwrap();
    assert_eq!(records.rows("SELECT id FROM backup"), ["full-1"]);
    assert_eq!(records.rows("SELECT command_id FROM process"), ["c-1"], "what was refused left no row");
}

#[tokio::test]
async fn an_outcome_outlasts_a_database_that_was_replaced() {
    let records = Bench::new("");
    let row = records.begin().await;
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", records.path().display())).unwrap();
    }
    records.store.complete(ended(row), backup()).await.unwrap();
    assert_eq!(records.rows("SELECT command_id, status FROM process"), ["c-1|success"]);
    assert_eq!(records.rows("SELECT id FROM backup"), ["full-1"]);
}

#[tokio::test]
async fn a_record_that_is_refused_is_no_endless_loop() {
    let records = Bench::new("");
    let row = records.begin().await;
    records.store.complete(ended(row), backup()).await.unwrap();
    let twice = records.store.complete(ended(row), backup()).await;
    assert!(matches!(twice, Err(RecordsError::Sqlite(_))), "{twice:?}");
}

#[tokio::test]
async fn two_daemons_on_one_database_are_one_too_many() {
    let records = Bench::new("");
    assert!(matches!(Records::open(&records.path(), None), Err(RecordsError::Taken)));
    records.store.close(Duration::from_secs(5)).await;
    assert!(matches!(records.store.begin(begun("c"), soon()).await, Err(RecordsError::Closed)));
}

#[tokio::test]
async fn rows_left_running_are_found_and_ended_once() {
    let records = Bench::new("");
    let row = records.begin().await;
    let found = records.store.interrupted().await.unwrap();
    assert_eq!((found.len(), found[0].row, found[0].kind.as_str()), (1, row, "backup"));
    records.store.end_interrupted(row, "the daemon died".to_owned()).await.unwrap();
    assert!(records.store.interrupted().await.unwrap().is_empty());
    assert_eq!(records.rows("SELECT status, return_code, error FROM process"), ["failed|-1|the daemon died"]);
}

#[tokio::test]
async fn what_another_program_wrote_is_read_whatever_it_is() {
    for schema in [PYTHON, GO] {
        let records = Bench::new(schema);
        let other = Connection::open(records.path()).unwrap();
        other
            .execute_batch(
                "PRAGMA foreign_keys = off;
                 INSERT INTO process (command, command_id, pid, status, start_time, type, args) VALUES
                 (x'ff2d', 'c-1', 'no number', 'running', 'now', 'backup', x'ff'),
                 ('x', x'41', 99999999999, 'running', 'now', 'restore', 7);
                 INSERT INTO backup (id, from_backup_id, start_time, process_id) VALUES ('a', x'62', 2026.5, 1), ('c', NULL, CAST(x'ff' AS TEXT), 1)",
            )
            .unwrap();
        let found = records.store.interrupted().await.unwrap();
        let found: Vec<_> = found.iter().map(|row| (&*row.command, &*row.command_id, row.pid, &*row.args)).collect();
        assert_eq!(found, [("\u{fffd}-", "c-1", 0, "\u{fffd}"), ("x", "A", 0, "7")]);
        let known = records.store.known(vec!["a".to_owned(), "c".to_owned()], soon()).await.unwrap();
        let read = |id: &str| (known[id].from.as_deref(), known[id].start_time.as_deref());
        assert_eq!((read("a"), read("c")), ((Some("b"), Some("2026.5")), (None, Some("\u{fffd}"))));
    }
}
