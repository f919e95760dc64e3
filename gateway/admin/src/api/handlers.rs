//! One function per route: reads the request, calls the room that does it, wraps what came of it.

use super::{request::ApiRequest, response::ApiResponse};
use crate::Permission;
use crate::activity;
use crate::audit;
use crate::plugins;
use crate::sessions;
use crate::tenants::{self, TenantDraft, TenantFilter};
use crate::users;
use crate::validation;
use crate::verify;
use menlou_config::edit::{self, ConfigChange};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::ProfileQuery;
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Which part of a list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// Only those behind this name.
    after: Option<String>,
    /// How many at most: 1 to 1000; 100 if not given.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// Which part of a log.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Only those before this id.
    before: Option<i64>,
    /// How many at most: 1 to 200; 100 if not given.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<u32>,
}

/// SessionOwner sessions: one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Those of this user.
    user: Option<i64>,
    /// Those of this openid.
    openid: Option<String>,
    /// The openid's platform; wechat if not given.
    platform: Option<String>,
}

/// SessionOwner sessions: one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonOrAll {
    /// Those of this user.
    user: Option<i64>,
    /// Those of this openid.
    openid: Option<String>,
    /// The openid's platform; wechat if not given.
    platform: Option<String>,
    /// true: those of everybody.
    all: Option<bool>,
}

/// Which users: all, page by page, or the one with one of these.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The one that this openid is bound to.
    openid: Option<String>,
    /// The openid's platform; wechat if not given.
    platform: Option<String>,
    /// The one with this phone number, E.164; in a URL its + is written %2B.
    phone: Option<String>,
    /// The one with this account name.
    account: Option<String>,
    /// The one with this id at the tenant's own login service.
    external_id: Option<String>,
    /// All owner id is greater.
    after: Option<i64>,
    /// How many at most: 1 to 1000; 100 if not given.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<u32>,
}

/// For how long.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lately {
    /// The last so many minutes: 1 to 360; 60 if not given.
    #[schemars(range(min = 1, max = 360))]
    minutes: Option<u32>,
}

/// What is to be changed in a tenant's file; the rest, comments and layout stay.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    /// Values by key as TOML writes it: {"session.ttl": "1d", "actions.user": {}}. A table is changed key by key; what it
    /// does not name goes. "masked:" keeps what is there.
    #[serde(default)]
    set: BTreeMap<String, Value>,
    /// Keys that go: ["actions.user"].
    #[serde(default)]
    unset: Vec<String>,
    /// A new wechat.secret; the one before it is kept as wechat.previous_secret. It comes alone.
    new_secret: Option<String>,
}

/// What is to be changed; what is not given stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// The name to show.
    #[schemars(length(max = 64))]
    name: Option<String>,
    /// The picture to show.
    #[schemars(length(max = 2048))]
    avatar_url: Option<String>,
}

/// SessionOwner token this is.
#[derive(Serialize, JsonSchema)]
pub struct Me {
    /// The token's id.
    id: String,
    /// operator, viewer or tenant:NAME.
    role: String,
    /// SessionOwner it is, or what for.
    label: String,
}

/// The tenants, in the order of their names.
#[derive(Serialize, JsonSchema)]
pub struct Tenants {
    tenants: Vec<tenants::TenantSummary>,
}

/// How many sessions.
#[derive(Serialize, JsonSchema)]
pub struct Total {
    total: u64,
}

/// How many sessions have ended.
#[derive(Serialize, JsonSchema)]
pub struct Ended {
    ended: u64,
}

/// Sessions, the newest first.
#[derive(Serialize, JsonSchema)]
pub struct Sessions {
    sessions: Vec<sessions::Session>,
}

/// Users, by ascending id.
#[derive(Serialize, JsonSchema)]
pub struct Users {
    users: Vec<users::User>,
}

/// Calls by action.
#[derive(Serialize, JsonSchema)]
pub struct Usages {
    actions: Vec<activity::ActionUsage>,
}

/// Failures, the newest first.
#[derive(Serialize, JsonSchema)]
pub struct Failures {
    failures: Vec<activity::RecentFailure>,
}

/// AuditLog, the newest first.
#[derive(Serialize, JsonSchema)]
pub struct AuditLog {
    entries: Vec<audit::AuditEntry>,
}

pub async fn me(asked: ApiRequest) -> Result<ApiResponse> {
    let caller = asked.caller;
    Ok(ApiResponse::json(&Me { id: caller.id, role: caller.role.to_string(), label: caller.label }))
}

pub async fn list_tenants(asked: ApiRequest) -> Result<ApiResponse> {
    let Names { after, limit } = asked.query()?;
    let most = page(limit, 1000)? as usize;
    let sought = TenantFilter { after: after.as_deref().unwrap_or_default(), ..TenantFilter::default() };
    let tenants = tenants::list(&asked.state, &asked.caller, sought, most)?;
    Ok(ApiResponse::json(&Tenants { tenants }))
}

