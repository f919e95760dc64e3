//! Small steps between Rust's types and the border's.

use menlou_abi::menlou_str;

/// Borrows text for a call into the gateway, which copies what it keeps.
pub(crate) fn str(text: &str) -> menlou_str {
    menlou_str::new(text.as_bytes())
}

/// Text, or "not given".
pub(crate) fn option(text: Option<&str>) -> menlou_str {
    text.map_or(menlou_str::NONE, str)
}

/// # Safety
/// The bytes live for `'a` and are UTF-8: the gateway's promise for all text.
pub(crate) unsafe fn text<'a>(s: menlou_str) -> &'a str {
    // SAFETY: the caller's promise.
    unsafe { std::str::from_utf8_unchecked(s.bytes()) }
}
