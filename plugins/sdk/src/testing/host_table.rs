//! The table of functions that the in-memory gateway hands to a plugin.

mod platform;
mod stream;
mod users;

use super::{
    state::{ConfigErrorList, Reply, SentRequest, State},
    test_call::{NOW_UNIX_MS, TestOp, call_ref, completed, failed, json_output, text},
};
use crate::ffi;
use hmac::{Hmac, KeyInit, Mac};
use menlou_abi::*;
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

/// A table whose functions work on `state`.
pub(super) fn host_table(state: Arc<Mutex<State>>) -> menlou_host {
    // The ABI requires a table that lives as long as the process, so `state` does too.
    let context = Box::into_raw(Box::new(state)).cast::<c_void>();
    menlou_host {
        struct_size: size_of::<menlou_host>() as u32,
        abi_major: MENLOU_ABI_MAJOR,
        abi_minor: MENLOU_ABI_MINOR,
        context,
        log_enabled,
        log,
        now_unix_ms,
        random,
        hmac_sha256,
        config_error,
        header: stream::header,
        exchange: users::exchange,
        test_identity: users::test_identity,
        session_open: users::session_open,
        session_current: users::session_current,
        session_end: users::session_end,
        phone_number: users::phone_number,
        user_find: users::user_find,
        user_bind_new: users::user_bind_new,
        user_bind_phone: users::user_bind_phone,
        user_bind_external: users::user_bind_external,
        user_bind_password: users::user_bind_password,
        user_unbind: users::user_unbind,
        user_update: users::user_update,
        http_send,
        sleep_ms,
        op_poll,
        op_drop,
        reply,
        waker_clone,
        waker_wake,
        waker_drop,
        platform_call: platform::call,
        decrypt: platform::decrypt,
        session_key_check: platform::session_key_check,
        session_key_reset: platform::session_key_reset,
        upstream_new: stream::upstream_new,
        forward: stream::forward,
        body_read: stream::body_read,
        response_begin: stream::response_begin,
        response_write: stream::response_write,
        attempt_record: users::attempt_record,
        attempt_succeed: users::attempt_succeed,
        body_buffer: stream::body_buffer,
    }
}

/// # Safety
/// `host` was made by [`host_table`].
unsafe fn lock_state<'a>(host: *const menlou_host) -> MutexGuard<'a, State> {
    // SAFETY: the caller's contract; the context is never freed.
    let state = unsafe { &*(*host).context.cast::<Arc<Mutex<State>>>() };
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

// SAFETY of all functions below and in the modules: the SDK calls them by the ABI's contract. A call is a `TestCall`, an
// operation a `TestOp`, a waker a boxed `Waker`; all of them are allocated by this gateway.

unsafe extern "C" fn log_enabled(_: *const menlou_host, _: u32) -> i32 {
    1
}

unsafe extern "C" fn log(
    host: *const menlou_host,
    _: *const menlou_call,
    _: u32,
    message: menlou_str,
    fields: *const menlou_kv,
    len: usize,
) {
    // SAFETY: see above.
    unsafe {
        let mut line = text(message);
        for i in 0..len {
            let field = &*fields.add(i);
            line += &format!(" {}={}", text(field.key), text(field.value));
        }
        lock_state(host).logs.push(line);
    }
}

unsafe extern "C" fn now_unix_ms(_: *const menlou_host) -> u64 {
    NOW_UNIX_MS
}

unsafe extern "C" fn random(host: *const menlou_host, out: *mut u8, len: usize) -> i32 {
    // SAFETY: see above. The bytes count up, so that a test is repeatable.
    unsafe {
        let mut state = lock_state(host);
        for i in 0..len {
            state.random = state.random.wrapping_add(1);
            *out.add(i) = state.random;
        }
    }
    MENLOU_READY
}

unsafe extern "C" fn hmac_sha256(_: *const menlou_host, key: menlou_str, message: menlou_str, out: *mut u8) -> i32 {
    // SAFETY: see above.
    unsafe {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else { return MENLOU_ERR_INVALID };
        mac.update(message.bytes());
        let tag = mac.finalize().into_bytes();
        ptr::copy_nonoverlapping(tag.as_ptr(), out, tag.len());
    }
    MENLOU_READY
}

unsafe extern "C" fn config_error(setup: *mut menlou_setup, pointer: menlou_str, zh: menlou_str, en: menlou_str) {
    // SAFETY: see above; `setup` is the list of `ConfiguredAction::new`.
    unsafe { (*setup.cast::<ConfigErrorList>()).push((text(pointer), text(zh), text(en))) }
}

unsafe extern "C" fn http_send(call: *mut menlou_call, request: *const menlou_http_request) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, sent) = unsafe {
        let r = &*request;
        let headers = (0..r.headers_len).map(|i| &*r.headers.add(i)).map(|h| (text(h.key), text(h.value))).collect();
        (
            call_ref(call),
            SentRequest { method: text(r.method), url: text(r.url), headers, body: r.body.bytes().to_vec() },
        )
    };
    let mut state = call.state();
    let op = match state.http_stub(&sent) {
        Some(stub) => completed(MENLOU_READY, stub.status, "", stub.body.clone()),
        None => failed("upstream_unreachable"),
    };
    state.http_requests.push(sent);
    op
}

