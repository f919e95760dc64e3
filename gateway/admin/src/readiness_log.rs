//! Logs each change of readiness once, however often it is probed.

use std::sync::{Mutex, PoisonError};

/// Why the gateway was not ready at the last probe, so that the log has each change once.
#[derive(Default)]
pub struct ReadinessLog(Mutex<Vec<String>>);

impl ReadinessLog {
    /// Logs the problems, if they have changed.
    pub(crate) fn note(&self, problems: &[String]) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted == problems {
            return;
        }
        if problems.is_empty() {
            tracing::info!("ready again");
        } else {
            tracing::error!("not ready: {}", problems.join("; "));
        }
        *noted = problems.to_vec();
    }
}
