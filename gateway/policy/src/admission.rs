//! Admission control: limits the requests in flight, in total, per tenant and per action, and sheds load when the CPU is
//! saturated.

mod cpu_load;

use cpu_load::CpuLoad;
use metrics::{Counter, counter};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Load is never shed from an action with at most this number of requests in flight.
const MIN_CONCURRENCY: usize = 256;
/// An action is slow once its average duration exceeds this, and until the average falls below a quarter of it. The
/// hysteresis is needed because shedding load shortens the durations.
const SLOW: Duration = Duration::from_millis(50);
/// Requests that cost less CPU time than this are served: rejecting one costs a third of that.
const EXPENSIVE: Duration = Duration::from_micros(50);
/// Interval over which the CPU cost of a request is measured.
const MEASURE_INTERVAL: Duration = Duration::from_millis(100);

/// The concurrency limits of the gateway.
pub struct AdmissionController {
    permits: Arc<Semaphore>,
    per_tenant: Option<usize>,
    cpu_load: CpuLoad,
    /// Requests rejected because `max_concurrent_requests` was reached.
    shed_at_limit: Counter,
    /// Requests rejected because the CPU was saturated.
    shed_by_cpu: Counter,
}

/// Statistics of the requests in flight of one tenant or one action. A [`Permit`] counts until it is dropped.
#[derive(Default)]
pub(crate) struct InFlightStats {
    in_flight: AtomicUsize,
    /// Exponential moving average of the duration in microseconds, with a weight of 1/16 for the latest request.
    average_us: AtomicU32,
    slow: AtomicBool,
    /// Number of completed requests.
    completed: AtomicU64,
    cost: Mutex<CpuCost>,
}

/// The measured CPU cost of one request.
struct CpuCost {
    expensive: bool,
    /// Start of the current measurement, and the number of requests completed by then.
    started: (Instant, u64),
}

impl Default for CpuCost {
    fn default() -> Self {
        Self { expensive: false, started: (Instant::now(), 0) }
    }
}

/// The reason why a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    /// The tenant or the action has reached its concurrency limit.
    TenantLimit,
    /// The CPU is saturated: one more request would slow down all others.
    CpuLoad,
}

/// One request in flight.
pub struct Permit {
    tenant: Arc<InFlightStats>,
    action: Arc<InFlightStats>,
}

impl AdmissionController {
    /// Admits `permits` concurrent requests, at most `per_tenant` of them for one tenant. Without `per_tenant` a tenant
    /// may use as many permits as remain free: one busy tenant gets half of all, two get a third each. Permits for another
    /// tenant always remain.
    pub fn new(permits: usize, per_tenant: Option<usize>) -> Self {
        let shed = |reason| counter!("menlou_requests_shed_total", "reason" => reason, "tenant" => "");
        Self {
            permits: Arc::new(Semaphore::new(permits)),
            per_tenant,
            cpu_load: CpuLoad::new(),
            shed_at_limit: shed("max_concurrent_requests"),
            shed_by_cpu: shed("cpu_saturated"),
        }
    }

    /// A permit for one request of any tenant; `None` if all permits are in use.
    pub fn acquire(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.permits.clone().try_acquire_owned().ok();
        if permit.is_none() {
            self.shed_at_limit.increment(1);
        }
        permit
    }

    /// A permit for a request of this tenant and action that already holds one from [`AdmissionController::acquire`].
    /// `max_concurrent` holds the limits of the tenant and of the action from the tenant file.
    ///
    /// # Errors
    /// [`Rejection::TenantLimit`] if the tenant exceeds its share or one of these limits. [`Rejection::CpuLoad`] if the
    /// CPU is saturated, and the action is slow, expensive and has many requests in flight. Requests that wait for a slow
    /// platform, bursts of short requests, and requests that cost hardly more than their rejection are therefore served.
    pub(crate) fn acquire_for(
        &self,
        tenant: &Arc<InFlightStats>,
        action: &Arc<InFlightStats>,
        max_concurrent: (Option<usize>, Option<usize>),
    ) -> Result<Permit, Rejection> {
        let add = |stats: &InFlightStats| stats.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        let (of_tenant, of_action) = (add(tenant), add(action));
        // Counts until it is dropped, on the error paths too.
        let permit = Permit { tenant: tenant.clone(), action: action.clone() };
        let share = self.per_tenant.unwrap_or_else(|| self.permits.available_permits() + 1);
        let is_within_limits = of_tenant <= share
            && max_concurrent.0.is_none_or(|max| of_tenant <= max)
            && max_concurrent.1.is_none_or(|max| of_action <= max);
        if !is_within_limits {
            return Err(Rejection::TenantLimit);
        }
        if of_action > MIN_CONCURRENCY
            && action.is_slow()
            && self.cpu_load.is_saturated()
            && action.is_expensive(self.cpu_load.processors())
        {
            self.shed_by_cpu.increment(1);
            return Err(Rejection::CpuLoad);
        }
        Ok(permit)
    }
}

