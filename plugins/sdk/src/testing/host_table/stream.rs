//! Streamed bodies of the in-memory gateway: the request body, a response written in chunks, an upstream.

use crate::{
    ffi,
    testing::{
        state::{ConfigErrorList, Reply, SentRequest},
        test_call::{call_ref, completed, failed, header_values, json_output, not_found, text},
    },
};
use menlou_abi::*;
use serde_json::{Value, json};
use std::ptr;

// SAFETY of all functions below: see the table above.

pub(super) unsafe extern "C" fn upstream_new(
    setup: *mut menlou_setup,
    options: *const menlou_upstream_options,
) -> *mut menlou_upstream {
    // SAFETY: see above; `setup` is the list of `ConfiguredAction::new`.
    unsafe {
        let (faults, options) = (&mut *setup.cast::<ConfigErrorList>(), &*options);
        let servers: Vec<String> = (0..options.servers_len).map(|i| text(*options.servers.add(i))).collect();
        // The gateway checks more; this is enough for the tests of an action.
        if servers.is_empty() || !servers.iter().all(|s| s.starts_with("http://") || s.starts_with("https://")) {
            faults.push((
                text(options.servers_pointer),
                "不是 http 地址".into(),
                "This is not an http address.".into(),
            ));
            return ptr::null_mut();
        }
        // Never freed, like the table: a test may configure the same settings many times.
        Box::into_raw(Box::new(servers)).cast()
    }
}

pub(super) unsafe extern "C" fn forward(call: *mut menlou_call, forward: *const menlou_forward) -> *mut menlou_op {
    // SAFETY: see above; an upstream is what `upstream_new` made.
    unsafe {
        let (call, raw) = (call_ref(call), &*forward);
        let Some(servers) = raw.upstream.cast::<Vec<String>>().as_ref() else { return ptr::null_mut() };
        let mut headers = Vec::new();
        for i in 0..raw.pass_headers_len {
            let name = text(*raw.pass_headers.add(i));
            headers.extend(header_values(call, &name).map(|value| (name.clone(), value)));
        }
        for i in 0..raw.headers_len {
            let header = &*raw.headers.add(i);
            headers.retain(|(name, _)| *name != text(header.key));
            headers.push((text(header.key), text(header.value)));
        }
        let sent = SentRequest {
            method: text(call.request.method),
            url: servers.first().map_or("", |s| s.trim_end_matches('/')).to_owned() + &text(raw.target),
            headers,
            body: call.unread.take().unwrap_or_default(),
        };
        let mut state = call.state();
        let response = state.http_stub(&sent).map(|stub| (stub.status, stub.body.clone()));
        state.http_requests.push(sent);
        drop(state);
        match response {
            Some((status, body)) => {
                let file = Some((format!("upstream/{status}"), body));
                call.reply.set(Some(Reply { error: None, msg: None, data: json!({}), file }));
                completed(MENLOU_READY, status, "", Vec::new())
            }
            None => failed("upstream_unreachable"),
        }
    }
}

pub(super) unsafe extern "C" fn body_read(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { call_ref(call) };
    match call.unread.take() {
        // In two chunks, so that an action sees more than one.
        Some(mut body) if !body.is_empty() => {
            let rest = body.split_off(body.len().div_ceil(2));
            call.unread.set(Some(rest));
            completed(MENLOU_READY, 0, "", body)
        }
        _ => not_found(),
    }
}

pub(super) unsafe extern "C" fn body_buffer(call: *mut menlou_call, max_len: u64) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { call_ref(call) };
    let body = call.unread.take().unwrap_or_default();
    call.unread.set(Some(body.clone()));
    match body.len() {
        0 => not_found(),
        len if len as u64 > max_len => failed("body_too_large"),
        _ => completed(MENLOU_READY, 0, "", body),
    }
}

pub(super) unsafe extern "C" fn response_begin(call: *mut menlou_call, content_type: menlou_str) -> i32 {
    // SAFETY: see above.
    let (call, content_type) = unsafe { (call_ref(call), text(content_type)) };
    if let Some(first) = call.reply.take() {
        call.reply.set(Some(first));
        return MENLOU_ERR_INVALID;
    }
    let file = Some((content_type, Vec::new()));
    call.reply.set(Some(Reply { error: None, msg: None, data: json!({}), file }));
    MENLOU_READY
}

pub(super) unsafe extern "C" fn response_write(call: *mut menlou_call, chunk: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe {
        let call = call_ref(call);
        let mut reply = call.reply.take();
        let Some(Reply { file: Some((_, body)), .. }) = &mut reply else { return ptr::null_mut() };
        body.extend_from_slice(chunk.bytes());
        call.reply.set(reply);
        json_output(Value::Null)
    }
}

pub(super) unsafe extern "C" fn header(call: *mut menlou_call, name: menlou_str, out: *mut menlou_str) -> i32 {
    // SAFETY: see above; the headers live as long as the call.
    unsafe {
        let (call, name) = (call_ref(call), text(name));
        match call.headers.iter().find(|(n, _)| *n == name && name != "authorization") {
            Some((_, value)) => {
                *out = ffi::str(value);
                MENLOU_READY
            }
            None => MENLOU_ERR_NOT_FOUND,
        }
    }
}
