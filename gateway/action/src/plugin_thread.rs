//! Runs functions of plugins that are not part of a call on threads of their own, with a deadline. A thread whose function
//! does not return is abandoned: nothing can end it before the process ends.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};
use tokio::runtime::Handle;

/// Maximum number of idle threads that are kept for later functions.
const MAX_IDLE: usize = 2;
/// Number of threads that functions of one plugin may keep. When it is reached, none is run any more.
const MAX_ABANDONED: usize = 3;

const RUNNING: u8 = 0;
const RETURNED: u8 = 1;
const ABANDONED: u8 = 2;

type Job = Box<dyn FnOnce() + Send>;

static IDLE: Mutex<Vec<mpsc::Sender<Job>>> = Mutex::new(Vec::new());

/// The function has not returned in time, or was not run because too many others have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotReturned;

/// The number of threads that functions of one plugin keep beyond their deadline.
#[derive(Clone, Debug, Default)]
pub(super) struct AbandonedThreads(Arc<AtomicUsize>);

impl AbandonedThreads {
    /// Runs a function on a thread of its own and waits for its result, at most for `limit`. A result that comes later is
    /// dropped on that thread. Blocks the calling thread.
    ///
    /// # Errors
    /// [`NotReturned`]
    pub fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotReturned> {
        if self.0.load(Ordering::Relaxed) >= MAX_ABANDONED {
            return Err(NotReturned);
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        let state = Arc::new(AtomicU8::new(RUNNING));
        let (abandoned, job_state, runtime) = (self.0.clone(), state.clone(), Handle::try_current().ok());
        let job = Box::new(move || {
            let _runtime = runtime.as_ref().map(Handle::enter);
            let result: Result<T, Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(function));
            if job_state.swap(RETURNED, Ordering::AcqRel) == ABANDONED {
                abandoned.fetch_sub(1, Ordering::Relaxed);
            }
            // The receiver is gone if the function was too slow.
            let _ = sender.send(result);
        });
        let Some(worker) = hand_over(job) else { return Err(NotReturned) };
        let result = match receiver.recv_timeout(limit) {
            Ok(result) => result,
            Err(_) => {
                self.0.fetch_add(1, Ordering::Relaxed);
                if state.swap(ABANDONED, Ordering::AcqRel) != RETURNED {
                    return Err(NotReturned);
                }
                // It returned between both steps.
                self.0.fetch_sub(1, Ordering::Relaxed);
                receiver.recv_timeout(limit).map_err(|_| NotReturned)?
            }
        };
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(worker);
        }
        drop(idle);
        result.map_err(|panic| resume_unwind(panic))
    }
}

/// Gives a job to an idle thread or to a new one. Returns `None` if the system cannot create a thread.
fn hand_over(mut job: Job) -> Option<mpsc::Sender<Job>> {
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    if let Some(worker) = idle {
        match worker.send(job) {
            Ok(()) => return Some(worker),
            Err(mpsc::SendError(returned)) => job = returned,
        }
    }
    let (worker, jobs) = mpsc::channel::<Job>();
    let run_jobs = move || jobs.into_iter().for_each(|job| job());
    thread::Builder::new().name("menlou-plugin".into()).spawn(run_jobs).ok()?;
    worker.send(job).ok()?;
    Some(worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    #[test]
    fn a_result_comes_back_and_a_panic_goes_on() {
        let threads = AbandonedThreads::default();
        assert_eq!(threads.run(Duration::from_secs(60), || 7), Ok(7));
        let panicked = catch_unwind(AssertUnwindSafe(|| threads.run(Duration::from_secs(60), || panic!("a test"))));
        assert!(panicked.is_err());
        assert_eq!(threads.run(Duration::from_secs(60), || 8), Ok(8));
    }

    #[test]
    fn functions_that_do_not_return_keep_a_bounded_number_of_threads() {
        let threads = AbandonedThreads::default();
        let release: Vec<_> = (0..MAX_ABANDONED)
            .map(|_| {
                let (release, wait) = mpsc::channel::<()>();
                assert_eq!(threads.run(SOON, move || wait.recv().is_ok()), Err(NotReturned));
                release
            })
            .collect();
        assert_eq!(threads.run(Duration::from_secs(60), || 1), Err(NotReturned));
        assert_eq!(
            AbandonedThreads::default().run(Duration::from_secs(60), || 2),
            Ok(2),
            "another plugin's functions run"
        );
        drop(release);
        while threads.0.load(Ordering::Relaxed) > 0 {
            thread::yield_now();
        }
        assert_eq!(threads.run(Duration::from_secs(60), || 3), Ok(3));
    }
}
