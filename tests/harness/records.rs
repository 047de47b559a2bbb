//! The records as an API process sees them.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value, json};

use super::{TestEnv, wait_for};

impl TestEnv {
    /// Waits until no row says `running`.
    pub(crate) fn settled(&self) {
        wait_for("every job to be over", || (self.count("process", "status = 'running'") == 0).then_some(()));
    }

    /// A connection of the test's own to the records.
    pub(crate) fn database(&self) -> Connection {
        self.try_database().unwrap()
    }

    fn try_database(&self) -> rusqlite::Result<Connection> {
        let path = self.path("lib/db.sqlite3");
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(super::PATIENCE)?;
        Ok(connection)
    }

    /// How many rows of a table are so.
    pub(crate) fn count(&self, table: &str, condition: &str) -> i64 {
        let query = format!("SELECT count(*) FROM {table} WHERE {condition}");
        self.database().query_row(&query, [], |row| row.get(0)).unwrap()
    }

    /// Rows of a table, as JSON objects.
    pub(crate) fn rows(&self, table: &str, condition: &str) -> Vec<Map<String, Value>> {
        self.try_rows(table, condition).unwrap()
    }

    fn try_rows(&self, table: &str, condition: &str) -> rusqlite::Result<Vec<Map<String, Value>>> {
        if !self.path("lib/db.sqlite3").exists() {
            return Ok(Vec::new());
        }
        let database = self.try_database()?;
        let mut statement = database.prepare(&format!("SELECT * FROM {table} WHERE {condition} ORDER BY rowid"))?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let value = |value: ValueRef<'_>| match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => json!(number),
            ValueRef::Real(number) => json!(number),
            ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
            ValueRef::Blob(bytes) => json!(bytes),
        };
        let rows = statement.query_map([], |row| {
            names.iter().enumerate().map(|(index, name)| Ok((name.clone(), value(row.get_ref(index)?)))).collect()
        })?;
        rows.collect()
    }

    /// All that the records say, in a line: `1 success | backups: full-1 | restores: none`.
    pub(crate) fn records(&self) -> String {
        let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
        let processes = self.rows("process", "1");
        let steps = processes.iter().map(|row| {
            let code = row["return_code"].as_i64();
            format!(
                "{} {}{}",
                row["id"],
                row["status"].as_str().unwrap(),
                code.map(|code| format!(" {code}")).unwrap_or_default()
            )
        });
        let backups = self
            .rows("backup", "1")
            .iter()
            .map(|row| match row["from_backup_id"].as_str() {
                Some(from) => format!("{} from {from}", row["id"].as_str().unwrap()),
                None => row["id"].as_str().unwrap().to_owned(),
            })
            .collect();
        let restores = self
            .rows("restore", "1")
            .iter()
            .map(|row| format!("{} {}", row["target"].as_str().unwrap(), row["backup_id"].as_str().unwrap()))
            .collect();
        format!("{} | backups: {} | restores: {}", list(steps.collect()), list(backups), list(restores))
    }

    /// The rows of `process`, for a case file.
    pub(crate) fn process_rows(&self) -> Vec<String> {
        match self.try_rows("process", "1") {
            Ok(rows) => rows.into_iter().map(|row| self.redact(&Value::Object(row).to_string())).collect(),
            Err(why) => vec![why.to_string()],
        }
    }

    /// The text of a column in the newest row of `process`; NULL is empty.
    pub(crate) fn newest(&self, column: &str) -> String {
        let rows = self.rows("process", "id = (SELECT max(id) FROM process)");
        self.redact(rows[0][column].as_str().unwrap_or_default())
    }

    /// The same as it stands, with the test's own paths.
    pub(crate) fn newest_raw(&self, column: &str) -> String {
        let rows = self.rows("process", "id = (SELECT max(id) FROM process)");
        rows[0][column].as_str().unwrap_or_default().to_owned()
    }

    /// The commands of one request, in order, the test's own paths taken out.
    pub(crate) fn commands(&self, command_id: &str) -> Vec<String> {
        let rows = self.rows("process", &format!("command_id = '{command_id}'"));
        rows.iter().map(|row| self.redact(row["command"].as_str().unwrap())).collect()
    }
}
