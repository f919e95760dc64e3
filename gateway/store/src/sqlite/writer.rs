//! The one writer of the SQLite file: gathers what is asked for at the same time into one transaction.

use super::{
    super::guard::{Failure, Guard, Outcome},
    DEADLINE, Error, Result,
    batch::gather,
    execute, failure,
    log::Log,
};
use metrics::{Counter, counter};
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

/// Jobs that may wait.
const QUEUE: usize = 1024;
/// Jobs in one transaction at most.
const BATCH: usize = 128;
/// How long more than a transaction's jobs may wait before what has not begun yet is turned away. A rush of calls passes;
/// where more come all the time than can be served, all would wait until nobody waits for the answer any more.
const RUSH: Duration = Duration::from_millis(250);

/// What an acknowledged change outlives. In WAL mode a commit is a `write` to the log, so the kernel has it when the
/// process dies, even by SIGKILL; only a fall of the whole machine can lose it before the log is synced (it never
/// corrupts the file).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The death of this process: `synchronous = NORMAL`. For sessions and shared values; who loses one logs in again.
    Process,
    /// The fall of the machine: `synchronous = FULL`, the log is synced at each commit. For accounts and bindings.
    Machine,
}

/// The queue to the writing task. The task ends with the last of these.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
    guard: Arc<Guard>,
    backlog: Arc<Backlog>,
}

/// Whether jobs come faster than they are done.
struct Backlog {
    start: Instant,
    /// When much less than a transaction's jobs were waiting, the last time; in milliseconds after `start`.
    short_ms: AtomicU64,
    turned_away: Counter,
}

struct Job {
    durability: Durability,
    work: Work,
}

/// Does its part of the transaction, and says how to answer when the transaction is over.
type Work = Box<dyn FnOnce(&Connection) -> Answer + Send>;
type Answer = Box<dyn FnOnce(Outcome<()>) + Send>;

impl Writer {
    /// Starts the writing task.
    pub fn start(connection: Connection, log: Log) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let turned_away = counter!("menlou_store_busy_total");
        let backlog = Arc::new(Backlog { start: Instant::now(), short_ms: AtomicU64::new(0), turned_away });
        let file = File { connection, synced: Durability::Machine, log };
        tokio::spawn(serve(file, jobs, backlog.clone()));
        Self { queue, guard: Arc::new(Guard::new("SQLite", DEADLINE)), backlog }
    }

    /// Turns away who has not begun yet, where too many have been waiting for too long.
    pub fn admit(&self) -> Result<()> {
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        if waiting <= BATCH || !self.backlog.lasts() {
            return Ok(());
        }
        self.backlog.turned_away.increment(1);
        Err(Error::Busy(format!("SQLite: {waiting} changes are waiting")))
    }

    /// Runs `work` in a transaction, which may have others' in it too, and answers after its commit. Work that fails
    /// leaves nothing behind. A caller that goes away before its turn is passed over.
    pub async fn run<T, W>(&self, durability: Durability, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        self.run_then(durability, work, |_| ()).await
    }

    /// The same, with a last step between commit and answer, which gets what came of it: what a cache must forget. It is
    /// taken even where the caller went away in the meantime.
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
            let outcome = apart(connection, durability, work).map_err(failure);
            Box::new(move |committed| {
                // Work's own failure tells more: it may be why there was nothing left to commit.
                let outcome = outcome.and_then(|value| committed.map(|()| value));
                then(outcome.as_ref().ok());
                // Nobody listens where the caller has gone.
                let _ = sender.send(outcome);
            })
        });
        let answered = async {
            self.queue.send(Job { durability, work }).await.map_err(|_| gone())?;
            receiver.await.map_err(|_| gone())?
        };
        self.guard.ask(answered).await
    }
}

/// Users' work takes several statements: a savepoint of its own undoes them without the others in the transaction.
/// Sessions' and shared values' work is a single statement, which SQLite undoes by itself.
fn apart<T, W>(connection: &Connection, durability: Durability, work: W) -> rusqlite::Result<T>
where
    W: FnOnce(&Connection) -> rusqlite::Result<T>,
{
    if durability == Durability::Process {
        return work(connection);
    }
    execute(connection, "SAVEPOINT work")?;
    let outcome = work(connection);
    if outcome.is_err() {
        // Fails only where SQLite has rolled everything back already.
        let _ = execute(connection, "ROLLBACK TO work");
    }
    let released = execute(connection, "RELEASE work");
    outcome.and_then(|value| released.map(|()| value))
}

impl Backlog {
    fn is_short(&self) {
        self.short_ms.store(self.now_ms(), Relaxed);
    }

