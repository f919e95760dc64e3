//! Lines for the gateway's log, and the panic hook that writes them.

use crate::{ffi, operation};
use menlou_abi::*;
use std::sync::atomic::{AtomicPtr, Ordering};

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = MENLOU_LOG_ERROR,
    /// A thing to look into.
    Warn = MENLOU_LOG_WARN,
    /// Worth knowing.
    Info = MENLOU_LOG_INFO,
    /// For whoever looks for a fault.
    Debug = MENLOU_LOG_DEBUG,
    /// Everything.
    Trace = MENLOU_LOG_TRACE,
}

static HOST: AtomicPtr<menlou_host> = AtomicPtr::new(std::ptr::null_mut());

pub(crate) fn write(host: &menlou_host, call: *mut menlou_call, level: Level, message: &str, fields: &[(&str, &str)]) {
    // SAFETY: any thread; `call` is NULL or the call that this thread is inside of; all text is copied.
    unsafe {
        if (host.log_enabled)(host, level as u32) == 0 {
            return;
        }
        let fields: Vec<menlou_kv> =
            fields.iter().map(|(k, v)| menlou_kv { key: ffi::str(k), value: ffi::str(v) }).collect();
        (host.log)(host, call, level as u32, ffi::str(message), fields.as_ptr(), fields.len());
    }
}

/// The `init` of every plugin made with this SDK: panics go to the gateway's log, with the call they happened in.
///
/// # Safety
/// `host` lives for ever.
pub(crate) unsafe extern "C" fn init(host: *const menlou_host) -> i32 {
    crate::panic_guard::run(|| {
        HOST.store(host.cast_mut(), Ordering::Release);
        std::panic::set_hook(Box::new(|info| {
            // SAFETY: NULL or a table that lives for ever.
            let Some(host) = (unsafe { HOST.load(Ordering::Acquire).as_ref() }) else { return };
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            // The payload may hold what a caller sent: the place is enough to find it.
            write(host, operation::current().call, Level::Error, "panic in plugin", &[("at", &place)]);
        }));
        MENLOU_READY
    })
}
