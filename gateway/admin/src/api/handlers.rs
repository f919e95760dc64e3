//! The handlers of the API, one for each route. A handler reads the request, calls the operation, and wraps the result.

use super::{request::ApiRequest, response::ApiResponse};
use crate::{
    activity, audit,
    caller::Permission,
    plugins, sessions,
    tenants::{self, TenantDraft, TenantFilter},
    users, validation, verify,
};
use menlou_config::edit::{self, ConfigChange};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::ProfileQuery;
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The page of a list of tenants.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantListQuery {
    /// Only names after this one.
    after: Option<String>,
    /// Maximum number of tenants: 1 to 1000, default 100.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// The page of the audit log.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Only entries with an id less than this one.
    before: Option<i64>,
    /// Maximum number of entries: 1 to 200, default 100.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
}

/// The owner of sessions: exactly one of user and openid.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionQuery {
    /// The sessions of this user.
    user: Option<i64>,
    /// The sessions of this openid.
    openid: Option<String>,
    /// The platform of the openid, default wechat.
    platform: Option<String>,
}

/// The sessions to end: exactly one of user, openid and all.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndSessionsQuery {
    /// The sessions of this user.
    user: Option<i64>,
    /// The sessions of this openid.
    openid: Option<String>,
    /// The platform of the openid, default wechat.
    platform: Option<String>,
    /// true: all sessions of the tenant.
    all: Option<bool>,
}

/// A search for users by at most one property. Without any, all users are listed page by page.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserQuery {
    /// The user that this openid is bound to.
    openid: Option<String>,
    /// The platform of the openid, default wechat.
    platform: Option<String>,
    /// The user with this phone number, in E.164 format (the + is written %2B in a URL) or as people write it.
    phone: Option<String>,
    /// The user with this account name.
    account: Option<String>,
    /// The user with this id in the tenant's own login service.
    external_id: Option<String>,
    /// All users with a greater id.
    after: Option<i64>,
    /// Maximum number of users: 1 to 1000, default 100.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// The period of the usage.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// The last minutes: 1 to 360, default 60.
    #[schemars(range(min = 1, max = 360))]
    minutes: Option<u32>,
}

/// Changes to a tenant file. Everything else is kept, including comments and formatting.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// Values by key as in TOML: {"session.ttl": "1d", "actions.user": {}}. A table is replaced: keys that the value does not
    /// contain are removed. "masked:" keeps the stored value.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// Keys to remove: ["actions.user"].
    #[serde(default)]
    unset: Vec<String>,
    /// A new wechat.secret; the old one is kept as wechat.previous_secret. It cannot be combined with other changes.
    new_secret: Option<String>,
}

/// Changes to a user. Properties that are not given are kept.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The display name.
    #[schemars(length(max = 64))]
    name: Option<String>,
    /// The URL of the user's picture.
    #[schemars(length(max = 2048))]
    avatar_url: Option<String>,
}

/// The token of the request.
#[derive(Serialize, JsonSchema)]
pub struct CurrentToken {
    /// The token's id.
    id: String,
    /// operator, viewer or tenant:NAME.
    role: String,
    /// A person or a purpose.
    label: String,
}

/// Tenants in the order of their names.
#[derive(Serialize, JsonSchema)]
pub struct TenantList {
    tenants: Vec<tenants::TenantSummary>,
}

/// The number of sessions.
#[derive(Serialize, JsonSchema)]
pub struct SessionCount {
    total: u64,
}

/// The number of sessions that were ended.
#[derive(Serialize, JsonSchema)]
pub struct EndedSessions {
    ended: u64,
}

/// Sessions, newest first.
#[derive(Serialize, JsonSchema)]
pub struct SessionList {
    sessions: Vec<sessions::Session>,
}

/// Users by ascending id.
#[derive(Serialize, JsonSchema)]
pub struct UserList {
    users: Vec<users::User>,
}

/// Usage by action.
#[derive(Serialize, JsonSchema)]
pub struct UsageByAction {
    actions: Vec<activity::ActionUsage>,
}

/// Failed requests, newest first.
#[derive(Serialize, JsonSchema)]
pub struct FailureList {
    failures: Vec<activity::RecentFailure>,
}

/// Audit entries, newest first.
#[derive(Serialize, JsonSchema)]
pub struct AuditLog {
    entries: Vec<audit::AuditEntry>,
}

pub async fn current_token(request: ApiRequest) -> Result<ApiResponse> {
    let caller = request.caller;
    Ok(ApiResponse::json(&CurrentToken { id: caller.id, role: caller.role.to_string(), label: caller.label }))
}

pub async fn list_tenants(request: ApiRequest) -> Result<ApiResponse> {
    let TenantListQuery { after, limit } = request.query()?;
    let limit = check_limit(limit, 1000)? as usize;
    let filter = TenantFilter { after: after.as_deref().unwrap_or_default(), ..TenantFilter::default() };
    let tenants = tenants::list(&request.state, &request.caller, filter, limit)?;
    Ok(ApiResponse::json(&TenantList { tenants }))
}

