//! A circuit: after so many failures in a row a server is left alone for a while, then tried by one call at a time.

mod breaker;

pub use breaker::{Breaker, CallPermit, CircuitOpen};
use std::time::{Duration, Instant};

/// When circuits open, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
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
    HalfOpen,
    /// None passes until whoever watches the server lets go.
    ForcedOpen,
}

/// What a call told of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It serves.
    Success,
    /// It does not.
    Failure,
    /// The call ended for reasons of its own.
    Abandoned,
}

/// What changed for everyone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitChange {
    /// Calls pass no more.
    Opened,
    /// They pass again.
    Closed,
}

impl Circuit {
    /// Whether a call may pass.
    pub fn allows_call(&self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until } => *until <= now,
            Self::HalfOpen | Self::ForcedOpen => false,
        }
    }

    /// Lets a call pass; whether it is a trial.
    pub fn begin_call(&mut self) -> bool {
        let trial = !matches!(self, Self::Closed { .. });
        if trial {
            *self = Self::HalfOpen;
        }
        trial
    }

    /// How long none will pass, where that is so; a trial's end is not known.
    pub fn retry_after(&self, now: Instant) -> Duration {
        match self {
            Self::Open { until } => until.saturating_duration_since(now),
            _ => Duration::ZERO,
        }
    }

    /// Takes what a call told. Calls that began before the circuit opened change nothing any more.
    pub fn record(
        &mut self,
        trial: bool,
        verdict: CallOutcome,
        limits: BreakerPolicy,
        now: Instant,
    ) -> Option<CircuitChange> {
        match (&mut *self, verdict) {
            (Self::HalfOpen, verdict) if trial => {
                *self = match verdict {
                    CallOutcome::Success => Self::Closed { failures: 0 },
                    CallOutcome::Failure => Self::Open { until: now + limits.break_for },
                    CallOutcome::Abandoned => Self::Open { until: now },
                };
                (verdict == CallOutcome::Success).then_some(CircuitChange::Closed)
            }
            (Self::Closed { failures }, CallOutcome::Success) => {
                *failures = 0;
                None
            }
            (Self::Closed { failures }, CallOutcome::Failure) => {
                *failures = failures.saturating_add(1);
                let opens = limits.break_after > 0 && *failures >= limits.break_after;
                opens.then(|| {
                    *self = Self::Open { until: now + limits.break_for };
                    CircuitChange::Opened
                })
            }
            _ => None,
        }
    }

    /// Lets none pass until [`Circuit::force_close`], for whoever watches the server by other means than calls.
    pub fn force_open(&mut self) -> Option<CircuitChange> {
        let was_closed = self.is_closed();
        *self = Self::ForcedOpen;
        was_closed.then_some(CircuitChange::Opened)
    }

    /// Closes it, whatever it was.
    pub fn force_close(&mut self) -> Option<CircuitChange> {
        let was_closed = self.is_closed();
        *self = Self::Closed { failures: 0 };
        (!was_closed).then_some(CircuitChange::Closed)
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerPolicy = BreakerPolicy { break_after: 3, break_for: Duration::from_secs(10) };

    fn open(now: Instant) -> Circuit {
        let mut circuit = Circuit::Closed { failures: 2 };
        assert_eq!(circuit.record(false, CallOutcome::Failure, LIMITS, now), Some(CircuitChange::Opened));
        circuit
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let now = Instant::now();
        let mut circuit = Circuit::Closed { failures: 0 };
        for _ in 0..5 {
            for verdict in [CallOutcome::Failure, CallOutcome::Abandoned, CallOutcome::Failure, CallOutcome::Success] {
                assert_eq!(circuit.record(false, verdict, LIMITS, now), None);
            }
        }
        assert!(!open(now).allows_call(now));
        assert_eq!(open(now).retry_after(now), LIMITS.break_for);
        let never = BreakerPolicy { break_after: 0, ..LIMITS };
        for _ in 0..100 {
            assert_eq!(circuit.record(false, CallOutcome::Failure, never, now), None);
        }
    }

    #[test]
    fn one_trial_at_a_time_decides_and_one_that_was_given_up_leaves_its_place() {
        let now = Instant::now();
        let later = now + LIMITS.break_for;
        let mut circuit = open(now);
        assert!(circuit.allows_call(later) && circuit.begin_call() && !circuit.allows_call(later));
        assert_eq!(circuit.record(true, CallOutcome::Abandoned, LIMITS, later), None);
        assert!(circuit.allows_call(later) && circuit.begin_call());
        assert_eq!(circuit.record(true, CallOutcome::Failure, LIMITS, later), None);
        assert!(!circuit.allows_call(later) && circuit.allows_call(later + LIMITS.break_for) && circuit.begin_call());
        assert_eq!(circuit.record(true, CallOutcome::Success, LIMITS, later), Some(CircuitChange::Closed));
        assert!(circuit.allows_call(later) && !circuit.begin_call());
    }

    #[test]
    fn what_is_held_is_tried_by_nobody_and_closes_when_it_is_let_go() {
        let now = Instant::now();
        let mut circuit = open(now);
        assert!(circuit.begin_call());
        assert_eq!(circuit.force_open(), None);
        assert_eq!(circuit.record(true, CallOutcome::Success, LIMITS, now), None);
        assert!(!circuit.allows_call(now + 100 * LIMITS.break_for));
        assert_eq!(circuit.force_close(), Some(CircuitChange::Closed));
        assert_eq!((circuit.force_close(), circuit.force_open()), (None, Some(CircuitChange::Opened)));
    }

    #[test]
    fn calls_from_before_it_opened_change_nothing() {
        let now = Instant::now();
        let mut circuit = open(now);
        for verdict in [CallOutcome::Success, CallOutcome::Failure] {
            assert_eq!(circuit.record(false, verdict, LIMITS, now + LIMITS.break_for / 2), None);
            assert!(circuit.allows_call(now + LIMITS.break_for));
        }
    }
}
