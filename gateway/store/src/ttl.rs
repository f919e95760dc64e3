//! Times to live, in milliseconds.

use menlou_clock::unix_millis_i64;
use std::time::Duration;

/// Maximum time to live of an ephemeral value.
const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A time to live in milliseconds, clamped to between 1 ms and 30 days.
pub(crate) fn clamped_millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.min(MAX_TTL).as_millis()).unwrap_or(i64::MAX).max(1)
}

/// The millisecond at which this Unix second starts.
pub(crate) fn millis_of_second(second: u64) -> i64 {
    i64::try_from(second).unwrap_or(i64::MAX).saturating_mul(1000)
}

/// Milliseconds until this Unix second; `None` where it has passed.
pub(crate) fn millis_until(second: u64) -> Option<i64> {
    Some(millis_of_second(second).saturating_sub(unix_millis_i64())).filter(|left| *left > 0)
}
