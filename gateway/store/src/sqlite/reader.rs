//! The readers of the SQLite file. They wait for no writer, and a file that cannot be written can still be read.

use super::{
    batch::next_batch,
    statement::{execute, failure},
};
use crate::{
    deadline_breaker::{DeadlineBreaker, Outcome, StoreFailure},
    error::Result,
};
use rusqlite::Connection;
use std::sync::Arc;
use tokio::{
    sync::{
        Mutex,
        mpsc::{self, Receiver},
        oneshot,
    },
    task::spawn_blocking,
};

/// Maximum number of queued look-ups.
const QUEUE: usize = 1024;
/// Maximum number of look-ups in one transaction. It is small, because a slow look-up delays those behind it.
const BATCH: usize = 16;

/// The queue to the reading tasks. They end when it is dropped.
pub(super) struct Reader {
    queue: mpsc::Sender<Job>,
    breaker: DeadlineBreaker,
}

/// Reads, and sends the result to the caller.
type Job = Box<dyn FnOnce(&Connection) + Send>;

impl Reader {
    /// Starts one task for each connection.
    pub fn start(connections: Vec<Connection>, breaker: DeadlineBreaker) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for connection in connections {
            tokio::spawn(read_jobs(connection, jobs.clone()));
        }
        Self { queue, breaker }
    }

    /// Runs a query. The query of a caller that is gone before its turn is skipped.
    pub async fn run<T, Q>(&self, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Outcome<T>>();
        let job: Job = Box::new(move |connection| {
            if !sender.is_closed() {
                // Sending fails where the caller is gone.
                let _ = sender.send(query(connection).map_err(failure));
            }
        });
        let operation = async {
            self.queue.send(job).await.map_err(|_| no_reader())?;
            receiver.await.map_err(|_| no_reader())?
        };
        self.breaker.run(operation).await
    }
}

async fn read_jobs(mut connection: Connection, jobs: Arc<Mutex<Receiver<Job>>>) {
    loop {
        let batch = next_batch(&mut *jobs.lock().await, BATCH).await;
        let Some(batch) = batch else { return };
        let read = spawn_blocking(move || {
            // In one transaction, SQLite checks its locks and its cached pages once for all look-ups.
            let in_transaction = batch.len() > 1 && execute(&connection, "BEGIN").is_ok();
            for job in batch {
                job(&connection);
            }
            if in_transaction {
                // Nothing was changed. Where COMMIT fails, the next BEGIN fails too, and its look-ups run without one.
                let _ = execute(&connection, "COMMIT");
            }
            connection
        });
        match read.await {
            Ok(returned) => connection = returned,
            Err(_) => return,
        }
    }
}

/// No reading task is left.
fn no_reader() -> StoreFailure {
    StoreFailure::Refused("the file could not be read".into())
}
