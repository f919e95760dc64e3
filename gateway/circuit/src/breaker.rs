//! A circuit in front of one server that all calls share: it answers at once while the server is away, and says in log
//! and metrics, once each, that it is away and that it is back.

use super::{BreakerPolicy, CallOutcome, Circuit, CircuitChange};
use metrics::Gauge;
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long the same failure is no news once it was told, …
const TOLD: Duration = Duration::from_secs(10);
/// … and how many different ones are told in that time.
const NEWS: usize = 8;

/// The circuit of one server.
pub struct Breaker {
    /// What logs call it.
    name: String,
    limits: BreakerPolicy,
    /// 1 while it is away.
    gauge: Gauge,
    state: Mutex<State>,
}

struct State {
    circuit: Circuit,
    /// Why it is away.
    reason: String,
    /// Since when the circuit is open.
    since: Instant,
    /// What was told as news lately, and when.
    told: Vec<(String, Instant)>,
}

/// A call on its way. Dropping it says nothing of the server.
pub struct CallPermit<'a> {
    breaker: &'a Breaker,
    trial: bool,
    told: bool,
}

/// Why no call passes. Its text is for the log.
#[derive(Clone, Debug)]
pub struct CircuitOpen {
    /// What is wrong with the server.
    pub reason: String,
    /// How long none will pass; zero where that is not known.
    pub retry_after: Duration,
}

impl Breaker {
    /// A closed one. The gauge counts open ones: several may share it.
    pub fn new(name: impl Into<String>, limits: BreakerPolicy, gauge: Gauge) -> Self {
        // So that it is there to be read before anything has failed.
        gauge.increment(0.0);
        let state = State {
            circuit: Circuit::Closed { failures: 0 },
            reason: String::new(),
            since: Instant::now(),
            told: Vec::new(),
        };
        Self { name: name.into(), limits, gauge, state: Mutex::new(state) }
    }

    /// Lets a call pass. Whoever passed tells by the pass how it ended.
    ///
    /// # Errors
    /// Where the server is away: one call at a time tries it, and this is not the one.
    pub fn try_acquire(&self) -> Result<CallPermit<'_>, CircuitOpen> {
        let now = Instant::now();
        let mut state = self.state();
        if !state.circuit.allows_call(now) {
            return Err(CircuitOpen { reason: state.reason.clone(), retry_after: state.circuit.retry_after(now) });
        }
        let trial = state.circuit.begin_call();
        Ok(CallPermit { breaker: self, trial, told: false })
    }

    /// Lets no call pass until [`Breaker::force_close`]: for whoever watches the server by other means than calls. Where it is
    /// away already, the reason is brought up to date.
    pub fn force_open(&self, reason: &str) {
        let mut state = self.state();
        let change = state.circuit.force_open();
        reason.clone_into(&mut state.reason);
        self.changed(state, change);
    }

    /// Lets calls pass again.
    pub fn force_close(&self) {
        let mut state = self.state();
        let change = state.circuit.force_close();
        self.changed(state, change);
    }

    /// Why the server is away, where it is.
    pub fn open_reason(&self) -> Option<String> {
        let state = self.state();
        (!state.circuit.is_closed()).then(|| state.reason.clone())
    }

    /// Whether this failure is worth a line in the log: not while the server is known to be away, nor where the same
    /// was told a moment ago.
    pub fn should_log(&self, reason: &str) -> bool {
        self.state().should_log(reason)
    }

    fn changed(&self, state: MutexGuard<'_, State>, change: Option<CircuitChange>) {
        let mut state = state;
        let (name, reason) = (&self.name, state.reason.clone());
        match change {
            Some(CircuitChange::Opened) => {
                state.since = Instant::now();
                drop(state);
                self.gauge.increment(1.0);
                tracing::warn!(server = name, reason, "a server is away: calls are answered at once until it is back");
            }
            Some(CircuitChange::Closed) => {
                let seconds = format_args!("{:.1}", state.since.elapsed().as_secs_f64()).to_string();
                state.told.clear();
                drop(state);
                self.gauge.decrement(1.0);
                tracing::info!(server = name, seconds, "a server is back");
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
        self.told.retain(|(_, when)| now - *when < TOLD);
        let known = self.told.len() >= NEWS || self.told.iter().any(|(told, _)| told == reason);
        if !self.circuit.is_closed() || known {
            return false;
        }
        self.told.push((reason.to_owned(), now));
        true
    }
}

impl Drop for Breaker {
    /// The gauge counts what is open now, and this is no more.
    fn drop(&mut self) {
        if !self.state().circuit.is_closed() {
            self.gauge.decrement(1.0);
        }
    }
}

impl CallPermit<'_> {
    /// The server serves.
    pub fn success(mut self) {
        self.tell(CallOutcome::Success, "");
    }

    /// It does not. Whether that is news: see [`Breaker::should_log`].
    pub fn failure(mut self, reason: &str) -> bool {
        let news = self.breaker.state().should_log(reason);
        self.tell(CallOutcome::Failure, reason);
        news
    }

    fn tell(&mut self, verdict: CallOutcome, reason: &str) {
        self.told = true;
        let breaker = self.breaker;
        let mut state = breaker.state();
        let change = state.circuit.record(self.trial, verdict, breaker.limits, Instant::now());
        if change == Some(CircuitChange::Opened) {
            reason.clone_into(&mut state.reason);
        }
        breaker.changed(state, change);
    }
}

