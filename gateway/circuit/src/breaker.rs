//! A circuit that threads share, with its log lines and its gauge.

use crate::{
    circuit::{BreakerPolicy, CallOutcome, Circuit, CircuitChange},
    up_gauge::UpGauge,
};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Time for which a failure with the same reason is not logged again, …
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// … and number of different reasons that are logged in that time.
const MAX_LOGGED_REASONS: usize = 8;

/// The circuit breaker of one server. It rejects calls while the server is down, and logs once that the server is down and
/// once that it is up again.
pub struct Breaker {
    /// Name of the server in log lines.
    name: String,
    policy: BreakerPolicy,
    up: UpGauge,
    state: Mutex<State>,
}

struct State {
    circuit: Circuit,
    /// Why the circuit is open.
    reason: String,
    /// When the circuit opened.
    opened_at: Instant,
    /// Reasons that were logged within [`LOG_INTERVAL`], and when.
    logged: Vec<(String, Instant)>,
}

/// The right to make one call. Dropping it says nothing about the server.
pub struct CallPermit<'a> {
    breaker: &'a Breaker,
    trial: bool,
    reported: bool,
}

/// The circuit is open: no call is made. The text is for the log.
#[derive(Clone, Debug)]
pub struct CircuitOpen {
    /// What is wrong with the server.
    pub reason: String,
    /// Time until the next trial call; zero where it is unknown.
    pub retry_after: Duration,
}

impl Breaker {
    /// A closed breaker. `name` is the server's name in log lines.
    pub fn new(name: impl Into<String>, policy: BreakerPolicy, up: UpGauge) -> Self {
        let state = State {
            circuit: Circuit::Closed { failures: 0 },
            reason: String::new(),
            opened_at: Instant::now(),
            logged: Vec::new(),
        };
        Self { name: name.into(), policy, up, state: Mutex::new(state) }
    }

