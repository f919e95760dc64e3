//! The types of accounts, identities and sessions.

use serde::{Deserialize, Serialize};

/// An account of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct User {
    /// 用户 ID。Id of the account.
    pub id: i64,
    /// 姓名，可为空。Display name; may be empty.
    pub name: String,
    /// 头像地址，可为空。Avatar URL; may be empty.
    pub avatar_url: String,
}

/// The identity that a platform returned for a login code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The user's id in this mini-program.
    pub openid: String,
    /// The user's id across the apps of one owner, if the platform returns it.
    #[serde(default)]
    pub unionid: Option<String>,
}

/// A session and its token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    /// 会话令牌，以 Authorization: Bearer 发送。Session token, sent as `Authorization: Bearer <token>`.
    pub token: String,
    /// 剩余有效期，单位秒。Remaining lifetime in seconds.
    pub expires_in: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}
