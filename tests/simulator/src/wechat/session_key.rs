//! `/wxa/checksession` and `/wxa/resetusersessionkey`: check and replace a session_key.

use std::sync::Arc;

use aws_lc_rs::hmac;
use serde_json::json;

use super::{ApiRequest, ApiResponse, WechatError, ok};
use crate::random;
use crate::state::PlatformState;

pub(super) fn checksession(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = request.caller(state)?;
    check_signature(state, &appid, request)?;
    Ok(ok())
}

pub(super) fn resetusersessionkey(state: &mut PlatformState, request: &ApiRequest) -> Result<ApiResponse, WechatError> {
    let appid = request.caller(state)?;
    check_signature(state, &appid, request)?;
    let (openid, now) = (request.query("openid"), state.clock.now_ms());
    let session_key = state.users.renew_session_key(&appid, openid, now);
    Ok(ApiResponse::Json(json!({
        "errcode": 0,
        "errmsg": "ok",
        "openid": openid,
        "session_key": session_key,
    })))
}

fn check_signature(state: &mut PlatformState, appid: &Arc<str>, request: &ApiRequest) -> Result<(), WechatError> {
    if request.query("sig_method") != "hmac_sha256" {
        return Err(WechatError::new(87008));
    }
    let Some(user) = state.users.get_mut(appid, request.query("openid")) else {
        return Err(WechatError::new(40003));
    };
    let Some(session_key) = &user.session_key else {
        return Err(WechatError::new(87007));
    };
    if request.query("signature") != signature(session_key) {
        return Err(WechatError::new(87009));
    }
    Ok(())
}

/// HMAC-SHA256 of the empty string, in hex. The key is the session_key without base64 decoding.
fn signature(session_key: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.as_bytes());
    random::hex(hmac::sign(&key, b"").as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_of_a_session_key_equals_the_published_one() {
        assert_eq!(
            signature("o0q0otL8aEzpcZL/FT9WsQ=="),
            "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"
        );
    }
}
