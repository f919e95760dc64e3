//! The panic guard: nothing unwinds across the border, a panic fails one call.

use menlou_abi::MENLOU_ERR_PANIC;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `f`; a panic in it is `MENLOU_ERR_PANIC`.
pub(crate) fn run(f: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|payload| {
        // A payload whose own Drop panics would unwind into the gateway: leak that one instead.
        if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(second);
        }
        MENLOU_ERR_PANIC
    })
}
