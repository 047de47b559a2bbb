//! A backup recorded that was taken without these records: as what it is, and at the place that its time gives it among the others.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::{chain, rows, schema, text};
use crate::model::{BackupId, CommandId, JobKind, Moment};

/// A backup that is to be recorded, and by which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// Its id.
    pub id: BackupId,
    /// What it was taken from. None if it is a full one.
    pub from: Option<BackupId>,
    /// The schedule that asked for it.
    pub schedule_id: Option<i64>,
    /// When it was begun.
    pub start: Moment,
    /// When it had ended.
    pub end: Moment,
    /// How much it takes on disk, in bytes; kept where the table has a column for it.
    pub size: u64,
    /// What its row of `process` calls the command, which no program ran.
    pub command: String,
    /// The request.
    pub command_id: CommandId,
    /// The arguments of a backup like it, as JSON.
    pub args: String,
    /// What is to be known of it.
    pub output: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adoption {
    /// It is recorded.
    Done,
    /// Its id is recorded already; nothing was changed.
    Exists,
    /// This member of its chain is not recorded; nothing was changed.
    Without(String),
}

/// Writes the rows, within a transaction.
pub(super) fn insert(connection: &Connection, adopted: &Adopted) -> Result<Adoption> {
    let Adopted { id, from, schedule_id, start, end, .. } = adopted;
    if rows::known(connection, id.as_str())?.is_some() {
        return Ok(Adoption::Exists);
    }
    if let Some(from) = from
        && let Some(gone) = chain::first_gap(connection, from.as_str())?
    {
        return Ok(Adoption::Without(gone));
    }
    let (start_text, end_text) = (start.to_string(), end.to_string());
    connection
        .prepare_cached(
            "INSERT INTO process (command, command_id, pid, status, return_code, output, start_time, end_time, type, args)
             VALUES (?1, ?2, 0, 'success', 0, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            adopted.command,
            adopted.command_id.to_string(),
            adopted.output,
            start_text,
            end_text,
            JobKind::Backup.as_str(),
            adopted.args
        ])?;
    let process = connection.last_insert_rowid();
    let place = make_place(connection, from.as_ref(), *start)?;
    connection
        .prepare_cached(
            "INSERT INTO backup (rowid, id, from_backup_id, schedule_id, start_time, end_time, process_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            place,
            id.as_str(),
            from.as_ref().map(BackupId::as_str),
            schedule_id,
            start_text,
            end_text,
            process
        ])?;
    if schema::has_column(connection, "backup", "size")? {
        let size = i64::try_from(adopted.size).unwrap_or(i64::MAX);
        connection.execute("UPDATE backup SET size = ?2 WHERE id = ?1", params![id.as_str(), size])?;
    }
    Ok(Adoption::Done)
}

/// Makes room for a backup of this time where the order of the records has it: behind its base, and before the first behind that which was begun
/// later. The newest backup is the one with the last place, and what is adopted is not newer than what was taken since. None if that is the end.
///
/// The places of those behind it grow by one. They are the rowids of a table whose key is another, to which nothing refers.
fn make_place(connection: &Connection, from: Option<&BackupId>, start: Moment) -> Result<Option<i64>> {
    let base = match from {
        Some(from) => rows::known(connection, from.as_str())?.map_or(i64::MIN, |known| known.place),
        None => i64::MIN,
    };
    let mut statement =
        connection.prepare_cached("SELECT rowid, start_time FROM backup WHERE rowid > ?1 ORDER BY rowid")?;
    let mut rows = statement.query([base])?;
    let mut first = None;
    while let Some(row) = rows.next()? {
        if text(row, 1)?.as_deref().and_then(Moment::read).is_some_and(|its| its > start) {
            first = Some(row.get::<_, i64>(0)?);
            break;
        }
    }
    drop(rows);
    let Some(first) = first else { return Ok(None) };
    let last: Option<i64> =
        connection.query_row("SELECT max(rowid) FROM backup", [], |row| row.get(0)).optional()?.flatten();
    // In two steps, since no two rows may have one place meanwhile.
    let away = last.unwrap_or(first) - first + 2;
    connection.execute("UPDATE backup SET rowid = rowid + ?2 WHERE rowid >= ?1", [first, away])?;
    connection.execute("UPDATE backup SET rowid = rowid - ?2 WHERE rowid >= ?1", [first + away, away - 1])?;
    Ok(Some(first))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::{Adopted, Adoption, insert, rows};
    use crate::model::{Api, CommandId, Moment};
    use crate::records::schema;

    fn adopted(id: &str, from: Option<&str>, time: &str) -> Adopted {
        let start = Moment::read(&format!("2026-11-28 {time}")).unwrap();
        Adopted {
            id: id.parse().unwrap(),
            from: from.map(|from| from.parse().unwrap()),
            schedule_id: Some(7),
            start,
            end: start.shifted(5),
            size: 1234,
            command: format!("dbcalm-db-cmd adopt {id}"),
            command_id: CommandId::random(),
            args: format!(r#"{{"id": "{id}"}}"#),
            output: "adopted".to_owned(),
        }
    }

    fn table(api: Option<Api>) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        // As the daemon has it.
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        schema::ensure(&connection, api).unwrap();
        connection
    }

    fn ids(connection: &Connection) -> String {
        let mut statement = connection.prepare("SELECT id FROM backup ORDER BY rowid").unwrap();
        let ids = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        ids.collect::<rusqlite::Result<Vec<_>>>().unwrap().join(" ")
    }

    #[test]
    fn what_is_adopted_comes_where_its_time_is_and_behind_its_base() {
        for api in [None, Some(Api::Go)] {
            let connection = table(api);
            let add = |id: &str, from, time: &str| insert(&connection, &adopted(id, from, time)).unwrap();
            for (id, from, time) in [
                ("b", None, "12:00:00"),
                ("d", None, "14:00:00"),
                ("a", None, "11:00:00"),
                ("c", Some("b"), "13:00:00"),
                ("e", Some("d"), "15:00:00"),
                // Its clock was behind when it was taken.
                ("f", Some("d"), "01:00:00"),
            ] {
                assert_eq!(add(id, from, time), Adoption::Done);
            }
            assert_eq!(ids(&connection), "a b c d f e");
            assert_eq!(add("c", Some("b"), "13:00:00"), Adoption::Exists);
            assert_eq!(add("g", Some("x"), "16:00:00"), Adoption::Without("x".to_owned()));
            assert_eq!(ids(&connection), "a b c d f e");
            let count = "SELECT count(*) FROM process WHERE status = 'success' AND type = 'backup'";
            assert_eq!(
                connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(),
                6,
                "none of what was not done"
            );
        }
    }

    /// A removal has looked at the records before, and goes on after.
    #[test]
    fn a_record_that_an_adoption_has_moved_is_the_one_that_it_was() {
        let connection = table(None);
        for (id, time) in [("b", "12:00:00"), ("c", "13:00:00")] {
            insert(&connection, &adopted(id, None, time)).unwrap();
        }
        let before = rows::known(&connection, "b").unwrap().unwrap();
        insert(&connection, &adopted("a", None, "11:00:00")).unwrap();
        assert_ne!(rows::known(&connection, "b").unwrap().unwrap().place, before.place);
        rows::remove(&connection, "b", Some("2026-11-28 12:00:01.000000")).unwrap();
        assert_eq!(ids(&connection), "a b c", "another one of this id stays");
        rows::remove(&connection, "b", before.start_time.as_deref()).unwrap();
        assert_eq!(ids(&connection), "a c");
    }
}