pub async fn read_tenant(asked: ApiRequest) -> Result<ApiResponse> {
    let page = tenants::read(&asked.state, &asked.caller, &asked.tenant()?).await?;
    Ok(ApiResponse::json(&page).tagged(&page.revision))
}

pub async fn save_tenant(asked: ApiRequest) -> Result<ApiResponse> {
    let name = asked.tenant()?;
    // Who may not is told so before anything else.
    asked.caller.require(Permission::Write, name.as_str())?;
    let draft = TenantDraft::File(asked.text()?);
    let saved = tenants::save(&asked.state, &asked.caller, &name, draft, asked.condition()?).await?;
    let given = ApiResponse::json(&saved).tagged(&saved.revision);
    Ok(if saved.created { given.created() } else { given })
}

pub async fn change_tenant(asked: ApiRequest) -> Result<ApiResponse> {
    let name = asked.tenant()?;
    asked.caller.require(Permission::Write, name.as_str())?;
    let TenantChange { set, unset, new_secret } = asked.json()?;
    let path = |key: &str| edit::parse_key(key).map_err(|text| Error::new(&codes::BAD_PARAMETER).with_message(text));
    let set = set.into_iter().map(|(key, value)| Ok(ConfigChange::Set(path(&key)?, value)));
    let unset = unset.iter().map(|key| Ok(ConfigChange::Unset(path(key)?)));
    let changes: Vec<_> = set.chain(unset).collect::<Result<_>>()?;
    let draft = match new_secret {
        None => TenantDraft::Changes(changes),
        Some(secret) if changes.is_empty() => TenantDraft::SecretRotation(Zeroizing::new(secret)),
        Some(_) => return Err(one_of()),
    };
    let saved = tenants::save(&asked.state, &asked.caller, &name, draft, asked.condition()?).await?;
    Ok(ApiResponse::json(&saved).tagged(&saved.revision))
}

pub async fn verify(asked: ApiRequest) -> Result<ApiResponse> {
    Ok(ApiResponse::json(&verify::verify(&asked.state, &asked.caller, &asked.tenant()?).await?))
}

pub async fn remove_tenant(asked: ApiRequest) -> Result<ApiResponse> {
    let name = asked.tenant()?;
    asked.caller.require(Permission::Operate, name.as_str())?;
    tenants::remove(&asked.state, &asked.caller, &name, asked.condition()?).await?;
    Ok(ApiResponse::nothing())
}

pub async fn check_tenant(asked: ApiRequest) -> Result<ApiResponse> {
    Ok(ApiResponse::json(&validation::check(&asked.state, &asked.caller, &asked.tenant()?, asked.text()?).await?))
}

pub async fn history(asked: ApiRequest) -> Result<ApiResponse> {
    let Before { before, limit } = asked.query()?;
    let entries =
        audit::list_for_tenant(&asked.state, &asked.caller, &asked.tenant()?, before, page(limit, 200)?).await?;
    Ok(ApiResponse::json(&AuditLog { entries }))
}

pub async fn audit_log(asked: ApiRequest) -> Result<ApiResponse> {
    let Before { before, limit } = asked.query()?;
    Ok(ApiResponse::json(&AuditLog {
        entries: audit::list_all(&asked.state, &asked.caller, before, page(limit, 200)?).await?,
    }))
}

pub async fn list_plugins(asked: ApiRequest) -> Result<ApiResponse> {
    Ok(ApiResponse::json(&plugins::list(&asked.state, &asked.caller)?))
}

pub async fn count_sessions(asked: ApiRequest) -> Result<ApiResponse> {
    let total = sessions::count(&asked.state, &asked.caller, &asked.tenant()?).await?;
    Ok(ApiResponse::json(&Total { total }))
}

pub async fn find_sessions(asked: ApiRequest) -> Result<ApiResponse> {
    let (tenant, Person { user, openid, platform }) = (asked.tenant()?, asked.query()?);
    asked.caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let sessions = sessions::find(&asked.state, &asked.caller, &tenant, &owner(user, openid, platform)?).await?;
    Ok(ApiResponse::json(&Sessions { sessions }))
}

pub async fn end_sessions(asked: ApiRequest) -> Result<ApiResponse> {
    let (tenant, PersonOrAll { user, openid, platform, all }) = (asked.tenant()?, asked.query()?);
    asked.caller.require(Permission::Write, tenant.as_str())?;
    let ended = match all {
        Some(true) if user.is_none() && openid.is_none() => {
            sessions::end_all(&asked.state, &asked.caller, &tenant).await?
        }
        Some(true) => return Err(one_of()),
        _ => sessions::end_for(&asked.state, &asked.caller, &tenant, &owner(user, openid, platform)?).await?,
    };
    Ok(ApiResponse::json(&Ended { ended }))
}

