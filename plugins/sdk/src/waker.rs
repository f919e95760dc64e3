//! The waker that an action's future is polled with: a clone of it is a handle of the gateway's.

use menlou_abi::*;
use std::{
    sync::Arc,
    task::{RawWaker, RawWakerVTable, Waker},
};

/// Whether this wakes the call itself, for which the gateway has a waker of its own.
pub(crate) fn is_root(waker: &Waker) -> bool {
    waker.vtable() == &ROOT
}

/// The call being polled; on the stack of `poll`, whose waker refers to it.
pub(crate) struct RootWaker {
    pub host: &'static menlou_host,
    pub call: *mut menlou_call,
}

impl RootWaker {
    /// The waker to poll with.
    ///
    /// # Safety
    /// CurrentCallGuard a poll of the call; the waker itself (not its clones) ends before this, which doesn't move.
    pub unsafe fn waker(&self) -> Waker {
        // SAFETY: ROOT's functions take a `RootWaker` that lives during this poll.
        unsafe { Waker::from_raw(RawWaker::new((&raw const *self).cast(), &ROOT)) }
    }
}

/// A waker kept beyond a poll: a handle of the gateway's.
struct HostWaker {
    host: &'static menlou_host,
    waker: *mut menlou_waker,
}

// SAFETY: the gateway's wakers are for any thread.
unsafe impl Send for HostWaker {}
// SAFETY: as above.
unsafe impl Sync for HostWaker {}

impl Drop for HostWaker {
    fn drop(&mut self) {
        // SAFETY: ours, dropped once; any thread.
        unsafe { (self.host.waker_drop)(self.waker) }
    }
}

impl std::task::Wake for HostWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // SAFETY: any thread, also after the call's end.
        unsafe { (self.host.waker_wake)(self.waker) }
    }
}

static ROOT: RawWakerVTable = RawWakerVTable::new(clone_root, wake_root, wake_root, |_| ());

/// # Safety
/// `root` is a [`RootWaker`], inside its poll: a `&Waker` can't outlive that, a clone is made here.
unsafe fn keep(root: *const ()) -> Arc<HostWaker> {
    // SAFETY: the caller's promise.
    let root = unsafe { &*root.cast::<RootWaker>() };
    // SAFETY: inside `poll` of that call.
    Arc::new(HostWaker { host: root.host, waker: unsafe { (root.host.waker_clone)(root.call) } })
}

unsafe fn clone_root(root: *const ()) -> RawWaker {
    // SAFETY: ROOT is only ever used with a `RootWaker` inside its poll.
    let waker = Waker::from(unsafe { keep(root) });
    let raw = RawWaker::new(waker.data(), waker.vtable());
    std::mem::forget(waker); // `raw` has its reference now
    raw
}

unsafe fn wake_root(root: *const ()) {
    // SAFETY: as above.
    std::task::Wake::wake(unsafe { keep(root) });
}
