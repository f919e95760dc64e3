//! The calls of one connection, as far as its wire has to know of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// How many calls are open, how many there were, and when the last one ended.
pub struct Calls {
    opened: Instant,
    open: AtomicUsize,
    begun: AtomicU64,
    /// Milliseconds after `opened`.
    ended: AtomicU64,
    /// Calls whose answer the client could take and doesn't, each since when.
    untaken: Mutex<BTreeMap<u64, Instant>>,
    enough: Notify,
}

/// A call, until its answer has gone.
pub struct OpenCall {
    of: Arc<Calls>,
    number: u64,
}

impl Calls {
    /// Those of a new connection.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            opened: Instant::now(),
            open: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            untaken: Mutex::default(),
            enough: Notify::new(),
        })
    }

    /// Opens a call.
    pub fn begin(self: &Arc<Self>) -> OpenCall {
        self.open.fetch_add(1, Ordering::AcqRel);
        OpenCall { of: self.clone(), number: self.begun.fetch_add(1, Ordering::Relaxed) + 1 }
    }

    /// The connection takes no more calls.
    pub fn end(&self) {
        self.enough.notify_one();
    }

    /// Ready when the connection takes no more calls.
    pub async fn ending(&self) {
        self.enough.notified().await;
    }

    /// Since when an answer has been waiting for the client, the longest of them.
    pub fn untaken_since(&self) -> Option<Instant> {
        self.untaken().values().min().copied()
    }

    fn untaken(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there were.
    pub fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
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

impl OpenCall {
    /// The connection's how manieth it is.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether its answer waits for the client.
    pub fn waits(&self, waits: bool) {
        match waits {
            true => self.of.untaken().insert(self.number, Instant::now()),
            false => self.of.untaken().remove(&self.number),
        };
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now = u64::try_from(self.of.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.of.ended.store(now, Ordering::Release);
        self.of.open.fetch_sub(1, Ordering::AcqRel);
    }
}
