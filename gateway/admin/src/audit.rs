//! Reading the audit log.

use super::{
    caller::{Caller, Permission},
    state::AdminState,
    timestamp::Timestamp,
};
use menlou_config::tenant::TenantName;
use menlou_error::Result;
use schemars::JsonSchema;
use serde::Serialize;

/// An operation that an admin performed or attempted.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AuditEntry {
    /// Ascending.
    pub id: i64,
    /// When the entry was written.
    pub at: Timestamp,
    /// The id and label of the token, or the user of the command line.
    pub who: String,
    /// The role of the token, or command for the command line.
    pub role: String,
    /// The operation: tenant.create, tenant.replace, tenant.remove, session.end, session.end_of, session.end_all,
    /// user.update, user.unbind, user.forget, token.new, token.revoke.
    pub what: String,
    /// The tenant; null if the operation concerns the gateway.
    pub tenant: Option<String>,
    /// The id of the user or token.
    pub target: Option<String>,
    /// The state before the operation, without secrets.
    pub before: Option<String>,
    /// The intended state after the operation, without secrets.
    pub after: Option<String>,
    /// The difference that the operation makes to the tenant's file, in the unified format, without secrets.
    pub diff: Option<String>,
    /// The error code, if the operation of the previous entry failed.
    pub failed: Option<String>,
}

/// The entries of all tenants with an id less than `before`, newest first, at most `limit`.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn list_all(state: &AdminState, caller: &Caller, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>> {
    caller.require_everywhere(Permission::Read)?;
    list(state, None, before, limit).await
}

/// The entries of one tenant with an id less than `before`, newest first, at most `limit`.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn list_for_tenant(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<AuditEntry>> {
    caller.require(Permission::Read, tenant.as_str())?;
    list(state, Some(tenant.as_str()), before, limit).await
}

async fn list(state: &AdminState, tenant: Option<&str>, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>> {
    let entries = state.stores.admins.audit_entries(tenant, before, limit).await?;
    Ok(entries.into_iter().map(AuditEntry::from).collect())
}

impl From<menlou_store::AuditEntry> for AuditEntry {
    fn from(menlou_store::AuditEntry { id, at, entry }: menlou_store::AuditEntry) -> Self {
        Self {
            id,
            at: Timestamp(at),
            who: entry.who,
            role: entry.role,
            what: entry.what,
            tenant: entry.tenant,
            target: entry.target,
            before: entry.before,
            after: entry.after,
            diff: entry.diff,
            failed: entry.failed,
        }
    }
}
