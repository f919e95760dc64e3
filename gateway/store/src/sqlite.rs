//! The embedded store: all data in one SQLite file.
//!
//! One thread writes and several read. Writes that arrive together share a transaction. Sessions and users are cached.

mod accounts;
mod admins;
mod batch;
mod ephemeral;
mod expiry;
mod files;
mod reader;
mod schema;
mod sessions;
mod statement;
mod users;
mod wal_checkpoint;
mod writer;

use crate::{
    cache::{SessionCache, UserCache},
    deadline_breaker::{DeadlineBreaker, up_gauge},
    error::{Error, Result},
};
use files::DatabaseFiles;
use menlou_clock::unix_millis_i64;
use reader::Reader;
use rusqlite::{Connection, OpenFlags};
use schema::SchemaError;
use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};
use tokio::task::{JoinSet, spawn_blocking};
use wal_checkpoint::WalCheckpointer;
use writer::{Durability, Writer};

/// The store's name in log lines and metrics.
const NAME: &str = "SQLite";
/// Maximum time of an operation, waiting included.
const DEADLINE: Duration = Duration::from_millis(900);
/// Time after which the value of a probe is deleted, in milliseconds.
const PROBE_TTL_MS: i64 = 60_000;
/// Number of reading connections. Readers of SQLite never block each other; more readers than spare cores gain nothing.
const READERS: usize = 4;

/// An open SQLite file. Its tasks end when it is dropped.
pub struct Sqlite {
    reader: Reader,
    writer: Writer,
    sessions: Arc<SessionCache>,
    users: Arc<UserCache>,
    files: Arc<DatabaseFiles>,
    _expiry: JoinSet<()>,
}

impl Sqlite {
    /// Opens the file, creates it with mode 0600 where it is missing, and migrates its tables. Several processes may do so
    /// at the same time.
    ///
    /// # Errors
    /// Where the file cannot be opened. The text names the file and the cause.
    pub async fn open(path: &Path) -> Result<Self> {
        let failed =
            |cause: String| Error::unavailable(format!("cannot open the SQLite file {}: {cause}", path.display()));
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|e| failed(e.to_string()))?;
        let owned = path.to_owned();
        let opened = spawn_blocking(move || connect(&owned)).await.map_err(|e| failed(e.to_string()))?;
        let (writer, checkpointer, readers) = opened.map_err(|e| failed(e.to_string()))?;
        let up = up_gauge(NAME);
        let writer = Writer::start(writer, checkpointer, DeadlineBreaker::new(NAME, DEADLINE, up.clone()));
        let mut expiry = JoinSet::new();
        expiry.spawn(expiry::maintain(path.to_owned(), writer.clone()));
        Ok(Self {
            reader: Reader::start(readers, DeadlineBreaker::new(NAME, DEADLINE, up)),
            writer,
            sessions: Arc::new(SessionCache::new()),
            users: Arc::new(UserCache::new()),
            files: Arc::new(DatabaseFiles::new(path)),
            _expiry: expiry,
        })
    }

    /// Checks that the file can be written, by writing to it, and that it is still in its folder.
    async fn ping(&self) -> Result<()> {
        let written = self.writer.run(Durability::Process, |connection| {
            let sql = "INSERT INTO ephemeral (tenant, key, value, expires_at) VALUES ('', 'readiness', x'', ?)
                ON CONFLICT DO UPDATE SET expires_at = excluded.expires_at";
            connection.prepare_cached(sql)?.execute((unix_millis_i64() + PROBE_TTL_MS,)).map(|_| ())
        });
        written.await?;
        let files = self.files.clone();
        let missing = spawn_blocking(move || files.missing().map(|path| path.display().to_string())).await;
        match missing {
            Ok(None) => Ok(()),
            Ok(Some(path)) => Err(Error::unavailable(format!(
                "SQLite: {path} was deleted or replaced while the gateway uses it: restart the gateway"
            ))),
            Err(e) => Err(Error::unavailable(format!("SQLite: {e}"))),
        }
    }
}

/// The writing connection, its checkpointer, and the reading connections.
fn connect(path: &Path) -> std::result::Result<(Connection, WalCheckpointer, Vec<Connection>), SchemaError> {
    let writer = schema::prepare(path)?;
    let beside = schema::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, DEADLINE)?;
    let checkpointer = WalCheckpointer::new(&writer, beside);
    let readers = (0..READERS).map(|_| schema::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, DEADLINE));
    Ok((writer, checkpointer, readers.collect::<rusqlite::Result<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ping_fails_while_another_process_locks_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let store = Sqlite::open(&path).await.unwrap();
        store.ping().await.unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(store.ping().await.is_err());
    }
}