    /// Admits a call. The caller reports its outcome through the permit.
    ///
    /// # Errors
    /// Where the circuit is open, or a trial call is in flight.
    pub fn try_acquire(&self) -> Result<CallPermit<'_>, CircuitOpen> {
        let now = Instant::now();
        let mut state = self.state();
        if !state.circuit.allows_call(now) {
            return Err(CircuitOpen { reason: state.reason.clone(), retry_after: state.circuit.retry_after(now) });
        }
        let trial = state.circuit.begin_call();
        Ok(CallPermit { breaker: self, trial, reported: false })
    }

    /// Rejects all calls until [`Breaker::force_close`]. For owners that watch the server by other means than calls. Where
    /// the circuit is open already, only the reason is updated.
    pub fn force_open(&self, reason: &str) {
        let mut state = self.state();
        let change = state.circuit.force_open();
        reason.clone_into(&mut state.reason);
        self.report(state, change);
    }

    /// Admits calls again.
    pub fn force_close(&self) {
        let mut state = self.state();
        let change = state.circuit.force_close();
        self.report(state, change);
    }

    /// Why the circuit is open; `None` where it is closed.
    pub fn open_reason(&self) -> Option<String> {
        let state = self.state();
        (!state.circuit.is_closed()).then(|| state.reason.clone())
    }

    /// Whether a failure with this reason should be logged: not while the circuit is open, and not where the same reason
    /// was logged within the last ten seconds.
    pub fn should_log(&self, reason: &str) -> bool {
        self.state().should_log(reason)
    }

    fn report(&self, state: MutexGuard<'_, State>, change: Option<CircuitChange>) {
        let mut state = state;
        let (name, reason) = (&self.name, state.reason.clone());
        match change {
            Some(CircuitChange::Opened) => {
                state.opened_at = Instant::now();
                drop(state);
                self.up.opened();
                tracing::warn!(server = name, reason, "server is down: calls fail immediately until it is up again");
            }
            Some(CircuitChange::Closed) => {
                let seconds = format_args!("{:.1}", state.opened_at.elapsed().as_secs_f64()).to_string();
                state.logged.clear();
                drop(state);
                self.up.closed();
                tracing::info!(server = name, seconds, "server is up again");
            }
            None => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn should_log(&mut self, reason: &str) -> bool {
        let now = Instant::now();
        self.logged.retain(|(_, when)| now - *when < LOG_INTERVAL);
        let known = self.logged.len() >= MAX_LOGGED_REASONS || self.logged.iter().any(|(logged, _)| logged == reason);
        if !self.circuit.is_closed() || known {
            return false;
        }
        self.logged.push((reason.to_owned(), now));
        true
    }
}

impl Drop for Breaker {
    /// The gauge counts breakers that exist.
    fn drop(&mut self) {
        if !self.state().circuit.is_closed() {
            self.up.closed();
        }
    }
}

impl CallPermit<'_> {
    /// The server works.
    pub fn success(mut self) {
        self.report(CallOutcome::Success, "");
    }

    /// The server does not work. Returns whether the failure should be logged: see [`Breaker::should_log`].
    pub fn failure(mut self, reason: &str) -> bool {
        let should_log = self.breaker.state().should_log(reason);
        self.report(CallOutcome::Failure, reason);
        should_log
    }

    fn report(&mut self, outcome: CallOutcome, reason: &str) {
        self.reported = true;
        let breaker = self.breaker;
        let mut state = breaker.state();
        let change = state.circuit.record(self.trial, outcome, breaker.policy, Instant::now());
        if change == Some(CircuitChange::Opened) {
            reason.clone_into(&mut state.reason);
        }
        breaker.report(state, change);
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        if !self.reported {
            self.report(CallOutcome::Abandoned, "");
        }
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circuit open: {}", self.reason)
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("name", &self.name).field("circuit", &self.state().circuit).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics::Gauge;
    use metrics_exporter_prometheus::PrometheusBuilder;

    /// Stays open for longer than a test takes.
    const POLICY: BreakerPolicy = BreakerPolicy { break_after: 3, break_for: Duration::from_secs(3600) };

    fn breaker(policy: BreakerPolicy) -> Breaker {
        Breaker::new("it", policy, UpGauge::new(Gauge::noop()))
    }

    #[test]
    fn consecutive_failures_open_the_breaker() {
        let breaker = breaker(POLICY);
        let early = breaker.try_acquire().unwrap();
        for at in 0..3 {
            let logged = breaker.try_acquire().unwrap().failure("no response");
            assert_eq!(logged, at == 0, "the first failure is logged, the same reason again is not");
        }
        let open = breaker.try_acquire().err().unwrap();
        assert!(open.reason == "no response" && open.retry_after > Duration::ZERO);
        assert!(open.retry_after <= POLICY.break_for);
        assert!(!early.failure("another"), "a failure is not logged while the circuit is open");
        assert_eq!(breaker.open_reason().as_deref(), Some("no response"));
    }

    #[test]
    fn open_breaker_admits_one_trial_at_a_time_and_a_successful_one_closes_it() {
        let breaker = breaker(BreakerPolicy { break_after: 1, break_for: Duration::from_millis(30) });
        let opened = Instant::now();
        breaker.try_acquire().unwrap().failure("no response");
        let trial = loop {
            match breaker.try_acquire() {
                Ok(trial) => break trial,
                Err(open) => assert!(opened.elapsed() < Duration::from_secs(20), "no trial is admitted: {open}"),
            }
            std::thread::yield_now();
        };
        assert!(opened.elapsed() >= Duration::from_millis(30), "the trial is admitted after `break_for`");
        assert!(breaker.try_acquire().is_err());
        drop(trial);
        breaker.try_acquire().unwrap().success();
        assert!(breaker.try_acquire().is_ok() && breaker.open_reason().is_none());
    }

    #[test]
    fn forced_open_breaker_stays_open_until_forced_closed_and_its_gauge_follows() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauge = metrics::with_local_recorder(&recorder, || metrics::gauge!("up"));
        let value = || recorder.handle().render().lines().find_map(|l| l.strip_prefix("up ").map(str::to_owned));
        let breaker = Breaker::new("it", POLICY, UpGauge::new(gauge));
        assert_eq!(value().as_deref(), Some("1"));
        for reason in ["dead", "frozen"] {
            breaker.force_open(reason);
            assert_eq!(value().as_deref(), Some("0"));
            assert_eq!(breaker.try_acquire().err().unwrap().reason, reason);
        }
        breaker.force_close();
        assert_eq!(value().as_deref(), Some("1"));
        assert!(breaker.should_log("dead") && breaker.should_log("other"));
        assert!(!breaker.should_log("dead") && !breaker.should_log("other"));
        assert!((0..100).filter(|n| breaker.should_log(&n.to_string())).count() < 10, "log lines are bounded");
        breaker.force_open("dead");
        drop(breaker);
        assert_eq!(value().as_deref(), Some("1"), "a breaker that was dropped is not down");
    }
}
