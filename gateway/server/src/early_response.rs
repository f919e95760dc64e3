//! What is refused before a request reaches us is answered with the envelope too.
//!
//! hyper answers a malformed head with a bare `HTTP/1.1 4xx` of no length, and closes. Such a write is told by its length,
//! and by there being no call for it.

use crate::{encode, layers::request_context::RequestContext};
use http::HeaderMap;
use menlou_error::{Error, ErrorCode, codes};
use std::net::Ipv4Addr;

/// The word for an answer that hyper made by itself.
pub fn refused_with(buf: &[u8]) -> Option<&'static ErrorCode> {
    let status = buf.strip_prefix(b"HTTP/1.1 4")?;
    let head = buf.get(..buf.len().min(512))?;
    if !head.windows(19).any(|w| w.eq_ignore_ascii_case(b"content-length: 0\r\n")) {
        return None;
    }
    match status.get(..2)? {
        b"14" => Some(&codes::URI_TOO_LONG),
        b"31" => Some(&codes::HEADERS_TOO_LARGE),
        _ => Some(&codes::BAD_REQUEST),
    }
}

/// The whole answer that says it properly.
pub fn answer(word: &'static ErrorCode) -> Vec<u8> {
    let context = RequestContext::from_headers(&HeaderMap::new(), Ipv4Addr::UNSPECIFIED.into());
    let (head, body) = encode::error(&Error::new(word), &context).into_parts();
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
