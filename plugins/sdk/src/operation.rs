//! One operation of the gateway as a future, and the place that says which call is being polled on this thread.

use crate::{Error, Result, raw, task::Parked};
use menlou_abi::*;
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    ptr,
    task::{Context, Poll},
};

/// The call that this thread is inside of.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    pub call: *mut menlou_call,
    pub parked: *const Parked,
    /// Parked wakers are being woken; the call's own future is polled right after.
    pub ahead: bool,
}

thread_local! {
    // Const and without Drop: a destructor registered with libc would run in code that a reload must not touch.
    static CURRENT: Cell<Current> = const {
        Cell::new(Current { call: ptr::null_mut(), parked: ptr::null(), ahead: false })
    };
}

/// The call that this thread is inside of; NULLs outside of any.
pub(crate) fn current() -> Current {
    CURRENT.get()
}

/// Says that this thread is inside a call, until dropped.
pub(crate) struct Inside(Current);

impl Inside {
    pub fn new(current: Current) -> Self {
        Self(CURRENT.replace(current))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// A running operation. Dropping it gives up on it.
pub(crate) struct Operation {
    host: &'static menlou_host,
    op: *mut menlou_op,
}

// SAFETY: an operation belongs to one call, whose polls never run at the same time; `op_drop` may run on any thread.
unsafe impl Send for Operation {}
// SAFETY: shared references to it can do nothing.
unsafe impl Sync for Operation {}

/// The bytes of a finished operation, borrowed from the gateway until dropped.
pub(crate) struct Finished {
    pub http_status: u16,
    data: menlou_str,
    _operation: Operation,
}

// SAFETY: the bytes don't change until `op_drop`, which `_operation` does when this is dropped.
unsafe impl Send for Finished {}
// SAFETY: as above; reading bytes from several threads is fine.
unsafe impl Sync for Finished {}

impl Finished {
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: borrowed until `op_drop`, which waits for our drop.
        unsafe { self.data.bytes() }
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.bytes())
            .map_err(|e| Error::internal(format!("the gateway answered strangely: {e}")))
    }
}

/// Starts an operation of the call that this thread is inside of.
///
/// # Panics
/// Outside of the action's own future (on a thread of the plugin's own, say): a mistake in the plugin, which costs that call.
pub(crate) fn start(host: &'static menlou_host, begin: impl FnOnce(*mut menlou_call) -> *mut menlou_op) -> Waiting {
    let current = current();
    assert!(!current.call.is_null(), "host services can be asked only inside the action's own future");
    let operation = Operation { host, op: begin(current.call) };
    Waiting(Some(operation))
}

/// Waits for an operation: `None` where the gateway says "not found".
pub(crate) struct Waiting(Option<Operation>);

impl Future for Waiting {
    type Output = Result<Option<Finished>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let current = current();
        assert!(!current.call.is_null(), "a host operation can be polled only inside the action's own future");
        let Some(operation) = self.0.take() else {
            return Poll::Ready(Err(Error::internal("an operation was polled after its end")));
        };
        let mut outcome = menlou_outcome {
            struct_size: size_of::<menlou_outcome>() as u32,
            status: MENLOU_ERR_FAILED,
            http_status: 0,
            reserved: 0,
            word: menlou_str::NONE,
            data: menlou_str::NONE,
        };
        // The gateway remembers its own waker, that of the task now polling us, never `cx`'s: a waker made in the
        // plugin must not get into the gateway.
        // SAFETY: inside `poll` of this very call; `op` is ours; `outcome` is written before this returns.
        let state = unsafe { (operation.host.op_poll)(current.call, operation.op, &mut outcome) };
        match (state, outcome.status) {
            (MENLOU_PENDING, _) => {
                self.0 = Some(operation);
                // SAFETY: `parked` belongs to the task that is being polled on this thread.
                unsafe { (*current.parked).park(cx.waker()) };
                Poll::Pending
            }
            (MENLOU_READY, MENLOU_READY) => Poll::Ready(Ok(Some(Finished {
                http_status: outcome.http_status as u16,
                data: outcome.data,
                _operation: operation,
            }))),
            (MENLOU_READY, MENLOU_ERR_NOT_FOUND) => Poll::Ready(Ok(None)),
            (MENLOU_READY, MENLOU_ERR_WORD) => {
                // SAFETY: borrowed until `op_drop`, at the end of this scope.
                let (word, data) = unsafe { (raw::text(outcome.word).to_owned(), outcome.data.bytes()) };
                let mut error = Error::new(word);
                error.0.data = serde_json::from_slice(data).ok();
                Poll::Ready(Err(error))
            }
            (state, status) => {
                Poll::Ready(Err(Error::internal(format!("the gateway refused an operation ({state}, {status})"))))
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.op.is_null() {
            // SAFETY: ours, and dropped once; any thread.
            unsafe { (self.host.op_drop)(self.op) }
        }
    }
}
