//! An action that a tenant has enabled, and what is counted of its calls.
//!
//! A call that comes to another one of many tenants than the calls before it finds none of this in the processor's caches,
//! and each piece that it must wait for takes longer than a microsecond's tenth. So what all calls need stands together,
//! and is fetched at once.

use super::activity::ActionUsage;
use menlou_action::Action;
use menlou_policy::rate_limits::RequestLimits;
use metrics::{Counter, Histogram, counter, histogram};
use smol_str::SmolStr;
use std::{
    collections::HashMap,
    hint::black_box,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// An action that a tenant has enabled. What its calls need comes first, on one line of the cache.
#[repr(C, align(64))]
pub struct TenantAction {
    /// The `a` of its requests.
    pub name: SmolStr,
    /// The action; `None` where its plugin is missing or broken.
    pub action: Option<Arc<Action>>,
    /// Calls by the minute.
    usage: Arc<ActionUsage>,
    /// How often it may be called.
    pub limits: RequestLimits,
    /// How long calls took, those of other tenants' actions of this name included: by tenant too there would be more
    /// buckets than anyone could store.
    seconds: Histogram,
    /// Calls of this action, as far as they were [told](TenantAction::tell); there from the first on, for most of many tenants
    /// are seldom called.
    calls: OnceLock<Counter>,
    /// Those that failed, by word; kept, as a flood of refusals must be cheap.
    failures: Mutex<Vec<(&'static str, Counter)>>,
}

/// How long calls take, by the action's name: all tenants count in the same ones.
#[derive(Default)]
pub struct DurationHistograms(Mutex<HashMap<SmolStr, Histogram>>);

impl DurationHistograms {
    /// Where those of this name are counted.
    pub(super) fn for_action(&self, action: &str) -> Histogram {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || histogram!("menlou_request_duration_seconds", "action" => action.to_owned());
        all.entry(action.into()).or_insert_with(new).clone()
    }
}

impl TenantAction {
    /// An action under this name; its calls are counted in `usage` and `seconds`.
    pub(super) fn new(
        name: &str,
        action: Option<Arc<Action>>,
        limits: RequestLimits,
        usage: Arc<ActionUsage>,
        seconds: Histogram,
    ) -> Self {
        let (calls, failures) = Default::default();
        Self { name: name.into(), action, usage, limits, seconds, calls, failures }
    }

    /// Has the processor fetch what a call will need: it waits for all of it at once, not for one piece after the other.
    pub fn prefetch(&self) {
        let action = self.action.as_ref().map_or(0, |action| action.near());
        black_box(action + self.limits.prefetch() + self.usage.near());
    }

    /// Counts a call.
    pub fn called(&self, failed: bool, took: Duration) {
        self.seconds.record(took);
        self.usage.record(failed, took);
    }

    /// Tells the tenant's counter of the calls that came since it was told last.
    pub(super) fn flush_metrics(&self, tenant: &str) {
        let calls = self.usage.take_untold();
        if calls > 0 {
            // The labels come from configuration, never from a request.
            let new =
                || counter!("menlou_requests_total", "tenant" => tenant.to_owned(), "action" => self.name.to_string());
            self.calls.get_or_init(new).increment(calls);
        }
    }

    /// Counts a failure by its word.
    pub fn failed(&self, tenant: &str, word: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = failures.iter().find(|(known, _)| *known == word) {
            return counter.increment(1);
        }
        let labels = [("tenant", tenant.to_owned()), ("action", self.name.to_string()), ("error", word.to_owned())];
        let counter = counter!("menlou_errors_total", &labels);
        counter.increment(1);
        failures.push((word, counter));
    }
}
