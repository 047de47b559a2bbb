//! Chains, as the records have them, in the tables of either API.

use rusqlite::Connection;

use super::{Bench, GO, PYTHON, begun, ended, soon};
use crate::records::reader::Reader;
use crate::records::{RecordsError, Success};

const ROWS: &str = "
    INSERT INTO process (id, command_id, command, pid, status, start_time, type, args) VALUES
        (1, 'c', 'tool --backup', 1, 'success', 'x', 'backup', ''),
        (2, 'c', 'tool --stream | dbcalm-db-cmd store --into=/b/b --forward', 1, 'success', 'x', 'backup', ''),
        (3, 'c', 'tool --stream | dbcalm-db-cmd store --into=/b/c', 1, 'success', 'x', 'backup', '');
    INSERT INTO backup (id, from_backup_id, start_time, process_id) VALUES
        ('a', NULL, 'at-a', 1), ('b', 'a', 'at-b', 2), ('c', 'b', 'at-c', 3), ('other', 'a', 'x', 9), ('orphan', 'gone', 'x', 9),
        ('late', 'orphan', 'x', 9), ('p', 'q', 'x', 9), ('q', 'p', 'x', 9), ('empty', '', 'x', 9);";

#[tokio::test]
async fn a_chain_is_walked_up_in_one_query_and_a_loop_once() {
    for schema in [PYTHON, GO] {
        let records = Bench::new(&format!("PRAGMA foreign_keys = OFF; {schema}{ROWS}"));
        for (id, wanted) in [
            ("c", "a:None b:Some(true) c:Some(false)"),
            ("late", "late:None orphan:None"),
            ("p", "p:None q:None"),
            ("empty", "empty:None"),
            ("none", ""),
        ] {
            let chain = records.store.chain(id.to_owned(), soon()).await.unwrap();
            let mut said: Vec<_> = chain.iter().map(|one| format!("{}:{:?}", one.row.id, one.forwarded)).collect();
            said.sort();
            assert_eq!(said.join(" "), wanted);
        }
        let chain = records.store.chain("b".to_owned(), soon()).await.unwrap();
        let b = chain.iter().find(|one| one.row.id == "b").unwrap();
        assert_eq!((b.row.from.as_deref(), b.row.start_time.as_deref(), b.row.place), (Some("a"), Some("at-b"), 2));
    }
}

#[tokio::test]
async fn a_backup_of_whose_chain_a_member_was_deleted_meanwhile_is_none() {
    let records = Bench::new(&format!("PRAGMA foreign_keys = OFF; {PYTHON}{ROWS}"));
    let take = async |id: &str, base: &str| {
        let row = records.store.begin(begun("c-1"), soon()).await.unwrap();
        let (id, from) = (id.parse().unwrap(), Some(base.parse().unwrap()));
        records.store.complete(ended(row), Success::Backup { id, from, schedule_id: None, size: 0 }).await
    };
    take("d", "c").await.unwrap();
    Connection::open(records.path()).unwrap().execute("DELETE FROM backup WHERE id = 'a'", []).unwrap();
    let Err(RecordsError::Sqlite(why)) = take("e", "d").await else { panic!("a member is gone") };
    assert_eq!(why.to_string(), "the base 'a' was deleted while the backup was taken");
    assert_eq!(records.rows("SELECT count(*) FROM backup WHERE id = 'e'"), ["0"]);
}

/// What the whole order rests on: nothing but a removal changes who was recorded after whom.
#[test]
fn the_order_of_the_records_outlasts_removals_a_vacuum_and_ids_that_are_used_again() {
    for schema in [PYTHON, GO] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("db.sqlite3");
        let database = Connection::open(&path).unwrap();
        database.execute_batch(&format!("PRAGMA foreign_keys = OFF; {schema}")).unwrap();
        let add = |id: &str, at: &str| {
            let statement = "INSERT INTO backup (id, start_time, process_id) VALUES (?1, ?2, 1)";
            database.execute(statement, [id, at]).unwrap();
        };
        let order = || {
            let rows = Reader::open(&path).unwrap().backups(false).unwrap();
            assert!(rows.is_sorted_by(|one, other| one.place < other.place), "{rows:?}");
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>().join(" ")
        };
        for (id, at) in [("z", "2026-11-01"), ("fast", "2026-12-28"), ("y", "2026-11-02"), ("a", "2026-10-01")] {
            add(id, at);
        }
        assert_eq!(order(), "z fast y a", "whatever their times");
        for gone in ["z", "a"] {
            database.execute("DELETE FROM backup WHERE id = ?1", [gone]).unwrap();
        }
        database.execute_batch("VACUUM").unwrap();
        add("z", "2026-11-03");
        assert_eq!(order(), "fast y z");
        database.execute_batch("VACUUM").unwrap();
        database.execute("DELETE FROM backup WHERE id = 'fast'", []).unwrap();
        database.execute_batch("VACUUM").unwrap();
        add("fast", "2026-11-04");
        assert_eq!(order(), "y z fast");
    }
}
