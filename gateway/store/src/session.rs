//! Sessions, and the trait of their stores.

use crate::error::Result;
use async_trait::async_trait;
use secrecy::SecretString;
use std::{fmt, sync::Arc};

/// Maximum number of sessions of one identity that are listed.
pub const MAX_LISTED: u32 = 200;

/// What a session token stands for: one openid of one tenant. Whether that openid is logged in is not stored here but in
/// its binding ([`UserStore::find`](crate::UserStore::find)): a login or an unbinding applies to all sessions of the openid
/// at the same time.
#[derive(Debug)]
pub struct Session {
    /// Platform of the openid, such as `wechat`.
    pub platform: String,
    /// The user's id in this mini-program.
    pub openid: String,
    /// The user's id across the apps of one open-platform account, where the platform returned one.
    pub unionid: Option<String>,
    /// The platform's session key. It never leaves the gateway's stores.
    pub session_key: Option<SecretString>,
    /// Whether the session was opened with a test openid instead of a code.
    pub test: bool,
    /// When the session was opened, in Unix seconds.
    pub created_at: u64,
    /// When the session expires, in Unix seconds.
    pub expires_at: u64,
}

/// SHA-256 of a session token: the only form in which a token is stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash as 64 lower-case hex digits: the session's id for admins. It does not authenticate anybody.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Parses what [`TokenHash::hex`] returns.
    pub fn from_hex(digits: &str) -> Option<Self> {
        let mut hash = [0; 32];
        let is_lower_case = !digits.bytes().any(|byte| byte.is_ascii_uppercase());
        (is_lower_case && hex::decode_to_slice(digits, &mut hash).is_ok()).then_some(Self(hash))
    }
}

impl fmt::Debug for TokenHash {
    /// The hash is not printed: it is the key of a session's record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// Sessions by the hash of their token. An expired session is not found.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// Stores a session until its `expires_at`.
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()>;
    /// The session of this token in this tenant.
    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>>;
    /// Replaces the session of this token. Returns false, and stores nothing, where the token has no session.
    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool>;
    /// Ends a session. Returns false where the token has none.
    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool>;
    /// Number of sessions of the tenant.
    async fn count(&self, tenant: &str) -> Result<u64>;
    /// The sessions of one identity, newest first, at most [`MAX_LISTED`].
    async fn list(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>>;
    /// Ends all sessions of the tenant in batches, and returns their number. Where it fails, the batches that were ended
    /// stay ended.
    async fn end_all(&self, tenant: &str) -> Result<u64>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_hash_is_parsed_from_64_lower_case_hex_digits_only() {
        let hash = TokenHash(std::array::from_fn(|at| at as u8 * 7));
        assert!(TokenHash::from_hex(&hash.hex()) == Some(hash));
        for refused in [hash.hex().to_uppercase(), hash.hex()[1..].to_owned(), hash.hex() + "00", "zz".repeat(32)] {
            assert!(TokenHash::from_hex(&refused).is_none(), "{refused}");
        }
    }
}
