//! Who counts: Redis for all replicas together, where sessions live there; else, and while it doesn't answer, this process,
//! from what was last known.

use super::{
    Limit,
    admission::{AdmissionController, InFlightStats},
};
use menlou_store::rate_limits::{LocalRateLimiter, RateLimitCheck, RateLimitOutcome, SharedRateLimiter};
use metrics::{Counter, counter};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

/// Counts calls for all tenants.
pub struct Limiter {
    pub(super) room: Arc<AdmissionController>,
    shared: Option<Arc<dyn SharedRateLimiter>>,
    /// Whether the replicas are known not to count together at present.
    away: AtomicBool,
    by_itself: Counter,
    tallies: Mutex<CounterTable>,
}

/// The tallies of tenants that someone has, and some that nobody has any more.
#[derive(Default)]
struct CounterTable {
    by_tenant: HashMap<String, Weak<TenantCounters>>,
    /// At how many those that nobody has are looked for: seldom, for that looks at all of them.
    full: usize,
}

/// What this process has counted of one tenant, however often its file is reloaded.
#[derive(Default)]
pub(super) struct TenantCounters {
    memory: LocalRateLimiter,
    pub under_way: Arc<InFlightStats>,
    actions: Mutex<HashMap<String, Arc<InFlightStats>>>,
}

impl Limiter {
    /// Counts in `shared`, if that is given and answers; calls under way share `room`.
    pub fn new(shared: Option<Arc<dyn SharedRateLimiter>>, room: Arc<AdmissionController>) -> Self {
        let by_itself = counter!("menlou_rate_limit_local_fallback_total");
        Self { room, shared, away: AtomicBool::new(false), by_itself, tallies: Mutex::default() }
    }

    /// The tally of a tenant; the same as long as someone has it.
    pub(super) fn tally(&self, tenant: &str) -> Arc<TenantCounters> {
        let mut tallies = self.tallies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tally) = tallies.by_tenant.get(tenant).and_then(Weak::upgrade) {
            return tally;
        }
        if tallies.by_tenant.len() >= tallies.full {
            tallies.by_tenant.retain(|_, tally| tally.strong_count() > 0);
            tallies.full = 2 * tallies.by_tenant.len() + 1;
        }
        let tally = Arc::new(TenantCounters::default());
        tallies.by_tenant.insert(tenant.to_owned(), Arc::downgrade(&tally));
        tally
    }

    /// Counts one call of `who` against the limits. It always comes to an answer.
    pub(super) async fn take(
        &self,
        tenant: &str,
        tally: &TenantCounters,
        limits: &[Limit],
        who: &str,
    ) -> RateLimitOutcome {
        let checks: Vec<RateLimitCheck<'_>> = limits
            .iter()
            .map(|limit| RateLimitCheck { limit: &limit.name, subject: limit.each.then_some(who), rate: &limit.rate })
            .collect();
        if let Some(shared) = &self.shared {
            // What they have counted together only grows, so a flood of refused calls does not reach them.
            if let Some(refused) = tally.memory.known_rejection(&checks) {
                return refused;
            }
            match shared.acquire(tenant, &checks).await {
                Ok(taken) => {
                    if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
                        tracing::info!("limits hold for all gateways together again");
                    }
                    tally.memory.learn_backlogs(&checks, &taken.backlogs);
                    return taken;
                }
                Err(cause) => {
                    self.by_itself.increment(1);
                    if !self.away.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%cause, "limits hold for each gateway by itself until Redis answers");
                    }
                }
            }
        }
        tally.memory.acquire(&checks)
    }
}

impl TenantCounters {
    /// The calls under way of one action.
    pub fn action(&self, name: &str) -> Arc<InFlightStats> {
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of actions that are no more are ours alone.
        actions.retain(|_, under_way| Arc::strong_count(under_way) > 1);
        actions.entry(name.to_owned()).or_default().clone()
    }
}
