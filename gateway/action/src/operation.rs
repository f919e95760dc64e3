//! One operation that a plugin asked of the gateway: a future, and what it came to.
//!
//! Plugins know operations by number, never by address, so one that is given back twice, or polled later, is found missing.
//! The work of an operation ends with its call at the latest, so one that is never given back holds no connection.

use super::plugin_call::PluginCall;
use ::menlou_call::Pieces;
use bytes::Bytes;
use menlou_abi::*;
use menlou_error::Result;
use menlou_platform::Person;
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

/// What an operation gives.
pub(super) enum OpOutput {
    /// It happened.
    Nothing,
    /// There is no such thing.
    NotFound,
    /// JSON for the plugin.
    Json(serde_json::Value),
    /// A person, whom the call may open a session for from now on.
    Person { person: Arc<Person>, test: bool },
    /// Another server's answer.
    Http { status: u16, body: Bytes },
    /// A piece of the request's body.
    Piece(Bytes),
    /// An upstream's answer, which is the call's from now on.
    Forwarded(http::Response<Pieces>),
    /// A file that the platform gave.
    File { content_type: String, body: Bytes },
}

/// The work of an operation.
pub(super) type OpFuture = Pin<Box<dyn Future<Output = Result<OpOutput>> + Send>>;

/// An operation, which is the plugin's until `op_drop`.
struct Operation {
    /// The call that asked for it. No other may poll it: what it gives, a person, say, is that call's.
    call: usize,
    runtime: Handle,
    /// `None` once it is done, or given up.
    work: Option<OpFuture>,
    status: i32,
    http_status: u16,
    word: String,
    data: Bytes,
    content_type: String,
}

/// No call has more operations that were not given back.
const MOST: usize = 10_000;
/// Calls on different threads seldom meet at one of so many locks.
const SHARDS: usize = 64;

static NUMBER: AtomicUsize = AtomicUsize::new(1);
static HANDED_OUT: [Mutex<BTreeMap<usize, Arc<Mutex<Operation>>>>; SHARDS] =
    [const { Mutex::new(BTreeMap::new()) }; SHARDS];

/// The operations that a call asked for, some of them given back since.
#[derive(Default)]
pub(super) struct CallOperations(RefCell<Vec<usize>>);

impl CallOperations {
    /// Makes one the plugin's; `None` where it has too many. Inside the runtime only.
    pub fn register(&self, call: usize, work: OpFuture) -> Option<*mut menlou_op> {
        let mut asked = self.0.borrow_mut();
        if asked.len() == asked.capacity() || asked.len() == MOST {
            // Seldom enough to cost little, often enough for what was given back not to pile up.
            asked.retain(|number| shard(*number).contains_key(number));
            let len = asked.len();
            asked.reserve(len.max(4));
        }
        if asked.len() == MOST {
            return None;
        }
        let operation = Operation {
            call,
            runtime: Handle::current(),
            work: Some(work),
            status: MENLOU_ERR_FAILED,
            http_status: 0,
            word: String::new(),
            data: Bytes::new(),
            content_type: String::new(),
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        shard(number).insert(number, Arc::new(Mutex::new(operation)));
        asked.push(number);
        Some(ptr::without_provenance_mut(number))
    }

    /// Gives up what the call has not given back, and says how many that were. What is done may still be read.
    pub fn cancel_all(&self) -> usize {
        let asked = self.0.take();
        // So it is with most calls.
        if asked.is_empty() {
            return 0;
        }
        let left = asked.into_iter().filter_map(find);
        left.map(|operation| lock(&operation).cancel_all()).count()
    }
}

/// Goes on with an operation, waking the call's own task where it must wait.
pub(super) fn poll(
    op: *mut menlou_op,
    flight: &PluginCall,
    context: &mut Context<'_>,
    outcome: &mut menlou_outcome,
) -> i32 {
    match find(op.addr()) {
        Some(operation) => lock(&operation).poll(flight, context, outcome),
        None => MENLOU_ERR_INVALID,
    }
}

/// Takes an operation back. On any thread, also of a plugin's own.
pub(super) fn release(op: *mut menlou_op) {
    let taken = shard(op.addr()).remove(&op.addr());
    drop(taken);
}

fn find(number: usize) -> Option<Arc<Mutex<Operation>>> {
    shard(number).get(&number).cloned()
}

fn shard(number: usize) -> MutexGuard<'static, BTreeMap<usize, Arc<Mutex<Operation>>>> {
    lock(&HANDED_OUT[number % SHARDS])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Operation {
    fn poll(&mut self, flight: &PluginCall, context: &mut Context<'_>, outcome: &mut menlou_outcome) -> i32 {
        if self.call != flight.number {
            return MENLOU_ERR_INVALID;
        }
        if let Some(mut work) = self.work.take() {
            match work.as_mut().poll(context) {
                Poll::Pending => {
                    self.work = Some(work);
                    return MENLOU_PENDING;
                }
                Poll::Ready(result) => self.finish(flight, result),
            }
        }
        outcome.status = self.status;
        outcome.http_status = self.http_status.into();
        outcome.word = menlou_str::new(self.word.as_bytes());
        outcome.data = menlou_str::new(&self.data);
        outcome.content_type = menlou_str::new(self.content_type.as_bytes());
        MENLOU_READY
    }

    fn cancel_all(&mut self) {
        // A plugin may drop it on a thread of its own, but a connection that is given back needs the runtime.
        let _inside = self.runtime.enter();
        self.work = None;
    }

    fn finish(&mut self, flight: &PluginCall, result: Result<OpOutput>) {
        self.status = MENLOU_READY;
        match result {
            Ok(OpOutput::Nothing) => {}
            Ok(OpOutput::NotFound) => self.status = MENLOU_ERR_NOT_FOUND,
            Ok(OpOutput::Json(value)) => self.data = value.to_string().into(),
            Ok(OpOutput::Person { person, test }) => {
                let mut told = serde_json::json!({ "openid": person.openid });
                if let Some(unionid) = &person.unionid {
                    told["unionid"] = unionid.as_str().into();
                }
                self.data = told.to_string().into();
                flight.got(person, test);
            }
            Ok(OpOutput::Http { status, body }) => (self.http_status, self.data) = (status, body),
            Ok(OpOutput::Piece(piece)) => self.data = piece,
            Ok(OpOutput::Forwarded(answer)) => {
                self.http_status = answer.status().as_u16();
                flight.forwarded(answer);
            }
            Ok(OpOutput::File { content_type, body }) => (self.content_type, self.data) = (content_type, body),
            Err(error) => {
                self.status = MENLOU_ERR_WORD;
                self.word = error.code().to_owned();
                self.data = error.data().map(|d| d.to_string().into()).unwrap_or_default();
                flight.failed(error);
            }
        }
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.cancel_all();
    }
}
