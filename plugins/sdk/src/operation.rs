//! One operation of the gateway as a future, and the place that says which call is being polled on this thread.

use crate::{Error, Result, ffi, waker::is_root};
use menlou_abi::*;
use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    ptr,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

/// The call that this thread is inside of.
#[derive(Clone, Copy)]
pub(crate) struct CurrentCall {
    pub call: *mut menlou_call,
    pub parked: *const ParkedOperations,
}

thread_local! {
    // Const and without Drop: a destructor registered with libc would run in code that a reload must not touch.
    static CURRENT: Cell<CurrentCall> = const {
        Cell::new(CurrentCall { call: ptr::null_mut(), parked: ptr::null() })
    };
}

/// The call that this thread is inside of; NULLs outside of any.
pub(crate) fn current() -> CurrentCall {
    CURRENT.get()
}

/// Says that this thread is inside a call, until dropped.
pub(crate) struct CurrentCallGuard(CurrentCall);

impl CurrentCallGuard {
    pub fn new(current: CurrentCall) -> Self {
        Self(CURRENT.replace(current))
    }
}

impl Drop for CurrentCallGuard {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

/// Operations that executors inside the plugin wait for. The gateway wakes a call as a whole; at its next poll each of
/// these is asked, and only who waits for one that is done is woken: to wake all would have executors that yield after
/// a round (`FuturesUnordered` does) go round without end.
#[derive(Default)]
pub(crate) struct ParkedOperations(Cell<Vec<Weak<Operation>>>);

impl ParkedOperations {
    fn park(&self, operation: &Arc<Operation>, waker: &Waker) {
        if operation.waiting(Some(waker.clone())).is_none() {
            let mut all = self.0.take();
            all.push(Arc::downgrade(operation));
            self.0.set(all);
        }
    }

    /// Wakes who waits for what is done; inside a poll of the call.
    pub fn wake_ready(&self, call: *mut menlou_call) {
        let mut all = self.0.take();
        let mut ready = Vec::new();
        all.retain(|parked| match parked.upgrade() {
            Some(operation) if operation.poll(call).0 == MENLOU_PENDING => true,
            Some(operation) => {
                ready.extend(operation.waiting(None));
                false
            }
            None => false,
        });
        self.0.set(all);
        ready.into_iter().for_each(Waker::wake);
    }
}

/// A running operation. Dropping it gives up on it.
pub(crate) struct Operation {
    host: &'static menlou_host,
    op: *mut menlou_op,
    /// Who waits for it, if it is parked.
    waker: Mutex<Option<Waker>>,
}

// SAFETY: an operation belongs to one call, whose polls never run at the same time; `op_drop` may run on any thread.
unsafe impl Send for Operation {}
// SAFETY: only `poll` does anything with a shared reference, and only inside a poll of its call: on one thread at a time.
unsafe impl Sync for Operation {}

/// The bytes of a finished operation, borrowed from the gateway until dropped.
pub(crate) struct OperationOutput {
    pub http_status: u16,
    data: menlou_str,
    content_type: menlou_str,
    _operation: Arc<Operation>,
}

// SAFETY: the bytes don't change until `op_drop`, which `_operation` does when this is dropped.
unsafe impl Send for OperationOutput {}
// SAFETY: as above; reading bytes from several threads is fine.
unsafe impl Sync for OperationOutput {}

impl OperationOutput {
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: borrowed until `op_drop`, which waits for our drop.
        unsafe { self.data.bytes() }
    }

    /// The media type of a file.
    pub fn content_type(&self) -> Option<&str> {
        // SAFETY: as above.
        Some(unsafe { ffi::text(self.content_type) }).filter(|t| !t.is_empty())
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.bytes())
            .map_err(|e| Error::internal(format!("the gateway answered strangely: {e}")))
    }
}

/// The output of an operation that always finds something.
pub(crate) fn found(output: Option<OperationOutput>) -> Result<OperationOutput> {
    output.ok_or_else(|| Error::internal("the gateway returned not_found for an operation that always has a result"))
}

/// Starts an operation of the call that this thread is inside of.
///
/// # Panics
/// Outside of the action's own future (on a thread of the plugin's own, say): a mistake in the plugin, which costs that call.
pub(crate) fn start(
    host: &'static menlou_host,
    begin: impl FnOnce(*mut menlou_call) -> *mut menlou_op,
) -> OperationFuture {
    let current = current();
    assert!(!current.call.is_null(), "host services can be asked only inside the action's own future");
    let operation = Operation { host, op: begin(current.call), waker: Mutex::default() };
    OperationFuture(Some(Arc::new(operation)))
}

/// Waits for an operation: `None` where the gateway says "not found".
pub(crate) struct OperationFuture(Option<Arc<Operation>>);

impl Future for OperationFuture {
    type Output = Result<Option<OperationOutput>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let current = current();
        assert!(!current.call.is_null(), "a host operation can be polled only inside the action's own future");
        let Some(operation) = self.0.take() else {
            return Poll::Ready(Err(Error::internal("an operation was polled after its end")));
        };
        let (state, outcome) = operation.poll(current.call);
        match (state, outcome.status) {
            (MENLOU_PENDING, _) => {
                if !is_root(cx.waker()) {
                    // SAFETY: `parked` belongs to the task that is being polled on this thread.
                    unsafe { (*current.parked).park(&operation, cx.waker()) };
                }
                self.0 = Some(operation);
                Poll::Pending
            }
            (MENLOU_READY, MENLOU_READY) => Poll::Ready(Ok(Some(OperationOutput {
                http_status: outcome.http_status as u16,
                data: outcome.data,
                content_type: outcome.content_type,
                _operation: operation,
            }))),
            (MENLOU_READY, MENLOU_ERR_NOT_FOUND) => Poll::Ready(Ok(None)),
            (MENLOU_READY, MENLOU_ERR_CODE) => {
                // SAFETY: borrowed until `op_drop`, at the end of this scope.
                let (word, data) = unsafe { (ffi::text(outcome.error_code).to_owned(), outcome.data.bytes()) };
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

impl Operation {
    /// Polls it, inside a poll of `call`. Once done it stays so, until it is dropped.
    fn poll(&self, call: *mut menlou_call) -> (i32, menlou_outcome) {
        let mut outcome = menlou_outcome {
            struct_size: size_of::<menlou_outcome>() as u32,
            status: MENLOU_ERR_FAILED,
            http_status: 0,
            reserved: 0,
            error_code: menlou_str::NONE,
            data: menlou_str::NONE,
            content_type: menlou_str::NONE,
        };
        // The gateway remembers its own waker, that of the task now polling us: a waker made in the plugin must not get
        // into the gateway.
        // SAFETY: inside `poll` of the call; `op` is ours; `outcome` is written before this returns.
        let state = unsafe { (self.host.op_poll)(call, self.op, &mut outcome) };
        (state, outcome)
    }

    /// Says who waits from now on, and gives who did.
    fn waiting(&self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut *self.waker.lock().unwrap_or_else(PoisonError::into_inner), waker)
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
