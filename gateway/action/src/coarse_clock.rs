//! A monotonic clock that is read twice for each call of a plugin function, so it has to be cheap.

/// Milliseconds since the system started. The value advances in steps of a few milliseconds.
#[inline]
pub(super) fn now_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid, writable timespec. Every Linux since 2.6.32 has this clock, so `now` is filled in.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_advances() {
        let start = now_ms();
        std::thread::sleep(std::time::Duration::from_millis(150));
        assert!((100..60_000).contains(&(now_ms() - start)));
    }
}
