//! The log of admins' deeds, as admins read it.

use super::{
    caller::{Caller, Right},
    state::AdminState,
    time::Time,
};
use menlou_config::tenant::TenantName;
use menlou_error::Result;
use schemars::JsonSchema;
use serde::Serialize;

/// Something that an admin did, or tried to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Deed {
    /// Ascending.
    pub id: i64,
    /// When.
    pub at: Time,
    /// The token's id and label, or who gave the command.
    pub who: String,
    /// As what: a role, or command.
    pub role: String,
    /// What: tenant.create, tenant.replace, tenant.remove, session.end, session.end_of, session.end_all, user.update,
    /// user.unbind, user.forget, token.new, token.revoke.
    pub what: String,
    /// The tenant; null where it is about the gateway.
    pub tenant: Option<String>,
    /// A user's id, a token's id.
    pub target: Option<String>,
    /// How it was, secrets masked.
    pub before: Option<String>,
    /// How it was to be, secrets masked.
    pub after: Option<String>,
    /// The error's word, where the deed of the entry before failed.
    pub failed: Option<String>,
}

/// All deeds before an id, the newest first, `most` at most.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn all(state: &AdminState, caller: &Caller, before: Option<i64>, most: u32) -> Result<Vec<Deed>> {
    caller.may_everywhere(Right::See)?;
    told(state, None, before, most).await
}

/// The same of one tenant.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn of(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    before: Option<i64>,
    most: u32,
) -> Result<Vec<Deed>> {
    caller.may(Right::See, tenant.as_str())?;
    told(state, Some(tenant.as_str()), before, most).await
}

async fn told(state: &AdminState, tenant: Option<&str>, before: Option<i64>, most: u32) -> Result<Vec<Deed>> {
    let deeds = state.stores.admins.deeds(tenant, before, most).await?;
    Ok(deeds.into_iter().map(Deed::from).collect())
}

impl From<menlou_store::Deed> for Deed {
    fn from(menlou_store::Deed { id, at, deed }: menlou_store::Deed) -> Self {
        Self {
            id,
            at: Time(at),
            who: deed.who,
            role: deed.role,
            what: deed.what,
            tenant: deed.tenant,
            target: deed.target,
            before: deed.before,
            after: deed.after,
            failed: deed.failed,
        }
    }
}
