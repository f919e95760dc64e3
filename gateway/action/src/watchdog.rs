//! Finds plugin functions that do not return: they keep a worker thread of the runtime, and other requests with it.
//!
//! Each worker thread records when it enters and leaves a plugin. A thread of the watchdog's own reads these records once
//! a second, because a stuck plugin may occupy all workers of the runtime.

use super::{coarse_clock::now_ms, exit_code, violations::ViolationCounters};
use std::{
    cell::Cell,
    ptr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// A plugin function that runs at least this long blocks its worker thread, in milliseconds.
pub(super) const BLOCKED_MS: u64 = 100;
/// A plugin function that has run this long without returning is reported as stuck, in milliseconds.
const STUCK_MS: u64 = 5000;
/// If plugin functions have occupied all worker threads for this long, the process ends, in milliseconds.
const EXHAUSTED_MS: u64 = 10_000;
/// Time for the log to write its last line.
const LOG_TIME: Duration = Duration::from_millis(200);
/// Time between two checks of all worker threads.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// What one thread runs now.
struct WorkerSlot {
    /// When the thread entered the plugin, by [`now_ms`]. 0 while it is outside of plugins.
    entered_ms: AtomicU64,
    violations: AtomicPtr<ViolationCounters>,
}

/// One slot for each thread that has run a plugin. These are workers of the runtime, so they are few.
static SLOTS: Mutex<Vec<&'static WorkerSlot>> = Mutex::new(Vec::new());

thread_local! {
    static SLOT: Cell<Option<&'static WorkerSlot>> = const { Cell::new(None) };
}

#[cold]
fn register_thread() -> &'static WorkerSlot {
    let slot: &WorkerSlot =
        Box::leak(Box::new(WorkerSlot { entered_ms: AtomicU64::new(0), violations: AtomicPtr::default() }));
    SLOTS.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    SLOT.set(Some(slot));
    slot
}

/// Runs a function of a plugin under the watchdog. Returns its result and its run time in milliseconds.
#[inline]
pub(super) fn run<T>(violations: &'static ViolationCounters, function: impl FnOnce() -> T) -> (T, u64) {
    let (slot, entered) = (SLOT.get().unwrap_or_else(register_thread), now_ms());
    slot.violations.store(ptr::from_ref(violations).cast_mut(), Ordering::Relaxed);
    slot.entered_ms.store(entered, Ordering::Release);
    let result = function();
    slot.entered_ms.store(0, Ordering::Release);
    (result, now_ms().saturating_sub(entered))
}

/// The watchdog thread. It ends when this is dropped.
pub struct Watchdog {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts the thread. If plugin functions do not return and occupy all of the runtime's `workers`, no request can be
    /// served any more, and nothing can free a worker: the process ends with exit code 70, so that it is restarted.
    ///
    /// # Errors
    /// If the system cannot create a thread.
    pub fn start(workers: usize) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let check_until_stopped = move || {
            // For each slot: the `entered_ms` that was reported last, so that one stuck function is reported once.
            let mut reported = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                thread::park_timeout(CHECK_INTERVAL);
                let exhausted = check_slots(&mut reported);
                if exhausted >= workers {
                    tracing::error!(
                        workers,
                        "plugins that do not return occupy all worker threads: the gateway ends with exit code {}, so that it is restarted",
                        exit_code::EXIT_CODE
                    );
                    thread::sleep(LOG_TIME);
                    exit_code::end();
                }
            }
        };
        let thread = Some(thread::Builder::new().name("menlou-watch".into()).spawn(check_until_stopped)?);
        Ok(Self { stop, thread })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

/// Reports stuck functions. Returns the number of threads that are occupied for so long that they count as lost.
fn check_slots(reported: &mut Vec<u64>) -> usize {
    let mut exhausted = 0;
    let slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    reported.resize(slots.len(), 0);
    for (slot, reported) in slots.iter().zip(reported) {
        let entered = slot.entered_ms.load(Ordering::Acquire);
        let ms = now_ms().saturating_sub(entered);
        exhausted += usize::from(entered != 0 && ms >= EXHAUSTED_MS);
        if entered == 0 || ms < STUCK_MS || *reported == entered {
            continue;
        }
        let violations = slot.violations.load(Ordering::Relaxed);
        // SAFETY: NULL or a reference from `run`, whose counters live as long as the process.
        if let Some(violations) = unsafe { violations.as_ref() }
            // Otherwise the thread has left the plugin meanwhile, and the counters may be another action's.
            && slot.entered_ms.load(Ordering::Acquire) == entered
        {
            *reported = entered;
            violations.record_stuck(ms);
        }
    }
    exhausted
}
