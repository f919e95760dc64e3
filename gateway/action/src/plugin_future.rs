//! Runs a plugin call as a Rust future: `start`, `poll` and `drop` of the plugin ABI.

use super::{
    instance::Action,
    plugin_call::PluginCall,
    stream::{PluginBody, PollCall},
};
use ::menlou_call::{Call, Reply};
use menlou_abi::*;
use menlou_error::{Error, Result};
use menlou_policy::Caller;
use std::{
    ffi::c_void,
    future::poll_fn,
    ptr,
    sync::Arc,
    task::{Context, Poll},
};

/// A started call of a plugin. Dropping it drops the plugin's own future.
pub(super) struct PluginFuture {
    /// The plugin's state. It may be NULL.
    state: *mut c_void,
    /// Whether `start` succeeded, so that `state` has to be polled and dropped.
    is_started: bool,
    /// Owned; allocated in `start` and freed in `drop`.
    call: *mut PluginCall,
    /// The error of a failed `start`, until the first poll.
    start_error: Option<Error>,
}

// SAFETY: the ABI requires of a plugin that `start`, `poll` and `drop` of a call work on any thread. They, and the host
// functions that they call, never run at the same time: a `PluginFuture` has one owner, who polls and drops it.
unsafe impl Send for PluginFuture {}

impl PluginFuture {
    /// Starts a call.
    pub fn start(action: Arc<Action>, request: Call, caller: Option<Caller>) -> Self {
        let mut future = Self {
            state: ptr::null_mut(),
            is_started: false,
            call: PluginCall::allocate(action, request, caller),
            start_error: None,
        };
        // SAFETY: allocated above and freed in `drop`. From here on there are shared references only.
        let call = unsafe { &*future.call };
        let (action, state) = (&call.action, &mut future.state);
        let (entry, host, settings) = (action.descriptor().entry, action.plugin().host(), action.settings());
        // SAFETY: the arguments are what the ABI requires. The request and the settings live until `drop`.
        let code = call.enter(|| unsafe { (entry.start)(host, call.handle(), call.view(), settings, state) });
        match code {
            MENLOU_READY => future.is_started = true,
            code => future.start_error = Some(call.failure(code)),
        }
        future
    }

    /// Polls the plugin until it has replied. If it writes a response body, the call goes on while the body is read.
    pub async fn reply(mut self) -> Result<Reply> {
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

    fn call(&self) -> &PluginCall {
        // SAFETY: allocated in `start` and freed in `drop`. There are shared references only.
        unsafe { &*self.call }
    }
}

impl PollCall for PluginFuture {
    fn poll_call(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(error) = self.start_error.take() {
            return Poll::Ready(Err(error));
        }
        let call = self.call();
        if !self.is_started {
            return Poll::Ready(Err(call.failure(MENLOU_ERR_INVALID)));
        }
        call.waker.set(context.waker());
        // SAFETY: `state` is from `start` and not dropped yet. `&mut self` excludes a poll at the same time.
        let code = call.enter(|| unsafe { (call.action.descriptor().entry.poll)(self.state, call.handle()) });
        call.waker.set(ptr::null());
        match code {
            MENLOU_PENDING => Poll::Pending,
            MENLOU_READY => Poll::Ready(Ok(())),
            other => Poll::Ready(Err(call.failure(other))),
        }
    }
}

impl Drop for PluginFuture {
    fn drop(&mut self) {
        let call = self.call();
        if self.is_started {
            // SAFETY: `state` is from `start` and is dropped here only. The call outlives it.
            call.enter(|| unsafe { (call.action.descriptor().entry.drop)(self.state) });
        }
        call.cancel_operations();
        // SAFETY: allocated in `start`. The plugin's state, which could point into it, is gone.
        drop(unsafe { Box::from_raw(self.call) });
    }
}