pub async fn end_session(asked: ApiRequest) -> Result<ApiResponse> {
    sessions::end(&asked.state, &asked.caller, &asked.tenant()?, asked.part("session")).await?;
    Ok(ApiResponse::nothing())
}

pub async fn find_users(asked: ApiRequest) -> Result<ApiResponse> {
    let (tenant, wanted) = (asked.tenant()?, asked.query::<Wanted>()?);
    asked.caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let platform = wanted.platform.as_deref().unwrap_or("wechat");
    let mut seeks = [
        wanted.openid.as_deref().map(|openid| ProfileQuery::Openid { platform, openid }),
        wanted.phone.as_deref().map(ProfileQuery::Phone),
        wanted.account.as_deref().map(ProfileQuery::Account),
        wanted.external_id.as_deref().map(ProfileQuery::External),
        wanted.after.map(ProfileQuery::After),
    ]
    .into_iter()
    .flatten();
    let (seek, more) = (seeks.next().unwrap_or(ProfileQuery::After(0)), seeks.next());
    if more.is_some() {
        return Err(one_of());
    }
    let users = users::find(&asked.state, &asked.caller, &tenant, seek, page(wanted.limit, 1000)?).await?;
    Ok(ApiResponse::json(&Users { users }))
}

pub async fn read_user(asked: ApiRequest) -> Result<ApiResponse> {
    let tenant = asked.tenant()?;
    asked.caller.require(Permission::ReadPersonalData, tenant.as_str())?;
    let user = users::read(&asked.state, &asked.caller, &tenant, asked.user()?).await?;
    Ok(ApiResponse::json(&user).tagged(user.version))
}

pub async fn update_user(asked: ApiRequest) -> Result<ApiResponse> {
    let tenant = asked.tenant()?;
    asked.caller.require(Permission::Write, tenant.as_str())?;
    let UserChange { name, avatar_url } = asked.json()?;
    let (id, version, change) = (asked.user()?, asked.user_version()?, users::ProfileChange { name, avatar_url });
    let user = users::update(&asked.state, &asked.caller, &tenant, id, version, change).await?;
    Ok(ApiResponse::json(&user).tagged(user.version))
}

pub async fn forget_user(asked: ApiRequest) -> Result<ApiResponse> {
    let tenant = asked.tenant()?;
    asked.caller.require(Permission::Write, tenant.as_str())?;
    users::forget(&asked.state, &asked.caller, &tenant, asked.user()?, asked.user_version()?).await?;
    Ok(ApiResponse::nothing())
}

pub async fn unbind(asked: ApiRequest) -> Result<ApiResponse> {
    let tenant = asked.tenant()?;
    asked.caller.require(Permission::Write, tenant.as_str())?;
    let (id, platform, openid) = (asked.user()?, asked.part("platform"), asked.part("openid"));
    users::unbind(&asked.state, &asked.caller, &tenant, id, platform, openid).await?;
    Ok(ApiResponse::nothing())
}

pub async fn failures(asked: ApiRequest) -> Result<ApiResponse> {
    let failures = activity::failures(&asked.state, &asked.caller, &asked.tenant()?)?;
    Ok(ApiResponse::json(&Failures { failures }))
}

pub async fn usage(asked: ApiRequest) -> Result<ApiResponse> {
    let (tenant, Lately { minutes }) = (asked.tenant()?, asked.query()?);
    let minutes = minutes.unwrap_or(60);
    if !(1..=menlou_tenant::MINUTES).contains(&minutes) {
        return Err(out_of("minutes", menlou_tenant::MINUTES));
    }
    Ok(ApiResponse::json(&Usages { actions: activity::usage(&asked.state, &asked.caller, &tenant, minutes)? }))
}

fn page(limit: Option<u32>, most: u32) -> Result<u32> {
    let limit = limit.unwrap_or(100);
    if (1..=most).contains(&limit) { Ok(limit) } else { Err(out_of("limit", most)) }
}

fn owner(user: Option<i64>, openid: Option<String>, platform: Option<String>) -> Result<sessions::SessionOwner> {
    match (user, openid) {
        (Some(user), None) => Ok(sessions::SessionOwner::User(user)),
        (None, Some(openid)) => {
            Ok(sessions::SessionOwner::Openid { platform: platform.unwrap_or_else(|| "wechat".to_owned()), openid })
        }
        _ => Err(one_of()),
    }
}

fn one_of() -> Error {
    let text = Text::fixed(
        "请指明一项，且只一项，见 /api/v1/openapi.json",
        "name one thing, and one only; see /api/v1/openapi.json",
    );
    Error::new(&codes::BAD_PARAMETER).with_message(text)
}

fn out_of(name: &str, most: u32) -> Error {
    let text = Text::new(format!("{name} 应在 1 至 {most} 之间"), format!("{name} must be from 1 to {most}"));
    Error::new(&codes::BAD_PARAMETER).with_message(text)
}
