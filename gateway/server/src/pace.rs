//! How long the other side may keep us waiting, for bytes of its own or until it takes ours.

use std::time::Duration;
use tokio::time::Instant;

/// The patience with one direction of one transfer: so long at once; and who trickles uses it up in all, as what is
/// moved wins back only the time that it takes at the least rate.
#[derive(Clone, Debug)]
pub struct Pace {
    idle: Duration,
    /// For one byte.
    least: Duration,
    waiting: Option<Instant>,
    used: Duration,
}

impl Pace {
    /// `idle` at once, `rate` bytes a second at least.
    pub fn new(idle: Duration, rate: usize) -> Self {
        Self {
            idle,
            least: Duration::from_secs(1) / u32::try_from(rate).unwrap_or(u32::MAX).max(1),
            waiting: None,
            used: Duration::ZERO,
        }
    }

    /// We wait, perhaps for a while already; gives until when.
    pub fn wait(&mut self, now: Instant) -> Instant {
        *self.waiting.get_or_insert(now) + self.idle.saturating_sub(self.used)
    }

    /// So many bytes were moved; `now` is asked only where we waited.
    pub fn moved(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.waiting.take() {
            self.used += now().saturating_duration_since(since);
        }
        if !self.used.is_zero() {
            self.used = self.used.saturating_sub(self.least.saturating_mul(u32::try_from(bytes).unwrap_or(u32::MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    /// After how long a transfer of `bytes` every `every` is given up.
    fn lasts(bytes: usize, every: Duration) -> Duration {
        let (mut pace, began) = (Pace::new(IDLE, 1000), Instant::now());
        let mut now = began;
        while now - began < 100 * IDLE {
            let until = pace.wait(now);
            if until < now + every {
                return until - began;
            }
            now += every;
            pace.moved(bytes, || now);
        }
        now - began
    }

    #[test]
    fn who_pauses_or_trickles_is_given_up_and_who_is_fast_enough_never() {
        assert_eq!(lasts(1_000_000, 2 * IDLE), IDLE);
        assert!(lasts(1, Duration::from_secs(9)) < 2 * IDLE);
        assert!(lasts(1, Duration::from_millis(100)) < 2 * IDLE);
        assert!(lasts(900, Duration::from_secs(1)) < 12 * IDLE);
        for (bytes, every) in [(1000, 1), (9000, 9), (1 << 20, 5)] {
            assert!(lasts(bytes, Duration::from_secs(every)) >= 100 * IDLE);
        }
    }
}
