//! Those who read the SQLite file: they wait for no writer, and a file that can't be written can still be read.

use super::{
    super::guard::{Failure, Guard, Outcome},
    DEADLINE, Result,
    batch::gather,
    execute, failure,
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

/// Look-ups that may wait.
const QUEUE: usize = 1024;
/// Look-ups that one reader takes at once: few, as one that takes its time keeps those that come after it.
const FEW: usize = 16;

/// The queue to the tasks that read. They end with it.
pub(super) struct Reader {
    queue: mpsc::Sender<Job>,
    guard: Guard,
}

/// Reads, and answers.
type Job = Box<dyn FnOnce(&Connection) + Send>;

impl Reader {
    /// Starts a task for each of these connections.
    pub fn start(connections: Vec<Connection>) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for connection in connections {
            tokio::spawn(serve(connection, jobs.clone()));
        }
        Self { queue, guard: Guard::new("SQLite", DEADLINE) }
    }

    /// What `query` finds. A caller that goes away before its turn is passed over.
    pub async fn run<T, Q>(&self, query: Q) -> Result<T>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Outcome<T>>();
        let job: Job = Box::new(move |connection| {
            if !sender.is_closed() {
                // Nobody listens where the caller has gone.
                let _ = sender.send(query(connection).map_err(failure));
            }
        });
        let answered = async {
            self.queue.send(job).await.map_err(|_| gone())?;
            receiver.await.map_err(|_| gone())?
        };
        self.guard.ask(answered).await
    }
}

async fn serve(mut connection: Connection, jobs: Arc<Mutex<Receiver<Job>>>) {
    loop {
        let batch = gather(&mut *jobs.lock().await, FEW).await;
        let Some(batch) = batch else { return };
        let read = spawn_blocking(move || {
            // One transaction for all: a reader looks at its locks, and whether its pages still hold, once for each.
            let together = batch.len() > 1 && execute(&connection, "BEGIN").is_ok();
            for job in batch {
                job(&connection);
            }
            if together {
                // Nothing was changed that could be lost; where it fails, the next one does, and is read alone.
                let _ = execute(&connection, "COMMIT");
            }
            connection
        });
        match read.await {
            Ok(back) => connection = back,
            Err(_) => return,
        }
    }
}

/// No task is left that reads.
fn gone() -> Failure {
    Failure::Refused("the file could not be read".into())
}
