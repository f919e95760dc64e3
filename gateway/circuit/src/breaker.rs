//! A circuit in front of one server that all calls share: it answers at once while the server is away, and says in log
//! and metrics, once each, that it is away and that it is back.

use super::{Change, Circuit, Limits, Verdict};
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
    limits: Limits,
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
pub struct Pass<'a> {
    breaker: &'a Breaker,
    trial: bool,
    told: bool,
}

/// Why no call passes. Its text is for the log.
#[derive(Clone, Debug)]
pub struct Shut {
    /// What is wrong with the server.
    pub reason: String,
    /// How long none will pass; zero where that is not known.
    pub wait: Duration,
}

impl Breaker {
    /// A closed one. The gauge counts open ones: several may share it.
    pub fn new(name: impl Into<String>, limits: Limits, gauge: Gauge) -> Self {
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
    pub fn pass(&self) -> Result<Pass<'_>, Shut> {
        let now = Instant::now();
        let mut state = self.state();
        if !state.circuit.passes(now) {
            return Err(Shut { reason: state.reason.clone(), wait: state.circuit.wait(now) });
        }
        let trial = state.circuit.pass();
        Ok(Pass { breaker: self, trial, told: false })
    }

    /// Lets no call pass until [`Breaker::back`]: for whoever watches the server by other means than calls. Where it is
    /// away already, the reason is brought up to date.
    pub fn away(&self, reason: &str) {
        let mut state = self.state();
        let change = state.circuit.hold();
        reason.clone_into(&mut state.reason);
        self.changed(state, change);
    }

    /// Lets calls pass again.
    pub fn back(&self) {
        let mut state = self.state();
        let change = state.circuit.release();
        self.changed(state, change);
    }

    /// Why the server is away, where it is.
    pub fn fault(&self) -> Option<String> {
        let state = self.state();
        (!state.circuit.is_closed()).then(|| state.reason.clone())
    }

    /// Whether this failure is worth a line in the log: not while the server is known to be away, nor where the same
    /// was told a moment ago.
    pub fn is_news(&self, reason: &str) -> bool {
        self.state().is_news(reason)
    }

    fn changed(&self, state: MutexGuard<'_, State>, change: Option<Change>) {
        let mut state = state;
        let (name, reason) = (&self.name, state.reason.clone());
        match change {
            Some(Change::Opened) => {
                state.since = Instant::now();
                drop(state);
                self.gauge.increment(1.0);
                tracing::warn!(server = name, reason, "a server is away: calls are answered at once until it is back");
            }
            Some(Change::Closed) => {
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
    fn is_news(&mut self, reason: &str) -> bool {
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

impl Pass<'_> {
    /// The server serves.
    pub fn good(mut self) {
        self.tell(Verdict::Good, "");
    }

    /// It does not. Whether that is news: see [`Breaker::is_news`].
    pub fn bad(mut self, reason: &str) -> bool {
        let news = self.breaker.state().is_news(reason);
        self.tell(Verdict::Bad, reason);
        news
    }

    fn tell(&mut self, verdict: Verdict, reason: &str) {
        self.told = true;
        let breaker = self.breaker;
        let mut state = breaker.state();
        let change = state.circuit.take(self.trial, verdict, breaker.limits, Instant::now());
        if change == Some(Change::Opened) {
            reason.clone_into(&mut state.reason);
        }
        breaker.changed(state, change);
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Verdict::Neither, "");
        }
    }
}

impl fmt::Display for Shut {
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

    const LIMITS: Limits = Limits { break_after: 3, break_for: Duration::from_millis(30) };

    fn breaker() -> Breaker {
        Breaker::new("it", LIMITS, Gauge::noop())
    }

    #[test]
    fn failures_in_a_row_shut_it_and_one_at_a_time_tries() {
        let breaker = breaker();
        let early = breaker.pass().unwrap();
        for at in 0..3 {
            assert_eq!(breaker.pass().unwrap().bad("no answer"), at == 0, "the first is news, the same again is none");
        }
        let shut = breaker.pass().err().unwrap();
        assert!(shut.reason == "no answer" && shut.wait > Duration::ZERO && shut.wait <= LIMITS.break_for);
        assert!(!early.bad("another"), "what began before and is known by now is no news");
        assert_eq!(breaker.fault().as_deref(), Some("no answer"));
        std::thread::sleep(LIMITS.break_for);
        let trial = breaker.pass().unwrap();
        assert!(breaker.pass().is_err());
        drop(trial);
        breaker.pass().unwrap().good();
        assert!(breaker.pass().is_ok() && breaker.fault().is_none());
    }

    #[test]
    fn what_is_watched_stays_shut_until_it_is_back_and_the_gauge_counts_it() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauge = metrics::with_local_recorder(&recorder, || metrics::gauge!("away"));
        let value = || recorder.handle().render().lines().find_map(|l| l.strip_prefix("away ").map(str::to_owned));
        let breaker = Breaker::new("it", LIMITS, gauge);
        assert_eq!(value().as_deref(), Some("0"));
        for reason in ["dead", "frozen"] {
            breaker.away(reason);
            assert_eq!(value().as_deref(), Some("1"));
            assert_eq!(breaker.pass().err().unwrap().reason, reason);
        }
        breaker.back();
        assert_eq!(value().as_deref(), Some("0"));
        assert!(breaker.is_news("dead") && breaker.is_news("other"));
        assert!(!breaker.is_news("dead") && !breaker.is_news("other"));
        assert!((0..100).filter(|n| breaker.is_news(&n.to_string())).count() < 10, "however many reasons there are");
        breaker.away("dead");
        drop(breaker);
        assert_eq!(value().as_deref(), Some("0"), "what is no more is not away");
    }
}
