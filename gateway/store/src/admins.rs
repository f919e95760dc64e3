//! Admins: the tokens by which they are known, and the log of what they did.

use super::Result;
use async_trait::async_trait;

/// An admin's token, as far as it is stored. All times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// The public part, which names the token.
    pub id: String,
    /// SHA-256 of the secret part.
    pub hash: [u8; 32],
    /// What its bearer may do: `operator`, `viewer`, `tenant:NAME`.
    pub role: String,
    /// Whose it is, or what for.
    pub label: String,
    /// When it was made.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: Option<i64>,
    /// When it was used last, as [`AdminStore::record_token_use`] was told.
    pub used_at: Option<i64>,
}

/// Something that an admin is about to do, or failed to do. No secrets, no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDeed {
    /// The token's id and label, or who gave the command.
    pub who: String,
    /// As what they did it: a role, or `command`.
    pub role: String,
    /// A stable word: `tenant.replace`.
    pub what: String,
    /// Whose tenant it is about.
    pub tenant: Option<String>,
    /// What it is about within that: a user's id.
    pub target: Option<String>,
    /// How it was.
    pub before: Option<String>,
    /// How it shall be.
    pub after: Option<String>,
    /// The error's word, where the deed that was written down before this one failed.
    pub failed: Option<String>,
}

/// A deed as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// Ascending.
    pub id: i64,
    /// Unix milliseconds.
    pub at: i64,
    /// The deed.
    pub deed: NewDeed,
}

impl std::fmt::Debug for AdminToken {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminToken").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Tokens and the log of deeds. Nothing is cached: what was revoked is worth nothing from then on.
#[async_trait]
pub trait AdminStore: Send + Sync {
    /// Keeps a new token.
    async fn add_token(&self, token: &AdminToken) -> Result<()>;
    /// The token of this id, expired or not.
    async fn token(&self, id: &str) -> Result<Option<AdminToken>>;
    /// All tokens, the oldest first.
    async fn tokens(&self) -> Result<Vec<AdminToken>>;
    /// Takes a token away; false where there was none.
    async fn revoke(&self, id: &str) -> Result<bool>;
    /// Remembers that a token was used.
    async fn record_token_use(&self, id: &str, at: i64) -> Result<()>;
    /// Writes a deed down, for ever: the database itself refuses to change it.
    async fn write_down(&self, deed: &NewDeed) -> Result<()>;
    /// Deeds, the newest first: of one tenant or all, those before an id or all, `most` at most.
    async fn deeds(&self, tenant: Option<&str>, before: Option<i64>, most: u32) -> Result<Vec<Deed>>;
}
