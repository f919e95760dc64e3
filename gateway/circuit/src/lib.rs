//! A circuit: after so many failures in a row a server is left alone for a while, then tried by one call at a time.

mod breaker;

pub use breaker::{Breaker, Pass, Shut};
use std::time::{Duration, Instant};

/// When circuits open, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So many failures in a row open it; 0: none do.
    pub break_after: u32,
    /// How long it stays open before a call tries the server.
    pub break_for: Duration,
}

/// One server's circuit.
#[derive(Debug)]
pub enum Circuit {
    /// Calls pass; so many have failed since the last good one.
    Closed {
        /// In a row.
        failures: u32,
    },
    /// None passes before `until`; the next one then is a trial.
    Open {
        /// When the next may pass.
        until: Instant,
    },
    /// A trial is under way, and none besides passes.
    Trial,
    /// None passes until whoever watches the server lets go.
    Held,
}

/// What a call told of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It serves.
    Good,
    /// It does not.
    Bad,
    /// The call ended for reasons of its own.
    Neither,
}

/// What changed for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Calls pass no more.
    Opened,
    /// They pass again.
    Closed,
}

impl Circuit {
    /// Whether a call may pass.
    pub fn passes(&self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until } => *until <= now,
            Self::Trial | Self::Held => false,
        }
    }

    /// Lets a call pass; whether it is a trial.
    pub fn pass(&mut self) -> bool {
        let trial = !matches!(self, Self::Closed { .. });
        if trial {
            *self = Self::Trial;
        }
        trial
    }

    /// How long none will pass, where that is so; a trial's end is not known.
    pub fn wait(&self, now: Instant) -> Duration {
        match self {
            Self::Open { until } => until.saturating_duration_since(now),
            _ => Duration::ZERO,
        }
    }

    /// Takes what a call told. Calls that began before the circuit opened change nothing any more.
    pub fn take(&mut self, trial: bool, verdict: Verdict, limits: Limits, now: Instant) -> Option<Change> {
        match (&mut *self, verdict) {
            (Self::Trial, verdict) if trial => {
                *self = match verdict {
                    Verdict::Good => Self::Closed { failures: 0 },
                    Verdict::Bad => Self::Open { until: now + limits.break_for },
                    Verdict::Neither => Self::Open { until: now },
                };
                (verdict == Verdict::Good).then_some(Change::Closed)
            }
            (Self::Closed { failures }, Verdict::Good) => {
                *failures = 0;
                None
            }
            (Self::Closed { failures }, Verdict::Bad) => {
                *failures = failures.saturating_add(1);
                let opens = limits.break_after > 0 && *failures >= limits.break_after;
                opens.then(|| {
                    *self = Self::Open { until: now + limits.break_for };
                    Change::Opened
                })
            }
            _ => None,
        }
    }

    /// Lets none pass until [`Circuit::release`], for whoever watches the server by other means than calls.
    pub fn hold(&mut self) -> Option<Change> {
        let was_closed = self.is_closed();
        *self = Self::Held;
        was_closed.then_some(Change::Opened)
    }

    /// Closes it, whatever it was.
    pub fn release(&mut self) -> Option<Change> {
        let was_closed = self.is_closed();
        *self = Self::Closed { failures: 0 };
        (!was_closed).then_some(Change::Closed)
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { break_after: 3, break_for: Duration::from_secs(10) };

    fn open(now: Instant) -> Circuit {
        let mut circuit = Circuit::Closed { failures: 2 };
        assert_eq!(circuit.take(false, Verdict::Bad, LIMITS, now), Some(Change::Opened));
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut circuit = Circuit::Closed { failures: 0 };
        for _ in 0..5 {
            for verdict in [Verdict::Bad, Verdict::Neither, Verdict::Bad, Verdict::Good] {
                assert_eq!(circuit.take(false, verdict, LIMITS, now), None);
            }
        }
        assert!(!open(now).passes(now));
        assert_eq!(open(now).wait(now), LIMITS.break_for);
        let never = Limits { break_after: 0, ..LIMITS };
        for _ in 0..100 {
            assert_eq!(circuit.take(false, Verdict::Bad, never, now), None);
        }
    }

    #[test]
    fn one_trial_at_a_time_decides_and_one_that_was_given_up_leaves_its_place() {
        let now = Instant::now();
        let later = now + LIMITS.break_for;
        let mut circuit = open(now);
        assert!(circuit.passes(later) && circuit.pass() && !circuit.passes(later));
        assert_eq!(circuit.take(true, Verdict::Neither, LIMITS, later), None);
        assert!(circuit.passes(later) && circuit.pass());
        assert_eq!(circuit.take(true, Verdict::Bad, LIMITS, later), None);
        assert!(!circuit.passes(later) && circuit.passes(later + LIMITS.break_for) && circuit.pass());
        assert_eq!(circuit.take(true, Verdict::Good, LIMITS, later), Some(Change::Closed));
        assert!(circuit.passes(later) && !circuit.pass());
    }

    #[test]
    fn what_is_held_is_tried_by_nobody_and_closes_when_it_is_let_go() {
        let now = Instant::now();
        let mut circuit = open(now);
        assert!(circuit.pass());
        assert_eq!(circuit.hold(), None);
        assert_eq!(circuit.take(true, Verdict::Good, LIMITS, now), None);
        assert!(!circuit.passes(now + 100 * LIMITS.break_for));
        assert_eq!(circuit.release(), Some(Change::Closed));
        assert_eq!((circuit.release(), circuit.hold()), (None, Some(Change::Opened)));
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let now = Instant::now();
        let mut circuit = open(now);
        for verdict in [Verdict::Good, Verdict::Bad] {
            assert_eq!(circuit.take(false, verdict, LIMITS, now + LIMITS.break_for / 2), None);
            assert!(circuit.passes(now + LIMITS.break_for));
        }
    }
}
