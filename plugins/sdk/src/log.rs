//! Log lines, and the panic hook that logs panics.

use crate::{ffi, operation};
use menlou_abi::*;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = MENLOU_LOG_ERROR,
    /// Something that an operator should look into.
    Warn = MENLOU_LOG_WARN,
    /// A notable event.
    Info = MENLOU_LOG_INFO,
    /// Details for debugging.
    Debug = MENLOU_LOG_DEBUG,
    /// Everything.
    Trace = MENLOU_LOG_TRACE,
}

static HOST: AtomicPtr<menlou_host> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn write(host: &menlou_host, call: *mut menlou_call, level: Level, message: &str, fields: &[(&str, &str)]) {
    // SAFETY: callable on any thread; `call` is NULL or the call that this thread is inside of; text is copied.
    unsafe {
        if (host.log_enabled)(host, level as u32) == 0 {
            return;
        }
        let fields: Vec<menlou_kv> =
            fields.iter().map(|(k, v)| menlou_kv { key: ffi::str(k), value: ffi::str(v) }).collect();
        (host.log)(host, call, level as u32, ffi::str(message), fields.as_ptr(), fields.len());
    }
}

/// The `init` of every plugin that is built with this SDK. It logs panics in the gateway's log, with the request id.
///
/// # Safety
/// `host` is valid until the process ends.
pub(crate) unsafe extern "C" fn init(host: *const menlou_host) -> i32 {
    crate::panic_guard::run(|| {
        HOST.store(host.cast_mut(), Ordering::Release);
        std::panic::set_hook(Box::new(|info| {
            // SAFETY: NULL, or a table that is valid until the process ends.
            let Some(host) = (unsafe { HOST.load(Ordering::Acquire).as_ref() }) else { return };
            let location = info.location().map(ToString::to_string).unwrap_or_default();
            // Only the location is logged: the payload may contain data of the client.
            write(host, operation::current().call, Level::Error, "panic in plugin", &[("at", &location)]);
        }));
        MENLOU_READY
    })
}
