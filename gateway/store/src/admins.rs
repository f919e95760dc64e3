//! Admin tokens and the audit log, and the trait of their stores.

use crate::error::Result;
use async_trait::async_trait;

/// An admin token as it is stored. All times are Unix milliseconds.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// The public part, which identifies the token.
    pub id: String,
    /// SHA-256 of the secret part.
    pub hash: [u8; 32],
    /// What the token permits: `operator`, `viewer` or `tenant:NAME`.
    pub role: String,
    /// The purpose of the token, chosen by the admin who created it.
    pub label: String,
    /// When the token was created.
    pub created_at: i64,
    /// When the token expires.
    pub expires_at: Option<i64>,
    /// When the token was used last, as recorded by [`AdminStore::record_token_use`].
    pub used_at: Option<i64>,
}

/// Something that an admin is about to do, or failed to do. It holds neither secrets nor personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAuditEntry {
    /// The token's id and label, or the user of the command line.
    pub who: String,
    /// The role, or `command` for the command line.
    pub role: String,
    /// A stable name, such as `tenant.replace`.
    pub what: String,
    /// The tenant concerned.
    pub tenant: Option<String>,
    /// The object within the tenant, such as a user's id.
    pub target: Option<String>,
    /// The state before the change.
    pub before: Option<String>,
    /// The state after the change.
    pub after: Option<String>,
    /// The difference that a change makes to a file, in the unified format.
    pub diff: Option<String>,
    /// The error code, where the action of the entry before this one failed.
    pub failed: Option<String>,
}

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Id of the entry; later entries have greater ids.
    pub id: i64,
    /// When it was appended, in Unix milliseconds.
    pub at: i64,
    /// What was appended.
    pub entry: NewAuditEntry,
}

impl std::fmt::Debug for AdminToken {
    /// Without the hash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminToken").field("id", &self.id).field("role", &self.role).finish_non_exhaustive()
    }
}

/// Admin tokens and the audit log. Nothing is cached: a revoked token is invalid immediately.
#[async_trait]
pub trait AdminStore: Send + Sync {
    /// Stores a new token.
    async fn add_token(&self, token: &AdminToken) -> Result<()>;
    /// The token with this id, expired or not.
    async fn token(&self, id: &str) -> Result<Option<AdminToken>>;
    /// All tokens, oldest first.
    async fn tokens(&self) -> Result<Vec<AdminToken>>;
    /// Deletes a token. Returns false where there is none.
    async fn revoke(&self, id: &str) -> Result<bool>;
    /// Records when a token was used, in Unix milliseconds.
    async fn record_token_use(&self, id: &str, at: i64) -> Result<()>;
    /// Appends an entry to the audit log. The database refuses to change it, and to delete it within 28 days.
    async fn append_audit_entry(&self, entry: &NewAuditEntry) -> Result<()>;
    /// Entries of the audit log, newest first, at most `limit`. `tenant` selects those of one tenant, `before` those with a
    /// smaller id.
    async fn audit_entries(&self, tenant: Option<&str>, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>>;
    /// Entries that were written before `end` and have an id greater than `after`, oldest first, at most `limit`.
    async fn audit_entries_until(&self, end: i64, after: i64, limit: u32) -> Result<Vec<AuditEntry>>;
    /// Deletes entries that were written before `end` and have no id greater than `last`, at most `limit`. Returns their
    /// number.
    async fn delete_audit_entries(&self, end: i64, last: i64, limit: u32) -> Result<u64>;
}
