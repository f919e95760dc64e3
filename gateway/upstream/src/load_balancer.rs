//! The load balancer: selects a server for each request, by requests in flight, circuit breaker and health checks.

use super::{
    address::Address,
    metrics::{Outcome, UpstreamMetrics},
    options::UpstreamLabels,
};
use http::StatusCode;
use menlou_circuit::{BreakerPolicy, CallOutcome, Circuit, CircuitChange};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Number of consecutive failed health checks that makes a server unhealthy. One successful check makes it healthy again.
const UNHEALTHY_AFTER: u32 = 2;
/// Minimum and default of `Retry-After`.
const MIN_RETRY_AFTER: Duration = Duration::from_secs(1);

/// The servers of an upstream and their state.
pub(super) struct LoadBalancer {
    pub labels: UpstreamLabels,
    pub servers: Vec<Server>,
    breaker_policy: BreakerPolicy,
    /// Interval of the health checks; zero if they are disabled.
    check_interval: Duration,
    state: Mutex<State>,
}

/// A server and its metrics.
pub(super) struct Server {
    pub address: Address,
    metrics: UpstreamMetrics,
}

struct State {
    servers: Vec<ServerState>,
    /// Index at which the next search starts, for round robin between equally loaded servers.
    start: usize,
}

struct ServerState {
    in_flight: u32,
    circuit: Circuit,
    failed_checks: u32,
}

/// One request in flight at a server, until the last byte of its response. Dropping it decrements the count.
pub(super) struct ServerPermit {
    balancer: Arc<LoadBalancer>,
    /// Index of the server.
    pub server: usize,
    is_trial: bool,
    outcome: Outcome,
}

impl LoadBalancer {
    /// A load balancer of servers that have not failed yet.
    pub fn new(
        labels: UpstreamLabels,
        addresses: Vec<Address>,
        breaker_policy: BreakerPolicy,
        check_interval: Duration,
    ) -> Arc<Self> {
        let new_state = || ServerState { in_flight: 0, circuit: Circuit::Closed { failures: 0 }, failed_checks: 0 };
        let states = addresses.iter().map(|_| new_state()).collect();
        let servers: Vec<_> = addresses
            .into_iter()
            .map(|address| Server { metrics: UpstreamMetrics::new(&labels, &address.origin), address })
            .collect();
        let state = Mutex::new(State { servers: states, start: 0 });
        Arc::new(Self { labels, servers, breaker_policy, check_interval, state })
    }

    /// Selects the available server with the fewest requests in flight, preferably one that is not in `tried`.
    ///
    /// # Errors
    /// If no server is available: the time after which to try again, in whole seconds.
    pub fn acquire(self: &Arc<Self>, tried: &[usize]) -> Result<ServerPermit, Duration> {
        let now = Instant::now();
        let mut state = self.state();
        if tried.is_empty() {
            // Not for retries, which would direct every other request to the failing server.
            state.start = state.start.wrapping_add(1);
        }
        let (start, count) = (state.start, state.servers.len());
        let is_available = |s: &ServerState| s.is_healthy() && s.circuit.allows_call(now);
        let least_loaded = (0..count)
            .map(|i| start.wrapping_add(i) % count)
            .filter(|i| is_available(&state.servers[*i]))
            .min_by_key(|i| (tried.contains(i), state.servers[*i].in_flight));
        let Some(server) = least_loaded else {
            let wait = |s: &ServerState| {
                let next_check = if s.is_healthy() { Duration::ZERO } else { self.check_interval };
                s.circuit.retry_after(now).max(next_check).max(MIN_RETRY_AFTER)
            };
            let wait = state.servers.iter().map(wait).min().unwrap_or(MIN_RETRY_AFTER);
            // Rounded up, because `Retry-After` has whole seconds and an early retry would be rejected again.
            return Err(Duration::from_secs(wait.as_secs_f64().ceil() as u64));
        };
        let selected = &mut state.servers[server];
        selected.in_flight += 1;
        let is_trial = selected.circuit.begin_call();
        drop(state);
        Ok(ServerPermit { balancer: Arc::clone(self), server, is_trial, outcome: Outcome::Abandoned })
    }

