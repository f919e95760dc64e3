//! The host function table that plugins get. Each function checks its arguments and works within the call's tenant.
//!
//! SAFETY of the `unsafe` code here and in the modules below: see `entry`.

mod attempts;
mod entry;
mod http_and_exchange;
mod log;
mod platform;
mod sessions;
mod stream;
mod users;

use crate::{
    configure::ConfigureContext,
    ffi::{printable, text},
    operation::{self, OpPoll},
    plugin_call::PluginCall,
};
use aws_lc_rs::{hmac, rand};
use entry::guard;
use menlou_abi::*;
use std::{
    ffi::c_void,
    ptr,
    task::{Context, Waker},
};

/// Makes the table for the plugin of this name. The table is never freed, as the ABI requires.
pub(super) fn table(plugin: &'static str) -> &'static menlou_host {
    let context = ptr::from_ref(Box::leak(Box::new(log::PluginLogger::new(plugin)))).cast_mut().cast::<c_void>();
    Box::leak(Box::new(menlou_host {
        struct_size: size_of::<menlou_host>() as u32,
        abi_major: MENLOU_ABI_MAJOR,
        abi_minor: MENLOU_ABI_MINOR,
        context,
        log_enabled: log::enabled,
        log: log::write,
        now_unix_ms,
        random,
        hmac_sha256,
        config_error,
        header,
        exchange: http_and_exchange::exchange,
        test_identity: http_and_exchange::test_identity,
        session_open: sessions::open,
        session_current: sessions::current,
        session_end: sessions::end,
        phone_number: http_and_exchange::phone_number,
        user_find: users::find,
        user_bind_new: users::bind_new,
        user_bind_phone: users::bind_phone,
        user_bind_external: users::bind_external,
        user_bind_password: users::bind_password,
        user_unbind: users::unbind,
        user_update: users::update,
        http_send: http_and_exchange::http_send,
        sleep_ms: http_and_exchange::sleep_ms,
        op_poll,
        op_drop,
        reply,
        waker_clone,
        waker_wake,
        waker_drop,
        platform_call: platform::call,
        decrypt: platform::decrypt,
        session_key_check: platform::check_session_key,
        session_key_reset: platform::reset_session_key,
        upstream_new: stream::upstream_new,
        forward: stream::forward,
        body_read: stream::body_read,
        response_begin: stream::response_begin,
        response_write: stream::response_write,
        attempt_record: attempts::record,
        attempt_succeed: attempts::succeed,
        body_buffer: stream::body_buffer,
    }))
}

unsafe extern "C" fn now_unix_ms(_: *const menlou_host) -> u64 {
    menlou_clock::unix_millis()
}

unsafe extern "C" fn random(_: *const menlou_host, out: *mut u8, len: usize) -> i32 {
    guard(MENLOU_ERR_FAILED, || {
        if out.is_null() || len > 1 << 20 {
            return MENLOU_ERR_INVALID;
        }
        // The plugin's buffer may be uninitialised, so it must not become a slice.
        let mut bytes = vec![0; len];
        match rand::fill(&mut bytes) {
            Ok(()) => {
                // SAFETY: see `entry`; `out` has `len` bytes.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), out, len) };
                MENLOU_READY
            }
            Err(_) => MENLOU_ERR_FAILED,
        }
    })
}

unsafe extern "C" fn hmac_sha256(_: *const menlou_host, key: menlou_str, message: menlou_str, out: *mut u8) -> i32 {
    guard(MENLOU_ERR_FAILED, || {
        if out.is_null() {
            return MENLOU_ERR_INVALID;
        }
        // SAFETY: see `entry`; `out` has 32 bytes.
        unsafe {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
            let tag = hmac::sign(&key, message.bytes());
            ptr::copy_nonoverlapping(tag.as_ref().as_ptr(), out, 32);
        }
        MENLOU_READY
    })
}

unsafe extern "C" fn config_error(
    setup: *mut menlou_setup,
    pointer: menlou_str,
    msg_zh: menlou_str,
    msg_en: menlou_str,
) {
    guard((), || {
        // SAFETY: see `entry`; `setup` is the pointer that `configure` got.
        unsafe {
            if let Some(context) = setup.cast::<ConfigureContext>().as_mut() {
                context.errors.push((printable(pointer), printable(msg_zh), printable(msg_en)));
            }
        }
    });
}

unsafe extern "C" fn header(call: *mut menlou_call, name: menlou_str, out: *mut menlou_str) -> i32 {
    guard(MENLOU_ERR_FAILED, || {
        // SAFETY: see `entry`.
        let (call, name) = unsafe { (PluginCall::from_handle(call), text(name)) };
        let (Some(call), Some(name), false) = (call, name, out.is_null()) else { return MENLOU_ERR_INVALID };
        // Plugins get the session token by `session_current` only. The decoder has removed the header already; this check
        // does not rely on it.
        let found = call.request.headers.get(name).filter(|_| !name.eq_ignore_ascii_case("authorization"));
        match found.and_then(|v| v.to_str().ok()) {
            Some(value) => {
                // SAFETY: see `entry`; the headers live as long as the call.
                unsafe { *out = menlou_str::new(value.as_bytes()) };
                MENLOU_READY
            }
            None => MENLOU_ERR_NOT_FOUND,
        }
    })
}

unsafe extern "C" fn op_poll(call: *mut menlou_call, op: *mut menlou_op, outcome: *mut menlou_outcome) -> i32 {
    guard(MENLOU_ERR_FAILED, || {
        // SAFETY: see `entry`.
        let (call, outcome) = unsafe { (PluginCall::from_handle(call), outcome.as_mut()) };
        let (Some(call), Some(outcome)) = (call, outcome) else { return MENLOU_ERR_INVALID };
        // SAFETY: NULL, or the waker of the poller, which lives while the plugin's `poll` runs.
        let Some(waker) = (unsafe { call.waker.get().as_ref() }) else { return MENLOU_ERR_INVALID };
        if (outcome.struct_size as usize) < size_of::<menlou_outcome>() {
            return MENLOU_ERR_INVALID;
        }
        match operation::poll(op, call.number, &mut Context::from_waker(waker), outcome) {
            OpPoll::Invalid => MENLOU_ERR_INVALID,
            OpPoll::Pending => MENLOU_PENDING,
            OpPoll::Ready(effect) => {
                if let Some(effect) = effect {
                    call.apply(effect);
                }
                MENLOU_READY
            }
        }
    })
}

unsafe extern "C" fn op_drop(op: *mut menlou_op) {
    guard((), || operation::release(op));
}

unsafe extern "C" fn reply(call: *mut menlou_call, reply: *const menlou_reply) -> i32 {
    guard(MENLOU_ERR_FAILED, || {
        // SAFETY: see `entry`.
        unsafe {
            match (PluginCall::from_handle(call), reply.as_ref()) {
                (Some(call), Some(reply)) if call.set_reply(reply) => MENLOU_READY,
                _ => MENLOU_ERR_INVALID,
            }
        }
    })
}

unsafe extern "C" fn waker_clone(call: *mut menlou_call) -> *mut menlou_waker {
    guard(ptr::null_mut(), || {
        // SAFETY: see `entry`.
        let waker = unsafe { PluginCall::from_handle(call).and_then(|call| call.waker.get().as_ref()) };
        Box::into_raw(Box::new(waker.cloned().unwrap_or_else(|| Waker::noop().clone()))).cast()
    })
}

unsafe extern "C" fn waker_wake(waker: *const menlou_waker) {
    guard((), || {
        // SAFETY: see `entry`.
        if let Some(waker) = unsafe { waker.cast::<Waker>().as_ref() } {
            waker.wake_by_ref();
        }
    });
}

unsafe extern "C" fn waker_drop(waker: *mut menlou_waker) {
    guard((), || {
        if !waker.is_null() {
            // SAFETY: see `entry`; the waker is from `waker_clone` and is dropped once.
            drop(unsafe { Box::from_raw(waker.cast::<Waker>()) });
        }
    });
}
