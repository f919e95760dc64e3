//! The interface of a mini-program platform, independent of which one it is.

use async_trait::async_trait;
use bytes::Bytes;
use http::Method;
use menlou_error::Result;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::time::Duration;

/// The identity that a platform returns for a login code.
#[derive(Debug)]
pub struct PlatformIdentity {
    /// Id of the person within this mini-program.
    pub openid: String,
    /// Id of the person across mini-programs, if the platform returns one.
    pub unionid: Option<String>,
    /// Key that the platform uses to encrypt data of this person, if there is one.
    pub session_key: Option<SecretString>,
}

/// A request to the platform that carries the tenant's access token. It has no `Debug`, because fields may hold codes.
pub struct PlatformQuery {
    /// GET, which sends the fields as query parameters, or POST, which sends them as a JSON body.
    pub method: Method,
    /// Path at the platform, such as `/wxa/msg_sec_check`.
    pub path: String,
    /// The fields.
    pub fields: Map<String, Value>,
}

/// The successful response to a [`PlatformQuery`].
pub enum PlatformReply {
    /// The fields of a JSON response, without those that only report success.
    Fields(Map<String, Value>),
    /// A response that is not JSON, such as an image.
    File {
        /// Media type, such as `image/jpeg`.
        content_type: String,
        /// The bytes, at most [`MAX_RESPONSE_SIZE`](crate::http::MAX_RESPONSE_SIZE).
        body: Bytes,
    },
}

/// One tenant's account at one platform.
#[async_trait]
pub trait Platform: Send + Sync {
    /// Name of the platform in tenant files and stores, such as `wechat`.
    fn name(&self) -> &'static str;
    /// Exchanges a login code. The request is sent once and never repeated, because codes are single-use.
    async fn exchange(&self, code: &str) -> Result<PlatformIdentity>;
    /// The phone number behind a phone code, in E.164 such as `+8613800138000`. With an openid, a code that another person
    /// obtained is rejected, if the platform can check that.
    async fn phone_number(&self, phone_code: &str, openid: Option<&str>) -> Result<String>;
    /// Whether [`Platform::call`] accepts this path: it must be one of the platform's that returns no credentials.
    fn may_call(&self, path: &str) -> bool;
    /// Sends a request with the tenant's access token. If the token is rejected, it is renewed once.
    async fn call(&self, query: PlatformQuery) -> Result<PlatformReply>;
    /// Decrypts data that the platform encrypted for a person. The data must belong to this mini-program and be at most
    /// `max_age` old.
    fn decrypt(
        &self,
        session_key: &SecretString,
        data: &str,
        iv: &str,
        max_age: Duration,
    ) -> Result<Map<String, Value>>;
    /// Checks whether a session_key is still valid; an error if it is not.
    async fn check_session_key(&self, openid: &str, session_key: &SecretString) -> Result<()>;
    /// Replaces the valid session_key of a person, and returns the new one.
    async fn reset_session_key(&self, openid: &str, session_key: &SecretString) -> Result<SecretString>;
}
