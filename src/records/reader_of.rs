//! For which API the records are: what a setting says, or what the tables and what lies beside them tell.
//!
//! The words of the records differ in one: a restore's `target`. Python's ORM keeps the name of an enum (`FOLDER`) and fails on anything
//! else; the Go API looks for `folder`, and shows what is neither that nor `database` as a restore to the database (seen with the API, 2026-11).

use rusqlite::{Connection, OptionalExtension, Result};

use super::schema;
use crate::model::{Api, Target};

/// An API, and what says that it is this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderOf {
    /// Which.
    pub api: Api,
    /// By what: the setting, or a fact of the database.
    pub by: String,
}

/// Finds it out: by the setting, if it is `set`; else by the type of `restore.target`; else by an index that the Go API lays on whatever
/// tables it finds at each start, those of this daemon among them; else it is the Python API, whose tables are made.
pub(super) fn reader_of(connection: &Connection, set: Option<Api>) -> Result<ReaderOf> {
    if let Some(api) = set {
        return Ok(ReaderOf { api, by: format!("records_for is '{}'", api.name()) });
    }
    let told = |api, by: String| Ok(ReaderOf { api, by });
    match schema::column_type(connection, "restore", "target")? {
        Some(kind) if kind.eq_ignore_ascii_case("text") => {
            return told(Api::Go, "its tables are those of the Go API".to_owned());
        }
        None => return told(Api::Python, "there are no tables yet".to_owned()),
        Some(_) => {}
    }
    match index_of_go(connection)? {
        Some(name) => told(Api::Go, format!("the Go API has laid its index '{name}' on the tables")),
        None => told(Api::Python, "nothing in the database is the Go API's".to_owned()),
    }
}

/// An index of the Go API's, by the names that it gives them (its `CREATE INDEX IF NOT EXISTS`, read 2026-11).
fn index_of_go(connection: &Connection) -> Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name IN ('process', 'backup')
             AND (name LIKE 'idx\\_processes\\_%' ESCAPE '\\' OR name LIKE 'idx\\_backups\\_%' ESCAPE '\\') ORDER BY name LIMIT 1",
        )?
        .query_row([], |row| row.get(0))
        .optional()
}

/// A target, as an API reads it.
pub(super) fn spell(target: Target, api: Api) -> &'static str {
    match (target, api) {
        (Target::Database, Api::Go) => "database",
        (Target::Folder, Api::Go) => "folder",
        (Target::Database, Api::Python) => "DATABASE",
        (Target::Folder, Api::Python) => "FOLDER",
    }
}

/// How many restores are recorded in the words of the other API.
pub(super) fn misspelt(connection: &Connection, api: Api) -> Result<i64> {
    let spelt = match api {
        Api::Python => "upper(target)",
        Api::Go => "lower(target)",
    };
    let query =
        format!("SELECT count(*) FROM restore WHERE lower(target) IN ('folder', 'database') AND target <> {spelt}");
    connection.query_row(&query, [], |row| row.get(0))
}
