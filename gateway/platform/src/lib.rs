//! The mini-program platforms: who a login code belongs to, which phone number a phone code stands for.

pub mod circuits;
mod digest;
pub mod exchange;
pub mod http;
pub mod wechat;

use ::http::Method;
use async_trait::async_trait;
use bytes::Bytes;
use menlou_error::Result;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::time::Duration;

/// The person behind a login code.
#[derive(Debug)]
pub struct PlatformIdentity {
    /// The person's id in this mini-program.
    pub openid: String,
    /// The person's id across apps, where the platform gives it.
    pub unionid: Option<String>,
    /// The platform's key for this person, where the platform has one.
    pub session_key: Option<SecretString>,
}

/// A call to the platform that carries the tenant's access token. It has no `Debug`: fields may hold codes.
pub struct PlatformQuery {
    /// GET, whose fields become the query, or POST, whose fields become a JSON body.
    pub method: Method,
    /// The path at the platform: `/wxa/msg_sec_check`.
    pub path: String,
    /// The fields.
    pub fields: Map<String, Value>,
}

/// What such a call brought.
pub enum PlatformReply {
    /// The fields of a success, without what only says that it is one.
    Fields(Map<String, Value>),
    /// Something else than JSON: a picture.
    File {
        /// Its media type: `image/jpeg`.
        content_type: String,
        /// The bytes, at most [`http::MAX_RESPONSE_SIZE`].
        body: Bytes,
    },
}

/// One tenant's account at one platform.
#[async_trait]
pub trait Platform: Send + Sync {
    /// The name under which the tenant file and the stores know it: `wechat`.
    fn name(&self) -> &'static str;
    /// Exchanges a login code. It asks the platform once and never repeats by itself: codes are single use.
    async fn exchange(&self, code: &str) -> Result<PlatformIdentity>;
    /// The phone number behind a phone code, in E.164: `+8613800138000`.
    async fn phone_number(&self, phone_code: &str) -> Result<String>;
    /// Whether [`Platform::call`] takes this path: one of the platform's own, none that gives out credentials.
    fn may_call(&self, path: &str) -> bool;
    /// Calls the platform with the tenant's access token, which is renewed once where it is refused.
    async fn call(&self, asked: PlatformQuery) -> Result<PlatformReply>;
    /// What the platform encrypted for a person, if it is this mini-program's and no older than `max_age`.
    fn decrypt(
        &self,
        session_key: &SecretString,
        data: &str,
        iv: &str,
        max_age: Duration,
    ) -> Result<Map<String, Value>>;
    /// Whether a person's key is still the valid one: an error where it is not.
    async fn check_session_key(&self, openid: &str, session_key: &SecretString) -> Result<()>;
    /// Has the platform give a person a new key in place of the valid one.
    async fn reset_session_key(&self, openid: &str, session_key: &SecretString) -> Result<SecretString>;
}
