//! Decrypts WeChat's `encryptedData` with a person's session_key and checks its watermark.

use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::{Engine, engine::general_purpose::STANDARD};
use menlou_clock::unix_millis;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::time::Duration;

/// Maximum lead of WeChat's clock over that of the gateway.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Decrypts AES-128-CBC with PKCS#7 padding, and checks that the watermark names this AppID and is at most `max_age` old.
///
/// An invalid key, invalid data and invalid padding cause the same error, so that responses are no padding oracle.
pub(super) fn decrypt(
    session_key: &SecretString,
    data: &str,
    iv: &str,
    appid: &str,
    max_age: Duration,
) -> Result<Map<String, Value>> {
    let plain = decrypt_json(session_key, data, iv).ok_or_else(|| Error::new(&codes::DECRYPT_FAILED))?;
    let watermark = plain.get("watermark").and_then(Value::as_object);
    let watermark_appid = watermark.and_then(|w| w.get("appid")).and_then(Value::as_str);
    if watermark_appid != Some(appid) {
        let text = Text::fixed("加密数据属于另一个小程序", "The encrypted data belongs to another mini-program.");
        return Err(Error::new(&codes::DECRYPT_FAILED).with_detail(text));
    }
    let encrypted_at = watermark.and_then(|w| w.get("timestamp")).and_then(Value::as_u64).map(Duration::from_secs);
    let now = Duration::from_millis(unix_millis());
    match encrypted_at {
        Some(time) if now.saturating_sub(time) <= max_age && time.saturating_sub(now) <= MAX_CLOCK_SKEW => Ok(plain),
        _ => {
            let text =
                Text::fixed("加密数据已过期，请重新获取", "The encrypted data is too old. Get it from WeChat again.");
            Err(Error::new(&codes::DECRYPT_FAILED).with_detail(text))
        }
    }
}

fn decrypt_json(session_key: &SecretString, data: &str, iv: &str) -> Option<Map<String, Value>> {
    let key = STANDARD.decode(session_key.expose_secret()).ok()?;
    let iv: [u8; 16] = STANDARD.decode(iv).ok()?.try_into().ok()?;
    let mut data = STANDARD.decode(data).ok()?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_128, &key).ok()?).ok()?;
    let plain = key.decrypt(&mut data, DecryptionContext::Iv128(FixedLength::from(iv))).ok()?;
    serde_json::from_slice(plain).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The sample from WeChat's documentation ("signature and decryption of open data").
    const APPID: &str = "wx4f4bc4dec97d474b";
    const KEY: &str = "tiihtNczf5v6AKRyjwEUhQ==";
    const IV: &str = "r7BXXKkLb8qrSNn05n0qiA==";
    const DATA: &str = "CiyLU1Aw2KjvrjMdj8YKliAjtP4gsMZMQmRzooG2xrDcvSnxIMXFufNstNGTyaGS9uT5geRa0W4oTOb1WT7fJlAC+oNPdbB+\
        3hVbJSRgv+4lGOETKUQz6OYStslQ142dNCuabNPGBzlooOmB231qMM85d2/fV6ChevvXvQP8Hkue1poOFtnEtpyxVLW1zAo6/1Xx1COxFvrc\
        2d7UL/lmHInNlxuacJXwu0fjpXfz/YqYzBIBzD6WUfTIF9GRHpOn/Hz7saL8xz+W//FRAUid1OksQaQx4CMs8LOddcQhULW4ucetDf96JcR3\
        g0gfRK4PC7E/r7Z6xNrXd2UIeorGj5Ef7b1pJAYB6Y5anaHqZ9J6nKEBvB4DnNLIVWSgARns/8wR2SiRS7MNACwTyrGvt9ts8p12PKFdlqYT\
        opNHR1Vf7XjfhQlVsAJdNiKdYmYVoKlaRv85IfVunYzO0IKXsyl7JCUjCpoG20f0a04COwfneQAGGwd5oa+T8yO5hzuyDb/XcxxmK01EpqOy\
        uxINew==";
    /// Exceeds the age of the sample, which is from 2016.
    const MAX_AGE: Duration = Duration::from_secs(200 * 365 * 24 * 3600);

    fn decrypted(key: &str, data: &str, iv: &str, appid: &str, max_age: Duration) -> Result<Map<String, Value>> {
        decrypt(&SecretString::from(key), data, iv, appid, max_age)
    }

    #[test]
    fn the_published_sample_is_decrypted() {
        let plain = decrypted(KEY, DATA, IV, APPID, MAX_AGE).expect("the sample");
        assert_eq!(plain["openId"], "oGZUI0egBJY1zhBYw2KhdUfwVJJE");
        assert_eq!(plain["unionId"], "ocMvos6NjeKLIBqg5Mr9QjxrP1FA");
        assert_eq!(plain["watermark"]["timestamp"], 1_477_314_187);
    }

    #[test]
    fn data_foreign_app_and_old_data_are_rejected() {
        let foreign = decrypted(KEY, DATA, IV, "wx00000000000000ff", MAX_AGE).expect_err("rejected");
        assert!(foreign.is(&codes::DECRYPT_FAILED) && foreign.meaning().en.contains("another mini-program"));
        let old = decrypted(KEY, DATA, IV, APPID, Duration::from_secs(3600)).expect_err("rejected");
        assert!(old.is(&codes::DECRYPT_FAILED) && old.meaning().en.contains("too old"));
    }

    #[test]
    fn an_invalid_key_iv_or_text_causes_the_same_error() {
        let cut = &DATA[..DATA.len() - 24];
        for (key, data, iv) in [
            ("nzoqhc3OnwHzeTxJs+inbQ==", DATA, IV),
            ("", DATA, IV),
            ("not base64", DATA, IV),
            (KEY, cut, IV),
            (KEY, "", IV),
            (KEY, "AAAA", IV),
            (KEY, DATA, "AAAA"),
            (KEY, DATA, "AAAAAAAAAAAAAAAAAAAAAA=="),
        ] {
            let error = decrypted(key, data, iv, APPID, MAX_AGE).expect_err("rejected");
            assert!(error.is(&codes::DECRYPT_FAILED), "{error}");
            assert_eq!(error.meaning().en, codes::DECRYPT_FAILED.meaning().en);
        }
    }

    proptest! {
        #[test]
        fn no_input_causes_a_panic(data: Vec<u8>, iv: [u8; 16]) {
            prop_assert!(decrypted(KEY, &STANDARD.encode(data), &STANDARD.encode(iv), APPID, MAX_AGE).is_err());
        }
    }
}
