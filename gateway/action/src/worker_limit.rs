//! Bounds the worker threads that the code of one plugin may occupy at the same time, so that a plugin that never returns
//! leaves workers to the others.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
};
use tokio::{runtime::Handle, sync::Notify};

/// The worker threads that one plugin may occupy: half of the runtime's, at least one. The functions of a call usually
/// return within microseconds, so a call rarely waits.
#[derive(Debug, Default)]
pub(super) struct WorkerLimit {
    /// 0 until the first call, which knows the runtime.
    limit: AtomicUsize,
    occupied: AtomicUsize,
    waiting: AtomicUsize,
    returned: Notify,
}

/// The permission to run a function of the plugin on this thread. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct WorkerPermit<'a>(&'a WorkerLimit);

/// Counts a waiting task until it is dropped.
struct Waiting<'a>(&'a WorkerLimit);

impl WorkerLimit {
    /// A permit, or `None` if the plugin occupies its maximum of workers.
    pub fn try_enter(&self) -> Option<WorkerPermit<'_>> {
        let limit = match self.limit.load(Ordering::Relaxed) {
            0 => self.measure(),
            limit => limit,
        };
        let enter = |occupied| (occupied < limit).then_some(occupied + 1);
        self.occupied.fetch_update(Ordering::SeqCst, Ordering::Relaxed, enter).is_ok().then(|| WorkerPermit(self))
    }

    /// A permit, as soon as the plugin occupies fewer workers than its maximum.
    pub async fn enter(&self) -> WorkerPermit<'_> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        loop {
            let mut returned = pin!(self.returned.notified());
            // From here on a notification is not lost.
            returned.as_mut().enable();
            if let Some(permit) = self.try_enter() {
                return permit;
            }
            returned.await;
        }
    }

    #[cold]
    fn measure(&self) -> usize {
        let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let limit = workers.div_ceil(2).max(1);
        self.limit.store(limit, Ordering::Relaxed);
        limit
    }
}

impl Drop for WorkerPermit<'_> {
    fn drop(&mut self) {
        self.0.occupied.fetch_sub(1, Ordering::SeqCst);
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.returned.notify_one();
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_plugin_occupies_half_of_the_workers_at_most() {
        let limit: &'static WorkerLimit = Box::leak(Box::default());
        let first = limit.try_enter().unwrap();
        let second = limit.try_enter().unwrap();
        assert!(limit.try_enter().is_none());
        assert!(timeout(Duration::from_millis(20), limit.enter()).await.is_err(), "a cancelled wait leaves no trace");
        let waiting = tokio::spawn(async { drop(limit.enter().await) });
        while limit.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        drop(first);
        timeout(Duration::from_secs(60), waiting).await.unwrap().unwrap();
        drop(second);
        assert_eq!((limit.occupied.load(Ordering::SeqCst), limit.waiting.load(Ordering::SeqCst)), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn every_waiting_task_gets_its_turn() {
        let limit: &'static WorkerLimit = Box::leak(Box::default());
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                tokio::spawn(async {
                    for _ in 0..50 {
                        let permit = limit.enter().await;
                        assert!(limit.occupied.load(Ordering::SeqCst) <= 2);
                        std::hint::spin_loop();
                        drop(permit);
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            timeout(Duration::from_secs(60), task).await.unwrap().unwrap();
        }
    }
}
