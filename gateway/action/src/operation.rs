//! Operations: host functions that take time. Each is a future of the gateway that the plugin polls.
//!
//! Plugins know operations by number, never by address. An operation that is polled after its end or dropped twice is not
//! found. The future of an operation is dropped at the end of its call at the latest, so a plugin that never drops an
//! operation holds no connection.

use ::menlou_call::BodyStream;
use bytes::Bytes;
use menlou_abi::*;
use menlou_error::{Error, Result};
use menlou_platform::PlatformIdentity;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};
use tokio::runtime::Handle;

/// The result of an operation.
pub(super) enum OpOutput {
    /// The operation succeeded and has no data.
    Nothing,
    /// The requested thing does not exist.
    NotFound,
    /// JSON for the plugin.
    Json(serde_json::Value),
    /// An identity. The call may open a session for it from now on.
    Identity { person: Arc<PlatformIdentity>, test: bool },
    /// The response of another server.
    Http { status: u16, body: Bytes },
    /// A chunk of the request body.
    Piece(Bytes),
    /// The response of an upstream, which becomes the call's reply.
    Forwarded(http::Response<BodyStream>),
    /// A file from the platform.
    File { content_type: String, body: Bytes },
}

/// The future of an operation.
pub(super) type OpFuture = Pin<Box<dyn Future<Output = Result<OpOutput>> + Send>>;

/// The state of an operation after one poll.
pub(super) enum OpPoll {
    /// The number is unknown, or belongs to an operation of another call.
    Invalid,
    /// Not finished. The waker of the context is woken when a further poll makes sense.
    Pending,
    /// Finished: the outcome is filled in. The caller applies the effect to the call, if there is one.
    Ready(Option<CallEffect>),
}

/// What the end of an operation changes in its call.
pub(super) enum CallEffect {
    /// The call may open a session for this identity.
    Identified { person: Arc<PlatformIdentity>, test: bool },
    /// The response is the call's reply.
    Forwarded(http::Response<BodyStream>),
    /// The operation failed.
    Failed(Error),
}

/// An operation between its start and `op_drop`.
struct Operation {
    /// The call that started it. No other call may poll it, because its result is the call's, for example an identity.
    call: usize,
    runtime: Handle,
    /// `None` when it is finished or cancelled.
    future: Option<OpFuture>,
    status: i32,
    http_status: u16,
    error_code: String,
    data: Bytes,
    content_type: String,
}

/// Maximum number of operations of one call that are not dropped yet.
const MAX_OPERATIONS: usize = 10_000;
/// Number of locks, so that calls on different threads rarely wait for each other.
const SHARDS: usize = 64;

static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);
static OPERATIONS: [Mutex<BTreeMap<usize, Arc<Mutex<Operation>>>>; SHARDS] =
    [const { Mutex::new(BTreeMap::new()) }; SHARDS];

/// The numbers of the operations that a call started. Some of them may be dropped already.
#[derive(Default)]
pub(super) struct CallOperations(RefCell<Vec<usize>>);

impl CallOperations {
    /// Adds an operation and returns its handle, or `None` if the call has too many. Must run inside the Tokio runtime.
    pub fn register(&self, call: usize, future: OpFuture) -> Option<*mut menlou_op> {
        let mut numbers = self.0.borrow_mut();
        if numbers.len() == numbers.capacity() || numbers.len() == MAX_OPERATIONS {
            // Forget dropped operations. The capacity doubles, so this costs constant time per operation.
            numbers.retain(|number| shard(*number).contains_key(number));
            let len = numbers.len();
            numbers.reserve(len.max(4));
        }
        if numbers.len() == MAX_OPERATIONS {
            return None;
        }
        let operation = Operation {
            call,
            runtime: Handle::current(),
            future: Some(future),
            status: MENLOU_ERR_FAILED,
            http_status: 0,
            error_code: String::new(),
            data: Bytes::new(),
            content_type: String::new(),
        };
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        shard(number).insert(number, Arc::new(Mutex::new(operation)));
        numbers.push(number);
        Some(ptr::without_provenance_mut(number))
    }

