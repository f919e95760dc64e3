//! What an action does against the border's rules without failing by it: counted, and told in the log, seldom.

use super::plugin_call::PluginCall;
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

/// How long a function of a plugin's may keep its thread, in milliseconds: other calls wait for that thread.
pub(super) const TOO_LONG_MS: u64 = 100;
/// A thread that is kept so long, in milliseconds, is told of while it is.
const STUCK_MS: u64 = 5000;
/// How often threads are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What happens again within this time, in milliseconds, is counted only.
const SELDOM_MS: u64 = 60_000;

/// An action's, in all tenants. Lives as long as the process, as its plugin's code does.
#[derive(Debug)]
pub struct ViolationCounters {
    plugin: String,
    action: String,
    /// It kept its thread so long that it may never give it back.
    stuck: Violation,
    /// It kept its thread too long.
    pub blocked: Violation,
    /// It ended without giving an operation back.
    pub leaked_operations: Violation,
    /// It answered a call twice.
    pub duplicate_replies: Violation,
}

/// One kind of lapse.
#[derive(Debug, Default)]
pub struct Violation {
    count: AtomicU64,
    /// How many there were when it was told last.
    told: AtomicU64,
    /// When that was; 0: never.
    told_ms: AtomicU64,
}

/// Where a thread is: inside of a plugin, since when.
struct WorkerSlot {
    /// 0: not inside of any.
    since_ms: AtomicU64,
    conduct: AtomicPtr<ViolationCounters>,
}

/// One for each thread that was inside of a plugin: workers of the runtime, so they are few.
static POSTS: Mutex<Vec<&'static WorkerSlot>> = Mutex::new(Vec::new());

thread_local! {
    static POST: Cell<Option<&'static WorkerSlot>> = const { Cell::new(None) };
}

#[cold]
fn new_post() -> &'static WorkerSlot {
    let post: &WorkerSlot =
        Box::leak(Box::new(WorkerSlot { since_ms: AtomicU64::new(0), conduct: AtomicPtr::default() }));
    POSTS.lock().unwrap_or_else(PoisonError::into_inner).push(post);
    POST.set(Some(post));
    post
}

/// Watches for plugins that never give a thread back, from a thread of its own: they may keep all others. Until dropped.
pub struct Watchdog {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Begins.
    ///
    /// # Errors
    /// Where there can be no more threads.
    pub fn start() -> std::io::Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let watch = move || {
            // By post, since when it is stuck as far as that was told.
            let mut told = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                thread::park_timeout(LOOK);
                look(&mut told);
            }
        };
        let thread = Some(thread::Builder::new().name("menlou-watch".into()).spawn(watch)?);
        Ok(Self { over, thread })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn look(told: &mut Vec<u64>) {
    let posts = POSTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    told.resize(posts.len(), 0);
    for (post, told) in posts.iter().zip(told) {
        let since = post.since_ms.load(Ordering::Acquire);
        let kept = now_ms().saturating_sub(since);
        if since == 0 || kept < STUCK_MS || *told == since {
            continue;
        }
        let conduct = post.conduct.load(Ordering::Relaxed);
        // SAFETY: NULL, or leaked by `ViolationCounters::new`.
        if let Some(conduct) = unsafe { conduct.as_ref() }
            && post.since_ms.load(Ordering::Acquire) == since
        {
            *told = since;
            conduct.is_stuck(kept);
        }
    }
}

