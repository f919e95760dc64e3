//! A read-only replica for look-ups whose result cannot be stale.
//!
//! Every gateway is notified of each change by LISTEN. For [`PRIMARY_AFTER_CHANGE`] after a change, its subject is looked up
//! in the primary. The replica is read only while its lag is known to be at most [`MAX_LAG`], which is shorter. So no look-up
//! reads a replica that may lack the change. If the replica does not find an account, the primary is read as well, so that
//! an account that was just created is always found.

use super::{
    error::failure,
    rows::{BOUND_USER, UserRow, without_nul},
};
use crate::{
    cache::IdentityRef,
    deadline_breaker::{DeadlineBreaker, up_gauge},
};
use metrics::Counter;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};

/// The replica's name in log lines and metrics.
const NAME: &str = "PostgreSQL-replica";
/// Maximum time of a look-up in the replica. After it, the primary is read.
pub(super) const DEADLINE: Duration = Duration::from_millis(250);
/// Maximum number of connections.
const CONNECTIONS: u32 = 16;
/// Maximum lag behind the primary.
pub(super) const MAX_LAG: Duration = Duration::from_secs(4);
/// Time after a change for which its subject is looked up in the primary; longer than [`MAX_LAG`].
const PRIMARY_AFTER_CHANGE: Duration = Duration::from_secs(6);
/// Times of changes are stored by hash. Keys that share a slot cost an extra look-up in the primary.
const SLOTS: usize = 1 << 16;

/// The replica. Times are milliseconds since its creation; 0 means never.
pub(super) struct Replica {
    pool: PgPool,
    breaker: DeadlineBreaker,
    created: Instant,
    /// The replica has everything that the primary had written at this time.
    complete_to: AtomicU64,
    /// Since when notifications arrive without a gap.
    notified_since: AtomicU64,
    /// Times of changes, by hash of the subject.
    changed: Box<[AtomicU64]>,
    all_changed: AtomicU64,
    hasher: RandomState,
    found: Counter,
    missed: Counter,
    passed_over: Counter,
}

impl Replica {
    /// Connects at the first look-up.
    pub fn new(options: PgConnectOptions) -> Self {
        let limit = [("statement_timeout", DEADLINE.as_millis().to_string())];
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(DEADLINE);
        let counter = |outcome: &'static str| metrics::counter!("menlou_replica_lookups_total", "outcome" => outcome);
        Self {
            pool: pool.connect_lazy_with(options.options(limit)),
            breaker: DeadlineBreaker::new(NAME, DEADLINE, up_gauge(NAME)),
            created: Instant::now(),
            complete_to: AtomicU64::new(0),
            notified_since: AtomicU64::new(0),
            changed: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
            all_changed: AtomicU64::new(0),
            hasher: RandomState::new(),
            found: counter("found"),
            missed: counter("missed"),
            passed_over: counter("passed_over"),
        }
    }

    /// The account of this openid; `None` if the replica may be stale or does not have it.
    pub async fn find(&self, identity: &IdentityRef<'_>) -> Option<UserRow> {
        if !self.is_fresh(identity) {
            self.passed_over.increment(1);
            return None;
        }
        let IdentityRef { tenant, platform, openid } = *identity;
        let query = sqlx::query_as::<_, UserRow>(BOUND_USER).bind(tenant).bind(platform).bind(without_nul(openid));
        let found = self.breaker.run(async { query.fetch_optional(&self.pool).await.map_err(|e| failure(&e)) }).await;
        // A failure here does not fail the request: the breaker logs an outage, and the primary is read.
        let found = found.ok().flatten().filter(|user| self.is_fresh(identity) && self.is_unchanged(&user.id));
        match &found {
            Some(_) => self.found.increment(1),
            None => self.missed.increment(1),
        }
        found
    }

    /// Position in the primary's log up to which the replica has replayed it, in bytes; `None` if the server is not a
    /// replica, or does not respond.
    pub async fn replayed(&self) -> Option<i64> {
        let sql = "SELECT CASE WHEN pg_is_in_recovery()
            THEN pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::bigint END";
        let query = sqlx::query_scalar::<_, Option<i64>>(sql);
        self.breaker.run(async { query.fetch_one(&self.pool).await.map_err(|e| failure(&e)) }).await.ok()?
    }

    /// The binding of this openid has changed.
    pub fn binding_changed(&self, identity: &IdentityRef<'_>) {
        self.slot(identity).store(self.now(), SeqCst);
    }

    /// This account has changed.
    pub fn user_changed(&self, id: i64) {
        self.slot(&id).store(self.now(), SeqCst);
    }

    /// Anything may have changed.
    pub fn all_changed(&self) {
        self.all_changed.store(self.now(), SeqCst);
    }

    /// Notifications do not arrive until [`Replica::notifications_up`].
    pub fn notifications_down(&self) {
        self.notified_since.store(0, SeqCst);
    }

    /// Notifications arrive from now on.
    pub fn notifications_up(&self) {
        self.notified_since.store(self.now(), SeqCst);
    }

    /// The replica has everything that the primary had written at `time`.
    pub fn complete_to(&self, time: u64) {
        self.complete_to.store(time, SeqCst);
    }

    /// The current time, in milliseconds since creation; never 0.
    pub fn now(&self) -> u64 {
        millis(self.created.elapsed()) + 1
    }

    fn is_fresh(&self, identity: &IdentityRef<'_>) -> bool {
        let (notified, complete) = (self.notified_since.load(SeqCst), self.complete_to.load(SeqCst));
        let is_in_sync = notified != 0 && complete > notified && complete + millis(MAX_LAG) > self.now();
        is_in_sync && self.is_past(self.all_changed.load(SeqCst)) && self.is_unchanged(identity)
    }

    fn is_unchanged(&self, key: &impl Hash) -> bool {
        self.is_past(self.slot(key).load(SeqCst))
    }

    fn is_past(&self, change: u64) -> bool {
        change == 0 || change + millis(PRIMARY_AFTER_CHANGE) < self.now()
    }

    fn slot(&self, key: &impl Hash) -> &AtomicU64 {
        &self.changed[self.hasher.hash_one(key) as usize % SLOTS]
    }
}

/// A duration in milliseconds.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
