//! How far a command is: said in its row, and never at the cost of what it came to.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{Bench, ended, soon};
use crate::records::process::Note;

const OUTPUT: &str = "SELECT status, output, error, return_code, end_time FROM process";

fn note(row: i64, command_id: &str, text: &str) -> Note {
    Note { row, command_id: command_id.to_owned(), text: text.to_owned() }
}

impl Bench {
    /// Waits until everything that was asked of the records so far is done, or dropped.
    async fn caught_up(&self) {
        self.store.known(Vec::new(), soon()).await.unwrap();
    }

    /// Says it until it is written.
    async fn noted(&self, note: Note) {
        while self.rows("SELECT coalesce(output, '') FROM process WHERE status = 'running'") != [note.text.as_str()] {
            self.store.note(note.clone());
            self.caught_up().await;
        }
    }
}

#[tokio::test]
async fn a_running_row_says_how_far_it_is_and_nothing_else_of_it_changes() {
    let records = Bench::new("");
    let row = records.begin().await;
    records.noted(note(row, "c-1", "copying 1 bytes")).await;
    assert_eq!(records.rows(OUTPUT), ["running|copying 1 bytes|NULL|NULL|NULL"]);
    records.noted(note(row, "c-1", "copying 2 bytes")).await;
    records.store.note(note(row, "c-2", "another request's"));
    records.caught_up().await;
    assert_eq!(records.rows(OUTPUT), ["running|copying 2 bytes|NULL|NULL|NULL"]);

    let mut failed = ended(row);
    failed.output = None;
    failed.error = Some("it went wrong".to_owned());
    records.store.fail(failed).await.unwrap();
    let over = records.rows(OUTPUT);
    assert!(over[0].starts_with("failed|NULL|it went wrong|0|"), "{over:?}");
    records.store.note(note(row, "c-1", "too late"));
    records.caught_up().await;
    assert_eq!(records.rows(OUTPUT), over);
}

#[tokio::test]
async fn what_an_interrupted_row_had_come_to_is_no_output_of_it() {
    let records = Bench::new("");
    let row = records.begin().await;
    records.noted(note(row, "c-1", "copying 1 bytes")).await;
    records.store.end_interrupted(row, "the daemon was gone".to_owned()).await.unwrap();
    let over = records.rows(OUTPUT);
    assert!(over[0].starts_with("failed|NULL|the daemon was gone|-1|"), "{over:?}");
}

/// While another process writes, a note costs no time and is not kept for later.
#[tokio::test]
async fn a_locked_database_is_not_waited_for_and_loses_nothing() {
    let records = Bench::new("");
    let row = records.begin().await;
    let other = Connection::open(records.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    for number in 0..100 {
        records.store.note(note(row, "c-1", &format!("copying {number} bytes")));
        records.caught_up().await;
    }
    let taken = begun.elapsed();
    assert!(taken < Duration::from_secs(5), "100 notes took {taken:?}; a wait for the lock each takes 20 s");
    other.execute_batch("ROLLBACK").unwrap();
    records.caught_up().await;
    assert_eq!(records.rows(OUTPUT), ["running|NULL|NULL|NULL|NULL"], "none was kept for later");
    records.noted(note(row, "c-1", "copying 100 bytes")).await;
    assert_eq!(records.rows("PRAGMA journal_mode"), ["wal"]);
    records.store.complete(ended(row), super::backup()).await.unwrap();
    assert!(records.rows(OUTPUT)[0].starts_with("success|completed OK!|NULL|0|"));
}

#[tokio::test]
async fn the_newest_full_backup_is_known() {
    let records = Bench::new("");
    assert_eq!(records.store.newest_full(soon()).await.unwrap(), None);
    let other = Connection::open(records.path()).unwrap();
    other
        .execute_batch(
            "INSERT INTO backup VALUES ('old', NULL, NULL, '2026-01-01 00:00:00.000000', NULL, 1);
             INSERT INTO backup VALUES ('fast', NULL, NULL, '2026-02-01 00:00:00.000000', NULL, 1);
             INSERT INTO backup VALUES ('new', NULL, NULL, '2026-01-02 00:00:00.000000', NULL, 1);
             INSERT INTO backup VALUES ('inc', 'new', NULL, '2026-01-03 00:00:00.000000', NULL, 1);",
        )
        .unwrap();
    assert_eq!(records.store.newest_full(soon()).await.unwrap().as_deref(), Some("new"));
}
