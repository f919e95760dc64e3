//! Opens the connections to the file, and brings its tables up to date.

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{
    fmt,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// One script per version; what has been released is never changed.
const SCRIPTS: &[&str] =
    &[include_str!("../../migrations/sqlite/1.sql"), include_str!("../../migrations/sqlite/2.sql")];
/// How long to wait at start for another process that is at the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a transaction waits for another process's, such as `menlou user add`: less than our callers wait.
const BUSY: Duration = Duration::from_millis(500);

/// Pages that the writer keeps, in KiB: tokens are random, so each new session is in a page of its own.
const CACHE_KIB: i64 = 16 * 1024;
/// Statements that a connection keeps ready: as many as there are, and some more.
const STATEMENTS: usize = 64;

/// Why a file can't be used.
#[derive(Debug)]
pub(super) enum SchemaError {
    Sqlite(rusqlite::Error),
    /// Its tables are of this version, which none of our scripts makes.
    Newer(usize),
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Newer(version) => {
                let known = SCRIPTS.len();
                write!(f, "its tables are of version {version}, of a newer Menlou; this one knows {known}")
            }
        }
    }
}

/// The connection that writes, to an up-to-date file in WAL mode. Blocks, for ten seconds at most.
pub(super) fn prepare(path: &Path) -> Result<Connection, SchemaError> {
    let start = Instant::now();
    loop {
        match attempt(path) {
            // The change to WAL can be refused at once, without the busy time-out being waited for.
            Err(SchemaError::Sqlite(e)) if is_busy(&e) && start.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(20))
            }
            outcome => return outcome,
        }
    }
}

/// A connection that waits this long for others at most.
pub(super) fn open(path: &Path, flags: OpenFlags, busy: Duration) -> rusqlite::Result<Connection> {
    // One thread at a time has it, which the types see to.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn attempt(path: &Path) -> Result<Connection, SchemaError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = open(path, flags, PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

/// Runs the scripts that are missing. The write lock, taken before the version is read, lets one process do it.
fn migrate(connection: &mut Connection) -> Result<(), SchemaError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(missing) = SCRIPTS.get(done..) else { return Err(SchemaError::Newer(done)) };
    for script in missing {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "user_version", SCRIPTS.len().to_string())?;
    Ok(transaction.commit()?)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}
