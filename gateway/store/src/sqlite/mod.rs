//! The embedded store: sessions, shared values, users and bindings in one SQLite file.

mod accounts;
mod admins;
mod batch;
mod log;
mod reader;
mod schema;
mod sessions;
mod shared;
mod sweep;
mod users;
mod writer;

use super::{
    Error, Result,
    cache::{SessionCache, UserCache},
    guard::Failure,
};
use log::Log;
use reader::Reader;
use rusqlite::{Connection, OpenFlags};
use schema::SchemaError;
use std::{fs::OpenOptions, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc, time::Duration};
use tokio::task::{JoinSet, spawn_blocking};
use writer::{Durability, Writer};

/// How long a caller waits for an answer at most.
const DEADLINE: Duration = Duration::from_millis(900);
/// Connections that read. SQLite's readers wait for nobody; more than the machine has cores to spare is no gain.
const READERS: usize = 4;

/// An open SQLite file. Its tasks end when it is dropped.
pub struct Sqlite {
    reader: Reader,
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
        let owned = path.to_owned();
        let opened = spawn_blocking(move || connect(&owned)).await.map_err(|e| told(e.to_string()))?;
        let (writer, log, readers) = opened.map_err(|e| told(e.to_string()))?;
        let writer = Writer::start(writer, log);
        let mut sweeper = JoinSet::new();
        sweeper.spawn(sweep::run(writer.clone()));
        Ok(Self {
            reader: Reader::start(readers),
            writer,
            sessions: Arc::new(SessionCache::new()),
            users: Arc::new(UserCache::new()),
            _sweeper: sweeper,
        })
    }

    /// Whether the file can be written.
    async fn ping(&self) -> Result<()> {
        self.writer.run(Durability::Process, |_| Ok(())).await
    }
}

/// The connection that writes, its log, and the connections that read.
fn connect(path: &Path) -> std::result::Result<(Connection, Log, Vec<Connection>), SchemaError> {
    let writer = schema::prepare(path)?;
    let log = Log::new(&writer, schema::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, DEADLINE)?);
    let readers = (0..READERS).map(|_| schema::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, DEADLINE));
    Ok((writer, log, readers.collect::<rusqlite::Result<_>>()?))
}

/// A statement without values, which gives none.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(()).map(|_| ())
}

/// An SQL error in our words. SQLite's texts name tables and columns, never values.
fn failure(error: rusqlite::Error) -> Failure {
    match error {
        rusqlite::Error::FromSqlConversionFailure(column, ..)
        | rusqlite::Error::InvalidColumnType(column, ..)
        | rusqlite::Error::IntegralValueOutOfRange(column, _) => Failure::Corrupt(format!("column {column}")),
        error => Failure::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_file_that_another_process_keeps_from_being_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let store = Sqlite::open(&path).await.unwrap();
        store.ping().await.unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(store.ping().await.is_err());
    }
}
