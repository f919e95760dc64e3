//! One call in flight: the plugin's future as one of ours.

use super::{
    ffi,
    instance::Action,
    operation::CallOperations,
    services::TenantScope,
    stream::{Slot, Writing},
    watchdog::{self, ViolationCounters},
};
use ::menlou_call::{Call, Pieces, Reply};
use bytes::Bytes;
use http::HeaderValue;
use menlou_abi::*;
use menlou_error::{Error, Result, codes};
use menlou_platform::Person;
use menlou_policy::Caller;
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    ffi::c_void,
    future::poll_fn,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// What the host's functions know of a call. They only ever share it: the plugin holds a reference to `request`.
pub(super) struct PluginCall {
    /// No other call of this process has it; the plugin knows the call by it, and so by no address.
    pub number: usize,
    pub action: Arc<Action>,
    pub call: Call,
    pub caller: Option<Caller>,
    /// The waker of the task that polls the call; NULL outside of `start` and `poll`.
    pub waker: Cell<*const Waker>,
    /// What the plugin asked for.
    pub asked: CallOperations,
    people: RefCell<Vec<(Arc<Person>, bool)>>,
    error: Cell<Option<Error>>,
    reply: Cell<Option<Result<Reply>>>,
    /// An answer being written: its media type, and where its pieces go.
    writing: RefCell<Option<(HeaderValue, Arc<Slot>)>>,
    /// Why what the plugin gave is no answer.
    unfit: Cell<Option<&'static str>>,
    /// Whether the plugin was told a session's token.
    pub told_token: Cell<bool>,
    request: menlou_request,
    // What `request` points into, besides `call` and `caller`.
    _params: Vec<menlou_param>,
    _texts: Vec<String>,
}

static NUMBER: AtomicUsize = AtomicUsize::new(1);

thread_local! {
    /// The call whose plugin this thread is inside of, or NULL.
    static INSIDE: Cell<*const PluginCall> = const { Cell::new(ptr::null()) };
}

/// Runs a plugin's call. Dropping it drops the plugin's future.
pub(super) struct PluginFuture {
    state: *mut c_void,
    /// Whether `state`, which may be NULL, is to be polled and dropped.
    began: bool,
    flight: *mut PluginCall,
    refused: Option<Error>,
}

// SAFETY: the border promises that start, poll and drop of one call, and the host's functions that they call, never run
// at the same time, on whichever thread; `PluginFuture` is polled and dropped by one owner.
unsafe impl Send for PluginFuture {}

impl PluginCall {
    /// The tenant's services.
    pub fn scope(&self) -> TenantScope {
        self.action.scope.clone()
    }

    /// The call that a plugin means, if this thread is inside of it: what a plugin keeps beyond the end of its call, or
    /// takes to a thread of its own, is of no use, and never looked into.
    ///
    /// # Safety
    /// Used only until the function of the border that asked returns.
    pub unsafe fn of<'a>(call: *const menlou_call) -> Option<&'a Self> {
        // SAFETY: NULL, or the flight that `inside` below was given, which lives until that returns.
        unsafe { INSIDE.get().as_ref() }.filter(|flight| flight.number == call.addr())
    }

    /// What the plugin knows it by.
    fn handle(&self) -> *mut menlou_call {
        ptr::without_provenance_mut(self.number)
    }

    /// Runs a function of the plugin's for this call, and sees how long it keeps the thread.
    fn inside<T>(&self, function: impl FnOnce() -> T) -> T {
        let before = INSIDE.replace(self);
        // It does not unwind: the process would abort.
        let (result, kept) = self.conduct().watch(function);
        INSIDE.set(before);
        if kept >= watchdog::TOO_LONG_MS {
            self.conduct().blocked(self, kept);
        }
        result
    }

