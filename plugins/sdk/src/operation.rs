//! An operation of the gateway as a future, and the call that is being polled on this thread.

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

/// The call that is being polled on this thread.
#[derive(Clone, Copy)]
pub(crate) struct CurrentCall {
    pub call: *mut menlou_call,
    pub parked: *const ParkedOperations,
}

thread_local! {
    // Const and without Drop: libc would run a registered destructor at thread exit, in code of this library.
    static CURRENT: Cell<CurrentCall> = const {
        Cell::new(CurrentCall { call: ptr::null_mut(), parked: ptr::null() })
    };
}

/// The call that is being polled on this thread; NULLs if there is none.
pub(crate) fn current() -> CurrentCall {
    CURRENT.get()
}

/// Sets the current call of this thread; dropping it restores the former one.
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

/// Operations that executors inside the plugin (`FuturesUnordered`, …) wait for with wakers of their own.
///
/// The gateway wakes a complete call, not one operation. At the next poll of the call each of these operations is polled,
/// and only the wakers of completed operations are woken. Waking all of them would make executors that yield after each
/// round poll in an endless loop.
#[derive(Default)]
pub(crate) struct ParkedOperations(Cell<Vec<Weak<Operation>>>);

impl ParkedOperations {
    fn park(&self, operation: &Arc<Operation>, waker: &Waker) {
        if operation.replace_waker(Some(waker.clone())).is_none() {
            let mut all = self.0.take();
            all.push(Arc::downgrade(operation));
            self.0.set(all);
        }
    }

    /// Wakes the wakers of completed operations. Call it inside a poll of the call.
    pub fn wake_ready(&self, call: *mut menlou_call) {
        let mut all = self.0.take();
        let mut ready = Vec::new();
        all.retain(|parked| match parked.upgrade() {
            Some(operation) if operation.poll(call).0 == MENLOU_PENDING => true,
            Some(operation) => {
                ready.extend(operation.replace_waker(None));
                false
            }
            None => false,
        });
        self.0.set(all);
        ready.into_iter().for_each(Waker::wake);
    }
}

/// A pending or completed operation. Dropping it cancels a pending one.
pub(crate) struct Operation {
    host: &'static menlou_host,
    op: *mut menlou_op,
    /// The waker to wake on completion, if the operation is parked.
    waker: Mutex<Option<Waker>>,
}

// SAFETY: an operation belongs to one call, whose polls never run at the same time; `op_drop` may run on any thread.
unsafe impl Send for Operation {}
// SAFETY: only `poll` uses a shared reference, and only inside a poll of the call, so on one thread at a time.
unsafe impl Sync for Operation {}

/// The output of a completed operation, borrowed from the gateway until it is dropped.
pub(crate) struct OperationOutput {
    pub http_status: u16,
    data: menlou_str,
    content_type: menlou_str,
    _operation: Arc<Operation>,
}

// SAFETY: the bytes do not change until `op_drop`, which `_operation` calls when this is dropped.
unsafe impl Send for OperationOutput {}
// SAFETY: as above; the bytes are only read.
unsafe impl Sync for OperationOutput {}

impl OperationOutput {
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: borrowed until `op_drop`, which runs when this is dropped.
        unsafe { self.data.bytes() }
    }

    /// The media type, if the output is a file.
    pub fn content_type(&self) -> Option<&str> {
        // SAFETY: as above.
        Some(unsafe { ffi::text(self.content_type) }).filter(|t| !t.is_empty())
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(self.bytes())
            .map_err(|e| Error::internal(format!("unexpected data of an operation: {e}")))
    }
}

/// The output of an operation that always finds something.
pub(crate) fn found(output: Option<OperationOutput>) -> Result<OperationOutput> {
    output.ok_or_else(|| Error::internal("the gateway returned not_found for an operation that always has a result"))
}

/// Starts an operation of the current call.
///
/// # Panics
/// Outside of the action's future, for example on a thread of the plugin: a bug in the plugin, which fails that call.
pub(crate) fn start(
    host: &'static menlou_host,
    begin: impl FnOnce(*mut menlou_call) -> *mut menlou_op,
) -> OperationFuture {
    let current = current();
    assert!(!current.call.is_null(), "operations of the gateway can be started only inside the action's own future");
    let operation = Operation { host, op: begin(current.call), waker: Mutex::default() };
    OperationFuture(Some(Arc::new(operation)))
}

/// Completes with the output of an operation; `None` if the gateway found nothing.
pub(crate) struct OperationFuture(Option<Arc<Operation>>);

impl Future for OperationFuture {
    type Output = Result<Option<OperationOutput>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let current = current();
        assert!(!current.call.is_null(), "operations of the gateway can be polled only inside the action's own future");
        let Some(operation) = self.0.take() else {
            return Poll::Ready(Err(Error::internal("an operation was polled after completion")));
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
                let (code, data) = unsafe { (ffi::text(outcome.error_code).to_owned(), outcome.data.bytes()) };
                let mut error = Error::new(code);
                error.0.data = serde_json::from_slice(data).ok();
                Poll::Ready(Err(error))
            }
            (state, status) => Poll::Ready(Err(Error::internal(format!(
                "the gateway rejected an operation (poll {state}, status {status})"
            )))),
        }
    }
}

impl Operation {
    /// Polls the operation inside a poll of `call`. A completed operation stays completed.
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
        // The gateway registers its own waker of the task that is polling the call. A waker of the plugin never reaches
        // the gateway.
        // SAFETY: inside `poll` of the call; `op` is owned; `outcome` is written before the function returns.
        let state = unsafe { (self.host.op_poll)(call, self.op, &mut outcome) };
        (state, outcome)
    }

    /// Replaces the waker and returns the former one.
    fn replace_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        std::mem::replace(&mut *self.waker.lock().unwrap_or_else(PoisonError::into_inner), waker)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        if !self.op.is_null() {
            // SAFETY: owned, dropped once, callable on any thread.
            unsafe { (self.host.op_drop)(self.op) }
        }
    }
}