impl InFlightStats {
    /// Records the duration of a completed request.
    pub fn record_duration(&self, duration: Duration) {
        self.completed.fetch_add(1, Ordering::Relaxed);
        let duration = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
        let average = self.average_us.load(Ordering::Relaxed);
        // Concurrent updates may overwrite each other. An average tolerates that.
        let average = average - average / 16 + duration / 16;
        self.average_us.store(average, Ordering::Relaxed);
        let (slow, average) = (self.is_slow(), Duration::from_micros(average.into()));
        if slow && average < SLOW / 4 || !slow && average > SLOW {
            self.slow.store(!slow, Ordering::Relaxed);
        }
    }

    /// Whether a request costs much CPU time, assuming that the processors served nothing else during the measurement.
    fn is_expensive(&self, processors: f64) -> bool {
        let mut cost = self.cost.lock().unwrap_or_else(PoisonError::into_inner);
        let (completed, elapsed) = (self.completed.load(Ordering::Relaxed), cost.started.0.elapsed());
        if elapsed >= MEASURE_INTERVAL {
            let each = elapsed.as_secs_f64() * processors / completed.saturating_sub(cost.started.1) as f64;
            // A measurement that began long ago says nothing about the present.
            cost.expensive = elapsed < 10 * MEASURE_INTERVAL && each > EXPENSIVE.as_secs_f64();
            cost.started = (Instant::now(), completed);
        }
        cost.expensive
    }

    fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.tenant.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.action.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of permits that each of several tenants gets if one after the other takes as many as possible.
    fn acquired(admission: &AdmissionController, tenants: usize) -> Vec<usize> {
        let mut held = Vec::new();
        let mut take = |_| {
            let (tenant, action) = (Arc::default(), Arc::default());
            let permits = (0..10_000).map_while(|_| {
                let total = admission.acquire()?;
                admission.acquire_for(&tenant, &action, (None, None)).ok().map(|permit| (total, permit))
            });
            let permits: Vec<_> = permits.collect();
            let count = permits.len();
            held.push(permits);
            count
        };
        (0..tenants).map(&mut take).collect()
    }

    #[test]
    fn a_greedy_tenant_leaves_as_many_permits_as_it_takes() {
        assert_eq!(acquired(&AdmissionController::new(1000, None), 5), [500, 250, 125, 63, 31]);
        assert_eq!(acquired(&AdmissionController::new(1, None), 2), [1, 0]);
        assert_eq!(acquired(&AdmissionController::new(1000, Some(400)), 4), [400, 400, 200, 0]);
        assert_eq!(acquired(&AdmissionController::new(10, Some(10)), 2), [10, 0]);
    }

    #[test]
    fn a_rejected_request_does_not_stay_counted() {
        let admission = AdmissionController::new(10, None);
        let (tenant, action) = (Arc::default(), Arc::default());
        let acquire = |max| admission.acquire_for(&tenant, &action, max);
        let held = acquire((Some(1), None));
        assert!(held.is_ok());
        for max in [(Some(1), None), (None, Some(1))] {
            assert!((0..100).all(|_| matches!(acquire(max), Err(Rejection::TenantLimit))));
        }
        drop(held);
        assert!(acquire((Some(1), Some(1))).is_ok());
    }

    /// The number of admitted requests, out of twice [`MIN_CONCURRENCY`], of an action whose requests take `duration`, of
    /// which `completed` were completed in the last interval.
    fn admitted(duration: Duration, saturated: bool, completed: u64) -> usize {
        let cpu_load = CpuLoad::fixed(saturated);
        let admission = AdmissionController { cpu_load, ..AdmissionController::new(10_000, None) };
        let (tenant, action) = (Arc::default(), Arc::<InFlightStats>::default());
        (0..100).for_each(|_| action.record_duration(duration));
        let started = Instant::now().checked_sub(MEASURE_INTERVAL).unwrap();
        action.completed.store(completed, Ordering::Relaxed);
        action.cost.lock().unwrap().started = (started, 0);
        let permits = (0..2 * MIN_CONCURRENCY).map(|_| admission.acquire_for(&tenant, &action, (None, None)));
        let permits: Vec<_> = permits.collect();
        assert!(permits.iter().all(|permit| !matches!(permit, Err(Rejection::TenantLimit))));
        permits.iter().filter(|permit| permit.is_ok()).count()
    }

    #[test]
    fn a_saturated_cpu_limits_the_concurrency_of_slow_actions_only() {
        let (slow, fast) = (2 * SLOW, SLOW / 2);
        assert_eq!(
            (admitted(slow, false, 10), admitted(fast, true, 10), admitted(slow, true, 10)),
            (2 * MIN_CONCURRENCY, 2 * MIN_CONCURRENCY, MIN_CONCURRENCY)
        );
    }

    #[test]
    fn a_saturated_cpu_does_not_limit_slow_requests_that_cost_little_cpu_time() {
        // With 100 000 requests completed in 100 ms, each took at most 1 µs of one processor.
        assert_eq!(admitted(2 * SLOW, true, 100_000), 2 * MIN_CONCURRENCY);
    }
}
