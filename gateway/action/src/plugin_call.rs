//! The gateway's state of one plugin call: what the host functions read and change while the plugin runs.

use super::{
    ffi,
    instance::Action,
    operation::{CallEffect, CallOperations},
    reply,
    request_view::RequestView,
    services::TenantScope,
    stream::ChunkSlot,
    violations::ViolationCounters,
    watchdog,
};
use ::menlou_call::{BodyStream, Call, Reply};
use http::HeaderValue;
use menlou_abi::*;
use menlou_error::{Error, Result, codes};
use menlou_platform::PlatformIdentity;
use menlou_policy::Caller;
use std::{
    cell::{Cell, RefCell},
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
};

/// One call of an action. Host functions get shared references only, because the plugin holds a pointer to `view`.
pub(super) struct PluginCall {
    /// Unique in this process. The plugin's handle of the call is this number, not an address.
    pub number: usize,
    pub action: Arc<Action>,
    pub request: Call,
    pub caller: Option<Caller>,
    /// The waker of the task that polls the call. NULL except while the plugin's `poll` runs.
    pub waker: Cell<*const Waker>,
    pub operations: CallOperations,
    /// Whether the plugin has read a session token, so that its reply may contain one.
    pub has_read_token: Cell<bool>,
    /// The identities for which the call may open a session, and whether each is a test openid.
    identities: RefCell<Vec<(Arc<PlatformIdentity>, bool)>>,
    /// The error of the operation that failed last.
    last_error: Cell<Option<Error>>,
    reply: Cell<Option<Result<Reply>>>,
    /// A response body that the plugin writes: its media type and its chunks.
    streamed: RefCell<Option<(HeaderValue, Arc<ChunkSlot>)>>,
    /// Whether the last host function that set a reply refused it because the call has one.
    is_second_reply_last: Cell<bool>,
    /// Why the plugin's reply is invalid.
    invalid_reply: Cell<Option<&'static str>>,
    view: RequestView,
}

static NEXT_NUMBER: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The call whose plugin runs on this thread, or NULL.
    static CURRENT: Cell<*const PluginCall> = const { Cell::new(ptr::null()) };
}

/// The names of the plugin and the action that run on this thread.
pub(super) fn current_names() -> Option<(&'static str, String)> {
    // SAFETY: NULL, or the call that `enter` was given, which lives until `enter` returns.
    let call = unsafe { CURRENT.try_with(Cell::get).ok()?.as_ref() }?;
    Some((call.action.plugin().name, call.action.descriptor().name.clone()))
}

