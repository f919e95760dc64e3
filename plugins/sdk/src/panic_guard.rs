//! The panic guard: no panic unwinds across the plugin ABI, and a panic fails one call only.

use menlou_abi::MENLOU_ERR_PANIC;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; returns `MENLOU_ERR_PANIC` if it panics.
pub(crate) fn run(f: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        // The Drop of the payload may panic too, which would unwind into the gateway: leak that second payload.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        MENLOU_ERR_PANIC
    })
}
