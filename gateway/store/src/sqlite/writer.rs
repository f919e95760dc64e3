//! The writer of the SQLite file: jobs that arrive together share one transaction.

use super::{
    batch::next_batch,
    statement::{execute, failure},
    wal_checkpoint::WalCheckpointer,
};
use crate::{
    deadline_breaker::{DeadlineBreaker, Outcome, StoreFailure},
    error::{Error, Result},
};
use metrics::counter;
use rusqlite::Connection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{
        mpsc::{self, Receiver},
        oneshot,
    },
    task::spawn_blocking,
};

/// Maximum number of queued jobs.
const QUEUE: usize = 1024;
/// Maximum number of jobs in one transaction.
const BATCH: usize = 128;
/// Time for which more jobs than fit into one transaction may be queued before new work is rejected. A burst drains within
/// it; under lasting overload the queue would otherwise grow until every job misses its deadline.
const MAX_QUEUE_TIME: Duration = Duration::from_millis(250);

/// What an acknowledged change survives. In WAL mode a commit is a `write` to the log: the kernel has it when the process
/// dies, even by SIGKILL. Only a crash of the machine can lose it before the log is synced, and never corrupts the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The change survives the death of this process (`synchronous = NORMAL`). For sessions and ephemeral values: if one is
    /// lost, its user logs in again.
    Process,
    /// The change survives a crash of the machine (`synchronous = FULL`): the log is synced at each commit. For accounts and
    /// bindings.
    Machine,
}

/// The queue to the writing task. The task ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    breaker: Arc<DeadlineBreaker>,
    drain: Arc<DrainClock>,
}

/// When the queue was last drained.
struct DrainClock {
    start: Instant,
    /// Milliseconds after `start`.
    drained_at: AtomicU64,
}

struct Job {
    durability: Durability,
    work: Work,
}

/// Does its part of the transaction, and returns what to do with the outcome of the commit.
type Work = Box<dyn FnOnce(&Connection) -> Completion + Send>;
type Completion = Box<dyn FnOnce(Outcome<()>) + Send>;

impl Writer {
    /// Starts the writing task.
    pub fn start(connection: Connection, checkpointer: WalCheckpointer, breaker: DeadlineBreaker) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let drain = Arc::new(DrainClock { start: Instant::now(), drained_at: AtomicU64::new(0) });
        let file = File { connection, synchronous: Durability::Machine, checkpointer };
        tokio::spawn(write_jobs(file, jobs, drain.clone()));
        Self { queue, breaker: Arc::new(breaker), drain }
    }

    /// Admits work of a request that has written nothing yet.
    ///
    /// # Errors
    /// [`Error::Overloaded`] where too many jobs have been queued for longer than [`MAX_QUEUE_TIME`]. It is counted in
    /// `menlou_requests_shed_total`.
    pub fn admit(&self, tenant: &str) -> Result<()> {
        let queued = self.queue.max_capacity() - self.queue.capacity();
        if queued <= BATCH || self.drain.elapsed() <= MAX_QUEUE_TIME {
            return Ok(());
        }
        counter!("menlou_requests_shed_total", "reason" => "store_busy", "tenant" => tenant.to_owned()).increment(1);
        Err(Error::Overloaded(format!("SQLite: {queued} changes are queued")))
    }

    /// Runs `work` in a transaction that it may share with other jobs, and returns after the commit. Work that fails leaves
    /// no trace. Work of a caller that is gone before its turn is skipped.
    pub async fn run<T, W>(&self, durability: Durability, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run_then(durability, work, |_| ()).await
    }

    /// As [`Writer::run`], with a step between the commit and the return, such as the invalidation of a cache. The step gets
    /// the outcome; it runs even if the caller is gone by then.
    pub async fn run_then<T, W, F>(&self, durability: Durability, work: W, then: F) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        F: FnOnce(Option<&T>) + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            if sender.is_closed() {
                return Box::new(|_| ());
            }
            let outcome = in_savepoint(connection, durability, work).map_err(failure);
            Box::new(move |committed| {
                // The failure of the work comes first: it may be the reason why there was nothing to commit.
                let outcome = outcome.and_then(|value| committed.map(|()| value));
                then(outcome.as_ref().ok());
                // Sending fails where the caller is gone.
                let _ = sender.send(outcome);
            })
        });
        let operation = async {
            self.queue.send(Job { durability, work }).await.map_err(|_| not_written())?;
            receiver.await.map_err(|_| not_written())?
        };
        self.breaker.run(operation).await
    }
}

