//! The platform of the in-memory gateway: responses by path, encrypted data, the session key.

use crate::testing::{
    state::{PlatformRequest, PlatformStub},
    test_call::{TestOp, call_ref, completed, failed, into_op, json_output, text},
};
use menlou_abi::*;
use serde_json::Value;
use std::{ptr, time::Duration};

// SAFETY of all functions below: see the table above.

pub(super) unsafe extern "C" fn call(
    call: *mut menlou_call,
    method: menlou_str,
    path: menlou_str,
    fields: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, method, path, fields) = unsafe { (call_ref(call), text(method), text(path), text(fields)) };
    let Ok(fields) = serde_json::from_str::<Value>(&fields) else { return ptr::null_mut() };
    // The gateway checks more; this is enough for the tests of an action.
    if !path.starts_with('/') || path.contains(['?', '#', '%']) || fields.get("access_token").is_some() {
        return ptr::null_mut();
    }
    let mut state = call.state();
    let op = match state.platform_stubs.get(&path) {
        Some(PlatformStub::Response { content_type, body }) => {
            let content_type = if content_type == "application/json" { String::new() } else { content_type.clone() };
            into_op(TestOp { status: MENLOU_READY, data: body.clone(), content_type, ..TestOp::default() })
        }
        Some(PlatformStub::Error { code, data }) => completed(MENLOU_ERR_CODE, 0, code, data.to_string().into_bytes()),
        None => failed("platform_unreachable"),
    };
    state.platform_requests.push(PlatformRequest { method, path, fields });
    op
}

pub(super) unsafe extern "C" fn decrypt(
    call: *mut menlou_call,
    data: menlou_str,
    iv: menlou_str,
    max_age_ms: u64,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, data, iv) = unsafe { (call_ref(call), text(data), text(iv)) };
    if call.openid.is_none() {
        return ptr::null_mut();
    }
    let state = call.state();
    let opened = state.encrypted.iter().find(|e| e.data == data && e.iv == iv && !state.session_key_expired);
    match opened.filter(|e| e.age <= Duration::from_millis(max_age_ms)) {
        Some(opened) => json_output(opened.plain.clone()),
        None => failed("decrypt_failed"),
    }
}

pub(super) unsafe extern "C" fn session_key_check(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { call_ref(call) };
    match call.openid {
        None => ptr::null_mut(),
        Some(_) if call.state().session_key_expired => failed("session_expired"),
        Some(_) => json_output(Value::Null),
    }
}

pub(super) unsafe extern "C" fn session_key_reset(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { call_ref(call) };
    match call.openid {
        None => ptr::null_mut(),
        Some(_) if call.state().session_key_expired => failed("session_expired"),
        Some(_) => {
            call.state().session_key_resets += 1;
            json_output(Value::Null)
        }
    }
}