    fn conduct(&self) -> &'static ViolationCounters {
        self.action.descriptor().violations
    }

    /// Remembers a person whom this call may open a session for.
    pub fn got(&self, person: Arc<Person>, test: bool) {
        self.people.borrow_mut().push((person, test));
    }

    /// The person of this openid, if this call got it, and whether by a test openid.
    pub fn person(&self, openid: &str) -> Option<(Arc<Person>, bool)> {
        self.people.borrow().iter().find(|(p, _)| p.openid == openid).cloned()
    }

    /// Remembers why an operation failed: where the plugin passes the word on, text, cause and `Retry-After` go with it.
    pub fn failed(&self, error: Error) {
        self.error.set(Some(error));
    }

    /// Whether the call has its answer, or one is being written.
    fn is_answered(&self) -> bool {
        let reply = self.reply.take();
        let answered = reply.is_some();
        self.reply.set(reply);
        answered || self.writing.borrow().is_some()
    }

    /// Takes an upstream's answer as the call's own, unless it has one.
    pub fn forwarded(&self, answer: http::Response<Pieces>) {
        if !self.is_answered() {
            self.reply.set(Some(Ok(Reply::Forwarded(answer))));
        }
    }

    /// Begins an answer that is written piece by piece; false for a bad media type, or a second answer.
    pub fn begin_writing(&self, content_type: &str) -> bool {
        let content_type = HeaderValue::from_str(content_type).ok().filter(|_| ffi::is_media_type(content_type));
        match content_type {
            Some(content_type) if !self.is_answered() => {
                *self.writing.borrow_mut() = Some((content_type, Arc::default()));
                true
            }
            _ => false,
        }
    }

    /// Where the pieces of an answer being written go.
    pub fn slot(&self) -> Option<Arc<Slot>> {
        self.writing.borrow().as_ref().map(|(_, slot)| slot.clone())
    }

    /// Takes the plugin's answer; false for one that is no answer, or a second one.
    ///
    /// # Safety
    /// `reply` and its texts can be read now.
    pub unsafe fn answer(&self, reply: &menlou_reply) -> bool {
        if self.is_answered() {
            self.conduct().duplicate_replies(self);
            return false;
        }
        // SAFETY: the caller's promise.
        match unsafe { self.read_answer(reply) } {
            Ok(answer) => self.reply.set(Some(answer)),
            Err(why) => {
                self.unfit.set(Some(why));
                return false;
            }
        }
        true
    }

    /// Why the plugin failed, for the log.
    fn failed_by(&self, code: i32) -> Error {
        let unfit = self.unfit.get().map_or(String::new(), |why| format!(": {why}"));
        let cause = match code {
            MENLOU_READY if unfit.is_empty() => "the plugin ended without an answer".to_owned(),
            MENLOU_READY => format!("the plugin ended without a valid answer{unfit}"),
            MENLOU_ERR_PANIC => "the plugin panicked".to_owned(),
            other => format!("the plugin gave up with code {other}{unfit}"),
        };
        Error::new(&codes::PLUGIN_FAILED).with_cause(cause)
    }

    /// # Safety
    /// As `answer`.
    unsafe fn read_answer(&self, reply: &menlou_reply) -> std::result::Result<Result<Reply>, &'static str> {
        let longest = reply.data.len.max(reply.body.len);
        if (reply.struct_size as usize) < size_of::<menlou_reply>() {
            return Err("its struct_size is too small");
        }
        if longest > ffi::LONGEST {
            return Err("it is larger than 16 MiB");
        }
        // SAFETY: the caller's promise.
        match unsafe { ffi::text(reply.content_type) }.ok_or("its media type is no UTF-8 text")? {
            "" if reply.body.len == 0 => {}
            "" => return Err("a file has a media type, such as image/jpeg"),
            content_type => {
                if reply.word.len > 0 || reply.data.len > 0 {
                    return Err("a file has neither word nor data");
                }
                let content_type =
                    HeaderValue::from_str(content_type).ok().filter(|_| ffi::is_media_type(content_type));
                let content_type = content_type.ok_or("a file has a media type, such as image/jpeg")?;
                // SAFETY: the caller's promise.
                let body = Bytes::copy_from_slice(unsafe { reply.body.bytes() });
                return Ok(Ok(Reply::File { content_type, body }));
            }
        }
        // SAFETY: the caller's promise.
        let data = match unsafe { reply.data.bytes() } {
            [] => b"{}",
            bytes => bytes,
        };
        if !ffi::is_json_object(data) {
            return Err("its data is no JSON object in UTF-8");
        }
        // SAFETY: the caller's promise.
        let word = unsafe { ffi::text(reply.word) }.ok_or("its word is no UTF-8 text")?;
        if word.is_empty() {
            let reply = if self.told_token.get() { Reply::Secret } else { Reply::Data };
            return Ok(Ok(reply(data.to_vec().into())));
        }
        if word.len() > 64 || !word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            return Err("its word is not 1 to 64 of a-z, 0-9 and _");
        }
        // SAFETY: the caller's promise.
        let (zh, en) = unsafe { (ffi::text(reply.msg_zh), ffi::text(reply.msg_en)) };
        let (zh, en) = zh.zip(en).ok_or("its message is no UTF-8 text")?;
        let said = match (zh, en) {
            ("", "") => None,
            (zh, "") => Some(menlou_error::text::Text::new(zh.to_owned(), zh.to_owned())),
            ("", en) => Some(menlou_error::text::Text::new(en.to_owned(), en.to_owned())),
            (zh, en) => Some(menlou_error::text::Text::new(zh.to_owned(), en.to_owned())),
        };
        let mut error = match (self.error.take().filter(|e| e.code() == word), codes::find(word)) {
            (Some(ours), _) => ours,
            (None, Some(known)) => Error::new(known),
            (None, None) => Error::plugin(word.to_owned(), codes::PLUGIN_FAILED.text.clone()),
        };
        if let Some(said) = said {
            error = error.with_message(said);
        }
        match serde_json::from_slice(data) {
            Ok(Value::Object(data)) if !data.is_empty() => error = error.with_data(Value::Object(data)),
            _ => {}
        }
        Ok(Err(error))
    }
}

