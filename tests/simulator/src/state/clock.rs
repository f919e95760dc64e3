//! The simulator's clock, which can be advanced so that tests need not sleep.

use std::time::{Duration, Instant, SystemTime};

/// The system time at the start, the time since then and the sum of all advances.
pub(crate) struct Clock {
    unix_at_start: Duration,
    start: Instant,
    advanced: Duration,
}

impl Default for Clock {
    fn default() -> Self {
        let unix_at_start = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { unix_at_start, start: Instant::now(), advanced: Duration::ZERO }
    }
}

impl Clock {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        let now = self.unix_at_start + self.start.elapsed() + self.advanced;
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }

    /// Seconds since 1970.
    pub(crate) fn now_s(&self) -> u64 {
        self.now_ms() / 1000
    }

    /// Moves the clock forward, by at most a hundred years in total.
    pub(crate) fn advance(&mut self, duration: Duration) {
        const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        self.advanced = self.advanced.saturating_add(duration).min(MAX);
    }
}