pub async fn read_tenant(request: ApiRequest) -> Result<ApiResponse> {
    let page = tenants::read(&request.state, &request.caller, &request.tenant()?).await?;
    Ok(ApiResponse::json(&page).with_etag(&page.revision))
}

pub async fn save_tenant(request: ApiRequest) -> Result<ApiResponse> {
    let name = request.tenant()?;
    // Permission errors take precedence over all others.
    request.caller.require(Permission::Write, name.as_str())?;
    let draft = TenantDraft::File(request.text()?);
    let saved = tenants::save(&request.state, &request.caller, &name, draft, request.precondition()?).await?;
    let response = ApiResponse::json(&saved).with_etag(&saved.revision);
    Ok(if saved.created { response.created() } else { response })
}

pub async fn change_tenant(request: ApiRequest) -> Result<ApiResponse> {
    let name = request.tenant()?;
    request.caller.require(Permission::Write, name.as_str())?;
    let TenantChange { set, unset, new_secret } = request.json()?;
    let path = |key: &str| edit::parse_key(key).map_err(|text| Error::new(&codes::BAD_PARAMETER).with_message(text));
    let set = set.into_iter().map(|(key, value)| Ok(ConfigChange::Set(path(&key)?, value)));
    let unset = unset.iter().map(|key| Ok(ConfigChange::Unset(path(key)?)));
    let changes: Vec<_> = set.chain(unset).collect::<Result<_>>()?;
    let draft = match new_secret {
        None => TenantDraft::Changes(changes),
        Some(secret) if changes.is_empty() => TenantDraft::SecretRotation(Zeroizing::new(secret)),
        Some(_) => return Err(exactly_one_required()),
    };
    let saved = tenants::save(&request.state, &request.caller, &name, draft, request.precondition()?).await?;
    Ok(ApiResponse::json(&saved).with_etag(&saved.revision))
}

pub async fn verify_tenant(request: ApiRequest) -> Result<ApiResponse> {
    Ok(ApiResponse::json(&verify::verify(&request.state, &request.caller, &request.tenant()?).await?))
}

pub async fn remove_tenant(request: ApiRequest) -> Result<ApiResponse> {
    let name = request.tenant()?;
    request.caller.require(Permission::Operate, name.as_str())?;
    tenants::remove(&request.state, &request.caller, &name, request.precondition()?).await?;
    Ok(ApiResponse::no_content())
}

pub async fn check_tenant(request: ApiRequest) -> Result<ApiResponse> {
    Ok(ApiResponse::json(
        &validation::check(&request.state, &request.caller, &request.tenant()?, request.text()?).await?,
    ))
}

pub async fn tenant_audit_log(request: ApiRequest) -> Result<ApiResponse> {
    let AuditQuery { before, limit } = request.query()?;
    let entries =
        audit::list_for_tenant(&request.state, &request.caller, &request.tenant()?, before, check_limit(limit, 200)?)
            .await?;
    Ok(ApiResponse::json(&AuditLog { entries }))
}

pub async fn audit_log(request: ApiRequest) -> Result<ApiResponse> {
    let AuditQuery { before, limit } = request.query()?;
    Ok(ApiResponse::json(&AuditLog {
        entries: audit::list_all(&request.state, &request.caller, before, check_limit(limit, 200)?).await?,
    }))
}

pub async fn list_plugins(request: ApiRequest) -> Result<ApiResponse> {
    Ok(ApiResponse::json(&plugins::list(&request.state, &request.caller)?))
}

pub async fn count_sessions(request: ApiRequest) -> Result<ApiResponse> {
    let total = sessions::count(&request.state, &request.caller, &request.tenant()?).await?;
    Ok(ApiResponse::json(&SessionCount { total }))
}

pub async fn find_sessions(request: ApiRequest) -> Result<ApiResponse> {
    let (tenant, SessionQuery { user, openid, platform }) = (request.tenant()?, request.query()?);
    request.caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let sessions =
        sessions::find(&request.state, &request.caller, &tenant, &session_owner(user, openid, platform)?).await?;
    Ok(ApiResponse::json(&SessionList { sessions }))
}

pub async fn end_sessions(request: ApiRequest) -> Result<ApiResponse> {
    let (tenant, EndSessionsQuery { user, openid, platform, all }) = (request.tenant()?, request.query()?);
    request.caller.require(Permission::Write, tenant.as_str())?;
    let ended = match all {
        Some(true) if user.is_none() && openid.is_none() => {
            sessions::end_all(&request.state, &request.caller, &tenant).await?
        }
        Some(true) => return Err(exactly_one_required()),
        _ => {
            sessions::end_for(&request.state, &request.caller, &tenant, &session_owner(user, openid, platform)?).await?
        }
    };
    Ok(ApiResponse::json(&EndedSessions { ended }))
}

