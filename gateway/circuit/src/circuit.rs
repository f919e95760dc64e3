//! The state machine of one server's circuit.

use std::time::{Duration, Instant};

/// When a circuit opens, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct BreakerPolicy {
    /// Number of consecutive failures that opens the circuit; 0 disables it.
    pub break_after: u32,
    /// Time for which an open circuit rejects calls before it admits a trial call.
    pub break_for: Duration,
}

/// The circuit of one server.
#[derive(Debug)]
pub enum Circuit {
    /// Calls are admitted.
    Closed {
        /// Number of consecutive failures since the last success.
        failures: u32,
    },
    /// Calls are rejected until `until`; the first call after it is a trial.
    Open {
        /// When the trial call may start.
        until: Instant,
    },
    /// One trial call is in flight; all other calls are rejected.
    HalfOpen,
    /// Calls are rejected until [`Circuit::force_close`].
    ForcedOpen,
}

/// What a call says about the health of its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// The server works.
    Success,
    /// The server does not work.
    Failure,
    /// The call ended for a reason that says nothing about the server.
    Abandoned,
}

/// A state change that callers notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitChange {
    /// Calls are rejected from now on.
    Opened,
    /// Calls are admitted again.
    Closed,
}

impl Circuit {
    /// Whether a call may start at `now`.
    pub fn allows_call(&self, now: Instant) -> bool {
        match self {
            Self::Closed { .. } => true,
            Self::Open { until } => *until <= now,
            Self::HalfOpen | Self::ForcedOpen => false,
        }
    }

    /// Starts a call that [`Circuit::allows_call`] has admitted. Returns whether it is a trial.
    pub fn begin_call(&mut self) -> bool {
        let trial = !matches!(self, Self::Closed { .. });
        if trial {
            *self = Self::HalfOpen;
        }
        trial
    }

    /// Time until the next call may start; zero where it may start now, and where the end is unknown because a trial is
    /// in flight or the circuit is forced open.
    pub fn retry_after(&self, now: Instant) -> Duration {
        match self {
            Self::Open { until } => until.saturating_duration_since(now),
            _ => Duration::ZERO,
        }
    }

    /// Records the outcome of a call. `trial` is what [`Circuit::begin_call`] returned for it. Outcomes of calls that
    /// started before the circuit opened are ignored.
    pub fn record(
        &mut self,
        trial: bool,
        outcome: CallOutcome,
        policy: BreakerPolicy,
        now: Instant,
    ) -> Option<CircuitChange> {
        match (&mut *self, outcome) {
            (Self::HalfOpen, outcome) if trial => {
                *self = match outcome {
                    CallOutcome::Success => Self::Closed { failures: 0 },
                    CallOutcome::Failure => Self::Open { until: now + policy.break_for },
                    CallOutcome::Abandoned => Self::Open { until: now },
                };
                (outcome == CallOutcome::Success).then_some(CircuitChange::Closed)
            }
            (Self::Closed { failures }, CallOutcome::Success) => {
                *failures = 0;
                None
            }
            (Self::Closed { failures }, CallOutcome::Failure) => {
                *failures = failures.saturating_add(1);
                let opens = policy.break_after > 0 && *failures >= policy.break_after;
                opens.then(|| {
                    *self = Self::Open { until: now + policy.break_for };
                    CircuitChange::Opened
                })
            }
            _ => None,
        }
    }

    /// Rejects all calls until [`Circuit::force_close`]. For owners that watch the server by other means than calls.
    pub fn force_open(&mut self) -> Option<CircuitChange> {
        let was_closed = self.is_closed();
        *self = Self::ForcedOpen;
        was_closed.then_some(CircuitChange::Opened)
    }

    /// Closes the circuit, whatever its state.
    pub fn force_close(&mut self) -> Option<CircuitChange> {
        let was_closed = self.is_closed();
        *self = Self::Closed { failures: 0 };
        (!was_closed).then_some(CircuitChange::Closed)
    }

    /// Whether the circuit is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, Self::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy { break_after: 3, break_for: Duration::from_secs(10) };

    fn open(now: Instant) -> Circuit {
        let mut circuit = Circuit::Closed { failures: 2 };
        assert_eq!(circuit.record(false, CallOutcome::Failure, POLICY, now), Some(CircuitChange::Opened));
        circuit
    }

    #[test]
    fn only_consecutive_failures_open_the_circuit() {
        let now = Instant::now();
        let mut circuit = Circuit::Closed { failures: 0 };
        for _ in 0..5 {
            for outcome in [CallOutcome::Failure, CallOutcome::Abandoned, CallOutcome::Failure, CallOutcome::Success] {
                assert_eq!(circuit.record(false, outcome, POLICY, now), None);
            }
        }
        assert!(!open(now).allows_call(now));
        assert_eq!(open(now).retry_after(now), POLICY.break_for);
        let never = BreakerPolicy { break_after: 0, ..POLICY };
        for _ in 0..100 {
            assert_eq!(circuit.record(false, CallOutcome::Failure, never, now), None);
        }
    }

    #[test]
    fn one_trial_at_a_time_decides_and_an_abandoned_trial_admits_another() {
        let now = Instant::now();
        let later = now + POLICY.break_for;
        let mut circuit = open(now);
        assert!(circuit.allows_call(later) && circuit.begin_call() && !circuit.allows_call(later));
        assert_eq!(circuit.record(true, CallOutcome::Abandoned, POLICY, later), None);
        assert!(circuit.allows_call(later) && circuit.begin_call());
        assert_eq!(circuit.record(true, CallOutcome::Failure, POLICY, later), None);
        assert!(!circuit.allows_call(later) && circuit.allows_call(later + POLICY.break_for) && circuit.begin_call());
        assert_eq!(circuit.record(true, CallOutcome::Success, POLICY, later), Some(CircuitChange::Closed));
        assert!(circuit.allows_call(later) && !circuit.begin_call());
    }

    #[test]
    fn forced_open_circuit_admits_no_trial_and_closes_when_forced() {
        let now = Instant::now();
        let mut circuit = open(now);
        assert!(circuit.begin_call());
        assert_eq!(circuit.force_open(), None);
        assert_eq!(circuit.record(true, CallOutcome::Success, POLICY, now), None);
        assert!(!circuit.allows_call(now + 100 * POLICY.break_for));
        assert_eq!(circuit.force_close(), Some(CircuitChange::Closed));
        assert_eq!((circuit.force_close(), circuit.force_open()), (None, Some(CircuitChange::Opened)));
    }

    #[test]
    fn calls_that_started_before_the_circuit_opened_change_nothing() {
        let now = Instant::now();
        let mut circuit = open(now);
        for outcome in [CallOutcome::Success, CallOutcome::Failure] {
            assert_eq!(circuit.record(false, outcome, POLICY, now + POLICY.break_for / 2), None);
            assert!(circuit.allows_call(now + POLICY.break_for));
        }
    }
}
