//! Conversions between the plugin ABI's types and Rust's. Values from plugins are checked here.

use http::HeaderValue;
use menlou_abi::menlou_str;
use std::net::IpAddr;

/// Maximum length of one text or body that a plugin passes, in bytes.
pub(super) const MAX_ARGUMENT: usize = 16 << 20;
/// Maximum length of a media type, in bytes.
const MAX_MEDIA_TYPE: usize = 128;
/// Maximum length of a text from a plugin in a log line, in bytes.
const MAX_LOGGED: usize = 4096;

/// A text from a plugin, or `None` if it is too long or not UTF-8. A NULL text is "".
///
/// # Safety
/// The bytes of `s` are readable for `'a`.
pub(super) unsafe fn text<'a>(s: menlou_str) -> Option<&'a str> {
    if s.len > MAX_ARGUMENT {
        return None;
    }
    // SAFETY: promised by the caller.
    std::str::from_utf8(unsafe { s.bytes() }).ok()
}

/// A text from a plugin for the log: truncated, on one line, without control characters.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn printable(s: menlou_str) -> String {
    let s = menlou_str { ptr: s.ptr, len: s.len.min(MAX_LOGGED) };
    // SAFETY: promised by the caller.
    let text = String::from_utf8_lossy(unsafe { s.bytes() });
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An address as text. IPv4 is formatted here, because its `Display` costs as much as a third of an empty plugin call.
pub(super) fn address(ip: IpAddr) -> String {
    let IpAddr::V4(v4) = ip else { return ip.to_string() };
    let mut text = String::with_capacity(15);
    for octet in v4.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text
}

/// A value of the `Content-Type` header, if `text` is a media type: `type/subtype`, with or without parameters.
pub(super) fn media_type(text: &str) -> Option<HeaderValue> {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let is_token = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    let is_media_type = essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
    if text.len() > MAX_MEDIA_TYPE || !is_media_type {
        return None;
    }
    HeaderValue::from_str(text).ok()
}

/// Whether the bytes are a JSON object in UTF-8.
pub(super) fn is_json_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
        && std::str::from_utf8(bytes).is_ok_and(|t| serde_json::from_str::<serde::de::IgnoredAny>(t).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_formatted_as_by_display() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.105.99", "255.255.255.255", "::1", "2001:db8::5"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(address(ip), ip.to_string());
        }
    }
}
