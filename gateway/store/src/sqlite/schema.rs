//! Opens connections to the file, and migrates its tables.

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, config::DbConfig};
use std::{
    fmt,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// One script per version. A script that was released is never changed.
const SCRIPTS: &[&str] = &[
    include_str!("../../migrations/sqlite/1.sql"),
    include_str!("../../migrations/sqlite/2.sql"),
    include_str!("../../migrations/sqlite/3.sql"),
];
/// Maximum time to wait at start for another process that opens the same file.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a transaction waits for one of another process, such as `menlou user add`; shorter than an operation's deadline.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// Page cache of the writer, in KiB. Tokens are random, so that each new session is in another page.
const CACHE_KIB: i64 = 16 * 1024;
/// Number of prepared statements that a connection caches; more than the store has.
const STATEMENTS: usize = 64;

/// Why a file cannot be used.
#[derive(Debug)]
pub(super) enum SchemaError {
    Sqlite(rusqlite::Error),
    /// The tables have this version, which is newer than all scripts.
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
                write!(f, "its tables have version {version} of a newer Menlou; this release supports version {known}")
            }
        }
    }
}

/// Opens the writing connection in WAL mode and migrates the file. Blocks for at most ten seconds.
pub(super) fn prepare(path: &Path) -> Result<Connection, SchemaError> {
    let start = Instant::now();
    loop {
        match try_prepare(path) {
            // SQLite may refuse the change to WAL immediately, without waiting for the busy timeout.
            Err(SchemaError::Sqlite(e)) if is_busy(&e) && start.elapsed() < START_TIMEOUT => {
                sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

/// Opens a connection that waits for locks of other connections for at most `busy_timeout`.
pub(super) fn open(path: &Path, flags: OpenFlags, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    // SQLite needs no mutex: the type system gives a connection to one thread at a time.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

fn try_prepare(path: &Path) -> Result<Connection, SchemaError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = open(path, flags, START_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    migrate(&mut connection)?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

/// Runs the missing scripts. The write lock is taken before the version is read, so that one process migrates.
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
