//! The embedded store: sessions, shared values, users and bindings in one SQLite file.

mod accounts;
mod admins;
mod schema;
mod sessions;
mod shared;
mod sweep;
mod users;
mod writer;

use super::{
    Error, Result,
    cache::{SessionCache, UserCache},
    guard::{Failure, Guard},
};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use std::{fs::OpenOptions, future::Future, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use writer::{Durability, Writer};

/// How long a caller waits for an answer at most.
const DEADLINE: Duration = Duration::from_millis(900);
/// Connections that read. SQLite's readers wait for nobody; more than the machine has cores to spare is no gain.
const READERS: u32 = 4;

/// An open SQLite file. Its tasks end when it is dropped.
pub struct Sqlite {
    readers: SqlitePool,
    /// Of what is read; the writer has its own: a full disk can still be read.
    reading: Guard,
    writer: Writer,
    sessions: Arc<SessionCache>,
    users: Arc<UserCache>,
    _sweeper: JoinSet<()>,
}

impl Sqlite {
    /// Opens the file, making it (for its owner's eyes only) and bringing its tables up to date where needed. Several
    /// processes may do so at once. The error's text names the file and the reason.
    pub async fn open(path: &Path) -> Result<Self> {
        let told =
            |reason: String| Error::Unavailable(format!("cannot open the SQLite file {}: {reason}", path.display()));
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|e| told(e.to_string()))?;
        let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
        let connection = schema::prepare(&options).await.map_err(|e| told(e.to_string()))?;
        let writer = Writer::start(connection);
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(DEADLINE)
            .test_before_acquire(false)
            .connect_with(options.read_only(true).busy_timeout(DEADLINE))
            .await
            .map_err(|e| told(e.to_string()))?;
        let mut sweeper = JoinSet::new();
        sweeper.spawn(sweep::run(writer.clone()));
        Ok(Self {
            readers,
            reading: Guard::new("SQLite", DEADLINE),
            writer,
            sessions: Arc::new(SessionCache::new()),
            users: Arc::new(UserCache::new()),
            _sweeper: sweeper,
        })
    }

    /// Whether the file can be written.
    async fn ping(&self) -> Result<()> {
        self.writer.run(Durability::Process, |_| Box::pin(async { Ok(()) })).await
    }

    /// A read within the deadline.
    async fn read<T>(&self, query: impl Future<Output = sqlx::Result<T>>) -> Result<T> {
        self.reading.ask(async { query.await.map_err(failure) }).await
    }
}

/// An SQL error in our words. SQLite's texts name tables and columns, never values.
fn failure(error: sqlx::Error) -> Failure {
    match error {
        sqlx::Error::ColumnDecode { index, .. } => Failure::Corrupt(format!("column {index}")),
        sqlx::Error::PoolTimedOut => Failure::Away("no connection was free in time".into()),
        error => Failure::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, SqliteConnection};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_another_process_keeps_from_being_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let store = Sqlite::open(&path).await.unwrap();
        store.ping().await.unwrap();
        let options = SqliteConnectOptions::new().filename(&path);
        let mut other = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
        assert!(store.ping().await.is_err());
    }
}
