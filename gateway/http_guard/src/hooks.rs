//! What a server adds to the guard: its own error responses, and its metrics.

use crate::violation::{CloseReason, Rejection, Violation};

/// Callbacks of the guard. Each has a default; `()` implements the trait with all of them. The guard is generic over its
/// hooks, so hooks that do nothing cost nothing.
///
/// The callbacks run while a connection is polled: they must not block.
pub trait GuardHooks {
    /// The complete HTTP/1 response, head and body, that is sent in place of hyper's bare one to a request that never
    /// reached a service. It has to say `connection: close`, since hyper closes the connection behind it.
    fn early_response(&self, rejection: Rejection) -> Vec<u8> {
        rejection.empty_response().to_vec()
    }

    /// The input was rejected. Nothing behind the violation is read.
    fn on_violation(&self, violation: Violation) {
        let _ = violation;
    }

    /// The connection is closed, though its input was well-formed.
    fn on_close(&self, reason: CloseReason) {
        let _ = reason;
    }
}

impl GuardHooks for () {}
