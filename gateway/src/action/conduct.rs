//! What an action does against the border's rules without failing by it: counted, and told in the log, seldom.

use super::flight::Flight;
use std::sync::atomic::{AtomicU64, Ordering};

/// How long a function of a plugin's may keep its thread, in milliseconds: other calls wait for that thread.
pub(super) const TOO_LONG_MS: u64 = 100;
/// What happens again within this time, in milliseconds, is counted only.
const SELDOM_MS: u64 = 60_000;

/// An action's, in all tenants.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    /// It kept its thread too long.
    pub blocked: Lapse,
    /// It ended without giving an operation back.
    pub left_behind: Lapse,
    /// It answered a call twice.
    pub answered_again: Lapse,
}

/// One kind of lapse.
#[derive(Debug, Default)]
pub(crate) struct Lapse {
    count: AtomicU64,
    /// How many there were when it was told last.
    told: AtomicU64,
    /// When that was; 0: never.
    told_ms: AtomicU64,
}

impl Conduct {
    /// A function of the plugin's kept its thread for `ms`.
    pub(super) fn blocked(&self, flight: &Flight, ms: u64) {
        if let Some(times) = self.blocked.happened(flight, "blocked") {
            let (plugin, action, tenant, id) = names(flight);
            tracing::warn!(
                plugin,
                action,
                tenant,
                request_id = id,
                ms,
                times,
                "the plugin kept its thread, and with it other calls: it should start an operation or a thread, and be polled again"
            );
        }
    }

    /// The call ended, and so many of its operations were not given back.
    pub(super) fn left_behind(&self, flight: &Flight, operations: usize) {
        if let Some(times) = self.left_behind.happened(flight, "left_behind") {
            let (plugin, action, tenant, id) = names(flight);
            tracing::warn!(
                plugin,
                action,
                tenant,
                request_id = id,
                operations,
                times,
                "operations of a call that has ended had no op_drop: they were given up"
            );
        }
    }

    /// The call was answered once more.
    pub(super) fn answered_again(&self, flight: &Flight) {
        if let Some(times) = self.answered_again.happened(flight, "answered_again") {
            let (plugin, action, tenant, id) = names(flight);
            tracing::warn!(
                plugin,
                action,
                tenant,
                request_id = id,
                times,
                "the plugin answered a call twice: the first answer counts"
            );
        }
    }
}

impl Lapse {
    /// How often it happened so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts it. Where it is to be told: how often it happened since it was told last.
    fn happened(&self, flight: &Flight, kind: &'static str) -> Option<u64> {
        let (plugin, action, ..) = names(flight);
        metrics::counter!("menlou_plugin_lapses_total", "plugin" => plugin, "action" => action.to_owned(), "kind" => kind)
            .increment(1);
        self.seldom(now_ms())
    }

    fn seldom(&self, now_ms: u64) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let last = self.told_ms.load(Ordering::Relaxed);
        if last != 0 && now_ms.saturating_sub(last) < SELDOM_MS {
            return None;
        }
        // Of several at once, one tells.
        self.told_ms.compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}

fn names(flight: &Flight) -> (&'static str, &str, &str, &str) {
    let action = &flight.action;
    (action.plugin().name, &action.descriptor().name, &action.scope.tenant, &flight.call.id)
}

/// A clock in milliseconds that costs next to nothing, and goes on by a few of them at a time.
pub(super) fn now_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` has room for what is written; a clock that every Linux has since 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once_a_minute_with_how_often_it_was() {
        let lapse = Lapse::default();
        assert_eq!(lapse.seldom(5_000), Some(1));
        assert_eq!((lapse.seldom(5_001), lapse.seldom(64_999)), (None, None));
        assert_eq!(lapse.seldom(65_000), Some(3));
        assert_eq!((lapse.seldom(65_001), lapse.seldom(500_000)), (None, Some(2)));
        assert_eq!(lapse.count(), 6);
    }

    #[test]
    fn the_clock_goes_on() {
        let began = now_ms();
        std::thread::sleep(std::time::Duration::from_millis(150));
        assert!((100..60_000).contains(&(now_ms() - began)));
    }
}