    /// Cancels the operations, which the plugin may still drop.
    pub fn cancel_futures(&self) {
        self.0.borrow().iter().filter_map(|number| find(*number)).for_each(|operation| lock(&operation).cancel());
    }

    /// Cancels the operations that the plugin has not dropped and returns their number. Results that were already read
    /// stay valid until `op_drop`.
    pub fn cancel_all(&self) -> usize {
        let numbers = self.0.take();
        // Most calls start no operation, or drop them all.
        if numbers.is_empty() {
            return 0;
        }
        let leaked = numbers.into_iter().filter_map(find);
        leaked.map(|operation| lock(&operation).cancel()).count()
    }
}

/// Polls an operation for a call. When it is pending, the context's waker is the one that is woken.
pub(super) fn poll(op: *mut menlou_op, call: usize, context: &mut Context<'_>, outcome: &mut menlou_outcome) -> OpPoll {
    match find(op.addr()) {
        Some(operation) => lock(&operation).poll(call, context, outcome),
        None => OpPoll::Invalid,
    }
}

/// Drops an operation. Works on any thread, also on one of the plugin's own.
pub(super) fn release(op: *mut menlou_op) {
    let removed = shard(op.addr()).remove(&op.addr());
    drop(removed);
}

fn find(number: usize) -> Option<Arc<Mutex<Operation>>> {
    shard(number).get(&number).cloned()
}

fn shard(number: usize) -> MutexGuard<'static, BTreeMap<usize, Arc<Mutex<Operation>>>> {
    lock(&OPERATIONS[number % SHARDS])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Operation {
    fn poll(&mut self, call: usize, context: &mut Context<'_>, outcome: &mut menlou_outcome) -> OpPoll {
        if self.call != call {
            return OpPoll::Invalid;
        }
        let mut effect = None;
        if let Some(mut future) = self.future.take() {
            match future.as_mut().poll(context) {
                Poll::Pending => {
                    self.future = Some(future);
                    return OpPoll::Pending;
                }
                Poll::Ready(result) => effect = self.finish(result),
            }
        }
        outcome.status = self.status;
        outcome.http_status = self.http_status.into();
        outcome.error_code = menlou_str::new(self.error_code.as_bytes());
        outcome.data = menlou_str::new(&self.data);
        outcome.content_type = menlou_str::new(self.content_type.as_bytes());
        OpPoll::Ready(effect)
    }

    fn cancel(&mut self) {
        // A plugin may drop an operation on a thread of its own, but returning a connection to its pool needs the runtime.
        let _runtime = self.runtime.enter();
        self.future = None;
    }

    fn finish(&mut self, result: Result<OpOutput>) -> Option<CallEffect> {
        self.status = MENLOU_READY;
        match result {
            Ok(OpOutput::Nothing) => {}
            Ok(OpOutput::NotFound) => self.status = MENLOU_ERR_NOT_FOUND,
            Ok(OpOutput::Json(value)) => self.data = value.to_string().into(),
            Ok(OpOutput::Identity { person, test }) => {
                let mut identity = serde_json::json!({ "openid": person.openid });
                if let Some(unionid) = &person.unionid {
                    identity["unionid"] = unionid.as_str().into();
                }
                self.data = identity.to_string().into();
                return Some(CallEffect::Identified { person, test });
            }
            Ok(OpOutput::Http { status, body }) => (self.http_status, self.data) = (status, body),
            Ok(OpOutput::Piece(piece)) => self.data = piece,
            Ok(OpOutput::Forwarded(response)) => {
                self.http_status = response.status().as_u16();
                return Some(CallEffect::Forwarded(response));
            }
            Ok(OpOutput::File { content_type, body }) => (self.content_type, self.data) = (content_type, body),
            Err(error) => {
                self.status = MENLOU_ERR_CODE;
                self.error_code = error.code().to_owned();
                self.data = error.data().map(|d| d.to_string().into()).unwrap_or_default();
                return Some(CallEffect::Failed(error));
            }
        }
        None
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.cancel();
    }
}