unsafe extern "C" fn sleep_ms(_: *mut menlou_call, _: u64) -> *mut menlou_op {
    json_output(Value::Null)
}

unsafe extern "C" fn op_poll(call: *mut menlou_call, op: *mut menlou_op, outcome: *mut menlou_outcome) -> i32 {
    // SAFETY: see above; NULL is an operation with invalid arguments.
    unsafe {
        let Some(op) = op.cast::<TestOp>().as_ref() else { return MENLOU_ERR_INVALID };
        if !op.polled.replace(true) {
            if let Some(waker) = call_ref(call).waker.take() {
                waker.wake_by_ref();
                call_ref(call).waker.set(Some(waker));
            }
            return MENLOU_PENDING;
        }
        (*outcome).status = op.status;
        (*outcome).http_status = op.http_status.into();
        (*outcome).error_code = ffi::str(&op.error_code);
        (*outcome).data = menlou_str::new(&op.data);
        (*outcome).content_type = ffi::str(&op.content_type);
    }
    MENLOU_READY
}

unsafe extern "C" fn op_drop(op: *mut menlou_op) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(op.cast::<TestOp>()) });
}

unsafe extern "C" fn reply(call: *mut menlou_call, reply: *const menlou_reply) -> i32 {
    // SAFETY: see above.
    unsafe {
        let r = &*reply;
        let data = match r.data.bytes() {
            [] => json!({}),
            bytes => serde_json::from_slice(bytes).unwrap_or(Value::Null),
        };
        if !data.is_object() {
            return MENLOU_ERR_INVALID;
        }
        let given = |s: menlou_str| (!s.ptr.is_null()).then(|| text(s));
        let file = given(r.content_type).map(|content_type| (content_type, r.body.bytes().to_vec()));
        let msg = given(r.msg_zh).zip(given(r.msg_en));
        if let Some(first) = call_ref(call).reply.take() {
            call_ref(call).reply.set(Some(first));
            return MENLOU_ERR_INVALID;
        }
        call_ref(call).reply.set(Some(Reply { error: given(r.error_code), msg, data, file }));
    }
    MENLOU_READY
}

unsafe extern "C" fn waker_clone(call: *mut menlou_call) -> *mut menlou_waker {
    // SAFETY: see above.
    let cell = &unsafe { call_ref(call) }.waker;
    let waker = cell.take();
    cell.set(waker.clone());
    Box::into_raw(Box::new(waker.unwrap_or_else(|| Waker::noop().clone()))).cast()
}

unsafe extern "C" fn waker_wake(waker: *const menlou_waker) {
    // SAFETY: see above.
    unsafe { (*waker.cast::<Waker>()).wake_by_ref() }
}

unsafe extern "C" fn waker_drop(waker: *mut menlou_waker) {
    // SAFETY: see above.
    drop(unsafe { Box::from_raw(waker.cast::<Waker>()) });
}
