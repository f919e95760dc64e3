//! Statements without a result, and the translation of SQLite's errors.

use crate::deadline_breaker::StoreFailure;
use rusqlite::Connection;

/// Runs a statement that has no parameters and returns no rows.
pub(super) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(|_| ())
}

/// Translates an SQL error. SQLite's texts name tables and columns, never values.
pub(super) fn failure(error: rusqlite::Error) -> StoreFailure {
    match error {
        rusqlite::Error::FromSqlConversionFailure(column, ..)
        | rusqlite::Error::InvalidColumnType(column, ..)
        | rusqlite::Error::IntegralValueOutOfRange(column, _) => StoreFailure::Corrupt(format!("column {column}")),
        error => StoreFailure::Refused(error.to_string()),
    }
}
