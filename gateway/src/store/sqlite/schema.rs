//! Opens the connection that writes, and brings the tables up to date.

use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// One script per version; what has been released is never changed.
const SCRIPTS: &[&str] = &[include_str!("../migrations/sqlite/1.sql"), include_str!("../migrations/sqlite/2.sql")];
/// How long to wait at start for another process that is at the same.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a transaction waits for another process's, such as `menlou user add`: less than our callers wait.
const BUSY: Duration = Duration::from_millis(500);

/// Pages that the writer keeps, in KiB: tokens are random, so each new session is in a page of its own.
const CACHE_KIB: u32 = 16 * 1024;
/// How many pages the log has before they are brought into the file. A page that changes again meanwhile is brought once.
const CHECKPOINT_PAGES: u32 = 4000;

/// A connection to an up-to-date file in WAL mode.
pub(super) async fn prepare(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let start = Instant::now();
    loop {
        match attempt(options).await {
            // The change to WAL can be refused at once, without the busy time-out being waited for.
            Err(sqlx::Error::Database(e)) if busy(e.code().as_deref()) && start.elapsed() < PATIENCE => {
                sleep(Duration::from_millis(20)).await;
            }
            outcome => return outcome,
        }
    }
}

async fn attempt(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    // sqlx sets the busy time-out through the C interface, before any pragma: the change to WAL needs it.
    let options = options.clone().busy_timeout(PATIENCE).journal_mode(SqliteJournalMode::Wal);
    let mut connection = options.synchronous(SqliteSynchronous::Full).connect().await?;
    migrate(&mut connection).await?;
    let pragmas = format!(
        "PRAGMA busy_timeout = {}; PRAGMA cache_size = -{CACHE_KIB}; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
        BUSY.as_millis()
    );
    sqlx::raw_sql(AssertSqlSafe(pragmas)).execute(&mut connection).await?;
    Ok(connection)
}

/// Runs the scripts that are missing. The write lock, taken before the version is read, lets one process do it.
async fn migrate(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let version: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *transaction).await?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    if done > SCRIPTS.len() {
        return Err(sqlx::Error::Configuration(
            format!("its tables are of version {version}, of a newer Menlou; this one knows {}", SCRIPTS.len()).into(),
        ));
    }
    for script in &SCRIPTS[done..] {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    let version = AssertSqlSafe(format!("PRAGMA user_version = {}", SCRIPTS.len()));
    sqlx::raw_sql(version).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// SQLITE_BUSY or SQLITE_LOCKED, in any of their extended forms.
fn busy(code: Option<&str>) -> bool {
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| matches!(code & 0xff, 5 | 6))
}