impl PluginCall {
    /// Allocates a call. The caller owns it and frees it with `Box::from_raw`.
    pub fn allocate(action: Arc<Action>, request: Call, caller: Option<Caller>) -> *mut Self {
        let call = Box::into_raw(Box::new(Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            action,
            request,
            caller,
            waker: Cell::new(ptr::null()),
            operations: CallOperations::default(),
            has_read_token: Cell::new(false),
            identities: RefCell::default(),
            last_error: Cell::new(None),
            reply: Cell::new(None),
            streamed: RefCell::default(),
            is_second_reply_last: Cell::new(false),
            invalid_reply: Cell::new(None),
            view: RequestView::default(),
        }));
        // SAFETY: the allocation is new, so there is no other reference to it. The view points to fields of the same
        // allocation, which neither move nor change until it is freed.
        unsafe {
            let call = &mut *call;
            call.view.point_to(&call.request, call.caller.as_ref(), &call.action.scope.tenant);
        }
        call
    }

    /// The call of a handle, if the plugin of that call runs on this thread now. A handle that a plugin keeps beyond the
    /// end of its call, or uses on a thread of its own, is therefore not valid, and is never dereferenced.
    ///
    /// # Safety
    /// The reference must not be used after the host function returns that got the handle.
    pub unsafe fn from_handle<'a>(handle: *const menlou_call) -> Option<&'a Self> {
        // SAFETY: NULL, or the call that `enter` was given, which lives until `enter` returns.
        unsafe { CURRENT.get().as_ref() }.filter(|call| call.number == handle.addr())
    }

    /// Whether this thread runs a function of a plugin.
    pub fn is_inside_plugin() -> bool {
        !CURRENT.get().is_null()
    }

    /// The plugin's handle of this call.
    pub fn handle(&self) -> *mut menlou_call {
        ptr::without_provenance_mut(self.number)
    }

    /// The request in the layout of the ABI.
    pub fn view(&self) -> *const menlou_request {
        self.view.as_ptr()
    }

    /// Runs a function of the plugin for this call, under the watchdog.
    pub fn enter<T>(&self, function: impl FnOnce() -> T) -> T {
        let outer = CURRENT.replace(self);
        // An unwinding plugin function would abort the process at the `extern "C"` boundary, so no guard is needed.
        let (result, ms) = watchdog::run(self.violations(), function);
        CURRENT.set(outer);
        if ms >= watchdog::BLOCKED_MS {
            self.violations().record_blocked(self.tenant(), &self.request.id, ms);
        }
        result
    }

    /// The name of the tenant.
    pub fn tenant(&self) -> &str {
        &self.action.scope.tenant
    }

    /// The tenant's services.
    pub fn scope(&self) -> TenantScope {
        self.action.scope.clone()
    }

    fn violations(&self) -> &'static ViolationCounters {
        self.action.descriptor().violations
    }

    /// Applies what the end of an operation changes.
    pub fn apply(&self, effect: CallEffect) {
        match effect {
            CallEffect::Identified { person, test } => self.identities.borrow_mut().push((person, test)),
            CallEffect::Forwarded(response) => self.set_forwarded(response),
            CallEffect::Failed(error) => self.last_error.set(Some(error)),
        }
    }

    /// The identity with this openid, if the call obtained it, and whether it is a test openid.
    pub fn identity(&self, openid: &str) -> Option<(Arc<PlatformIdentity>, bool)> {
        self.identities.borrow().iter().find(|(p, _)| p.openid == openid).cloned()
    }

    /// Cancels the operations that the plugin has not dropped.
    pub fn cancel_operations(&self) {
        let leaked = self.operations.cancel_all();
        if leaked > 0 {
            self.violations().record_leaked_operations(self.tenant(), &self.request.id, leaked);
        }
    }

    /// Whether the call has a reply, or a response body that is being written.
    fn has_reply(&self) -> bool {
        let reply = self.reply.take();
        let is_set = reply.is_some();
        self.reply.set(reply);
        is_set || self.is_streaming()
    }

    /// Makes an upstream's response the call's reply, unless the call has one.
    fn set_forwarded(&self, response: http::Response<BodyStream>) {
        if !self.has_reply() {
            self.reply.set(Some(Ok(Reply::Forwarded(response))));
        }
    }

    /// Begins a response body that the plugin writes. Returns false if the media type is invalid or the call has a reply.
    pub fn begin_body(&self, content_type: &str) -> bool {
        match ffi::media_type(content_type) {
            Some(content_type) if !self.has_reply() => {
                *self.streamed.borrow_mut() = Some((content_type, Arc::default()));
                true
            }
            _ => false,
        }
    }

    /// Whether the plugin has begun a response body.
    pub fn is_streaming(&self) -> bool {
        self.streamed.borrow().is_some()
    }

    /// The media type and the chunks of the response body, if the plugin has begun one.
    pub fn streamed(&self) -> Option<(HeaderValue, Arc<ChunkSlot>)> {
        self.streamed.borrow().clone()
    }

    /// Stores the plugin's reply. Returns false if it is invalid, or not the first.
    ///
    /// # Safety
    /// `reply` and its texts are readable during this function.
    pub unsafe fn set_reply(&self, reply: &menlou_reply) -> bool {
        if self.has_reply() {
            self.violations().record_duplicate_reply(self.tenant(), &self.request.id);
            // A reply while the call writes a response body ends that body early: its error counts.
            self.is_second_reply_last.set(self.streamed.borrow().is_none());
            return false;
        }
        // SAFETY: promised by the caller.
        match unsafe { reply::read(reply, self.has_read_token.get(), &self.last_error) } {
            Ok(reply) => self.reply.set(Some(reply)),
            Err(reason) => {
                self.invalid_reply.set(Some(reason));
                return false;
            }
        }
        true
    }

    /// Whether the plugin's last reply was refused because the call has one already. A plugin that returns the result of
    /// `reply` then returns an error, although the call has succeeded.
    pub fn is_second_reply_last(&self) -> bool {
        self.is_second_reply_last.get()
    }

    /// Takes the plugin's reply.
    pub fn take_reply(&self) -> Option<Result<Reply>> {
        self.reply.take()
    }

    /// The error of a call whose plugin returned `code` without a valid reply. Its cause is for the log.
    pub fn failure(&self, code: i32) -> Error {
        let cause = match (code, self.invalid_reply.get()) {
            (MENLOU_READY, None) => "the plugin finished without a reply".to_owned(),
            (MENLOU_READY, Some(reason)) => format!("the plugin finished without a valid reply: {reason}"),
            (MENLOU_ERR_PANIC, _) => "the plugin panicked".to_owned(),
            (other, None) => format!("the plugin returned error {other}"),
            (other, Some(reason)) => format!("the plugin returned error {other}: {reason}"),
        };
        Error::new(&codes::PLUGIN_FAILED).with_cause(cause)
    }
}
