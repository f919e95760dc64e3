//! The gauge that says whether a dependency is up.

use metrics::Gauge;
use std::sync::{Arc, Mutex, PoisonError};

/// A gauge that is 1 while none of the breakers that share it is open, and 0 otherwise.
///
/// Clones share the count of open breakers. Create one per label set and clone it for each breaker of that dependency.
#[derive(Clone)]
pub struct UpGauge {
    gauge: Gauge,
    open: Arc<Mutex<usize>>,
}

impl UpGauge {
    /// Sets the gauge to 1.
    pub fn new(gauge: Gauge) -> Self {
        gauge.set(1.0);
        Self { gauge, open: Arc::default() }
    }

    /// One more breaker is open.
    pub(crate) fn opened(&self) {
        self.change(|open| open.saturating_add(1));
    }

    /// One breaker less is open.
    pub(crate) fn closed(&self) {
        self.change(|open| open.saturating_sub(1));
    }

    fn change(&self, next: impl FnOnce(usize) -> usize) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        *open = next(*open);
        // Set under the lock, so that the last value written is the current one.
        self.gauge.set(if *open == 0 { 1.0 } else { 0.0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use metrics_exporter_prometheus::PrometheusBuilder;

    #[test]
    fn shared_gauge_is_up_only_while_no_breaker_is_open() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let up = UpGauge::new(metrics::with_local_recorder(&recorder, || metrics::gauge!("up")));
        let value = || recorder.handle().render().lines().find_map(|l| l.strip_prefix("up ").map(str::to_owned));
        let other = up.clone();
        assert_eq!(value().as_deref(), Some("1"));
        up.opened();
        other.opened();
        up.closed();
        assert_eq!(value().as_deref(), Some("0"));
        other.closed();
        assert_eq!(value().as_deref(), Some("1"));
    }
}
