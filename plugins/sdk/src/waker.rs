//! The waker that an action's future is polled with. A clone of it is a waker handle of the gateway.

use menlou_abi::*;
use std::{
    sync::Arc,
    task::{RawWaker, RawWakerVTable, Waker},
};

/// Whether this waker wakes the call itself. The gateway has its own waker for that.
pub(crate) fn is_root(waker: &Waker) -> bool {
    waker.vtable() == &ROOT
}

/// The call that is being polled. It is on the stack of `poll`, and the waker refers to it.
pub(crate) struct RootWaker {
    pub host: &'static menlou_host,
    pub call: *mut menlou_call,
}

impl RootWaker {
    /// The waker to poll with.
    ///
    /// # Safety
    /// Call it inside a poll of the call. The waker, but not its clones, must be dropped before `self`, which must not
    /// move.
    pub unsafe fn waker(&self) -> Waker {
        // SAFETY: the functions of ROOT expect a `RootWaker` that is valid during this poll.
        unsafe { Waker::from_raw(RawWaker::new((&raw const *self).cast(), &ROOT)) }
    }
}

/// A waker that outlives a poll: a handle of the gateway.
struct HostWaker {
    host: &'static menlou_host,
    waker: *mut menlou_waker,
}

// SAFETY: the gateway's wakers may be used on any thread.
unsafe impl Send for HostWaker {}
// SAFETY: as above.
unsafe impl Sync for HostWaker {}

impl Drop for HostWaker {
    fn drop(&mut self) {
        // SAFETY: owned, dropped once, callable on any thread.
        unsafe { (self.host.waker_drop)(self.waker) }
    }
}

impl std::task::Wake for HostWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // SAFETY: callable on any thread, also after the end of the call.
        unsafe { (self.host.waker_wake)(self.waker) }
    }
}

static ROOT: RawWakerVTable = RawWakerVTable::new(clone_root, wake_root, wake_root, |_| ());

/// # Safety
/// `root` must be a [`RootWaker`] inside its poll. A `&Waker` does not outlive the poll, and a clone is made here.
unsafe fn clone_host_waker(root: *const ()) -> Arc<HostWaker> {
    // SAFETY: the caller's contract.
    let root = unsafe { &*root.cast::<RootWaker>() };
    // SAFETY: inside `poll` of that call.
    Arc::new(HostWaker { host: root.host, waker: unsafe { (root.host.waker_clone)(root.call) } })
}

unsafe fn clone_root(root: *const ()) -> RawWaker {
    // SAFETY: ROOT is used only with a `RootWaker` inside its poll.
    let waker = Waker::from(unsafe { clone_host_waker(root) });
    let raw = RawWaker::new(waker.data(), waker.vtable());
    std::mem::forget(waker); // `raw` owns the reference now
    raw
}

unsafe fn wake_root(root: *const ()) {
    // SAFETY: as above.
    std::task::Wake::wake(unsafe { clone_host_waker(root) });
}
