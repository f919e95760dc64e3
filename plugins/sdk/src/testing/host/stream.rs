//! Large bodies as the in-memory gateway moves them: the test's own body, an answer being written, an upstream.

use super::{done, header_values, not_found, of, op, text};
use crate::{
    raw,
    testing::{Reply, SentRequest, world::World},
};
use menlou_abi::*;
use serde_json::{Value, json};
use std::ptr;

// SAFETY of all functions below: see the module above.

pub(super) unsafe extern "C" fn upstream_new(
    setup: *mut menlou_setup,
    options: *const menlou_upstream_options,
) -> *mut menlou_upstream {
    // SAFETY: see above; `setup` is the list that `Ready::new` handed out.
    unsafe {
        let (faults, options) = (&mut *setup.cast::<Vec<(String, String, String)>>(), &*options);
        let servers: Vec<String> = (0..options.servers_len).map(|i| text(*options.servers.add(i))).collect();
        // The gateway looks closer; this is enough for an action's own tests.
        if servers.is_empty() || !servers.iter().all(|s| s.starts_with("http://") || s.starts_with("https://")) {
            faults.push((text(options.servers_pointer), "不是 http 地址".into(), "is no http address".into()));
            return ptr::null_mut();
        }
        // As long as the process, as tables are: a test's settings may be looked at many times.
        Box::into_raw(Box::new(servers)).cast()
    }
}

pub(super) unsafe extern "C" fn forward(call: *mut menlou_call, forward: *const menlou_forward) -> *mut menlou_op {
    // SAFETY: see above; an upstream is what `upstream_new` made.
    unsafe {
        let (call, raw) = (of(call), &*forward);
        let Some(servers) = raw.upstream.cast::<Vec<String>>().as_ref() else { return ptr::null_mut() };
        let mut headers = Vec::new();
        for i in 0..raw.pass_len {
            let name = text(*raw.pass.add(i));
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
        let mut world = call.world();
        let answered = answer(&mut world, &sent);
        world.sent.push(sent);
        drop(world);
        match answered {
            Some((status, body)) => {
                let file = Some((format!("upstream/{status}"), body));
                call.reply.set(Some(Reply { error: None, msg: None, data: json!({}), file }));
                op(MENLOU_READY, status, "", Vec::new())
            }
            None => super::refused("upstream_unreachable"),
        }
    }
}

fn answer(world: &mut World, sent: &SentRequest) -> Option<(u16, Vec<u8>)> {
    let answer = world.answers.iter().find(|a| a.method == sent.method && sent.url.starts_with(&a.url));
    answer.map(|a| (a.status, a.body.clone()))
}

pub(super) unsafe extern "C" fn body_read(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see above.
    let call = unsafe { of(call) };
    match call.unread.take() {
        // In two pieces, so that an action meets more than one.
        Some(mut body) if !body.is_empty() => {
            let rest = body.split_off(body.len().div_ceil(2));
            call.unread.set(Some(rest));
            op(MENLOU_READY, 0, "", body)
        }
        _ => not_found(),
    }
}

pub(super) unsafe extern "C" fn answer_begin(call: *mut menlou_call, content_type: menlou_str) -> i32 {
    // SAFETY: see above.
    let (call, content_type) = unsafe { (of(call), text(content_type)) };
    if let Some(first) = call.reply.take() {
        call.reply.set(Some(first));
        return MENLOU_ERR_INVALID;
    }
    let file = Some((content_type, Vec::new()));
    call.reply.set(Some(Reply { error: None, msg: None, data: json!({}), file }));
    MENLOU_READY
}

pub(super) unsafe extern "C" fn answer_write(call: *mut menlou_call, piece: menlou_str) -> *mut menlou_op {
    // SAFETY: see above.
    unsafe {
        let call = of(call);
        let mut reply = call.reply.take();
        let Some(Reply { file: Some((_, body)), .. }) = &mut reply else { return ptr::null_mut() };
        body.extend_from_slice(piece.bytes());
        call.reply.set(reply);
        done(Value::Null)
    }
}

pub(super) unsafe extern "C" fn header(call: *mut menlou_call, name: menlou_str, out: *mut menlou_str) -> i32 {
    // SAFETY: see above; a call's headers live as long as it does.
    unsafe {
        let (call, name) = (of(call), text(name));
        match call.headers.iter().find(|(n, _)| *n == name && name != "authorization") {
            Some((_, value)) => {
                *out = raw::str(value);
                MENLOU_READY
            }
            None => MENLOU_ERR_NOT_FOUND,
        }
    }
}
