//! Small steps from the border's types to Rust's: what a plugin hands over is checked, not trusted.

use menlou_abi::menlou_str;

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
