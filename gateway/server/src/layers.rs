//! The layers around the request handler, each a `tower::Layer` that can be used by itself.

pub mod admission;
pub mod panic_guard;
pub mod request_context;