pub async fn end_session(request: ApiRequest) -> Result<ApiResponse> {
    sessions::end(&request.state, &request.caller, &request.tenant()?, request.path.get("session")).await?;
    Ok(ApiResponse::no_content())
}

pub async fn find_users(request: ApiRequest) -> Result<ApiResponse> {
    let (tenant, query) = (request.tenant()?, request.query::<UserQuery>()?);
    request.caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let platform = query.platform.as_deref().unwrap_or("wechat");
    let mut queries = [
        query.openid.as_deref().map(|openid| ProfileQuery::Openid { platform, openid }),
        query.phone.as_deref().map(ProfileQuery::Phone),
        query.account.as_deref().map(ProfileQuery::Account),
        query.external_id.as_deref().map(ProfileQuery::External),
        query.after.map(ProfileQuery::After),
    ]
    .into_iter()
    .flatten();
    let (profile_query, second) = (queries.next().unwrap_or(ProfileQuery::After(0)), queries.next());
    if second.is_some() {
        return Err(exactly_one_required());
    }
    let limit = check_limit(query.limit, 1000)?;
    let users = match profile_query {
        ProfileQuery::Phone(phone) => users::find_by_phone(&request.state, &request.caller, &tenant, phone).await?,
        other => users::find(&request.state, &request.caller, &tenant, other, limit).await?,
    };
    Ok(ApiResponse::json(&UserList { users }))
}

pub async fn read_user(request: ApiRequest) -> Result<ApiResponse> {
    let tenant = request.tenant()?;
    request.caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let user = users::read(&request.state, &request.caller, &tenant, request.user()?).await?;
    Ok(ApiResponse::json(&user).with_etag(user.version))
}

pub async fn update_user(request: ApiRequest) -> Result<ApiResponse> {
    let tenant = request.tenant()?;
    request.caller.require(Permission::Write, tenant.as_str())?;
    let UserChange { name, avatar_url } = request.json()?;
    let (id, version, change) = (request.user()?, request.user_version()?, users::ProfileChange { name, avatar_url });
    let user = users::update(&request.state, &request.caller, &tenant, id, version, change).await?;
    Ok(ApiResponse::json(&user).with_etag(user.version))
}

pub async fn forget_user(request: ApiRequest) -> Result<ApiResponse> {
    let tenant = request.tenant()?;
    request.caller.require(Permission::Write, tenant.as_str())?;
    users::forget(&request.state, &request.caller, &tenant, request.user()?, request.user_version()?).await?;
    Ok(ApiResponse::no_content())
}

pub async fn unbind(request: ApiRequest) -> Result<ApiResponse> {
    let tenant = request.tenant()?;
    request.caller.require(Permission::Write, tenant.as_str())?;
    let (id, platform, openid) = (request.user()?, request.path.get("platform"), request.path.get("openid"));
    users::unbind(&request.state, &request.caller, &tenant, id, platform, openid).await?;
    Ok(ApiResponse::no_content())
}

pub async fn failures(request: ApiRequest) -> Result<ApiResponse> {
    let failures = activity::failures(&request.state, &request.caller, &request.tenant()?)?;
    Ok(ApiResponse::json(&FailureList { failures }))
}

pub async fn usage(request: ApiRequest) -> Result<ApiResponse> {
    let (tenant, UsageQuery { minutes }) = (request.tenant()?, request.query()?);
    let minutes = minutes.unwrap_or(60);
    if !(1..=menlou_tenant::MINUTES).contains(&minutes) {
        return Err(out_of_range("minutes", menlou_tenant::MINUTES));
    }
    Ok(ApiResponse::json(&UsageByAction {
        actions: activity::usage(&request.state, &request.caller, &tenant, minutes)?,
    }))
}

fn check_limit(limit: Option<u32>, max: u32) -> Result<u32> {
    let limit = limit.unwrap_or(100);
    if (1..=max).contains(&limit) { Ok(limit) } else { Err(out_of_range("limit", max)) }
}

fn session_owner(
    user: Option<i64>,
    openid: Option<String>,
    platform: Option<String>,
) -> Result<sessions::SessionOwner> {
    match (user, openid) {
        (Some(user), None) => Ok(sessions::SessionOwner::User(user)),
        (None, Some(openid)) => {
            Ok(sessions::SessionOwner::Openid { platform: platform.unwrap_or_else(|| "wechat".to_owned()), openid })
        }
        _ => Err(exactly_one_required()),
    }
}

fn exactly_one_required() -> Error {
    let text = Text::fixed(
        "请指定且仅指定一项，见 /api/v1/openapi.json",
        "specify exactly one of the alternatives; see /api/v1/openapi.json",
    );
    Error::new(&codes::BAD_PARAMETER).with_message(text)
}

fn out_of_range(name: &str, max: u32) -> Error {
    let text = Text::new(format!("{name} 应在 1 至 {max} 之间"), format!("{name} must be between 1 and {max}"));
    Error::new(&codes::BAD_PARAMETER).with_message(text)
}
