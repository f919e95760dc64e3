//! The mini-program platforms: who a login code belongs to, which phone number a phone code stands for.

mod clock;
mod digest;
pub mod exchange;
pub mod http;
pub mod wechat;

use crate::error::Result;
use async_trait::async_trait;
use secrecy::SecretString;

/// The person behind a login code.
#[derive(Debug)]
pub struct Person {
    /// The person's id in this mini-program.
    pub openid: String,
    /// The person's id across apps, where the platform gives it.
    pub unionid: Option<String>,
    /// The platform's key for this person, where the platform has one.
    pub session_key: Option<SecretString>,
}

/// One tenant's account at one platform.
#[async_trait]
pub trait Platform: Send + Sync {
    /// The name under which the tenant file and the stores know it: `wechat`.
    fn name(&self) -> &'static str;
    /// Exchanges a login code. It asks the platform once and never repeats by itself: codes are single use.
    async fn exchange(&self, code: &str) -> Result<Person>;
    /// The phone number behind a phone code, in E.164: `+8613800138000`.
    async fn phone_number(&self, phone_code: &str) -> Result<String>;
}
