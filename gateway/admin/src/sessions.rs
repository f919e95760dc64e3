//! Counting, finding and ending the sessions of a tenant.

use super::{
    caller::{Caller, Permission},
    state::{AdminState, AuditedAction},
    timestamp::Timestamp,
};
use menlou_config::tenant::TenantName;
use menlou_error::{Error, Result, admin_codes};
use menlou_store::{ProfileQuery, TokenHash};
use schemars::JsonSchema;
use serde::Serialize;

/// The person whose sessions are meant.
#[derive(Clone, Debug)]
pub enum SessionOwner {
    /// All openids that are bound to this user.
    User(i64),
    /// One openid, bound to a user or not.
    Openid {
        /// `wechat`.
        platform: String,
        /// The openid.
        openid: String,
    },
}

/// A session, without its token and the platform's session key.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Session {
    /// The SHA-256 of the token. It identifies the session and does not authenticate.
    pub id: String,
    /// The platform: wechat.
    pub platform: String,
    /// The id of the person in this mini-program.
    pub openid: String,
    /// Whether the session was opened with a test openid instead of a code.
    pub test: bool,
    /// When the session was opened.
    pub created_at: Timestamp,
    /// When the session expires.
    pub expires_at: Timestamp,
}

/// The number of sessions of a tenant.
///
/// # Errors
/// `forbidden`, `store_unavailable`.
pub async fn count(state: &AdminState, caller: &Caller, tenant: &TenantName) -> Result<u64> {
    caller.require(Permission::Read, tenant.as_str())?;
    Ok(state.stores.sessions.count(tenant.as_str()).await?)
}

/// The sessions of a person, newest first, at most 200 for each openid.
///
/// # Errors
/// `forbidden`, `unknown_user`, `store_unavailable`.
pub async fn find(
    state: &AdminState,
    caller: &Caller,
    tenant: &TenantName,
    owner: &SessionOwner,
) -> Result<Vec<Session>> {
    caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let mut found = Vec::new();
    for (platform, openid) in openids(state, tenant, owner).await? {
        let sessions = state.stores.sessions.list(tenant.as_str(), &platform, &openid).await?;
        found.extend(sessions.into_iter().map(|(token, session)| Session {
            id: token.hex(),
            platform: session.platform.clone(),
            openid: session.openid.clone(),
            test: session.test,
            created_at: Timestamp::from_unix_seconds(session.created_at),
            expires_at: Timestamp::from_unix_seconds(session.expires_at),
        }));
    }
    Ok(found)
}

/// Ends one session.
///
/// # Errors
/// `forbidden`, `unknown_session`, `store_unavailable`.
pub async fn end(state: &AdminState, caller: &Caller, tenant: &TenantName, id: &str) -> Result<()> {
    caller.require(Permission::Write, tenant.as_str())?;
    let unknown = || Error::new(&admin_codes::UNKNOWN_SESSION);
    let token = TokenHash::from_hex(id).ok_or_else(unknown)?;
    let action = AuditedAction { what: "session.end", tenant: tenant.as_str(), ..AuditedAction::default() };
    let ending = async { state.stores.sessions.end(tenant.as_str(), &token).await?.then_some(()).ok_or_else(unknown) };
    state.audited(caller, action, ending).await
}

/// Ends the sessions of a person. Returns how many were ended.
///
/// # Errors
/// `forbidden`, `unknown_user`; `store_unavailable`, after which some sessions may have ended.
pub async fn end_for(state: &AdminState, caller: &Caller, tenant: &TenantName, owner: &SessionOwner) -> Result<u64> {
    caller.require(Permission::Write, tenant.as_str())?;
    let openids = openids(state, tenant, owner).await?;
    let target = match owner {
        SessionOwner::User(id) => Some(id.to_string()),
        SessionOwner::Openid { .. } => None,
    };
    let action = AuditedAction { what: "session.end_of", tenant: tenant.as_str(), target, ..AuditedAction::default() };
    state.audited(caller, action, end_openids(state, tenant, &openids)).await
}

/// Ends all sessions of a tenant. Returns how many were ended.
///
/// # Errors
/// `forbidden`; `store_unavailable`, after which some sessions may have ended.
pub async fn end_all(state: &AdminState, caller: &Caller, tenant: &TenantName) -> Result<u64> {
    caller.require(Permission::Write, tenant.as_str())?;
    let action = AuditedAction { what: "session.end_all", tenant: tenant.as_str(), ..AuditedAction::default() };
    let ending = async { Ok(state.stores.sessions.end_all(tenant.as_str()).await?) };
    state.audited(caller, action, ending).await
}

/// Ends all sessions of these openids, given with their platforms. Returns how many were ended.
pub(super) async fn end_openids(state: &AdminState, tenant: &TenantName, openids: &[(String, String)]) -> Result<u64> {
    let mut ended = 0;
    for (platform, openid) in openids {
        // The store lists at most 200 sessions at a time.
        loop {
            let sessions = state.stores.sessions.list(tenant.as_str(), platform, openid).await?;
            if sessions.is_empty() {
                break;
            }
            for (token, _) in sessions {
                ended += u64::from(state.stores.sessions.end(tenant.as_str(), &token).await?);
            }
        }
    }
    Ok(ended)
}

/// The openids of a person, with their platforms.
async fn openids(state: &AdminState, tenant: &TenantName, owner: &SessionOwner) -> Result<Vec<(String, String)>> {
    match owner {
        SessionOwner::Openid { platform, openid } => Ok(vec![(platform.clone(), openid.clone())]),
        SessionOwner::User(id) => {
            let profiles = state.stores.accounts.profiles(tenant.as_str(), ProfileQuery::Id(*id), 1).await?;
            let profile = profiles.into_iter().next().ok_or_else(|| Error::new(&admin_codes::UNKNOWN_USER))?;
            Ok(profile.bindings.into_iter().map(|bound| (bound.platform, bound.openid)).collect())
        }
    }
}
