//! A read-only replica that takes look-ups off the primary, asked only where its answer can't be overtaken.
//!
//! Every gateway hears of each change by LISTEN, as its cache does. For a while after a change, what it is about is looked
//! up in the primary; and the replica is asked only while it is known to have replayed all that the primary had written
//! less than that while ago. So whatever the replica may be missing is not asked of it. What it does not find is looked up
//! in the primary as well: somebody who has just logged in is always found.

use super::{UserRow, bind, failure, link::Link, plain};
use crate::{cache::IdentityRef, guard::Guard};
use metrics::Counter;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    collections::{VecDeque, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How long a look-up may take here before the primary is asked.
const DEADLINE: Duration = Duration::from_millis(250);
/// Connections to it.
const CONNECTIONS: u32 = 16;
/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(500);
/// How far behind it may be.
const LAG: Duration = Duration::from_secs(4);
/// For how long after a change the primary is asked about it: longer than [`LAG`].
const LATELY: Duration = Duration::from_secs(6);
/// The longest that a commit of ours may be seen before it is written to the log (with `synchronous_commit` off).
const UNWRITTEN: Duration = Duration::from_secs(1);
/// Times of changes are kept by hash: keys that share one cost the primary a look-up now and then.
const SLOTS: usize = 1 << 16;

/// The replica. Times are milliseconds since it was made; 0 is never.
pub(super) struct Replica {
    pool: PgPool,
    guard: Guard,
    began: Instant,
    /// As of when it is known to have everything.
    complete: AtomicU64,
    /// Since when changes are heard of without a gap.
    heard: AtomicU64,
    changed: Box<[AtomicU64]>,
    all_changed: AtomicU64,
    hasher: RandomState,
    found: Counter,
    missed: Counter,
    passed_over: Counter,
}

impl Replica {
    /// It connects when it is asked.
    pub fn new(options: PgConnectOptions) -> Self {
        let limit = [("statement_timeout", DEADLINE.as_millis().to_string())];
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(DEADLINE);
        let counter = |outcome: &'static str| metrics::counter!("menlou_replica_lookups_total", "outcome" => outcome);
        Self {
            pool: pool.connect_lazy_with(options.options(limit)),
            guard: Guard::new("PostgreSQL-replica", DEADLINE),
            began: Instant::now(),
            complete: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            changed: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            all_changed: AtomicU64::new(0),
            hasher: RandomState::new(),
            found: counter("found"),
            missed: counter("missed"),
            passed_over: counter("passed_over"),
        }
    }

    /// The account of this openid, where the replica may be asked and has it.
    pub async fn find(&self, identity: &IdentityRef<'_>) -> Option<UserRow> {
        if !self.may_answer(identity) {
            self.passed_over.increment(1);
            return None;
        }
        let IdentityRef { tenant, platform, openid } = *identity;
        let query = sqlx::query_as::<_, UserRow>(bind::BOUND).bind(tenant).bind(platform).bind(plain(openid));
        let found = self.guard.ask(async { query.fetch_optional(&self.pool).await.map_err(|e| failure(&e)) }).await;
        // A failure here is no failure of the call: the guard tells of an outage, the primary answers.
        let found = found.ok().flatten().filter(|user| self.may_answer(identity) && self.unchanged(&user.id));
        match &found {
            Some(_) => self.found.increment(1),
            None => self.missed.increment(1),
        }
        found
    }

    /// This openid's binding has changed.
    pub fn binding_changed(&self, identity: &IdentityRef<'_>) {
        self.slot(identity).store(self.now(), SeqCst);
    }

    /// This account has changed.
    pub fn user_changed(&self, id: i64) {
        self.slot(&id).store(self.now(), SeqCst);
    }

    /// Something has changed.
    pub fn all_changed(&self) {
        self.all_changed.store(self.now(), SeqCst);
    }

    /// Changes are not heard of until [`Replica::hears`].
    pub fn is_deaf(&self) {
        self.heard.store(0, SeqCst);
    }

    /// Changes are heard of from now on.
    pub fn hears(&self) {
        self.heard.store(self.now(), SeqCst);
    }

    fn may_answer(&self, identity: &IdentityRef<'_>) -> bool {
        let (heard, complete) = (self.heard.load(SeqCst), self.complete.load(SeqCst));
        let fresh = heard != 0 && complete > heard && complete + millis(LAG) > self.now();
        fresh && self.is_past(self.all_changed.load(SeqCst)) && self.unchanged(identity)
    }

    fn unchanged(&self, key: &impl Hash) -> bool {
        self.is_past(self.slot(key).load(SeqCst))
    }

    fn is_past(&self, change: u64) -> bool {
        change == 0 || change + millis(LATELY) < self.now()
    }

    fn slot(&self, key: &impl Hash) -> &AtomicU64 {
        &self.changed[self.hasher.hash_one(key) as usize % SLOTS]
    }

    fn now(&self) -> u64 {
        // Never 0, which is never.
        millis(self.began.elapsed()) + 1
    }
}

/// Watches how far the replica is, for ever.
pub(super) async fn watch(replica: Arc<Replica>, link: Arc<Link>) {
    // When the primary's log was how long, oldest first.
    let mut lengths: VecDeque<(u64, i64)> = VecDeque::new();
    loop {
        sleep(LOOK).await;
        let now = replica.now();
        if let Some(length) = written(&link).await {
            lengths.push_back((now, length));
        }
        let Some(replayed) = replayed(&replica).await else { continue };
        let mut complete = None;
        while let Some((at, length)) = lengths.front().copied()
            && (length <= replayed || at + 2 * millis(LAG) < now)
        {
            lengths.pop_front();
            if length <= replayed {
                complete = Some(at);
            }
        }
        if let Some(complete) = complete {
            replica.complete.store(complete.saturating_sub(millis(UNWRITTEN)), SeqCst);
        }
    }
}

/// How long the primary's log is.
async fn written(link: &Link) -> Option<i64> {
    let pool = link.pool().ok()?;
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint";
    timeout(DEADLINE, sqlx::query_scalar(sql).fetch_one(&pool)).await.ok()?.ok()
}

/// How much of it the replica has replayed; nothing where it is none (any more).
async fn replayed(replica: &Replica) -> Option<i64> {
    let sql = "SELECT CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint END";
    let query = sqlx::query_scalar::<_, Option<i64>>(sql);
    replica.guard.ask(async { query.fetch_one(&replica.pool).await.map_err(|e| failure(&e)) }).await.ok()?
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
