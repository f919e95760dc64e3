//! One call and its operations, as the in-memory gateway keeps them.

use super::state::{ClientRequest, Reply, State};
use crate::{User, ffi};
use menlou_abi::*;
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

/// One call in flight.
pub(super) struct TestCall {
    state: Arc<Mutex<State>>,
    pub openid: Option<String>,
    /// The openids that `exchange` and `test_identity` returned in this call.
    pub identities: RefCell<Vec<String>>,
    pub waker: Cell<Option<Waker>>,
    pub reply: Cell<Option<Reply>>,
    pub headers: Vec<(String, String)>,
    /// The rest of a body that the action reads by itself.
    pub unread: Cell<Option<Vec<u8>>>,
    pub request: menlou_request,
    // `request` borrows from these.
    _texts: Vec<String>,
    _params: Vec<menlou_param>,
    _body: Vec<u8>,
}

/// One operation. It is pending at its first poll, so that a test can cancel the call there.
#[derive(Default)]
pub(super) struct TestOp {
    pub polled: Cell<bool>,
    pub status: i32,
    pub http_status: u16,
    pub error_code: String,
    pub data: Vec<u8>,
    pub content_type: String,
}

impl TestCall {
    pub fn new(
        state: Arc<Mutex<State>>,
        action: &menlou_action,
        name: &str,
        (openid, user): (Option<&str>, Option<User>),
        params: &Value,
        client: &ClientRequest,
    ) -> *mut Self {
        let raw_body = action.flags & MENLOU_ACTION_RAW_BODY != 0;
        let Some(params) = params.as_object() else { panic!("parameters are a JSON object") };
        let mut texts = Vec::new();
        let mut keep = |text: String| {
            let s = ffi::str(&text);
            texts.push(text); // its heap bytes do not move
            s
        };
        let params: Vec<menlou_param> = params
            .iter()
            .filter(|(_, value)| !value.is_null() && **value != "")
            .map(|(name, value)| menlou_param {
                name: keep(name.clone()),
                value: keep(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
                kind: if value.is_string() { MENLOU_PARAM_TEXT } else { MENLOU_PARAM_JSON },
                reserved: 0,
            })
            .collect();
        let body = client.body.clone(); // its bytes do not move
        let request = menlou_request {
            struct_size: size_of::<menlou_request>() as u32,
            reserved: 0,
            deadline_unix_ms: NOW_UNIX_MS + 10_000,
            method: keep(client.method.clone()),
            path: keep("/srv/".into()),
            tenant: keep("test".into()),
            action: keep(name.into()),
            request_id: keep("test-request".into()),
            remote_ip: keep("127.0.0.1".into()),
            language: keep("zh".into()),
            params: params.as_ptr(),
            params_len: params.len(),
            body: if raw_body { menlou_str::NONE } else { menlou_str::new(&body) },
            platform: openid.map_or(menlou_str::NONE, |_| keep("wechat".into())),
            openid: openid.map_or(menlou_str::NONE, |o| keep(o.into())),
            user_id: user.as_ref().map_or(0, |u| u.id),
            user_name: user.as_ref().map_or(menlou_str::NONE, |u| keep(u.name.clone())),
            user_avatar_url: user.as_ref().map_or(menlou_str::NONE, |u| keep(u.avatar_url.clone())),
            query: keep(client.query.clone()),
            subpath: keep(client.subpath.clone()),
        };
        Box::into_raw(Box::new(Self {
            state,
            openid: openid.map(str::to_owned),
            identities: RefCell::default(),
            waker: Cell::new(None),
            reply: Cell::new(None),
            headers: client.headers.clone(),
            unread: Cell::new(raw_body.then(|| client.body.clone())),
            _body: body,
            request,
            _texts: texts,
            _params: params,
        }))
    }

    /// The request of a call that [`new`](Self::new) made.
    pub fn request(call: *const Self) -> *const menlou_request {
        // SAFETY: only an address is computed; `call` was allocated by `new`.
        unsafe { &raw const (*call).request }
    }

    /// Runs one poll, during which `waker` is set.
    pub fn with_waker(&self, context: &mut Context<'_>, poll: impl FnOnce() -> i32) -> i32 {
        self.waker.set(Some(context.waker().clone()));
        let polled = poll();
        self.waker.set(None);
        polled
    }

    pub fn take_reply(&self) -> Option<Reply> {
        self.reply.take()
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs an operation that needs a session, with the caller's openid.
    pub fn with_session(&self, f: impl FnOnce(&str, &mut State) -> *mut menlou_op) -> *mut menlou_op {
        match &self.openid {
            Some(openid) => f(openid, &mut self.state()),
            None => failed("login_required"),
        }
    }
}

/// The time in every test.
pub(super) const NOW_UNIX_MS: u64 = 1_700_000_000_000;

/// An operation with this outcome.
pub(super) fn completed(status: i32, http_status: u16, code: &str, data: Vec<u8>) -> *mut menlou_op {
    into_op(TestOp { status, http_status, error_code: code.into(), data, ..TestOp::default() })
}

/// A handle of the operation; `op_drop` frees it.
pub(super) fn into_op(op: TestOp) -> *mut menlou_op {
    Box::into_raw(Box::new(op)).cast()
}

/// An operation that succeeds with this data.
pub(super) fn json_output(data: Value) -> *mut menlou_op {
    completed(MENLOU_READY, 0, "", data.to_string().into_bytes())
}

/// An operation that fails with this error code.
pub(super) fn failed(code: &str) -> *mut menlou_op {
    completed(MENLOU_ERR_CODE, 0, code, Vec::new())
}

/// An operation that finds nothing.
pub(super) fn not_found() -> *mut menlou_op {
    completed(MENLOU_ERR_NOT_FOUND, 0, "", Vec::new())
}

/// # Safety
/// `call` is a live [`TestCall`].
pub(super) unsafe fn call_ref<'a>(call: *mut menlou_call) -> &'a TestCall {
    // SAFETY: the caller's contract.
    unsafe { &*call.cast::<TestCall>() }
}

/// The values of a header of the client's request.
pub(super) fn header_values<'a>(call: &'a TestCall, name: &'a str) -> impl Iterator<Item = String> + 'a {
    call.headers.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.clone())
}

/// # Safety
/// The bytes of `s` are valid for the time of this function.
pub(super) unsafe fn text(s: menlou_str) -> String {
    // SAFETY: the caller's contract.
    String::from_utf8_lossy(unsafe { s.bytes() }).into_owned()
}
