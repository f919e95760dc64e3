//! The platform as the in-memory gateway plays it: answers by path, encrypted data, the session's key.

use super::{PlatformAnswer, TestOp, done, hand_out, of, op, refused, text};
use crate::testing::PlatformRequest;
use menlou_abi::*;
use serde_json::Value;
use std::{ptr, time::Duration};

// SAFETY of all functions below: see the module above.

pub(super) unsafe extern "C" fn call(
    call: *mut menlou_call,
    method: menlou_str,
    path: menlou_str,
    fields: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, method, path, fields) = unsafe { (of(call), text(method), text(path), text(fields)) };
    let Ok(fields) = serde_json::from_str::<Value>(&fields) else { return ptr::null_mut() };
    // The gateway looks closer; this is enough for an action's own tests.
    if !path.starts_with('/') || path.contains(['?', '#', '%']) || fields.get("access_token").is_some() {
        return ptr::null_mut();
    }
    let mut world = call.world();
    let answered = match world.platform.get(&path) {
        Some(PlatformAnswer::Given { content_type, body }) => {
            let content_type = if content_type == "application/json" { String::new() } else { content_type.clone() };
            hand_out(TestOp { status: MENLOU_READY, data: body.clone(), content_type, ..TestOp::default() })
        }
        Some(PlatformAnswer::Refused { word, data }) => op(MENLOU_ERR_WORD, 0, word, data.to_string().into_bytes()),
        None => refused("platform_unreachable"),
    };
    world.asked.push(PlatformRequest { method, path, fields });
    answered
}

pub(super) unsafe extern "C" fn decrypt(
    call: *mut menlou_call,
    data: menlou_str,
    iv: menlou_str,
    max_age_ms: u64,
) -> *mut menlou_op {
    // SAFETY: see above.
    let (call, data, iv) = unsafe { (of(call), text(data), text(iv)) };
    if call.openid.is_none() {
        return ptr::null_mut();
    }
    let world = call.world();
    let opened = world.encrypted.iter().find(|e| e.data == data && e.iv == iv && !world.stale_session_key);
    match opened.filter(|e| e.age <= Duration::from_millis(max_age_ms)) {
        Some(opened) => done(opened.plain.clone()),
        None => refused("decrypt_failed"),
    }
}

pub(super) unsafe extern "C" fn session_key_check(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { of(call) };
    match call.openid {
        None => ptr::null_mut(),
        Some(_) if call.world().stale_session_key => refused("session_expired"),
        Some(_) => done(Value::Null),
    }
}

pub(super) unsafe extern "C" fn session_key_reset(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { of(call) };
    match call.openid {
        None => ptr::null_mut(),
        Some(_) if call.world().stale_session_key => refused("session_expired"),
        Some(_) => {
            call.world().resets += 1;
            done(Value::Null)
        }
    }
}
