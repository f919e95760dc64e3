//! The CPU utilisation of this process, measured on demand.

use rustix::time::{ClockId, clock_gettime};
use std::{
    sync::{
        Mutex, TryLockError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::available_parallelism,
    time::{Duration, Instant},
};

/// Length of one measurement.
const MEASURE_INTERVAL: Duration = Duration::from_millis(100);
/// A measurement that began longer ago is discarded: it says nothing about the present.
const MAX_AGE: Duration = Duration::from_secs(1);
/// Above this CPU utilisation the process counts as saturated.
const SATURATED: f64 = 0.85;

/// The CPU utilisation of this process. Nothing is measured unless it is queried.
pub(super) struct CpuLoad {
    processors: f64,
    saturated: AtomicBool,
    /// Start of the current measurement, and the CPU time that the process had used by then.
    started: Mutex<(Instant, Duration)>,
}

impl CpuLoad {
    /// Relates to the number of processors that this process may use.
    pub fn new() -> Self {
        let processors = available_parallelism().map_or(1.0, |n| n.get() as f64);
        let started = Mutex::new((Instant::now(), Duration::ZERO));
        Self { processors, saturated: AtomicBool::new(false), started }
    }

    /// Number of processors that this process may use.
    pub fn processors(&self) -> f64 {
        self.processors
    }

    /// Whether the process was saturated during the last measurement.
    pub fn is_saturated(&self) -> bool {
        // If another thread is measuring, the last result is good enough.
        let mut started = match self.started.try_lock() {
            Ok(started) => started,
            Err(TryLockError::Poisoned(started)) => started.into_inner(),
            Err(TryLockError::WouldBlock) => return self.saturated.load(Relaxed),
        };
        let elapsed = started.0.elapsed();
        if elapsed >= MEASURE_INTERVAL {
            let used = process_cpu_time();
            let share = used.saturating_sub(started.1).as_secs_f64() / elapsed.as_secs_f64() / self.processors;
            self.saturated.store(elapsed < MAX_AGE && share > SATURATED, Relaxed);
            *started = (Instant::now(), used);
        }
        self.saturated.load(Relaxed)
    }
}

/// CPU time that all threads of this process have used.
fn process_cpu_time() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(used.tv_sec.unsigned_abs(), u32::try_from(used.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
impl CpuLoad {
    /// A constant result, for tests.
    pub fn fixed(saturated: bool) -> Self {
        let far_future = Instant::now() + Duration::from_secs(3600);
        let started = Mutex::new((far_future, Duration::ZERO));
        Self { saturated: AtomicBool::new(saturated), started, ..Self::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the load counts as saturated after some intervals in which this thread works or sleeps, on a machine with
    /// this number of processors.
    fn measured(processors: f64, works: bool) -> bool {
        let load = CpuLoad { processors, ..CpuLoad::new() };
        let start = Instant::now();
        while start.elapsed() < 4 * MEASURE_INTERVAL {
            match works {
                true => drop(std::hint::black_box((0..10_000).sum::<u64>())),
                false => std::thread::sleep(MEASURE_INTERVAL / 10),
            }
            load.is_saturated();
        }
        load.is_saturated()
    }

    #[test]
    fn a_process_that_uses_its_processors_is_saturated() {
        // On a busy machine a thread gets less than one processor: a twentieth is enough here.
        assert!(measured(0.05, true));
        assert!(!measured(1000.0, true) && !measured(10.0, false));
    }

    #[test]
    fn an_old_measurement_is_discarded() {
        let load = CpuLoad::new();
        *load.started.lock().unwrap() = (Instant::now().checked_sub(2 * MAX_AGE).unwrap(), Duration::ZERO);
        assert!(!load.is_saturated());
    }
}
