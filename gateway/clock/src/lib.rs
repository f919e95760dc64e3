//! The wall clock as Unix time, in the units that records, APIs and plugins use.
//!
//! A clock that is set before 1970 reads as 0. Deadlines and intervals are measured with [`std::time::Instant`] instead.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the start of 1970, UTC.
pub fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Unix time in whole seconds.
pub fn unix_seconds() -> u64 {
    since_epoch().as_secs()
}

/// Unix time in milliseconds.
pub fn unix_millis() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// Unix time in milliseconds, in the integer type of databases.
pub fn unix_millis_i64() -> i64 {
    i64::try_from(unix_millis()).unwrap_or(i64::MAX)
}
