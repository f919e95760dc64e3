//! Whether the gateway has more to do than its processors can: seen by how much of them it has had lately.

use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

/// Over so long it is measured.
const SPAN: Duration = Duration::from_millis(100);
/// What was begun longer ago tells of another time.
const STALE: Duration = Duration::from_secs(1);
/// Who has had this part of the processors would have had more.
const HIGH: f64 = 0.85;

/// How busy this process is. Nothing is measured unless somebody asks.
pub(super) struct CpuLoad {
    processors: f64,
    high: AtomicBool,
    began: Mutex<(Instant, Duration)>,
}

impl CpuLoad {
    /// Of the processors that this process may use.
    pub fn new() -> Self {
        let processors = available_parallelism().map_or(1.0, |n| n.get() as f64);
        Self { processors, high: AtomicBool::new(false), began: Mutex::new((Instant::now(), Duration::ZERO)) }
    }

    /// How many processors this process may use.
    pub fn processors(&self) -> f64 {
        self.processors
    }

    /// Whether the processors were busy with us a moment ago.
    pub fn is_saturated(&self) -> bool {
        // Somebody else is at it: what is known will do.
        let mut began = match self.began.try_lock() {
            Ok(began) => began,
            Err(TryLockError::Poisoned(began)) => began.into_inner(),
            Err(TryLockError::WouldBlock) => return self.high.load(Relaxed),
        };
        let span = began.0.elapsed();
        if span >= SPAN {
            let used = processor_time();
            let part = used.saturating_sub(began.1).as_secs_f64() / span.as_secs_f64() / self.processors;
            self.high.store(span < STALE && part > HIGH, Relaxed);
            *began = (Instant::now(), used);
        }
        self.high.load(Relaxed)
    }
}

/// What all threads of this process have used so far.
fn processor_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
impl CpuLoad {
    /// One that is not measured.
    pub fn fixed(high: bool) -> Self {
        let ages = Instant::now() + Duration::from_secs(3600);
        Self { high: AtomicBool::new(high), began: Mutex::new((ages, Duration::ZERO)), ..Self::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it is high after some spans in which this thread works or rests, were there so many processors.
    fn measured(processors: f64, works: bool) -> bool {
        let pressure = CpuLoad { processors, ..CpuLoad::new() };
        let begun = Instant::now();
        while begun.elapsed() < 4 * SPAN {
            match works {
                true => drop(std::hint::black_box((0..10_000).sum::<u64>())),
                false => std::thread::sleep(SPAN / 10),
            }
            pressure.is_saturated();
        }
        pressure.is_saturated()
    }

    #[test]
    fn it_is_high_where_the_processors_are_busy_with_us() {
        // A busy machine gives a thread less than a processor: a tenth will do.
        assert!(measured(0.05, true));
        assert!(!measured(1000.0, true) && !measured(10.0, false));
    }

    #[test]
    fn what_was_long_ago_does_not_count() {
        let pressure = CpuLoad::new();
        *pressure.began.lock().unwrap() = (Instant::now().checked_sub(2 * STALE).unwrap(), Duration::ZERO);
        assert!(!pressure.is_saturated());
    }
}
