//! Entry from a plugin into the gateway: contains panics, and checks the call's handle.
//!
//! SAFETY of the `unsafe` code in the host functions: plugins call them as the ABI (`plugins/abi`) requires, with handles
//! that they got from the gateway, and with pointers and texts that are readable, or writable, during the function.

use crate::{operation::OpFuture, plugin_call::PluginCall};
use menlou_abi::{menlou_call, menlou_op};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    ptr,
};

/// Runs a host function and returns `on_panic` if it panics. A panic must not unwind into a plugin, which may be in C.
pub(super) fn guard<T>(on_panic: T, f: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or(on_panic)
}

/// Starts an operation for a call. Returns NULL if the handle is invalid, the call has too many operations, or `f` returns
/// `None` because an argument is invalid.
///
/// # Safety
/// See the module's documentation.
pub(super) unsafe fn begin(call: *mut menlou_call, f: impl FnOnce(&PluginCall) -> Option<OpFuture>) -> *mut menlou_op {
    guard(ptr::null_mut(), || {
        // SAFETY: the reference is used within this host function only.
        let call = unsafe { PluginCall::from_handle(call) };
        call.and_then(|call| call.operations.register(call.number, f(call)?)).unwrap_or(ptr::null_mut())
    })
}
