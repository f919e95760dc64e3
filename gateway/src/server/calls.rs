//! The calls of one connection, as far as its wire has to know of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How many calls are open, how many there were, and when the last one ended.
pub struct Calls {
    opened: Instant,
    open: AtomicUsize,
    begun: AtomicU64,
    /// Milliseconds after `opened`.
    ended: AtomicU64,
}

/// A call, until its answer has gone.
pub struct OpenCall(Arc<Calls>);

impl Calls {
    /// Those of a new connection.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            open: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        })
    }

    /// Opens a call; it is the connection's `n`th.
    pub fn begin(self: &Arc<Self>) -> (OpenCall, u64) {
        self.open.fetch_add(1, Ordering::AcqRel);
        (OpenCall(self.clone()), self.begun.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Whether any is open.
    pub fn any(&self) -> bool {
        self.open.load(Ordering::Acquire) > 0
    }

    /// When the last one ended; when the connection was opened, where there was none.
    pub fn ended(&self) -> Instant {
        self.opened + Duration::from_millis(self.ended.load(Ordering::Acquire))
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.ended.store(now, Ordering::Release);
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}
