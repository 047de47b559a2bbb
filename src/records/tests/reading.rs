//! What the operator's command line reads, in every layout of the tables, and that it leaves no trace.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::{Bench, GO, OLD, PYTHON, ended, soon};
use crate::records::Success;
use crate::records::reader::Reader;

const ROWS: &str = "
    INSERT INTO process (id, command_id, command, pid, status, start_time, type, args, output)
        VALUES (1, 'c-1', 'tool', 7, 'success', '2026-11-22 08:00:00', 'backup', '{\"id\": \"a\"}', x'ff');
    INSERT INTO backup (id, start_time, process_id) VALUES ('a', '2026-11-22 08:00:00', 1);
    INSERT INTO backup (id, from_backup_id, start_time, end_time, process_id) VALUES ('b', 'a', 5, 'never', 'x');";

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_layout_is_read_and_nothing_is_left() {
    let before_schedules = format!("{OLD}{}", PYTHON.split_once(";\n").unwrap().1);
    for (layout, schema) in [("python", PYTHON), ("go", GO), ("old", &before_schedules)] {
        for mode in ["wal", "delete"] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("with ?#%25.sqlite3");
            let connection = Connection::open(&path).unwrap();
            connection.pragma_update(None, "journal_mode", mode).unwrap();
            connection.pragma_update(None, "foreign_keys", false).unwrap();
            connection.execute_batch(&format!("{schema}{ROWS}")).unwrap();
            if layout == "go" {
                connection.execute("UPDATE backup SET size = 99, schedule_id = 3", []).unwrap();
            }
            let look = || {
                let reader = Reader::open(&path).unwrap();
                let backups = reader.backups(true).unwrap();
                let shown: Vec<_> = backups.iter().map(|b| (b.id.as_str(), b.from.as_deref(), b.size)).collect();
                let size = (layout == "go").then_some(99);
                assert_eq!(shown, [("a", None, size), ("b", Some("a"), size)], "{layout} {mode}: whatever a time is");
                assert_eq!(backups[1].start_time.as_deref(), Some("5"));
                assert_eq!(backups[0].command_id.as_deref(), Some("c-1"));
                assert_eq!(backups[0].schedule_id, (layout == "go").then_some(3));
                let steps = reader.request("c-1").unwrap();
                assert_eq!((steps[0].args["id"].as_str(), steps[0].output.as_deref()), (Some("a"), Some("\u{fffd}")));
                assert!(
                    reader.restores().unwrap().is_empty()
                        && reader.processes(true, usize::MAX, |_| true).unwrap().is_empty()
                );
            };
            // While somebody writes, and when nobody has the file open.
            look();
            drop(connection);
            let before = names(dir.path());
            look();
            assert_eq!(names(dir.path()), before, "{layout} {mode}");
        }
    }
}

#[test]
fn what_is_not_there_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Reader::open(&dir.path().join("none")).is_err());
    fs::write(dir.path().join("empty"), "").unwrap();
    assert!(Reader::open(&dir.path().join("empty")).unwrap().backups(true).unwrap().is_empty());
    fs::write(dir.path().join("text"), "this is no database, whatever one may think of it").unwrap();
    assert!(Reader::open(&dir.path().join("text")).unwrap().backups(true).is_err());
    assert_eq!(names(dir.path()), ["empty", "text"]);
}

#[tokio::test]
async fn a_backup_of_an_empty_base_is_a_full_one_to_every_reader() {
    for schema in [PYTHON, GO] {
        for empty in ["NULL", "''", "x''"] {
            let records = Bench::new(&format!("PRAGMA foreign_keys = OFF; {schema}"));
            let rows = format!(
                "PRAGMA foreign_keys = OFF;
                 INSERT INTO backup (id, from_backup_id, start_time, end_time, process_id) VALUES
                     ('old', NULL, '1970-01-01 00:00:01.000000', '1970-01-01 00:00:02.000000', 1),
                     ('a', {empty}, '1970-01-01 00:00:03.000000', '1970-01-01 00:00:04.000000', 1);"
            );
            Connection::open(records.path()).unwrap().execute_batch(&rows).unwrap();
            let store = &records.store;
            let known = store.known(vec!["a".to_owned()], soon()).await.unwrap();
            assert_eq!(known.values().map(|known| known.from.clone()).collect::<Vec<_>>(), [None], "{empty}");
            assert_eq!(store.newest_full(soon()).await.unwrap().as_deref(), Some("a"), "{empty}");
            let chain = store.chain("a".to_owned(), soon()).await.unwrap();
            assert_eq!(chain.iter().map(|one| one.row.from.clone()).collect::<Vec<_>>(), [None], "{empty}");
            let digest = store.digest(soon()).await.unwrap();
            assert_eq!((digest.full.map(|full| full.id), digest.incremental), (Some("a".to_owned()), None), "{empty}");
            let row = records.begin().await;
            let (id, from) = ("inc".parse().unwrap(), Some("a".parse().unwrap()));
            store.complete(ended(row), Success::Backup { id, from, schedule_id: None, size: 0 }).await.unwrap();
            let read = Reader::open(&records.path()).unwrap().backups(false).unwrap();
            let bases: Vec<_> = read.iter().map(|row| (row.id.as_str(), row.from.as_deref())).collect();
            assert_eq!(bases, [("old", None), ("a", None), ("inc", Some("a"))], "{empty}");
        }
    }
}