impl ViolationCounters {
    /// Of an action, by its plugin's name and its own.
    pub(super) fn new(plugin: &str, action: &str) -> &'static Self {
        let (plugin, action) = (plugin.to_owned(), action.to_owned());
        let (stuck, blocked, leaked_operations, duplicate_replies) = Default::default();
        Box::leak(Box::new(Self { plugin, action, stuck, blocked, leaked_operations, duplicate_replies }))
    }

    /// Runs a function of the plugin's; gives how long that kept the thread, in milliseconds.
    #[inline]
    pub(super) fn watch<T>(&'static self, function: impl FnOnce() -> T) -> (T, u64) {
        let (post, began) = (POST.get().unwrap_or_else(new_post), now_ms());
        post.conduct.store(ptr::from_ref(self).cast_mut(), Ordering::Relaxed);
        post.since_ms.store(began, Ordering::Release);
        let result = function();
        post.since_ms.store(0, Ordering::Release);
        (result, now_ms().saturating_sub(began))
    }

    fn is_stuck(&self, ms: u64) {
        let (plugin, action) = (&self.plugin, &self.action);
        if let Some(times) = self.happened(&self.stuck, "stuck") {
            tracing::error!(
                plugin,
                action,
                ms,
                times,
                "the plugin keeps a thread: its call can't be ended, and if it never returns, only a restart gives the thread back"
            );
        }
    }

    /// A function of the plugin's kept its thread for `ms`.
    pub(super) fn blocked(&self, flight: &PluginCall, ms: u64) {
        let (plugin, action, tenant, id) = self.names(flight);
        if let Some(times) = self.happened(&self.blocked, "blocked") {
            tracing::warn!(
                plugin,
                action,
                tenant,
                request_id = id,
                ms,
                times,
                "the plugin kept its thread, and with it other calls: it should start an operation or a thread, and be polled again"
            );
        }
    }

    /// The call ended, and so many of its operations were not given back.
    pub(super) fn leaked_operations(&self, flight: &PluginCall, operations: usize) {
        let (plugin, action, tenant, id) = self.names(flight);
        if let Some(times) = self.happened(&self.leaked_operations, "leaked_operation") {
            tracing::warn!(
                plugin,
                action,
                tenant,
                request_id = id,
                operations,
                times,
                "operations of a call that has ended had no op_drop: they were given up"
            );
        }
    }

    /// The call was answered once more.
    pub(super) fn duplicate_replies(&self, flight: &PluginCall) {
        let (plugin, action, tenant, id) = self.names(flight);
        if let Some(times) = self.happened(&self.duplicate_replies, "duplicate_reply") {
            tracing::warn!(
                plugin,
                action,
                tenant,
                request_id = id,
                times,
                "the plugin answered a call twice: the first answer counts"
            );
        }
    }

    fn names<'a>(&'a self, flight: &'a PluginCall) -> (&'a str, &'a str, &'a str, &'a str) {
        (&self.plugin, &self.action, &flight.action.scope.tenant, &flight.call.id)
    }

    /// Counts a lapse. Where it is to be told: how often it happened since it was told last.
    fn happened(&self, lapse: &Violation, kind: &'static str) -> Option<u64> {
        let (plugin, action) = (self.plugin.clone(), self.action.clone());
        metrics::counter!("menlou_plugin_lapses_total", "plugin" => plugin, "action" => action, "kind" => kind)
            .increment(1);
        lapse.seldom(now_ms())
    }
}

impl Violation {
    /// How often it happened so far.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn seldom(&self, now_ms: u64) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let last = self.told_ms.load(Ordering::Relaxed);
        if last != 0 && now_ms.saturating_sub(last) < SELDOM_MS {
            return None;
        }
        // Of several at once, one tells.
        self.told_ms.compare_exchange(last, now_ms.max(1), Ordering::Relaxed, Ordering::Relaxed).ok()?;
        Some(count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}

/// A clock in milliseconds that costs next to nothing, and goes on by a few of them at a time.
#[inline]
fn now_ms() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` has room for what is written; a clock that every Linux has since 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_told_once_a_minute_with_how_often_it_was() {
        let lapse = Violation::default();
        assert_eq!(lapse.seldom(5_000), Some(1));
        assert_eq!((lapse.seldom(5_001), lapse.seldom(64_999)), (None, None));
        assert_eq!(lapse.seldom(65_000), Some(3));
        assert_eq!((lapse.seldom(65_001), lapse.seldom(500_000)), (None, Some(2)));
        assert_eq!(lapse.count(), 6);
    }

    #[test]
    fn the_clock_goes_on() {
        let began = now_ms();
        std::thread::sleep(std::time::Duration::from_millis(150));
        assert!((100..60_000).contains(&(now_ms() - began)));
    }
}
