//! `/wxa/checksession` and `/wxa/resetusersessionkey`: whether a session_key is the valid one.

use std::sync::Arc;

use aws_lc_rs::hmac;
use serde_json::json;

use super::{Answer, Call, WechatError, ok};
use crate::random;
use crate::world::World;

pub(super) fn checksession(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    let appid = call.caller(world)?;
    check_signature(world, &appid, call)?;
    Ok(ok())
}

pub(super) fn resetusersessionkey(world: &mut World, call: &Call) -> Result<Answer, WechatError> {
    let appid = call.caller(world)?;
    check_signature(world, &appid, call)?;
    let (openid, now) = (call.query("openid"), world.clock.now_ms());
    let session_key = world.people.renew_session_key(&appid, openid, now);
    Ok(Answer::Json(json!({
        "errcode": 0,
        "errmsg": "ok",
        "openid": openid,
        "session_key": session_key,
    })))
}

fn check_signature(world: &mut World, appid: &Arc<str>, call: &Call) -> Result<(), WechatError> {
    if call.query("sig_method") != "hmac_sha256" {
        return Err(WechatError::new(87008));
    }
    let Some(person) = world.people.get_mut(appid, call.query("openid")) else {
        return Err(WechatError::new(40003));
    };
    let Some(session_key) = &person.session_key else {
        return Err(WechatError::new(87007));
    };
    if call.query("signature") != signature(session_key) {
        return Err(WechatError::new(87009));
    }
    Ok(())
}

/// HMAC-SHA256 of the empty text, in hex; the key is the session_key as it is, not decoded.
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
