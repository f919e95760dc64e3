//! The one writer of the SQLite file: gathers what is asked for at the same time into one transaction.

use super::{
    super::guard::{Failure, Guard, Outcome},
    DEADLINE, Error, Result, failure,
};
use futures_util::future::BoxFuture;
use metrics::{Counter, counter};
use sqlx::SqliteConnection;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
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
type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Answer> + Send>;
type Answer = Box<dyn FnOnce(Outcome<()>) + Send>;

impl Writer {
    /// Starts the writing task.
    pub fn start(connection: SqliteConnection) -> Self {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let turned_away = counter!("menlou_store_busy_total");
        let backlog = Arc::new(Backlog { start: Instant::now(), short_ms: AtomicU64::new(0), turned_away });
        tokio::spawn(serve(connection, jobs, backlog.clone()));
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
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    {
        self.run_then(durability, work, |_| ()).await
    }

    /// The same, with a last step between commit and answer, which gets what came of it: what a cache must forget. It is
    /// taken even where the caller went away in the meantime.
    pub async fn run_then<T, W, F>(&self, durability: Durability, work: W, then: F) -> Result<T>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
        F: FnOnce(Option<&T>) + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            Box::pin(async move {
                if sender.is_closed() {
                    return Box::new(|_| ()) as Answer;
                }
                let outcome = apart(connection, durability, work).await.map_err(failure);
                Box::new(move |committed: Outcome<()>| {
                    // Work's own failure tells more: it may be why there was nothing left to commit.
                    let outcome = outcome.and_then(|value| committed.map(|()| value));
                    then(outcome.as_ref().ok());
                    // Nobody listens where the caller has gone.
                    let _ = sender.send(outcome);
                }) as Answer
            })
        });
        let answered = async {
            self.queue.send(Job { durability, work }).await.map_err(|_| gone())?;
            receiver.await.map_err(|_| gone())?
        };
        self.guard.ask(answered).await
    }
}

/// Names the type of a closure, which the compiler can't guess where it isn't an argument.
pub(super) fn work<T, W>(work: W) -> W
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
{
    work
}

/// Users' work takes several statements: a savepoint of its own undoes them without the others in the transaction.
/// Sessions' and shared values' work is a single statement, which SQLite undoes by itself.
async fn apart<T, W>(connection: &mut SqliteConnection, durability: Durability, work: W) -> sqlx::Result<T>
where
    W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>>,
{
    if durability == Durability::Process {
        return work(connection).await;
    }
    sqlx::query("SAVEPOINT work").execute(&mut *connection).await?;
    let outcome = work(connection).await;
    if outcome.is_err() {
        // Fails only where SQLite has rolled everything back already.
        let _ = sqlx::query("ROLLBACK TO work").execute(&mut *connection).await;
    }
    let released = sqlx::query("RELEASE work").execute(connection).await;
    outcome.and_then(|value| released.map(|_| value))
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

async fn serve(mut connection: SqliteConnection, mut jobs: mpsc::Receiver<Job>, backlog: Arc<Backlog>) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut synced = Durability::Machine;
    loop {
        let idle = jobs.is_empty();
        if jobs.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        // Who is about to ask comes into the same transaction: most of what it costs is there once, however many they are.
        yield_now().await;
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        if idle || batch.len() < BATCH / 2 {
            backlog.is_short();
        }
        let mut answers = Vec::with_capacity(batch.len());
        let outcome = transact(&mut connection, &mut synced, &mut batch, &mut answers).await;
        // Jobs whose turn did not come are dropped here, which their callers see.
        batch.clear();
        for answer in answers {
            answer(outcome.as_ref().copied().map_err(|e| Failure::Refused(e.to_string())));
        }
    }
}

async fn transact(
    connection: &mut SqliteConnection,
    synced: &mut Durability,
    batch: &mut Vec<Job>,
    answers: &mut Vec<Answer>,
) -> sqlx::Result<()> {
    let machine = batch.iter().any(|job| job.durability == Durability::Machine);
    let wanted = if machine { Durability::Machine } else { Durability::Process };
    if *synced != wanted {
        let pragma = if machine { "PRAGMA synchronous = FULL" } else { "PRAGMA synchronous = NORMAL" };
        sqlx::raw_sql(pragma).execute(&mut *connection).await?;
        *synced = wanted;
    }
    // Not by sqlx's transactions: SQLite ends one by itself when the disk is full, which sqlx would not notice, and
    // would begin none ever after.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
    for job in batch.drain(..) {
        answers.push((job.work)(connection).await);
    }
    let committed = sqlx::query("COMMIT").execute(&mut *connection).await;
    if committed.is_err() {
        // Fails only where there is nothing to roll back any more.
        let _ = sqlx::query("ROLLBACK").execute(connection).await;
    }
    committed.map(|_| ())
}

/// The transaction could not begin, or did not reach this job.
fn gone() -> Failure {
    Failure::Refused("the file could not be written".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::schema;
    use sqlx::{AssertSqlSafe, sqlite::SqliteConnectOptions};

    async fn writer(folder: &tempfile::TempDir) -> Writer {
        let path = folder.path().join("menlou.db");
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        Writer::start(schema::prepare(&options).await.unwrap())
    }

    async fn run(writer: &Writer, durability: Durability, sql: String) -> Result<()> {
        let work = work(move |connection| {
            Box::pin(async move { sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ()) })
        });
        writer.run(durability, work).await
    }

    fn put(key: usize, size: usize) -> String {
        format!("INSERT INTO shared VALUES ('a', 'k{key}', zeroblob({size}), 0)")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_disk_is_unavailable_and_is_over_when_there_is_room() {
        for durability in [Durability::Process, Durability::Machine] {
            let folder = tempfile::tempdir().unwrap();
            let writer = writer(&folder).await;
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
        let writer = writer(&folder).await;
        // Holds the writer up, as a slow disk would.
        let slow = |time| {
            work(move |_| {
                Box::pin(async move {
                    tokio::time::sleep(time).await;
                    Ok(())
                })
            })
        };
        let mut tasks = tokio::task::JoinSet::new();
        for key in 0..2 * BATCH {
            let (writer, hold) = (writer.clone(), slow(if key == 0 { 2 * RUSH } else { Duration::ZERO }));
            tasks.spawn(async move { writer.run(Durability::Process, hold).await });
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
        let writer = writer(&folder).await;
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
        let count = work(|connection| {
            Box::pin(
                async move { sqlx::query_scalar::<_, i64>("SELECT count(*) FROM shared").fetch_one(connection).await },
            )
        });
        assert_eq!(writer.run(Durability::Process, count).await.unwrap(), 40);
    }
}
