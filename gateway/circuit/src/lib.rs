//! Circuit breakers: a dependency that keeps failing gets no more calls, except for one trial at a time.
//!
//! [`Circuit`] is the state machine of one server; its owner holds the lock and reads the clock. [`Breaker`] shares one
//! circuit between threads and reports state changes in the log and in a gauge. Deadlines, retries and the choice of a
//! server are left to the callers.

mod breaker;
mod circuit;
mod up_gauge;

pub use breaker::{Breaker, CallPermit, CircuitOpen};
pub use circuit::{BreakerPolicy, CallOutcome, Circuit, CircuitChange};
pub use up_gauge::UpGauge;