    /// Records the result of a health check: `None` for success, or the cause of the failure.
    pub fn record_check(&self, server: usize, failure: Option<&str>) {
        let (was_healthy, is_healthy) = {
            let mut state = self.state();
            let checked = &mut state.servers[server];
            let was_healthy = checked.is_healthy();
            checked.failed_checks = failure.map_or(0, |_| checked.failed_checks.saturating_add(1));
            (was_healthy, checked.is_healthy())
        };
        let UpstreamLabels { tenant, action } = &self.labels;
        let Server { address, metrics } = &self.servers[server];
        match failure {
            Some(cause) if was_healthy && !is_healthy => {
                metrics.unhealthy.increment(1.0);
                tracing::warn!(
                    tenant,
                    action,
                    server = address.origin,
                    cause,
                    "upstream server is unhealthy: no requests are sent to it"
                );
            }
            None if !was_healthy => {
                metrics.unhealthy.decrement(1.0);
                tracing::info!(tenant, action, server = address.origin, "upstream server is healthy again");
            }
            _ => {}
        }
    }

    fn record(&self, server: usize, is_trial: bool, outcome: CallOutcome) {
        let now = Instant::now();
        let change = self.state().servers[server].circuit.record(is_trial, outcome, self.breaker_policy, now);
        let UpstreamLabels { tenant, action } = &self.labels;
        let Server { address, metrics } = &self.servers[server];
        match change {
            Some(CircuitChange::Opened) => {
                metrics.open.increment(1.0);
                let seconds = self.breaker_policy.break_for.as_secs_f64();
                let server = &address.origin;
                tracing::warn!(
                    tenant,
                    action,
                    server,
                    seconds,
                    "upstream server keeps failing: its circuit is open, and no requests are sent to it for a while"
                );
            }
            Some(CircuitChange::Closed) => {
                metrics.open.decrement(1.0);
                tracing::info!(
                    tenant,
                    action,
                    server = address.origin,
                    "upstream server works again: its circuit is closed"
                );
            }
            None => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerState {
    fn is_healthy(&self) -> bool {
        self.failed_checks < UNHEALTHY_AFTER
    }
}

impl Drop for LoadBalancer {
    /// Removes this upstream's servers from the gauges.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (state, server) in state.servers.iter().zip(&self.servers) {
            if !state.circuit.is_closed() {
                server.metrics.open.decrement(1.0);
            }
            if !state.is_healthy() {
                server.metrics.unhealthy.decrement(1.0);
            }
        }
    }
}

impl ServerPermit {
    /// The load balancer.
    pub fn balancer(&self) -> &LoadBalancer {
        &self.balancer
    }

    /// The server's origin, for logs.
    pub fn origin(&self) -> &str {
        &self.balancer.servers[self.server].address.origin
    }

    /// Records the head of a response, which arrived `after` the start of the request. The outcome of a trial request is
    /// decided by it, that of other requests at the end of the response.
    pub fn record_head(&mut self, status: StatusCode, after: Duration) {
        let server = &self.balancer.servers[self.server];
        server.metrics.seconds.record(after.as_secs_f64());
        let is_failure =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        if is_failure {
            self.outcome = Outcome::FailureStatus;
        }
        if is_failure || self.is_trial {
            self.record(if is_failure { CallOutcome::Failure } else { CallOutcome::Success });
        }
    }

    /// Records the end of the request in metrics and circuit breaker.
    pub fn end(mut self, outcome: Outcome) {
        // A failure status was recorded with the head of the response and is final.
        if self.outcome != Outcome::FailureStatus {
            self.outcome = outcome;
            self.record(outcome.for_breaker());
        }
    }

    fn record(&mut self, outcome: CallOutcome) {
        self.balancer.record(self.server, std::mem::take(&mut self.is_trial), outcome);
    }
}

impl Drop for ServerPermit {
    fn drop(&mut self) {
        if self.is_trial {
            self.record(CallOutcome::Abandoned);
        }
        self.balancer.state().servers[self.server].in_flight -= 1;
        self.balancer.servers[self.server].metrics.count(self.outcome);
    }
}
