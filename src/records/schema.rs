//! The tables, as the API processes lay them out: made if missing, taken as found.

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};

use crate::model::Api;

/// The three tables as the Python API makes them, to the letter.
const TABLES: &str = include_str!("tables.sql");
/// The same as the Go API makes them; its foreign keys name a table `schedule` of its own.
const TABLES_OF_GO: &str = include_str!("tables-go.sql");

/// Makes what is missing: the tables, as this API makes them (none is the Python one), and the column that older `backup` tables lack.
pub(crate) fn ensure(connection: &Connection, api: Option<Api>) -> Result<()> {
    let tables = if api == Some(Api::Go) { TABLES_OF_GO } else { TABLES };
    if missing(connection, tables)?.is_empty() && has_column(connection, "backup", "schedule_id")? {
        return Ok(());
    }
    // An API process may make them at the same time: looked at and made in one transaction.
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for statement in missing(&transaction, tables)? {
        transaction.execute_batch(statement)?;
    }
    if !has_column(&transaction, "backup", "schedule_id")? {
        transaction.execute_batch("ALTER TABLE backup ADD COLUMN schedule_id INTEGER")?;
    }
    transaction.commit()
}

/// The statements that make the tables which are not there.
fn missing(connection: &Connection, tables: &'static str) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for statement in tables.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
        let name = statement.split_whitespace().nth(2).unwrap_or_default();
        if !connection.table_exists(None, name)? {
            missing.push(statement);
        }
    }
    Ok(missing)
}

/// Whether `table` has `column`.
pub(super) fn has_column(connection: &Connection, table: &str, column: &str) -> Result<bool> {
    Ok(column_type(connection, table, column)?.is_some())
}

/// The declared type of `column` in `table`, if it has that column.
pub(super) fn column_type(connection: &Connection, table: &str, column: &str) -> Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT type FROM pragma_table_info(?1) WHERE name = ?2")?;
    let mut rows = statement.query([table, column])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}
