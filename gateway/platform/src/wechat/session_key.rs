//! The check and reset of a person's session_key. The key itself is not sent; the requests carry a signature made with it.

use super::api::MAX_ID_LENGTH;
use super::response::{ResponseFields, unusable};
use aws_lc_rs::hmac;
use form_urlencoded::Serializer;
use menlou_error::Result;
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write as _;

/// Path of the check. The errcode 87009 means that the key is no longer valid.
pub(super) const CHECK: &str = "/wxa/checksession";
/// Path of the reset, which replaces the valid key.
pub(super) const RESET: &str = "/wxa/resetusersessionkey";

/// The query parameters of both requests.
pub(super) fn query(access_token: &str, openid: &str, signature: &str) -> String {
    Serializer::new(String::new())
        .append_pair("access_token", access_token)
        .append_pair("openid", openid)
        .append_pair("signature", signature)
        .append_pair("sig_method", "hmac_sha256")
        .finish()
}

/// The new key in the response to a reset.
pub(super) fn new_key(fields: &ResponseFields, openid: &str) -> Result<SecretString> {
    match (fields.text("openid"), fields.text("session_key")) {
        (Some(other), _) if other != openid => Err(unusable("a session_key of another openid")),
        (_, Some(key)) if key.len() <= MAX_ID_LENGTH && !key.contains(char::is_control) => Ok(SecretString::from(key)),
        _ => Err(unusable("no session_key")),
    }
}

/// The HMAC-SHA256 of the empty text in lower-case hex. The key is the text of the session_key, not its decoded bytes.
pub(super) fn signature(session_key: &SecretString) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.expose_secret().as_bytes());
    hmac::sign(&key, b"").as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_equals_the_published_one() {
        // The first is from WeChat's documentation of checksession, the second was computed independently.
        for (key, hex) in [
            ("o0q0otL8aEzpcZL/FT9WsQ==", "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"),
            ("tiihtNczf5v6AKRyjwEUhQ==", "7154f9f8b4b76b92f541cbf0e37d48840fa06e5e42da92a6f80168a1516a4735"),
        ] {
            assert_eq!(signature(&SecretString::from(key)), hex);
        }
    }
}