/// Runs work with [`Durability::Machine`] in a savepoint: its statements are undone without the other jobs of the
/// transaction. Other work is a single statement, which SQLite undoes by itself.
fn in_savepoint<T, W>(connection: &Connection, durability: Durability, work: W) -> rusqlite::Result<T>
where
    W: FnOnce(&Connection) -> rusqlite::Result<T>,
{
    if durability == Durability::Process {
        return work(connection);
    }
    execute(connection, "SAVEPOINT work")?;
    let outcome = work(connection);
    if outcome.is_err() {
        // Fails only where SQLite has rolled back the transaction already.
        let _ = execute(connection, "ROLLBACK TO work");
    }
    let released = execute(connection, "RELEASE work");
    outcome.and_then(|value| released.map(|()| value))
}

impl DrainClock {
    fn mark_drained(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.drained_at.store(now, Relaxed);
    }

    /// Time since the queue was last drained.
    fn elapsed(&self) -> Duration {
        self.start.elapsed().saturating_sub(Duration::from_millis(self.drained_at.load(Relaxed)))
    }
}

async fn write_jobs(mut file: File, mut jobs: Receiver<Job>, drain: Arc<DrainClock>) {
    loop {
        let was_idle = jobs.is_empty();
        // Most of the cost of a transaction does not depend on the number of jobs in it.
        let Some(batch) = next_batch(&mut jobs, BATCH).await else { return };
        if was_idle || batch.len() < BATCH / 2 {
            drain.mark_drained();
        }
        let mut completions = Vec::with_capacity(batch.len());
        let written = spawn_blocking(move || {
            // Jobs that are not reached are dropped, which their callers notice.
            let committed = file.transact(batch, &mut completions);
            (file, committed, completions)
        });
        let Ok((returned, committed, completions)) = written.await else { return };
        file = returned;
        for complete in completions {
            complete(committed.as_ref().copied().map_err(|e| StoreFailure::Refused(e.to_string())));
        }
    }
}

/// The writing connection.
struct File {
    connection: Connection,
    /// The durability that `PRAGMA synchronous` is set to.
    synchronous: Durability,
    checkpointer: WalCheckpointer,
}

impl File {
    fn transact(&mut self, batch: Vec<Job>, completions: &mut Vec<Completion>) -> rusqlite::Result<()> {
        let machine = batch.iter().any(|job| job.durability == Durability::Machine);
        let wanted = if machine { Durability::Machine } else { Durability::Process };
        if self.synchronous != wanted {
            self.connection.pragma_update(None, "synchronous", if machine { "FULL" } else { "NORMAL" })?;
            self.synchronous = wanted;
        }
        // SQLite ends the transaction by itself when the disk is full: later statements fail, or run outside of it.
        execute(&self.connection, "BEGIN IMMEDIATE")?;
        completions.extend(batch.into_iter().map(|job| (job.work)(&self.connection)));
        let committed = execute(&self.connection, "COMMIT");
        self.checkpointer.after_commit(&self.connection);
        if committed.is_err() {
            // Fails only where there is no transaction left to roll back.
            let _ = execute(&self.connection, "ROLLBACK");
        }
        committed
    }
}

/// The transaction did not begin, or did not reach the job.
fn not_written() -> StoreFailure {
    StoreFailure::Refused("the file could not be written".into())
}

#[cfg(test)]
mod tests {
    use super::{super::schema, *};
    use crate::deadline_breaker::up_gauge;

