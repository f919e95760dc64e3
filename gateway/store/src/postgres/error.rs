//! The translation of PostgreSQL errors.

use crate::deadline_breaker::StoreFailure;

/// What an error says about the server. The log gets the text of [`describe`].
pub(super) fn failure(error: &sqlx::Error) -> StoreFailure {
    match error {
        sqlx::Error::ColumnDecode { index, .. } => StoreFailure::Corrupt(format!("column {index}")),
        // Classes that do not concern connections, credentials, start or shutdown concern the statement.
        sqlx::Error::Database(e) => match e.code().unwrap_or_default().get(..2) {
            Some("08" | "28" | "3D" | "57") => StoreFailure::Down(describe(error)),
            _ if e.code().as_deref() == Some("53300") => StoreFailure::Down(describe(error)),
            _ => StoreFailure::Refused(describe(error)),
        },
        error => StoreFailure::Down(describe(error)),
    }
}

/// The cause of an error by its SQLSTATE, without server texts, since those may repeat values and user names.
pub(super) fn describe(error: &sqlx::Error) -> String {
    let error = match error {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Io(e) => return e.to_string(),
        sqlx::Error::PoolTimedOut => return "no connection was free in time".into(),
        sqlx::Error::Configuration(e) => return e.to_string(),
        sqlx::Error::Tls(e) => return format!("TLS: {e}"),
        // The other errors are about sqlx itself or the shape of a response.
        error => return format!("{error}"),
    };
    let code = error.code().unwrap_or_default();
    let meaning = match code.get(..2).unwrap_or_default() {
        "08" => "connection error",
        "25" => "it takes no writes",
        "28" => "it refused the credentials",
        "3D" => "no such database",
        "42" => "its tables are not as expected, or access to them is denied",
        "53" => "out of connections, memory or disk",
        "57" => "it is starting, stopping or cancelled the statement",
        _ => "error",
    };
    format!("{meaning} (SQLSTATE {code})")
}
