//! The gateway's side of the HTTP guard: its limits from the config, its error responses, and its metrics.

use crate::early_response;
use http_guard::{CloseReason, GuardConfig, GuardHooks, Rejection, Violation};
use menlou_config::server::{Clients, Http2, Server};
use menlou_error::codes;

/// Hooks of every guarded connection, on both listeners.
pub struct GatewayHooks;

impl GuardHooks for GatewayHooks {
    fn early_response(&self, rejection: Rejection) -> Vec<u8> {
        early_response::http1(match rejection {
            Rejection::BadRequest => &codes::BAD_REQUEST,
            Rejection::RequestTimeout => &codes::REQUEST_TIMEOUT,
            Rejection::UriTooLong => &codes::URI_TOO_LONG,
            Rejection::HeadersTooLarge => &codes::HEADERS_TOO_LARGE,
        })
    }

    fn on_violation(&self, violation: Violation) {
        metrics::counter!("menlou_requests_rejected_total", "reason" => violation.name()).increment(1);
    }

    fn on_close(&self, reason: CloseReason) {
        count_closed(reason.name());
    }
}

/// Limits of the guard, as they are configured.
pub fn guard_config(server: &Server, clients: &Clients, http2: &Http2) -> GuardConfig {
    GuardConfig {
        max_head_bytes: server.max_header_bytes.bytes(),
        max_control_frames_per_minute: http2.max_control_frames_per_minute,
        first_byte_timeout: clients.first_byte_timeout.get(),
        head_timeout: server.header_timeout.get(),
        keep_alive_timeout: clients.keep_alive_timeout.get(),
        response_write_timeout: clients.response_write_timeout.get(),
        min_transfer_rate: clients.min_transfer_rate.bytes(),
    }
}

/// Counts a connection that the gateway closed.
pub fn count_closed(reason: &'static str) {
    metrics::counter!("menlou_connections_closed_total", "reason" => reason).increment(1);
}
