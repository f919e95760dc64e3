//! Responses to requests that never reach a service: the same JSON envelope, as complete HTTP/1 responses.

use crate::{encode, layers::request_context::RequestContext};
use http::HeaderMap;
use menlou_error::{Error, ErrorCode};
use std::net::Ipv4Addr;

/// Head and body of an error response that closes its connection.
pub fn http1(code: &'static ErrorCode) -> Vec<u8> {
    let context = RequestContext::from_headers(&HeaderMap::new(), Ipv4Addr::UNSPECIFIED.into());
    let (head, body) = encode::error(&Error::new(code), &context).into_parts();
    let body = body.into_bytes();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != http::header::CONNECTION) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}
