//! WeChat's check and reset of a person's session_key: the key itself stays here, a signature made with it is sent.

use super::answer::{Fields, Refusal, unusable};
use super::{MAX_ID, Wechat};
use aws_lc_rs::hmac;
use form_urlencoded::Serializer;
use menlou_error::Result;
use secrecy::{ExposeSecret, SecretString};

/// `GET /wxa/checksession`. 87009 where the key is no longer the valid one.
pub(super) async fn check(wechat: &Wechat, openid: &str, session_key: &SecretString) -> Result<()> {
    ask(wechat, "/wxa/checksession", openid, session_key).await.map(drop).map_err(|refusal| refusal.error)
}

/// `GET /wxa/resetusersessionkey`. The key that was valid is not any more.
pub(super) async fn reset(wechat: &Wechat, openid: &str, session_key: &SecretString) -> Result<SecretString> {
    let fields = ask(wechat, "/wxa/resetusersessionkey", openid, session_key).await.map_err(|refusal| refusal.error)?;
    match (fields.text("openid"), fields.text("session_key")) {
        (Some(answered), _) if answered != openid => Err(unusable("a session_key of another openid")),
        (_, Some(key)) if key.len() <= MAX_ID && !key.contains(char::is_control) => Ok(SecretString::from(key)),
        _ => Err(unusable("no session_key")),
    }
}

async fn ask(wechat: &Wechat, path: &str, openid: &str, session_key: &SecretString) -> Result<Fields, Refusal> {
    let signature = signature(session_key);
    let ask = |token: SecretString| {
        let token = token.expose_secret().to_owned();
        let query = Serializer::new(String::new())
            .append_pair("access_token", &token)
            .append_pair("openid", openid)
            .append_pair("signature", &signature)
            .append_pair("sig_method", "hmac_sha256")
            .finish();
        let signature = &signature;
        async move { wechat.api.get(path, &query, &[&token, signature, openid]).await }
    };
    wechat.with_token(ask).await
}

/// The HMAC-SHA256 of the empty text in lower-case hex; the key is the session_key as it is, not decoded.
fn signature(session_key: &SecretString) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.expose_secret().as_bytes());
    hex::encode(hmac::sign(&key, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_published_one() {
        // As WeChat's documentation of checksession has it, and one recomputed from it.
        for (key, hex) in [
            ("o0q0otL8aEzpcZL/FT9WsQ==", "46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128"),
            ("tiihtNczf5v6AKRyjwEUhQ==", "7154f9f8b4b76b92f541cbf0e37d48840fa06e5e42da92a6f80168a1516a4735"),
        ] {
            assert_eq!(signature(&SecretString::from(key)), hex);
        }
    }
}
