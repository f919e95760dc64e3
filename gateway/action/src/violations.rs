//! Counters of an action's violations of the plugin ABI: mistakes that do not fail the call, but harm others or waste
//! resources. Each is counted; the log reports each kind at most once a minute.

use super::coarse_clock::now_ms;
use std::sync::atomic::{AtomicU64, Ordering};

/// Minimum time between two log lines about one kind of violation of one action, in milliseconds.
const LOG_INTERVAL_MS: u64 = 60_000;

/// Violations of one action, summed over all tenants. Lives as long as the process, like the plugin's code.
#[derive(Debug)]
pub struct ViolationCounters {
    plugin: String,
    action: String,
    stuck: Violation,
    /// The plugin blocked a worker thread for too long.
    pub blocked: Violation,
    /// A call ended while operations of it were not dropped.
    pub leaked_operations: Violation,
    /// The plugin replied to a call more than once.
    pub duplicate_replies: Violation,
}

/// Counter of one kind of violation.
#[derive(Debug, Default)]
pub struct Violation {
    count: AtomicU64,
    /// The value of `count` when the log last reported it.
    logged_count: AtomicU64,
    /// When the log last reported it, in milliseconds of the monotonic clock. 0 means never.
    logged_ms: AtomicU64,
}

impl ViolationCounters {
    /// Counters for an action, by the plugin's name and the action's. They are never freed.
    pub(super) fn new(plugin: &str, action: &str) -> &'static Self {
        let (plugin, action) = (plugin.to_owned(), action.to_owned());
        let (stuck, blocked, leaked_operations, duplicate_replies) = Default::default();
        Box::leak(Box::new(Self { plugin, action, stuck, blocked, leaked_operations, duplicate_replies }))
    }

    /// A function of the plugin has not returned for `ms` milliseconds.
    pub(super) fn record_stuck(&self, ms: u64) {
        if let Some(times) = self.count(&self.stuck, "stuck") {
            tracing::error!(
                plugin = self.plugin,
                action = self.action,
                ms,
                times,
                "plugin does not return from a call and keeps a worker thread: if it never returns, only a restart frees the thread"
            );
        }
    }

    /// A function of the plugin returned after `ms` milliseconds.
    pub(super) fn record_blocked(&self, tenant: &str, request_id: &str, ms: u64) {
        if let Some(times) = self.count(&self.blocked, "blocked") {
            tracing::warn!(
                plugin = self.plugin,
                action = self.action,
                tenant,
                request_id,
                ms,
                times,
                "plugin blocked a worker thread: use an asynchronous host operation, or a thread of the plugin's own"
            );
        }
    }

    /// A call ended before the plugin dropped all operations of it.
    pub(super) fn record_leaked_operations(&self, tenant: &str, request_id: &str, operations: usize) {
        if let Some(times) = self.count(&self.leaked_operations, "leaked_operation") {
            tracing::warn!(
                plugin = self.plugin,
                action = self.action,
                tenant,
                request_id,
                operations,
                times,
                "plugin ended a call without op_drop for its operations: they were cancelled"
            );
        }
    }

    /// The plugin replied to a call that already has a reply.
    pub(super) fn record_duplicate_reply(&self, tenant: &str, request_id: &str) {
        if let Some(times) = self.count(&self.duplicate_replies, "duplicate_reply") {
            tracing::warn!(
                plugin = self.plugin,
                action = self.action,
                tenant,
                request_id,
                times,
                "plugin replied to a call twice: the first reply was sent"
            );
        }
    }

    /// Counts a violation. Returns the number since the last log line if a line is due.
    fn count(&self, violation: &Violation, kind: &'static str) -> Option<u64> {
        let (plugin, action) = (self.plugin.clone(), self.action.clone());
        metrics::counter!("menlou_plugin_violations_total", "plugin" => plugin, "action" => action, "reason" => kind)
            .increment(1);
        violation.increment(now_ms())
    }
}

impl Violation {
    /// How many there were since the plugin was loaded.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds one. Returns the number since the last log line if a line is due.
    fn increment(&self, now_ms: u64) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let last = self.logged_ms.load(Ordering::Relaxed);
        if last != 0 && now_ms.saturating_sub(last) < LOG_INTERVAL_MS {
            return None;
        }
        // If several threads get here at the same time, one of them logs.
        self.logged_ms.compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(count.saturating_sub(self.logged_count.swap(count, Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_logged_once_a_minute_with_its_number_since_the_last_line() {
        let violation = Violation::default();
        assert_eq!(violation.increment(5_000), Some(1));
        assert_eq!((violation.increment(5_001), violation.increment(64_999)), (None, None));
        assert_eq!(violation.increment(65_000), Some(3));
        assert_eq!((violation.increment(65_001), violation.increment(500_000)), (None, Some(2)));
        assert_eq!(violation.count(), 6);
    }
}
