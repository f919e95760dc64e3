//! The requests of one connection, shared between its service and its guard.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Requests in flight of one connection: how many there are, how many there were, and when the last one ended.
///
/// The service of the connection calls [`begin`](Self::begin) for each request, and drops the [`InFlightGuard`] when the
/// response is complete. While a request is in flight the guard applies no deadline to reading.
pub struct InFlight {
    opened: Instant,
    active: AtomicUsize,
    total: AtomicU64,
    /// Milliseconds after `opened`.
    last_end: AtomicU64,
    /// Responses with data that the client does not read, by the index of their request, each with the time since then.
    blocked: Mutex<BTreeMap<u64, Instant>>,
    close: Notify,
}

/// One request in flight, until it is dropped.
pub struct InFlightGuard {
    state: Arc<InFlight>,
    index: u64,
}

impl InFlight {
    /// The state of a new connection without requests.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            active: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            last_end: AtomicU64::new(0),
            blocked: Mutex::default(),
            close: Notify::new(),
        })
    }

    /// Counts a request as in flight until the returned guard is dropped. To be called for every request that hyper
    /// hands to the service, when the future of its response is first polled.
    pub fn begin(self: &Arc<Self>) -> InFlightGuard {
        self.active.fetch_add(1, Ordering::AcqRel);
        InFlightGuard { state: self.clone(), index: self.total.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// Asks the task that drives the connection to shut it down gracefully, see [`close_requested`](Self::close_requested).
    pub fn request_close(&self) {
        self.close.notify_one();
    }

    /// Completes after [`request_close`](Self::request_close). The guard does not shut the connection down: the caller
    /// does, with hyper's `graceful_shutdown`.
    pub async fn close_requested(&self) {
        self.close.notified().await;
    }

    /// Since when a response waits for the client to read it. Of several responses, the earliest time.
    pub fn blocked_since(&self) -> Option<Instant> {
        self.blocked().values().min().copied()
    }

    fn blocked(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of requests so far, those in flight included.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether any request is in flight.
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire) > 0
    }

    /// When the last request ended; before the first request, when the connection was opened.
    pub fn last_end(&self) -> Instant {
        self.opened + Duration::from_millis(self.last_end.load(Ordering::Acquire))
    }
}

impl InFlightGuard {
    /// 1-based index of this request on its connection.
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Sets whether the response has data that the client does not read. Only HTTP/2 needs this: its flow control is per
    /// response. Over HTTP/1 the guard sees it by itself.
    pub fn set_blocked(&self, is_blocked: bool) {
        match is_blocked {
            true => self.state.blocked().insert(self.index, Instant::now()),
            false => self.state.blocked().remove(&self.index),
        };
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        let now = u64::try_from(self.state.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.state.last_end.store(now, Ordering::Release);
        self.state.active.fetch_sub(1, Ordering::AcqRel);
    }
}
