//! Runs a plugin call as a Rust future: `start`, `poll` and `drop` of the plugin ABI.

use super::{
    instance::Action,
    plugin_call::PluginCall,
    stream::{PluginBody, PollCall},
    worker_limit::WorkerPermit,
};
use ::menlou_call::{Call, Reply};
use menlou_abi::*;
use menlou_error::{Error, Result, codes};
use menlou_policy::Caller;
use std::{
    ffi::c_void,
    future::{Future, poll_fn},
    pin::Pin,
    ptr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, time::timeout};

/// Maximum time that a new call waits while the plugin occupies all workers that it may. A plugin that is merely slow frees
/// one within this time.
const MAX_START_WAIT: Duration = Duration::from_secs(1);

/// A call of a plugin. Dropping it drops the plugin's own future.
pub(super) struct PluginFuture {
    /// `None` only while it is dropped.
    call: Option<StartedCall>,
    /// Waits until the plugin occupies fewer workers than it may.
    turn: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The call and the plugin's state of it.
struct StartedCall {
    /// The plugin's state. It may be NULL.
    state: *mut c_void,
    /// Whether `start` succeeded, so that `state` has to be polled and dropped.
    is_started: bool,
    /// Owned; allocated in `new` and freed in `drop`.
    call: *mut PluginCall,
}

// SAFETY: the ABI requires of a plugin that `start`, `poll` and `drop` of a call work on any thread. They, and the host
// functions that they call, never run at the same time: a `StartedCall` has one owner, who polls and drops it.
unsafe impl Send for StartedCall {}

impl StartedCall {
    fn new(action: Arc<Action>, request: Call, caller: Option<Caller>) -> Self {
        Self { state: ptr::null_mut(), is_started: false, call: PluginCall::allocate(action, request, caller) }
    }

    fn call(&self) -> &PluginCall {
        // SAFETY: allocated in `new` and freed in `drop`. There are shared references only.
        unsafe { &*self.call }
    }

    fn start(&mut self, _permit: &WorkerPermit<'_>) -> Result<()> {
        // SAFETY: as in `call`, which would borrow `state` too.
        let call = unsafe { &*self.call };
        let (action, state) = (&call.action, &mut self.state);
        let (entry, host, settings) = (action.descriptor().entry, action.plugin().host(), action.settings());
        // SAFETY: the arguments are what the ABI requires. The request and the settings live until `drop`.
        let code = call.enter(|| unsafe { (entry.start)(host, call.handle(), call.view(), settings, state) });
        self.is_started = code == MENLOU_READY;
        if self.is_started { Ok(()) } else { Err(call.failure(code)) }
    }

    fn poll(&mut self, context: &mut Context<'_>, _permit: &WorkerPermit<'_>) -> Poll<Result<()>> {
        let call = self.call();
        call.waker.set(context.waker());
        // SAFETY: `state` is from `start` and not dropped yet. `&mut self` excludes a poll at the same time.
        let code = call.enter(|| unsafe { (call.action.descriptor().entry.poll)(self.state, call.handle()) });
        call.waker.set(ptr::null());
        match code {
            MENLOU_PENDING => Poll::Pending,
            MENLOU_READY => Poll::Ready(Ok(())),
            // The plugin returned the result of a second `reply`. The first one counts.
            MENLOU_ERR_INVALID if call.is_second_reply_last() => Poll::Ready(Ok(())),
            other => Poll::Ready(Err(call.failure(other))),
        }
    }
}

impl Drop for StartedCall {
    fn drop(&mut self) {
        let call = self.call();
        if self.is_started {
            // SAFETY: `state` is from `start` and is dropped here only. The call outlives it.
            call.enter(|| unsafe { (call.action.descriptor().entry.drop)(self.state) });
        }
        call.cancel_operations();
        // SAFETY: allocated in `new`. The plugin's state, which could point into it, is gone.
        drop(unsafe { Box::from_raw(self.call) });
    }
}

impl PluginFuture {
    /// A call that has not started.
    pub fn new(action: Arc<Action>, request: Call, caller: Option<Caller>) -> Self {
        Self { call: Some(StartedCall::new(action, request, caller)), turn: None }
    }

    /// Starts the call and polls the plugin until it has replied. If it writes a response body, the call goes on while the
    /// body is read.
    pub async fn reply(mut self) -> Result<Reply> {
        self.start().await?;
        let first = poll_fn(|cx| match self.poll_call(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if self.call().is_streaming() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let is_running = match first.await {
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => false,
            None => true,
        };
        match self.call().streamed() {
            Some((content_type, slot)) => {
                let write_timeout = self.call().request.stream_idle_timeout;
                let pieces = PluginBody::boxed(is_running.then_some(self), slot, write_timeout);
                Ok(Reply::Streamed { content_type, pieces })
            }
            None => self.call().take_reply().unwrap_or_else(|| Err(self.call().failure(MENLOU_READY))),
        }
    }

    async fn start(&mut self) -> Result<()> {
        let action = self.call().action.clone();
        let workers = &action.plugin().workers;
        let permit = match workers.try_enter() {
            Some(permit) => permit,
            None => timeout(MAX_START_WAIT, workers.enter()).await.map_err(|_| {
                let cause = "functions of the plugin do not return and occupy all worker threads that it may have";
                Error::new(&codes::OVERLOADED).with_cause(cause)
            })?,
        };
        self.started().start(&permit)
    }

    fn started(&mut self) -> &mut StartedCall {
        self.call.as_mut().unwrap_or_else(|| unreachable!("only `drop` takes the call"))
    }

    fn call(&self) -> &PluginCall {
        self.call.as_ref().unwrap_or_else(|| unreachable!("only `drop` takes the call")).call()
    }

    /// A task that ends when the plugin may run on one more worker.
    fn turn(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let action = self.call().action.clone();
        Box::pin(async move { drop(action.plugin().workers.enter().await) })
    }
}

impl PollCall for PluginFuture {
    fn poll_call(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        let action = self.call().action.clone();
        loop {
            if let Some(turn) = &mut self.turn {
                std::task::ready!(turn.as_mut().poll(context));
                self.turn = None;
            }
            // Another call may have entered since the turn came.
            match action.plugin().workers.try_enter() {
                Some(permit) => return self.started().poll(context, &permit),
                None => self.turn = Some(self.turn()),
            }
        }
    }
}

impl Drop for PluginFuture {
    fn drop(&mut self) {
        let Some(call) = self.call.take() else { return };
        let action = call.call().action.clone();
        if !call.is_started || PluginCall::is_inside_plugin() {
            return;
        }
        if let Some(_permit) = action.plugin().workers.try_enter() {
            return drop(call);
        }
        // The plugin's `drop` may not return either, so it must not take this worker.
        call.call().operations.cancel_futures();
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                let _permit = action.plugin().workers.enter().await;
                drop(call);
            })),
            Err(_) => drop(call),
        }
    }
}
