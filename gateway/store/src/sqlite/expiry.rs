//! Housekeeping of the SQLite file: expired rows are deleted in small transactions, and its size becomes a metric.

use super::writer::{Durability, Writer};
use menlou_clock::unix_millis_i64;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(60);
/// Maximum number of rows per transaction.
const BATCH: u32 = 500;

const STATEMENTS: [&str; 2] = [
    "DELETE FROM sessions WHERE (tenant, token) IN (SELECT tenant, token FROM sessions WHERE expires_at <= ? LIMIT ?)",
    "DELETE FROM ephemeral WHERE (tenant, key) IN (SELECT tenant, key FROM ephemeral WHERE expires_at <= ? LIMIT ?)",
];

/// Deletes expired rows and measures the file, now and then every minute; never returns.
pub(super) async fn maintain(path: PathBuf, writer: Writer) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for statement in STATEMENTS {
            while delete_batch(&writer, statement).await == BATCH as usize {}
        }
        metrics::gauge!("menlou_store_size_bytes", "store" => "SQLite").set(size(&path).await as f64);
    }
}

/// Returns the number of deleted rows; 0 where the file cannot be written, which the writer has logged.
async fn delete_batch(writer: &Writer, statement: &'static str) -> usize {
    let deleted = writer.run(Durability::Process, move |connection| {
        connection.prepare_cached(statement)?.execute((unix_millis_i64(), BATCH))
    });
    deleted.await.unwrap_or(0)
}

/// Size of the file and its log, in bytes. A file that is missing counts as empty.
async fn size(path: &Path) -> u64 {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let mut bytes = 0;
    for file in [path, Path::new(&log)] {
        bytes += tokio::fs::metadata(file).await.map_or(0, |metadata| metadata.len());
    }
    bytes
}