impl PluginFuture {
    /// Begins a call.
    pub fn start(action: Arc<Action>, call: Call, caller: Option<Caller>) -> Self {
        let mut texts = Vec::new();
        let params: Vec<menlou_param> = call
            .params
            .as_map()
            .iter()
            .map(|(name, value)| {
                let (value, kind) = match value {
                    Value::String(text) => (str(text), MENLOU_PARAM_TEXT),
                    other => {
                        texts.push(other.to_string());
                        // The text's bytes stay where they are when `texts` grows.
                        (texts.last().map_or(menlou_str::NONE, |t| str(t)), MENLOU_PARAM_JSON)
                    }
                };
                menlou_param { name: str(name), value, kind, reserved: 0 }
            })
            .collect();
        let remote = ffi::address(call.remote);
        let flight = Box::new(PluginCall {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            writing: RefCell::default(),
            action,
            call,
            caller,
            waker: Cell::new(ptr::null()),
            asked: CallOperations::default(),
            people: RefCell::default(),
            error: Cell::new(None),
            reply: Cell::new(None),
            unfit: Cell::new(None),
            told_token: Cell::new(false),
            // Filled in below: it points into the box, which must stand first.
            request: request(&[], menlou_str::NONE),
            _params: params,
            _texts: Vec::new(),
        });
        let flight = Box::into_raw(flight);
        // SAFETY: from the box just made; nobody else has it. The heap bytes of texts stay where they are.
        let (shared, view) = unsafe {
            let f = &mut *flight;
            texts.push(remote);
            let remote = texts.last().map_or(menlou_str::NONE, |t| str(t));
            f._texts = texts;
            f.request = request(&f._params, remote);
            fill(&mut f.request, &f.call, f.caller.as_ref(), &f.action);
            (&*flight, &raw const (*flight).request)
        };
        let (entry, host, settings) =
            (shared.action.descriptor().entry, shared.action.plugin().host(), shared.action.settings());
        let mut running = Self { state: ptr::null_mut(), began: false, flight, refused: None };
        // SAFETY: as the border says: `view` and `settings` live until `drop`.
        match shared.inside(|| unsafe { (entry.start)(host, shared.handle(), view, settings, &mut running.state) }) {
            MENLOU_READY => running.began = true,
            code => running.refused = Some(shared.failed_by(code)),
        }
        running
    }
}

