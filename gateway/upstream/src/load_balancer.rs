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
const OUT_AFTER: u32 = 2;
/// Minimum and default of `Retry-After`.
const SOON: Duration = Duration::from_secs(1);

/// The servers of an upstream and their state.
pub(super) struct LoadBalancer {
    pub labels: UpstreamLabels,
    pub servers: Vec<Server>,
    limits: BreakerPolicy,
    /// Interval of the health checks; zero if they are disabled.
    checked_every: Duration,
    board: Mutex<Board>,
}

/// A server and its metrics.
pub(super) struct Server {
    pub address: Address,
    meters: UpstreamMetrics,
}

struct Board {
    standings: Vec<ServerState>,
    /// Index at which the next search starts, for round robin between equally loaded servers.
    start: usize,
}

struct ServerState {
    in_flight: u32,
    circuit: Circuit,
    failed_checks: u32,
}

/// One request in flight at a server, until the last byte of its response. Dropping it decrements the count.
pub(super) struct Turn {
    group: Arc<LoadBalancer>,
    /// Which server it is.
    pub server: usize,
    trial: bool,
    outcome: Outcome,
}

impl LoadBalancer {
    /// A load balancer without failures.
    pub fn new(
        labels: UpstreamLabels,
        addresses: Vec<Address>,
        limits: BreakerPolicy,
        checked_every: Duration,
    ) -> Arc<Self> {
        let fresh = || ServerState { in_flight: 0, circuit: Circuit::Closed { failures: 0 }, failed_checks: 0 };
        let standings = addresses.iter().map(|_| fresh()).collect();
        let servers: Vec<_> = addresses
            .into_iter()
            .map(|address| Server { meters: UpstreamMetrics::new(&labels, &address.origin), address })
            .collect();
        Arc::new(Self { labels, servers, limits, checked_every, board: Mutex::new(Board { standings, start: 0 }) })
    }

    /// Selects the available server with the fewest requests in flight, preferably one that is not in `tried`.
    ///
    /// # Errors
    /// If no server is available: the time after which to try again, in whole seconds.
    pub fn enter(self: &Arc<Self>, tried: &[usize]) -> Result<Turn, Duration> {
        let now = Instant::now();
        let mut board = self.board();
        if tried.is_empty() {
            // Not for retries, which would direct every other request to the failing server.
            board.start = board.start.wrapping_add(1);
        }
        let (start, count) = (board.start, board.standings.len());
        let may_be_asked = |s: &ServerState| s.is_healthy() && s.circuit.allows_call(now);
        let found = (0..count)
            .map(|i| start.wrapping_add(i) % count)
            .filter(|i| may_be_asked(&board.standings[*i]))
            .min_by_key(|i| (tried.contains(i), board.standings[*i].in_flight));
        let Some(server) = found else {
            let wait = |s: &ServerState| {
                let unhealthy = if s.is_healthy() { Duration::ZERO } else { self.checked_every };
                s.circuit.retry_after(now).max(unhealthy).max(SOON)
            };
            let wait = board.standings.iter().map(wait).min().unwrap_or(SOON);
            // Rounded up, because `Retry-After` has whole seconds and an early retry would be rejected again.
            return Err(Duration::from_secs(wait.as_secs_f64().ceil() as u64));
        };
        let standing = &mut board.standings[server];
        standing.in_flight += 1;
        let trial = standing.circuit.begin_call();
        drop(board);
        Ok(Turn { group: Arc::clone(self), server, trial, outcome: Outcome::Abandoned })
    }

    /// Records the result of a health check: `None` for success, or the cause of the failure.
    pub fn checked(&self, server: usize, failure: Option<&str>) {
        let (was, is) = {
            let mut board = self.board();
            let standing = &mut board.standings[server];
            let was = standing.is_healthy();
            standing.failed_checks = failure.map_or(0, |_| standing.failed_checks.saturating_add(1));
            (was, standing.is_healthy())
        };
        let UpstreamLabels { tenant, action } = &self.labels;
        let Server { address, meters } = &self.servers[server];
        match failure {
            Some(cause) if was && !is => {
                meters.unhealthy.increment(1.0);
                tracing::warn!(
                    tenant,
                    action,
                    server = address.origin,
                    cause,
                    "upstream server is unhealthy: no requests are sent to it"
                );
            }
            None if !was => {
                meters.unhealthy.decrement(1.0);
                tracing::info!(tenant, action, server = address.origin, "upstream server is healthy again");
            }
            _ => {}
        }
    }

    fn record(&self, server: usize, trial: bool, verdict: CallOutcome) {
        let change = self.board().standings[server].circuit.record(trial, verdict, self.limits, Instant::now());
        let UpstreamLabels { tenant, action } = &self.labels;
        let Server { address, meters } = &self.servers[server];
        match change {
            Some(CircuitChange::Opened) => {
                meters.open.increment(1.0);
                let seconds = self.limits.break_for.as_secs_f64();
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
                meters.open.decrement(1.0);
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

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerState {
    fn is_healthy(&self) -> bool {
        self.failed_checks < OUT_AFTER
    }
}

impl Drop for LoadBalancer {
    /// Removes this upstream's servers from the gauges.
    fn drop(&mut self) {
        let board = self.board.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (standing, server) in board.standings.iter().zip(&self.servers) {
            if !standing.circuit.is_closed() {
                server.meters.open.decrement(1.0);
            }
            if !standing.is_healthy() {
                server.meters.unhealthy.decrement(1.0);
            }
        }
    }
}

impl Turn {
    /// The group.
    pub fn group(&self) -> &LoadBalancer {
        &self.group
    }

    /// The server's origin, for logs.
    pub fn origin(&self) -> &str {
        &self.group.servers[self.server].address.origin
    }

    /// Records the head of a response. It decides a trial request; otherwise a success is recorded when the response is
    /// complete.
    pub fn answered(&mut self, status: StatusCode, after: Duration) {
        let server = &self.group.servers[self.server];
        server.meters.seconds.record(after.as_secs_f64());
        let bad =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        if bad {
            self.outcome = Outcome::Refused;
        }
        if bad || self.trial {
            self.record(if bad { CallOutcome::Failure } else { CallOutcome::Success });
        }
    }

    /// Records the end of the request in metrics and circuit breaker.
    pub fn end(mut self, outcome: Outcome) {
        // A refusal was recorded with the head of the response and is final.
        if self.outcome != Outcome::Refused {
            self.outcome = outcome;
            self.record(outcome.verdict());
        }
    }

    fn record(&mut self, verdict: CallOutcome) {
        self.group.record(self.server, std::mem::take(&mut self.trial), verdict);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.trial {
            self.record(CallOutcome::Abandoned);
        }
        self.group.board().standings[self.server].in_flight -= 1;
        self.group.servers[self.server].meters.count(self.outcome);
    }
}
