//! Conversions between Rust's types and those of the plugin ABI.

use menlou_abi::menlou_str;

/// Borrows text for a call of a host function, which copies it.
pub(crate) fn str(text: &str) -> menlou_str {
    menlou_str::new(text.as_bytes())
}

/// Text, or the value "not given".
pub(crate) fn option(text: Option<&str>) -> menlou_str {
    text.map_or(menlou_str::NONE, str)
}

/// # Safety
/// The bytes are valid for `'a` and are UTF-8, which the gateway guarantees for all text.
pub(crate) unsafe fn text<'a>(s: menlou_str) -> &'a str {
    // SAFETY: the caller's contract.
    unsafe { std::str::from_utf8_unchecked(s.bytes()) }
}
