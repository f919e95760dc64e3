//! The circuit breaker and the deadline in front of a store.

use crate::error::{Error, Result};
use menlou_circuit::{Breaker, BreakerPolicy, UpGauge};
use std::{future::Future, time::Duration};
use tokio::time::timeout;

/// Eight consecutive operations without a response open the circuit; after half a second, one operation tries the store.
const POLICY: BreakerPolicy = BreakerPolicy { break_after: 8, break_for: Duration::from_millis(500) };

/// Runs the operations of one store, each within a deadline, and none while the store is known to be down.
pub(crate) struct DeadlineBreaker {
    /// Name of the store in log lines and error texts.
    name: &'static str,
    deadline: Duration,
    breaker: Breaker,
}

/// Why an operation failed. The texts are for the log: they hold neither values nor credentials.
#[derive(Clone, Debug)]
pub(crate) enum StoreFailure {
    /// The store is down. Counts as a failure of the store.
    Down(String),
    /// The store responded and refused this operation; others may succeed.
    Refused(String),
    /// A stored record is unreadable.
    Corrupt(String),
}

/// The result of an operation before the breaker has seen it.
pub(crate) type Outcome<T> = std::result::Result<T, StoreFailure>;

/// The gauge `menlou_store_up{store}` of a store. Breakers of the same store share one.
pub(crate) fn up_gauge(name: &'static str) -> UpGauge {
    UpGauge::new(metrics::gauge!("menlou_store_up", "store" => name.to_ascii_lowercase()))
}

impl DeadlineBreaker {
    /// A breaker of the store `name`; each operation has `deadline` to complete.
    pub fn new(name: &'static str, deadline: Duration, up: UpGauge) -> Self {
        Self { name, deadline, breaker: Breaker::new(name, POLICY, up) }
    }

    /// Runs an operation within the deadline. While the store is known to be down, the operation is not polled.
    pub async fn run<T>(&self, operation: impl Future<Output = Outcome<T>>) -> Result<T> {
        let permit = self.breaker.try_acquire().map_err(|open| self.unavailable(&open.reason, false))?;
        let outcome = timeout(self.deadline, operation).await.unwrap_or_else(|_| Err(self.deadline_exceeded()));
        match outcome {
            Ok(value) => {
                permit.success();
                Ok(value)
            }
            Err(StoreFailure::Down(reason)) => {
                let should_log = permit.failure(&reason);
                Err(self.unavailable(&reason, should_log))
            }
            Err(StoreFailure::Refused(reason)) => {
                permit.success();
                Err(self.unavailable(&reason, self.breaker.should_log(&reason)))
            }
            Err(StoreFailure::Corrupt(what)) => {
                permit.success();
                Err(Error::Corrupt(format!("{}: {what}", self.name)))
            }
        }
    }

    /// Fails all operations until [`DeadlineBreaker::force_close`]. For the task that watches the store's connection.
    pub fn force_open(&self, reason: &str) {
        self.breaker.force_open(reason);
    }

    /// Admits operations again.
    pub fn force_close(&self) {
        self.breaker.force_close();
    }

    fn deadline_exceeded(&self) -> StoreFailure {
        StoreFailure::Down(format!("no response within {} ms", self.deadline.as_millis()))
    }

    fn unavailable(&self, reason: &str, should_log: bool) -> Error {
        Error::Unavailable { reason: format!("{}: {reason}", self.name), is_logged: !should_log }
    }
}