    fn lasts(&self) -> bool {
        u128::from(self.now_ms().saturating_sub(self.short_ms.load(Relaxed))) > RUSH.as_millis()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn serve(mut file: File, mut jobs: Receiver<Job>, backlog: Arc<Backlog>) {
    loop {
        let idle = jobs.is_empty();
        // Most of what a transaction costs is there once, however many are in it.
        let Some(batch) = gather(&mut jobs, BATCH).await else { return };
        if idle || batch.len() < BATCH / 2 {
            backlog.is_short();
        }
        let mut answers = Vec::with_capacity(batch.len());
        let written = spawn_blocking(move || {
            // Jobs whose turn does not come are dropped, which their callers see.
            let committed = file.transact(batch, &mut answers);
            (file, committed, answers)
        });
        let Ok((back, committed, answers)) = written.await else { return };
        file = back;
        for answer in answers {
            answer(committed.as_ref().copied().map_err(|e| Failure::Refused(e.to_string())));
        }
    }
}

/// The connection that writes.
struct File {
    connection: Connection,
    /// What its commits outlive, as it is set.
    synced: Durability,
    log: Log,
}

impl File {
    fn transact(&mut self, batch: Vec<Job>, answers: &mut Vec<Answer>) -> rusqlite::Result<()> {
        let machine = batch.iter().any(|job| job.durability == Durability::Machine);
        let wanted = if machine { Durability::Machine } else { Durability::Process };
        if self.synced != wanted {
            self.connection.pragma_update(None, "synchronous", if machine { "FULL" } else { "NORMAL" })?;
            self.synced = wanted;
        }
        // SQLite ends a transaction by itself when the disk is full: what follows then fails, or is of its own.
        execute(&self.connection, "BEGIN IMMEDIATE")?;
        answers.extend(batch.into_iter().map(|job| (job.work)(&self.connection)));
        let committed = execute(&self.connection, "COMMIT");
        self.log.keep_short(&self.connection);
        if committed.is_err() {
            // Fails only where there is nothing to roll back any more.
            let _ = execute(&self.connection, "ROLLBACK");
        }
        committed
    }
}

/// The transaction could not begin, or did not reach this job.
fn gone() -> Failure {
    Failure::Refused("the file could not be written".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;

    fn writer(folder: &tempfile::TempDir) -> Writer {
        let path = folder.path().join("menlou.db");
        let connection = schema::prepare(&path).unwrap();
        let log = Log::new(&connection, Connection::open(&path).unwrap());
        Writer::start(connection, log)
    }

    async fn run(writer: &Writer, durability: Durability, sql: String) -> Result<()> {
        writer.run(durability, move |connection| connection.execute_batch(&sql)).await
    }

    fn put(key: usize, size: usize) -> String {
        format!("INSERT INTO shared VALUES ('a', 'k{key}', zeroblob({size}), 0)")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_is_unavailable_and_is_over_when_there_is_room() {
        for durability in [Durability::Process, Durability::Machine] {
            let folder = tempfile::tempdir().unwrap();
            let writer = writer(&folder);
            run(&writer, durability, "PRAGMA max_page_count = 40".into()).await.unwrap();
            for key in 0..3 {
                let refused = run(&writer, durability, put(key, 1_000_000)).await;
                assert!(
                    matches!(&refused, Err(Error::Unavailable(text) | Error::Down(text)) if text.contains("full")),
                    "{refused:?}"
                );
            }
            run(&writer, durability, "PRAGMA max_page_count = 4000".into()).await.unwrap();
            run(&writer, durability, put(1, 1_000_000)).await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_rush_is_served_and_what_comes_while_too_much_waits_for_too_long_is_turned_away() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        // Holds the writer up, as a slow disk would.
        let mut tasks = tokio::task::JoinSet::new();
        for key in 0..3 * BATCH {
            let (writer, time) = (writer.clone(), if key == 0 { 2 * RUSH } else { Duration::ZERO });
            tasks.spawn(async move {
                let slow = move |_: &Connection| {
                    std::thread::sleep(time);
                    Ok(())
                };
                writer.run(Durability::Process, slow).await
            });
        }
        while writer.queue.max_capacity() - writer.queue.capacity() <= BATCH {
            tokio::task::yield_now().await;
        }
        assert!(writer.admit().is_ok(), "a rush has just begun");
        tokio::time::sleep(RUSH + RUSH / 5).await;
        assert!(matches!(writer.admit(), Err(Error::Busy(_))));
        assert!(tasks.join_all().await.into_iter().all(|done| done.is_ok()), "what had begun is done");
        assert!(writer.admit().is_ok());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_that_fails_takes_nothing_of_the_others_with_it_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let writer = writer(&folder);
        let mut tasks = tokio::task::JoinSet::new();
        for key in 0..60 {
            let writer = writer.clone();
            tasks.spawn(async move {
                match key % 3 {
                    0 => run(&writer, Durability::Process, put(key, 1)).await.is_ok(),
                    1 => run(&writer, Durability::Machine, put(key, 1)).await.is_ok(),
                    // The first statement succeeds, the second does not.
                    _ => run(&writer, Durability::Machine, format!("{}; no sql", put(key, 1))).await.is_err(),
                }
            });
        }
        assert!(tasks.join_all().await.into_iter().all(|as_expected| as_expected));
        let count = |connection: &Connection| {
            connection.query_row("SELECT count(*) FROM shared", (), |row| row.get::<_, i64>(0))
        };
        assert_eq!(writer.run(Durability::Process, count).await.unwrap(), 40);
    }
}
