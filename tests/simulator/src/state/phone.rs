//! Phone codes, which the client gets from the getPhoneNumber button.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{CODE_TTL_MS, PlatformState};
use crate::random;
use crate::wechat::WechatError;

/// A phone number as the platform returns it. `Debug` omits the number.
#[derive(Clone)]
pub struct PhoneNumber {
    number: String,
    country: Value,
}

impl PhoneNumber {
    /// A number without its country code. The country is China, `86` as a JSON number.
    pub fn new(number: impl Into<String>) -> Self {
        Self { number: number.into(), country: json!(86) }
    }

    /// Another country code, which is returned in the type given here: the platform is known to return
    /// both numbers and strings.
    #[must_use]
    pub fn country(mut self, country: impl Into<Value>) -> Self {
        self.country = country.into();
        self
    }

    /// The `phone_info` of a response, without the watermark.
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

    /// Checks the number of digits.
    ///
    /// # Errors
    /// A message if the number is not 1 to 15 digits or the country code is not 1 to 4 digits.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        let is_digits =
            |text: &str, max: usize| !text.is_empty() && text.len() <= max && text.bytes().all(|b| b.is_ascii_digit());
        let is_country = match &self.country {
            Value::String(text) => is_digits(text, 4),
            Value::Number(number) => is_digits(&number.to_string(), 4),
            _ => false,
        };
        if !is_digits(&self.number, 15) {
            return Err("phone is not a number of 1 to 15 digits");
        }
        if is_country { Ok(()) } else { Err("country is not a number of 1 to 4 digits") }
    }
}

impl std::fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneNumber").finish_non_exhaustive()
    }
}

/// An issued code and its number.
pub(crate) struct PhoneCode {
    appid: Arc<str>,
    phone: PhoneNumber,
    /// The user who pressed the button. `None` if the test does not specify one.
    openid: Option<String>,
    used: bool,
    pub(super) expires_ms: u64,
}

impl PlatformState {
    /// A new phone code, which is valid for one user only if `openid` is given.
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

    /// Redeems a phone code.
    ///
    /// # Errors
    /// 40013 if the code is of another app; 40029 if it is unknown, used or expired; 40003 if it is of another user
    /// than `openid`, which may be empty. The code remains valid after 40003.
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
