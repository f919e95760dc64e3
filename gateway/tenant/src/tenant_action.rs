//! An action that a tenant has enabled, and its counters.
//!
//! With many tenants, a request usually finds nothing of its tenant in the CPU caches, and each cache miss costs more than
//! 100 ns. Data that every request needs is therefore kept together and prefetched in one go.

use super::activity::ActionUsage;
use menlou_action::Action;
use menlou_error::Outcome;
use menlou_policy::rate_limits::RequestLimits;
use metrics::{Counter, Histogram, counter, histogram};
use smol_str::SmolStr;
use std::{
    hint::black_box,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// An action that a tenant has enabled. The fields that every request needs come first, in one cache line.
#[repr(C, align(64))]
pub struct TenantAction {
    /// The `a` of its requests.
    pub name: SmolStr,
    /// The action; `None` if its plugin is missing or rejected.
    pub action: Option<Arc<Action>>,
    /// Requests by minute.
    usage: Arc<ActionUsage>,
    /// The limits of the tenant and of this action.
    pub limits: RequestLimits,
    /// Durations of requests, shared with other tenants' actions of the same name: a label for the tenant would make more
    /// series than anyone could store.
    seconds: Histogram,
    /// Requests that were [flushed](TenantAction::flush_metrics). The series begins with the first request, since most of
    /// many tenants get few.
    requests: [OnceLock<Counter>; Outcome::ALL.len()],
    /// Counters of failures by error code. They are cached, since a flood of rejections has to be cheap.
    failures: Mutex<Vec<(&'static str, Counter)>>,
}

impl TenantAction {
    /// An action under this name, whose requests are counted in `usage`.
    pub(super) fn new(name: &str, action: Option<Arc<Action>>, limits: RequestLimits, usage: Arc<ActionUsage>) -> Self {
        let seconds = histogram!("menlou_request_duration_seconds", "action" => name.to_owned());
        let (requests, failures) = Default::default();
        Self { name: name.into(), action, usage, limits, seconds, requests, failures }
    }

    /// Reads what the request will need, so that the CPU waits for all cache misses together instead of one by one.
    pub fn prefetch(&self) {
        let action = self.action.as_ref().map_or(0, |action| action.prefetch());
        black_box(action + self.limits.prefetch() + self.usage.prefetch());
    }

    /// Counts a request.
    pub fn record(&self, outcome: Outcome, took: Duration) {
        self.seconds.record(took);
        self.usage.record(outcome, took);
    }

    /// Adds the requests since the last flush to the tenant's counter.
    pub(super) fn flush_metrics(&self, tenant: &str) {
        for (outcome, counter) in Outcome::ALL.into_iter().zip(&self.requests) {
            let requests = self.usage.take_unflushed(outcome);
            if requests > 0 {
                // The labels come from configuration, never from a request.
                let labels = [
                    ("tenant", tenant.to_owned()),
                    ("action", self.name.to_string()),
                    ("outcome", outcome.name().to_owned()),
                ];
                counter.get_or_init(|| counter!("menlou_requests_total", &labels)).increment(requests);
            }
        }
    }

    /// Counts a failure by its error code.
    pub fn record_failure(&self, tenant: &str, code: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = failures.iter().find(|(known, _)| *known == code) {
            return counter.increment(1);
        }
        let labels = [("tenant", tenant.to_owned()), ("action", self.name.to_string()), ("error", code.to_owned())];
        let counter = counter!("menlou_errors_total", &labels);
        counter.increment(1);
        failures.push((code, counter));
    }
}
