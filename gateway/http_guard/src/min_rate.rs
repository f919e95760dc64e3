//! The deadline of one direction of a transfer: a maximum pause and a minimum average rate.

use std::time::Duration;
use tokio::time::Instant;

/// Idle budget for one transfer direction. Waiting consumes it; each byte refunds `1 / min_rate` seconds.
///
/// A transfer that pauses for the complete budget misses its deadline, and so does one whose many short pauses add up to
/// more than its bytes refund. A transfer that is fast enough never misses it, however long it takes.
#[derive(Clone, Debug)]
pub struct TransferDeadline {
    idle: Duration,
    refund_per_byte: Duration,
    waiting_since: Option<Instant>,
    used: Duration,
}

impl TransferDeadline {
    /// A full budget of `idle`, refunded at `min_rate` bytes per second. A rate of 0 counts as 1.
    pub fn new(idle: Duration, min_rate: usize) -> Self {
        Self {
            idle,
            refund_per_byte: Duration::from_secs(1) / u32::try_from(min_rate).unwrap_or(u32::MAX).max(1),
            waiting_since: None,
            used: Duration::ZERO,
        }
    }

    /// Starts waiting, unless the transfer waits already. Returns when the budget is used up.
    pub fn wait(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.idle.saturating_sub(self.used)
    }

    /// Ends the waiting and refunds the time for `bytes`. `now` is called only if the transfer was waiting.
    pub fn progress(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.waiting_since.take() {
            self.used += now().saturating_duration_since(since);
        }
        if !self.used.is_zero() {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.used = self.used.saturating_sub(self.refund_per_byte.saturating_mul(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// When a transfer of `bytes` per `interval` misses its deadline; at least `100 * IDLE` if it does not.
    fn time_until_missed(bytes: usize, interval: Duration) -> Duration {
        let (mut deadline, start) = (TransferDeadline::new(IDLE, 1000), Instant::now());
        let mut now = start;
        while now - start < 100 * IDLE {
            let until = deadline.wait(now);
            if until < now + interval {
                return until - start;
            }
            now += interval;
            deadline.progress(bytes, || now);
        }
        now - start
    }

    #[test]
    fn pauses_and_slow_transfers_miss_the_deadline_and_fast_ones_never_do() {
        assert_eq!(time_until_missed(1_000_000, 2 * IDLE), IDLE);
        assert!(time_until_missed(1, Duration::from_secs(9)) < 2 * IDLE);
        assert!(time_until_missed(1, Duration::from_millis(100)) < 2 * IDLE);
        assert!(time_until_missed(900, Duration::from_secs(1)) < 12 * IDLE);
        for (bytes, interval) in [(1000, 1), (9000, 9), (1 << 20, 5)] {
            assert!(time_until_missed(bytes, Duration::from_secs(interval)) >= 100 * IDLE);
        }
    }
}
