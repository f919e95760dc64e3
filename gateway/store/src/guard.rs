//! What stands in front of a store: a deadline, a circuit, and what of its failures is told.

use super::{Error, Result};
use menlou_circuit::{Breaker, BreakerPolicy};
use std::{future::Future, time::Duration};
use tokio::time::timeout;

/// So many operations in a row that a store leaves unanswered open its circuit, …
const BREAK_AFTER: u32 = 8;
/// … and so long it then is left alone until one operation tries it.
const BREAK_FOR: Duration = Duration::from_millis(500);

/// The guard of one store.
///
/// Its gauge is `menlou_store_away{store}`: 1 while operations are answered without asking the store.
pub(super) struct Guard {
    /// As people call it.
    name: &'static str,
    deadline: Duration,
    breaker: Breaker,
}

/// Why an operation failed. The texts are for the log: they hold no value and no credentials.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The store does not serve.
    Away(String),
    /// It answered, and refused this operation; it may serve others.
    Refused(String),
    /// What it holds can't be read.
    Corrupt(String),
}

/// What an operation brought before the guard has seen it.
pub(super) type Outcome<T> = std::result::Result<T, Failure>;

impl Guard {
    /// A guard that gives each operation this long.
    pub fn new(name: &'static str, deadline: Duration) -> Self {
        let limits = BreakerPolicy { break_after: BREAK_AFTER, break_for: BREAK_FOR };
        let gauge = metrics::gauge!("menlou_store_away", "store" => name.to_ascii_lowercase());
        Self { name, deadline, breaker: Breaker::new(name, limits, gauge) }
    }

    /// Asks the store within the deadline, unless it is known to be away: then the question is not begun.
    pub async fn ask<T>(&self, question: impl Future<Output = Outcome<T>>) -> Result<T> {
        let pass = self.breaker.try_acquire().map_err(|shut| self.error(false, &shut.reason))?;
        let answer = timeout(self.deadline, question).await.unwrap_or_else(|_| Err(self.late()));
        match answer {
            Ok(value) => {
                pass.success();
                Ok(value)
            }
            Err(Failure::Away(reason)) => Err(self.error(pass.failure(&reason), &reason)),
            Err(Failure::Refused(reason)) => {
                pass.success();
                Err(self.error(self.breaker.should_log(&reason), &reason))
            }
            Err(Failure::Corrupt(what)) => {
                pass.success();
                Err(Error::Corrupt(format!("{}: {what}", self.name)))
            }
        }
    }

    /// The store is away until it is [`Guard::force_close`]: for whoever watches its connection.
    pub fn force_open(&self, reason: &str) {
        self.breaker.force_open(reason);
    }

    /// The store serves.
    pub fn force_close(&self) {
        self.breaker.force_close();
    }

    fn late(&self) -> Failure {
        Failure::Away(format!("no answer within {} ms", self.deadline.as_millis()))
    }

    fn error(&self, news: bool, reason: &str) -> Error {
        let text = format!("{}: {reason}", self.name);
        if news { Error::Unavailable(text) } else { Error::Down(text) }
    }
}
