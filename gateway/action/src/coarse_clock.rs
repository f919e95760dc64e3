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
    fn clock_advances_in_milliseconds() {
        let (start, started) = (now_ms(), std::time::Instant::now());
        while now_ms() < start + 100 {
            assert!(started.elapsed().as_secs() < 20, "the clock is too slow");
            std::thread::yield_now();
        }
        // The coarse clock may be a few milliseconds behind.
        assert!(started.elapsed().as_millis() >= 80, "the clock is too fast");
    }
}