impl Drop for CallPermit<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(CallOutcome::Abandoned, "");
        }
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "left alone for now: {}", self.reason)
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
    use metrics_exporter_prometheus::PrometheusBuilder;

    const LIMITS: BreakerPolicy = BreakerPolicy { break_after: 3, break_for: Duration::from_millis(30) };

    fn breaker() -> Breaker {
        Breaker::new("it", LIMITS, Gauge::noop())
    }

    #[test]
    fn failures_in_a_row_shut_it_and_one_at_a_time_tries() {
        let breaker = breaker();
        let early = breaker.try_acquire().unwrap();
        for at in 0..3 {
            assert_eq!(
                breaker.try_acquire().unwrap().failure("no answer"),
                at == 0,
                "the first is news, the same again is none"
            );
        }
        let shut = breaker.try_acquire().err().unwrap();
        assert!(
            shut.reason == "no answer" && shut.retry_after > Duration::ZERO && shut.retry_after <= LIMITS.break_for
        );
        assert!(!early.failure("another"), "what began before and is known by now is no news");
        assert_eq!(breaker.open_reason().as_deref(), Some("no answer"));
        std::thread::sleep(LIMITS.break_for);
        let trial = breaker.try_acquire().unwrap();
        assert!(breaker.try_acquire().is_err());
        drop(trial);
        breaker.try_acquire().unwrap().success();
        assert!(breaker.try_acquire().is_ok() && breaker.open_reason().is_none());
    }

    #[test]
    fn what_is_watched_stays_shut_until_it_is_back_and_the_gauge_counts_it() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauge = metrics::with_local_recorder(&recorder, || metrics::gauge!("away"));
        let value = || recorder.handle().render().lines().find_map(|l| l.strip_prefix("away ").map(str::to_owned));
        let breaker = Breaker::new("it", LIMITS, gauge);
        assert_eq!(value().as_deref(), Some("0"));
        for reason in ["dead", "frozen"] {
            breaker.force_open(reason);
            assert_eq!(value().as_deref(), Some("1"));
            assert_eq!(breaker.try_acquire().err().unwrap().reason, reason);
        }
        breaker.force_close();
        assert_eq!(value().as_deref(), Some("0"));
        assert!(breaker.should_log("dead") && breaker.should_log("other"));
        assert!(!breaker.should_log("dead") && !breaker.should_log("other"));
        assert!((0..100).filter(|n| breaker.should_log(&n.to_string())).count() < 10, "however many reasons there are");
        breaker.force_open("dead");
        drop(breaker);
        assert_eq!(value().as_deref(), Some("0"), "what is no more is not away");
    }
}
