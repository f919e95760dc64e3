//! Small steps from the border's types to Rust's: what a plugin hands over is checked, not trusted.

use menlou_abi::menlou_str;
use std::net::IpAddr;

/// The longest text or body that a plugin may hand over in one argument, in bytes.
pub(super) const LONGEST: usize = 16 << 20;

/// A text from a plugin, if it is one; "" where it was not given.
///
/// # Safety
/// The bytes of `s` can be read for `'a`.
pub(super) unsafe fn text<'a>(s: menlou_str) -> Option<&'a str> {
    if s.len > LONGEST {
        return None;
    }
    // SAFETY: the caller's promise.
    std::str::from_utf8(unsafe { s.bytes() }).ok()
}

/// A plugin's text for the log: bounded, and on one line.
///
/// # Safety
/// As [`text`].
pub(super) unsafe fn printable(s: menlou_str) -> String {
    let s = menlou_str { ptr: s.ptr, len: s.len.min(4096) };
    // SAFETY: the caller's promise.
    let text = String::from_utf8_lossy(unsafe { s.bytes() });
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An address as text; the usual kind by hand, as its `Display` takes as long as a third of the border.
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

/// `type/subtype`, perhaps with parameters.
pub(super) fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    text.len() <= 128 && essence.split_once('/').is_some_and(|(of, sub)| token(of) && token(sub))
}

/// Text is checked, not trusted; nothing is kept of what is parsed.
pub(super) fn is_json_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
        && std::str::from_utf8(bytes).is_ok_and(|t| serde_json::from_str::<serde::de::IgnoredAny>(t).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_its_display_says() {
        for text in ["0.0.0.0", "127.0.0.1", "10.20.105.99", "255.255.255.255", "::1", "2001:db8::5"] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(address(ip), ip.to_string());
        }
    }
}
