//! Paths of the console.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// The path of the console's first page, and the prefix of all others.
pub const BASE: &str = "/console/";

/// Percent-encodes a text for use in a path or a query.
pub fn escape(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Returns the address if it is a page of the console, otherwise [`BASE`]. Prevents open redirects.
pub fn within_console(address: &str) -> String {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_console = address.starts_with(BASE) && !address.starts_with("/console//");
    if is_console && is_plain { address } else { BASE }.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_lead_to_pages_of_the_console_only() {
        assert_eq!(within_console("/console/tenants/acme?done=saved"), "/console/tenants/acme?done=saved");
        for elsewhere in ["", "https://evil.example/", "//evil.example", "/console//evil", "/console/\r\nx: y", "/x"] {
            assert_eq!(within_console(elsewhere), BASE, "{elsewhere:?}");
        }
    }
}