    /// Longer than any stall of a busy machine: no test here is about the deadline.
    const DEADLINE: Duration = Duration::from_secs(60);

    fn writer(folder: &tempfile::TempDir) -> Writer {
        let path = folder.path().join("menlou.db");
        let connection = schema::prepare(&path).unwrap();
        let checkpointer = WalCheckpointer::new(&connection, Connection::open(&path).unwrap());
        Writer::start(connection, checkpointer, DeadlineBreaker::new("SQLite", DEADLINE, up_gauge("SQLite")))
    }

    async fn run(writer: &Writer, durability: Durability, sql: String) -> Result<()> {
        writer.run(durability, move |connection| connection.execute_batch(&sql)).await
    }

    fn put(key: usize, size: usize) -> String {
        format!("INSERT INTO ephemeral VALUES ('a', 'k{key}', zeroblob({size}), 0)")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn full_disk_is_unavailable_until_there_is_space_again() {
        for durability in [Durability::Process, Durability::Machine] {
            let folder = tempfile::tempdir().unwrap();
            let writer = writer(&folder);
            run(&writer, durability, "PRAGMA max_page_count = 40".into()).await.unwrap();
            for key in 0..3 {
                let refused = run(&writer, durability, put(key, 1_000_000)).await;
                assert!(
                    matches!(&refused, Err(Error::Unavailable { reason, .. }) if reason.contains("full")),
                    "{refused:?}"
                );
            }
            run(&writer, durability, "PRAGMA max_page_count = 4000".into()).await.unwrap();
            run(&writer, durability, put(1, 1_000_000)).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn burst_is_written_and_new_work_is_rejected_while_the_queue_does_not_drain() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let mut tasks = tokio::task::JoinSet::new();
        // The first job occupies the writer, as a slow disk would, until the test releases it.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let (started, start) = oneshot::channel();
        let (slow, begun) = (writer.clone(), Instant::now());
        tasks.spawn(async move {
            let occupy = move |_: &Connection| {
                let _ = started.send(());
                // Returns when the sender is dropped: by the test, or because the test failed.
                let _ = released.recv();
                Ok(())
            };
            slow.run(Durability::Process, occupy).await
        });
        start.await.unwrap();
        for _ in 0..3 * BATCH {
            let writer = writer.clone();
            tasks.spawn(async move { writer.run(Durability::Process, |_: &Connection| Ok(())).await });
        }
        while writer.queue.max_capacity() - writer.queue.capacity() <= BATCH {
            tokio::task::yield_now().await;
        }
        let admitted = writer.admit("a").is_ok();
        assert!(admitted || begun.elapsed() > MAX_QUEUE_TIME, "a burst alone is no reason to reject");
        while writer.admit("a").is_ok() {
            assert!(begun.elapsed() < 40 * MAX_QUEUE_TIME, "new work is admitted though nothing is written");
            tokio::time::sleep(MAX_QUEUE_TIME / 20).await;
        }
        assert!(matches!(writer.admit("a"), Err(Error::Overloaded(_))));
        drop(release);
        assert!(tasks.join_all().await.into_iter().all(|done| done.is_ok()), "queued work is done");
        assert!(writer.admit("a").is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn failed_work_leaves_no_trace_and_the_other_jobs_of_its_transaction_intact() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let mut tasks = tokio::task::JoinSet::new();
        for key in 0..60 {
            let writer = writer.clone();
            tasks.spawn(async move {
                match key % 3 {
                    0 => run(&writer, Durability::Process, put(key, 1)).await.is_ok(),
                    1 => run(&writer, Durability::Machine, put(key, 1)).await.is_ok(),
                    // The first statement succeeds, the second one fails.
                    _ => run(&writer, Durability::Machine, format!("{}; no sql", put(key, 1))).await.is_err(),
                }
            });
        }
        assert!(tasks.join_all().await.into_iter().all(|as_expected| as_expected));
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM ephemeral", (), |row| row.get::<_, i64>(0))
        };
        assert_eq!(writer.run(Durability::Process, count).await.unwrap(), 40);
    }
}
