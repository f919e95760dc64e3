//! A group of servers: who is asked next, and what becomes known of each by its calls and its health checks.

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

/// So many health checks that fail in a row take a server out; one that succeeds takes it in again.
const OUT_AFTER: u32 = 2;
/// How soon it is worth trying again where nothing better is known, and the least that is told.
const SOON: Duration = Duration::from_secs(1);

/// The servers and how they stand.
pub(super) struct LoadBalancer {
    pub labels: UpstreamLabels,
    pub servers: Vec<Server>,
    limits: BreakerPolicy,
    /// How often health is checked, if it is.
    checked_every: Duration,
    board: Mutex<Board>,
}

/// A server and its meters.
pub(super) struct Server {
    pub address: Address,
    meters: UpstreamMetrics,
}

struct Board {
    standings: Vec<ServerState>,
    /// Where the next search begins, so that equals take turns.
    start: usize,
}

struct ServerState {
    in_flight: u32,
    circuit: Circuit,
    failed_checks: u32,
}

/// A call's place at a server, held until its answer's last byte. Dropping it gives the place back.
pub(super) struct Turn {
    group: Arc<LoadBalancer>,
    /// Which server it is.
    pub server: usize,
    trial: bool,
    outcome: Outcome,
}

impl LoadBalancer {
    /// The servers, none of which has failed.
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

    /// A place at the server with the fewest calls in flight: one that was not `tried`, if there is one.
    ///
    /// # Errors
    /// How long to wait, in whole seconds, where none may be asked.
    pub fn enter(self: &Arc<Self>, tried: &[usize]) -> Result<Turn, Duration> {
        let now = Instant::now();
        let mut board = self.board();
        if tried.is_empty() {
            // Not for retries: their turns would bring every other call back to the server that fails.
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
            // `Retry-After` has whole seconds: who came a moment too early would be refused again.
            return Err(Duration::from_secs(wait.as_secs_f64().ceil() as u64));
        };
        let standing = &mut board.standings[server];
        standing.in_flight += 1;
        let trial = standing.circuit.begin_call();
        drop(board);
        Ok(Turn { group: Arc::clone(self), server, trial, outcome: Outcome::Abandoned })
    }

    /// Takes what a health check found: nothing wrong, or why it failed.
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
                tracing::warn!(tenant, action, server = address.origin, cause, "an upstream server is unhealthy");
            }
            None if !was => {
                meters.unhealthy.decrement(1.0);
                tracing::info!(tenant, action, server = address.origin, "an upstream server is healthy again");
            }
            _ => {}
        }
    }

    fn told(&self, server: usize, trial: bool, verdict: CallOutcome) {
        let change = self.board().standings[server].circuit.record(trial, verdict, self.limits, Instant::now());
        let UpstreamLabels { tenant, action } = &self.labels;
        let Server { address, meters } = &self.servers[server];
        match change {
            Some(CircuitChange::Opened) => {
                meters.open.increment(1.0);
                let seconds = self.limits.break_for.as_secs_f64();
                let server = &address.origin;
                tracing::warn!(tenant, action, server, seconds, "an upstream server keeps failing: it is left alone");
            }
            Some(CircuitChange::Closed) => {
                meters.open.decrement(1.0);
                tracing::info!(tenant, action, server = address.origin, "an upstream server works again");
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
    /// Gauges count what is open or unhealthy now, and this group is no more.
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

    /// The server, as logs call it.
    pub fn origin(&self) -> &str {
        &self.group.servers[self.server].address.origin
    }

    /// An answer's head has come, after so long. It decides a trial; else the server counts as good once the answer is
    /// whole.
    pub fn answered(&mut self, status: StatusCode, after: Duration) {
        let server = &self.group.servers[self.server];
        server.meters.seconds.record(after.as_secs_f64());
        let bad =
            matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT);
        if bad {
            self.outcome = Outcome::Refused;
        }
        if bad || self.trial {
            self.told(if bad { CallOutcome::Failure } else { CallOutcome::Success });
        }
    }

    /// It ended so. The circuit takes it as failed, good, or neither.
    pub fn end(mut self, outcome: Outcome) {
        // A refusal was told at the answer's head, and stands.
        if self.outcome != Outcome::Refused {
            self.outcome = outcome;
            self.told(outcome.verdict());
        }
    }

    fn told(&mut self, verdict: CallOutcome) {
        self.group.told(self.server, std::mem::take(&mut self.trial), verdict);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.trial {
            self.told(CallOutcome::Abandoned);
        }
        self.group.board().standings[self.server].in_flight -= 1;
        self.group.servers[self.server].meters.count(self.outcome);
    }
}
