//! What the metrics are made from, in the tables of either API.

use rusqlite::Connection;

use super::{Bench, GO, PYTHON, soon};
use crate::records::digest::{Digest, Latest};
use crate::records::failure::Failures;

#[tokio::test]
async fn the_last_successes_are_found_in_either_apis_tables() {
    for (schema, size, columns) in [
        (PYTHON, None, "id, from_backup_id, start_time, end_time, process_id"),
        (GO, Some(4096), "size, id, from_backup_id, start_time, end_time, process_id"),
    ] {
        let records = Bench::new(schema);
        assert_eq!(records.store.digest(soon()).await.unwrap(), Digest::default());
        let other = Connection::open(records.path()).unwrap();
        let own = size.map(|size| format!("{size}, ")).unwrap_or_default();
        let (target, zone) = if size.is_some() { ("database", "+00:00") } else { ("DATABASE", "") };
        let statements = format!(
            "INSERT INTO process (id, command_id, command, pid, status, start_time, type, args)
             VALUES (1, 'c-1', 'x', 1, 'success', 'x', 'backup', '');
             INSERT INTO backup ({columns})
             VALUES ({own}'old', NULL, '1970-01-01 00:00:01.000000', '1970-01-01 00:00:02.000000', 1);
             INSERT INTO backup ({columns})
             VALUES ({own}'new', NULL, '1970-01-01 00:00:10.250000{zone}', '1970-01-01 00:00:12.500000{zone}', 1);
             INSERT INTO backup ({columns})
             VALUES ({own}'inc', 'new', '1970-01-01 00:01:00.000000', '1970-01-01 00:00:30.000000', 1);
             INSERT INTO restore (target, end_time, start_time, target_path, backup_id, backup_timestamp, process_id)
             VALUES ('{target}', '1970-01-01 00:02:00.000000', 'x', 'x', 'new', 'x', 1);"
        );
        other.execute_batch(&statements).unwrap();
        let latest = |id: &str, end, seconds| Some(Latest { id: id.to_owned(), end, seconds, size });
        let wanted = Digest {
            full: latest("new", 12.5, Some(2.25)),
            // A clock that was set back makes no duration.
            incremental: latest("inc", 30.0, None),
            restores: vec![("database", 120.0)],
        };
        assert_eq!(records.store.digest(soon()).await.unwrap(), wanted);
    }
}

#[tokio::test]
async fn what_is_of_the_future_is_no_last_success() {
    let records = Bench::new("");
    let other = Connection::open(records.path()).unwrap();
    let add = |id: &str, end: &str| {
        let statements = format!(
            "INSERT INTO backup VALUES ('{id}', NULL, NULL, 'x', '{end}', 1);
             INSERT INTO restore (target, end_time, target_path, backup_id, process_id)
             VALUES ('FOLDER', '{end}', 'x', 'x', 1);"
        );
        other.execute_batch(&statements).unwrap();
    };
    let last = async || {
        let digest = records.store.digest(soon()).await.unwrap();
        digest.full.map(|full| (full.id, full.end, digest.restores))
    };
    add("fast", "9000-01-01 00:00:00.000000");
    assert_eq!(last().await, None);
    add("good", "1970-01-01 00:00:20.000000");
    add("faster", "9000-01-01 00:00:00.000000");
    assert_eq!(last().await, Some(("good".to_owned(), 20.0, vec![("folder", 20.0)])));
    // The clock was ahead of this one, and of now no more.
    add("later", "1970-01-01 00:00:10.000000");
    assert_eq!(last().await, Some(("later".to_owned(), 10.0, vec![("folder", 10.0)])));
}

#[tokio::test]
async fn failures_are_counted_as_far_back_as_the_records_go() {
    let records = Bench::new("");
    assert_eq!(records.store.failures(soon()).await.unwrap(), Failures::default());
    let other = Connection::open(records.path()).unwrap();
    for (status, kind, code, error) in [
        ("failed", "backup", "1", "'it went wrong'"),
        ("failed", "backup", "'strange'", "NULL"),
        ("failed", "restore", "0", "'x has no valid to_lsn'"),
        ("failed", "clean_up", "1", "'another program''s'"),
        ("success", "backup", "0", "NULL"),
        ("running", "backup", "NULL", "NULL"),
    ] {
        let statement = format!(
            "INSERT INTO process (command_id, command, pid, status, start_time, type, args, return_code, error)
             VALUES ('c', 'x', 1, '{status}', 'x', '{kind}', '', {code}, {error})"
        );
        other.execute(&statement, []).unwrap();
    }
    let told = records.store.failures(soon()).await.unwrap();
    let told: Vec<_> =
        told.each().filter(|told| told.2 > 0).map(|(kind, why, n)| (kind.as_str(), why.as_str(), n)).collect();
    assert_eq!(told, [("backup", "tool", 2), ("restore", "verification", 1)]);
}
