//! The time of day and lives of values, as the stores count them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest life of a shared value.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Unix time in milliseconds.
pub fn millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Unix time in whole seconds.
pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A life in milliseconds, held within 1 ms and 30 days.
pub(super) fn life_millis(life: Duration) -> i64 {
    i64::try_from(life.min(LONGEST).as_millis()).unwrap_or(i64::MAX).max(1)
}

/// How many milliseconds are left until this Unix second; none where it has come.
pub(super) fn millis_until(second: u64) -> Option<i64> {
    let end = i64::try_from(second).unwrap_or(i64::MAX).saturating_mul(1000);
    Some(end.saturating_sub(millis())).filter(|left| *left > 0)
}