impl PluginFuture {
    /// Goes on until there is an answer; the call of an answer being written goes on within it.
    pub async fn answer(mut self) -> Result<Reply> {
        let ended = poll_fn(|cx| match self.poll_plugin(cx) {
            Poll::Ready(ended) => Poll::Ready(Some(ended)),
            Poll::Pending if self.flight().writing.borrow().is_some() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        let (goes_on, reply) = match ended.await {
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => (false, self.flight().reply.take()),
            None => (true, None),
        };
        let writing = self.flight().writing.take();
        match writing {
            Some((content_type, slot)) => {
                *self.flight().writing.borrow_mut() = Some((content_type.clone(), slot.clone()));
                let pause = self.flight().call.pause;
                let pieces = Writing::pieces(goes_on.then_some(self), slot, pause);
                Ok(Reply::Written { content_type, pieces })
            }
            None => reply.unwrap_or_else(|| Err(self.flight().failed_by(MENLOU_READY))),
        }
    }

    /// Lets the plugin go on with the call.
    pub fn poll_plugin(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(refused) = self.refused.take() {
            return Poll::Ready(Err(refused));
        }
        // SAFETY: made in `start`, freed in `drop`; only shared.
        let flight = unsafe { &*self.flight };
        if !self.began {
            return Poll::Ready(Err(flight.failed_by(MENLOU_ERR_INVALID)));
        }
        flight.waker.set(context.waker());
        // SAFETY: `state` came from `start`, was not dropped, and is polled by one owner.
        let poll = || unsafe { (flight.action.descriptor().entry.poll)(self.state, flight.handle()) };
        let polled = flight.inside(poll);
        flight.waker.set(ptr::null());
        match polled {
            MENLOU_PENDING => Poll::Pending,
            MENLOU_READY => Poll::Ready(Ok(())),
            other => Poll::Ready(Err(flight.failed_by(other))),
        }
    }

    fn flight(&self) -> &PluginCall {
        // SAFETY: made in `start`, freed in `drop`; only shared.
        unsafe { &*self.flight }
    }
}

impl Drop for PluginFuture {
    fn drop(&mut self) {
        // SAFETY: `state` came from `start` and is dropped once; the flight outlives it.
        unsafe {
            let flight = &*self.flight;
            if self.began {
                flight.inside(|| (flight.action.descriptor().entry.drop)(self.state));
            }
            let left = flight.asked.cancel_all();
            if left > 0 {
                flight.conduct().leaked_operations(flight, left);
            }
            drop(Box::from_raw(self.flight));
        }
    }
}

fn str(text: &str) -> menlou_str {
    menlou_str::new(text.as_bytes())
}

fn request(params: &[menlou_param], remote_ip: menlou_str) -> menlou_request {
    menlou_request {
        struct_size: size_of::<menlou_request>() as u32,
        reserved: 0,
        deadline_unix_ms: 0,
        method: menlou_str::NONE,
        path: menlou_str::NONE,
        tenant: menlou_str::NONE,
        action: menlou_str::NONE,
        request_id: menlou_str::NONE,
        remote_ip,
        language: menlou_str::NONE,
        params: params.as_ptr(),
        params_len: params.len(),
        body: menlou_str::NONE,
        platform: menlou_str::NONE,
        openid: menlou_str::NONE,
        user_id: 0,
        user_name: menlou_str::NONE,
        user_avatar_url: menlou_str::NONE,
        query: menlou_str::NONE,
        subpath: menlou_str::NONE,
    }
}

fn fill(request: &mut menlou_request, call: &Call, caller: Option<&Caller>, action: &Action) {
    request.deadline_unix_ms = call.deadline_unix_ms;
    request.method = str(call.method.as_str());
    request.path = str(&call.path);
    request.tenant = str(&action.scope.tenant);
    request.action = str(&call.action);
    request.request_id = str(&call.id);
    request.language = str(call.language.tag());
    request.body = menlou_str::new(&call.body);
    request.query = str(&call.query);
    request.subpath = str(&call.subpath);
    if let Some(caller) = caller {
        request.platform = str(&caller.session.platform);
        request.openid = str(&caller.session.openid);
        if let Some(user) = &caller.user {
            request.user_id = user.id;
            request.user_name = str(&user.name);
            request.user_avatar_url = str(&user.avatar_url);
        }
    }
}
