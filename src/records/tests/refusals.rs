//! Bench that the database does not take: what a client waits for is refused at once; what has happened is tried until the
//! daemon ends, unless the record itself is refused.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;

use super::*;
use crate::model::BackupId;
use crate::records::try_write;
use crate::records::worker::{Patience, SLICE};

impl Bench {
    /// Somebody else changes the tables.
    fn sabotage(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

/// An outcome that is not written is tried again and again, and nobody is told that it is.
async fn pending(outcome: &mut JoinHandle<Result<(), RecordsError>>) {
    let still = tokio::time::timeout(Duration::from_millis(100), outcome).await;
    assert!(still.is_err(), "{still:?}");
}

#[tokio::test]
async fn what_a_client_waits_for_is_refused_at_once() {
    let records = Bench::new("");
    records.sabotage("DROP TABLE process");
    let refused = records.store.begin(begun("c-1"), soon()).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database cannot be used: no such table: process");
}

#[tokio::test]
async fn an_outcome_makes_its_table_anew_where_it_is_gone() {
    let records = Bench::new("");
    let row = records.begin().await;
    records.sabotage("DROP TABLE process");
    records.store.started(row, "c-1".to_owned(), 41);
    records.store.fail(ended(row)).await.unwrap();
    assert_eq!(records.rows("SELECT id, pid, status, output FROM process"), ["1|42|failed|completed OK!"]);
}

#[tokio::test]
async fn an_outcome_is_tried_until_its_table_takes_it_again() {
    let records = Bench::new("");
    let row = records.begin().await;
    records.sabotage("DELETE FROM process; ALTER TABLE process RENAME COLUMN args TO x");
    let store = records.store.clone();
    let mut outcome = tokio::spawn(async move { store.fail(ended(row)).await });
    pending(&mut outcome).await;
    records.sabotage("ALTER TABLE process RENAME COLUMN x TO args");
    outcome.await.unwrap().unwrap();
    assert_eq!(records.rows("SELECT status, output FROM process"), ["failed|completed OK!"]);
}

#[tokio::test]
async fn a_success_is_tried_until_its_table_takes_it_again() {
    for (success, table, column) in
        [(backup(), "backup", "end_time"), (restore(Target::Folder), "restore", "target_path")]
    {
        let records = Bench::new("");
        let row = records.begin().await;
        records.sabotage(&format!("ALTER TABLE {table} RENAME COLUMN {column} TO x"));
        let store = records.store.clone();
        let mut outcome = tokio::spawn(async move { store.complete(ended(row), success).await });
        pending(&mut outcome).await;
        assert_eq!(records.rows("SELECT status FROM process"), ["running"], "one transaction");
        records.sabotage(&format!("ALTER TABLE {table} RENAME COLUMN x TO {column}"));
        outcome.await.unwrap().unwrap();
        assert_eq!(records.rows(&format!("SELECT status, (SELECT count(*) FROM {table}) FROM process")), ["success|1"]);
    }
}

#[tokio::test]
async fn a_daemon_that_ends_gives_up_what_it_cannot_write() {
    let records = Bench::new("");
    let row = records.begin().await;
    // The directory is gone, so that no file can be made in it either.
    fs::remove_dir_all(records.dir.path()).unwrap();
    let store = records.store.clone();
    let mut outcome = tokio::spawn(async move { store.fail(ended(row)).await });
    pending(&mut outcome).await;
    records.store.close(Duration::ZERO).await;
    assert!(outcome.await.unwrap().is_err());
    // Closing once more waits for nothing, whether the thread is just ending or has gone.
    for _ in 0..2 {
        records.store.close(Duration::from_secs(60)).await;
    }
}

#[tokio::test]
async fn a_row_that_is_refused_is_refused_for_good() {
    let records = Bench::new("");
    let row = records.begin().await;
    records.sabotage(
        "DELETE FROM process; CREATE TRIGGER t BEFORE INSERT ON process BEGIN SELECT RAISE(ABORT, 'no more rows'); END",
    );
    let refused = records.store.fail(ended(row)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the database cannot be used: no more rows");
}

#[tokio::test]
async fn an_incremental_whose_base_was_deleted_is_no_backup() {
    let records = Bench::new("");
    let row = records.begin().await;
    let from = Some("gone".parse::<BackupId>().unwrap());
    let success = Success::Backup { id: "inc-1".parse().unwrap(), from, schedule_id: None, size: 1 };
    let refused = records.store.complete(ended(row), success).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the database cannot be used: the base 'gone' was deleted while the backup was taken"
    );
    assert_eq!(records.rows("SELECT status, (SELECT count(*) FROM backup) FROM process"), ["running|0"]);
}

#[tokio::test]
async fn a_folder_restore_is_spelt_as_the_go_api_spells_it() {
    let records = Bench::new(GO);
    let row = records.begin().await;
    records.store.complete(ended(row), backup()).await.unwrap();
    records.store.complete(ended(row), restore(Target::Folder)).await.unwrap();
    assert_eq!(records.rows("SELECT target FROM restore"), ["folder"]);
}

#[test]
fn whether_a_database_can_be_written_is_found_out_without_a_change() {
    let records = Bench::new("");
    let before = fs::read(records.path()).unwrap();
    try_write(&records.path()).unwrap();
    assert_eq!(fs::read(records.path()).unwrap(), before);
    assert!(try_write(&records.dir.path().join("nothing")).is_err());
    assert!(!records.dir.path().join("nothing").exists());
}

#[tokio::test]
async fn a_daemon_that_ends_gives_an_outcome_the_time_that_it_has() {
    let records = Bench::new("");
    let row = records.begin().await;
    let other = Connection::open(records.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = records.store.clone();
    let mut outcome = tokio::spawn(async move { store.fail(ended(row)).await });
    pending(&mut outcome).await;
    let store = records.store.clone();
    let closed = tokio::spawn(async move { store.close(Duration::from_secs(60)).await });
    // Long enough for several attempts.
    let still = tokio::time::timeout(5 * SLICE, &mut outcome).await;
    assert!(still.is_err(), "{still:?}");
    other.execute_batch("ROLLBACK").unwrap();
    outcome.await.unwrap().unwrap();
    closed.await.unwrap();
    assert_eq!(records.rows("SELECT status FROM process"), ["failed"]);
}

#[tokio::test]
async fn a_client_in_the_queue_does_not_keep_an_outcome_from_being_written() {
    let records = Bench::new("");
    let busy = || rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY), None);
    // What the client waits for is kept out by another process's lock, until the test says otherwise.
    let free = Arc::new(AtomicBool::new(false));
    let (worker, told) = (records.store.worker.clone(), Arc::clone(&free));
    let until = Instant::now() + Duration::from_secs(20);
    let client = tokio::spawn(async move {
        let work = move |_: &mut Connection| if told.load(Ordering::Relaxed) { Ok(()) } else { Err(busy()) };
        worker.call(Patience::Until(until), work).await
    });
    let mut tries = 0;
    let outcome = records.store.worker.call(Patience::Lasting, move |_| {
        tries += 1;
        if tries < 3 { Err(busy()) } else { Ok(tries) }
    });
    assert_eq!(outcome.await.unwrap(), 3);
    assert!(Instant::now() < until, "it was written only when the client had given up");
    free.store(true, Ordering::Relaxed);
    client.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_directory_that_is_gone_is_told_as_what_it_is() {
    let records = Bench::new("");
    fs::remove_dir_all(records.dir.path()).unwrap();
    let refused = records.store.begin(begun("c-1"), soon()).await.unwrap_err();
    let path = records.path();
    assert_eq!(
        crate::model::causes(&refused),
        format!("the database file cannot be opened: '{}': No such file or directory (os error 2)", path.display())
    );
}
