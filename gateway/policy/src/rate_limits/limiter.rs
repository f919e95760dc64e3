//! The rate limiter: counts in Redis for all replicas together if sessions are stored there. Otherwise, and while Redis is
//! unavailable, it counts in this process, starting from the last known state.

use super::named_limit::NamedLimit;
use crate::admission::{AdmissionController, InFlightStats};
use menlou_store::rate_limits::{LocalRateLimiter, RateLimitCheck, RateLimitOutcome, SharedRateLimiter};
use metrics::{Counter, counter};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

/// Counts the requests of all tenants.
pub struct RateLimiter {
    pub(super) admission: Arc<AdmissionController>,
    shared: Option<Arc<dyn SharedRateLimiter>>,
    /// Whether the shared counters were unavailable at the last attempt.
    is_fallback_active: AtomicBool,
    local_fallbacks: Counter,
    counters: Mutex<CounterTable>,
}

/// The counters of all tenants that are in use, and some that are not in use any more.
#[derive(Default)]
struct CounterTable {
    by_tenant: HashMap<String, Weak<TenantCounters>>,
    /// At this size unused entries are removed. It doubles, because each removal visits all entries.
    clean_up_at: usize,
}

/// The counters of one tenant in this process. They survive reloads of its file.
#[derive(Default)]
pub(super) struct TenantCounters {
    local: LocalRateLimiter,
    pub in_flight: Arc<InFlightStats>,
    actions: Mutex<HashMap<String, Arc<InFlightStats>>>,
}

impl RateLimiter {
    /// Counts in `shared` if it is given and available. Concurrency is limited by `admission`.
    pub fn new(shared: Option<Arc<dyn SharedRateLimiter>>, admission: Arc<AdmissionController>) -> Self {
        Self {
            admission,
            shared,
            is_fallback_active: AtomicBool::new(false),
            local_fallbacks: counter!("menlou_rate_limit_local_fallback_total"),
            counters: Mutex::default(),
        }
    }

    /// The counters of a tenant. As long as they are in use, the same ones are returned.
    pub(super) fn counters(&self, tenant: &str) -> Arc<TenantCounters> {
        let mut table = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counters) = table.by_tenant.get(tenant).and_then(Weak::upgrade) {
            return counters;
        }
        if table.by_tenant.len() >= table.clean_up_at {
            table.by_tenant.retain(|_, counters| counters.strong_count() > 0);
            table.clean_up_at = 2 * table.by_tenant.len() + 1;
        }
        let counters = Arc::new(TenantCounters::default());
        table.by_tenant.insert(tenant.to_owned(), Arc::downgrade(&counters));
        counters
    }

    /// Counts one request of `subject` against the limits. It always returns an outcome, also without Redis.
    pub(super) async fn acquire(
        &self,
        tenant: &str,
        counters: &TenantCounters,
        limits: &[NamedLimit],
        subject: &str,
    ) -> RateLimitOutcome {
        let checks: Vec<RateLimitCheck<'_>> = limits
            .iter()
            .map(|NamedLimit { name, is_per_subject, rate, .. }| RateLimitCheck {
                limit: name,
                subject: is_per_subject.then_some(subject),
                rate,
            })
            .collect();
        if let Some(shared) = &self.shared {
            // A backlog that is known from Redis is a lower bound, so a flood of rejected requests does not reach Redis.
            if let Some(rejected) = counters.local.known_rejection(&checks) {
                return rejected;
            }
            match shared.acquire(tenant, &checks).await {
                Ok(outcome) => {
                    if self.is_fallback_active.load(Ordering::Relaxed)
                        && self.is_fallback_active.swap(false, Ordering::Relaxed)
                    {
                        tracing::info!("Redis is available again: rate limits are counted for all replicas together");
                    }
                    counters.local.learn_backlogs(&checks, &outcome.backlogs);
                    return outcome;
                }
                Err(cause) => {
                    self.local_fallbacks.increment(1);
                    if !self.is_fallback_active.swap(true, Ordering::Relaxed) {
                        tracing::warn!(%cause, "Redis is unavailable: each replica counts rate limits separately");
                    }
                }
            }
        }
        counters.local.acquire(&checks)
    }
}

impl TenantCounters {
    /// The statistics of one action.
    pub fn action(&self, name: &str) -> Arc<InFlightStats> {
        let mut actions = self.actions.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map itself still refers to the statistics of actions that were removed.
        actions.retain(|_, stats| Arc::strong_count(stats) > 1);
        actions.entry(name.to_owned()).or_default().clone()
    }
}
