//! Phone codes: what the getPhoneNumber button gives to the client.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CODE_TTL_MS, World};
use crate::random;
use crate::wechat::WechatError;

/// A phone number as the platform tells it. Its `Debug` shows nothing of it.
#[derive(Clone)]
pub struct PhoneNumber {
    number: String,
    country: Value,
}

impl PhoneNumber {
    /// A number without its country code; the country is China, `86`, told as a JSON number.
    pub fn new(number: impl Into<String>) -> Self {
        Self { number: number.into(), country: json!(86) }
    }

    /// Another country code. It is told in the type in which it is given here: the platform is
    /// known to answer both a JSON number and a string.
    #[must_use]
    pub fn country(mut self, country: impl Into<Value>) -> Self {
        self.country = country.into();
        self
    }

    /// The platform's `phone_info`, without its watermark.
    pub(crate) fn info(&self) -> Value {
        let code = match &self.country {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let full = match code.as_str() {
            "86" => self.number.clone(),
            code => format!("+{code}{}", self.number),
        };
        json!({
            "phoneNumber": full,
            "purePhoneNumber": self.number,
            "countryCode": self.country,
        })
    }

    /// What is wrong with it, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let digits = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|b| b.is_ascii_digit())
        };
        let country = match &self.country {
            Value::String(text) => digits(text, 4),
            Value::Number(number) => digits(&number.to_string(), 4),
            _ => false,
        };
        if !digits(&self.number, 15) {
            return Some("phone is not a number of 1 to 15 digits");
        }
        (!country).then_some("country is not a number of 1 to 4 digits")
    }
}

impl std::fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneNumber").finish_non_exhaustive()
    }
}

/// A code that was given out, and the number behind it.
pub(crate) struct PhoneCode {
    appid: Arc<str>,
    phone: PhoneNumber,
    /// The person that pressed the button; none where a test does not say.
    openid: Option<String>,
    used: bool,
    pub(super) expires_ms: u64,
}

impl World {
    /// A fresh phone code, of this person if one is given.
    pub(crate) fn phone_code(&mut self, appid: &Arc<str>, phone: PhoneNumber, openid: Option<String>) -> String {
        let code = random::phone_code();
        self.phone_codes.insert(
            code.clone(),
            PhoneCode {
                appid: appid.clone(),
                phone,
                openid,
                used: false,
                expires_ms: self.clock.now_ms() + CODE_TTL_MS,
            },
        );
        code
    }

    /// Uses a phone code up.
    ///
    /// # Errors
    /// 40013 if it is another app's; 40029 if it is unknown, used or expired; 40003 if it is another person's than the
    /// openid says that the caller sent, which may be empty. The code stays valid then.
    pub(crate) fn redeem_phone(&mut self, appid: &str, code: &str, openid: &str) -> Result<PhoneNumber, WechatError> {
        let now = self.clock.now_ms();
        let Some(code) = self.phone_codes.get_mut(code) else {
            return Err(WechatError::new(40029));
        };
        if *code.appid != *appid {
            return Err(WechatError::new(40013));
        }
        if code.used || now >= code.expires_ms {
            return Err(WechatError::new(40029));
        }
        if !openid.is_empty() && code.openid.as_ref().is_some_and(|own| own != openid) {
            return Err(WechatError::new(40003));
        }
        code.used = true;
        Ok(code.phone.clone())
    }
}
