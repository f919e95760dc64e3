//! Usage of a tenant by action and minute, and its latest failed requests. Each gateway counts only its own requests.

use super::{
    caller::{Caller, Permission},
    state::AdminState,
    timestamp::Timestamp,
};
use menlou_config::tenant::TenantName;
use menlou_error::{Error, Result, codes};
use menlou_tenant::Tenant;
use schemars::JsonSchema;
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// The requests of one action.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActionUsage {
    /// The action.
    pub action: String,
    /// All requests in the period.
    pub calls: u64,
    /// Requests that were refused because of their client or user.
    pub client_errors: u64,
    /// Requests that failed in the gateway, a store, a plugin or the tenant's own service.
    pub errors: u64,
    /// Requests that failed at the platform.
    pub platform_errors: u64,
    /// Opened sessions.
    pub sessions: u64,
    /// Minute by minute, oldest first; minutes without requests are left out.
    pub minutes: Vec<MinuteUsage>,
}

/// The requests of one minute.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MinuteUsage {
    /// When the minute began.
    pub at: Timestamp,
    /// All requests.
    pub calls: u32,
    /// Requests that were refused because of their client or user.
    pub client_errors: u32,
    /// Requests that failed in the gateway, a store, a plugin or the tenant's own service.
    pub errors: u32,
    /// Requests that failed at the platform.
    pub platform_errors: u32,
    /// Opened sessions.
    pub sessions: u32,
    /// Median request duration in milliseconds, estimated.
    pub p50_ms: f64,
    /// 95th percentile of the request duration in milliseconds, estimated.
    pub p95_ms: f64,
}

/// A failed request. It does not identify the client.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecentFailure {
    /// When the request failed.
    pub at: Timestamp,
    /// The action; null if the tenant has no such action.
    pub action: Option<String>,
    /// The error code.
    pub error: String,
    /// Whose failure it is: client_error, error or platform_error.
    pub outcome: &'static str,
    /// The platform's error code.
    pub errcode: Option<i64>,
    /// The platform's request id, for its support.
    pub rid: Option<String>,
    /// The request id in the gateway's log.
    pub request_id: String,
}

/// The usage of each action within the last `minutes`, at most 360.
///
/// # Errors
/// `forbidden`, `unknown_tenant`.
pub fn usage(state: &AdminState, caller: &Caller, tenant: &TenantName, minutes: u32) -> Result<Vec<ActionUsage>> {
    let tenant = find_tenant(state, caller, tenant)?;
    let usage = |(action, minutes): (String, Vec<menlou_tenant::MinuteStats>)| ActionUsage {
        action,
        calls: minutes.iter().map(|m| u64::from(m.requests)).sum(),
        client_errors: minutes.iter().map(|m| u64::from(m.client_errors)).sum(),
        errors: minutes.iter().map(|m| u64::from(m.errors)).sum(),
        platform_errors: minutes.iter().map(|m| u64::from(m.platform_errors)).sum(),
        sessions: minutes.iter().map(|m| u64::from(m.sessions)).sum(),
        minutes: minutes.iter().map(MinuteUsage::from).collect(),
    };
    Ok(tenant.activity.usage(minutes).into_iter().map(usage).collect())
}

/// The latest failed requests, newest first, at most 100.
///
/// # Errors
/// `forbidden`, `unknown_tenant`.
pub fn failures(state: &AdminState, caller: &Caller, tenant: &TenantName) -> Result<Vec<RecentFailure>> {
    let tenant = find_tenant(state, caller, tenant)?;
    let failure = |failure: menlou_tenant::RecentFailure| RecentFailure {
        at: Timestamp(i64::try_from(failure.at).unwrap_or(i64::MAX)),
        action: failure.action,
        error: failure.code,
        outcome: failure.outcome.name(),
        errcode: failure.errcode,
        rid: failure.rid,
        request_id: failure.request_id,
    };
    Ok(tenant.activity.failures().into_iter().map(failure).collect())
}

fn find_tenant(state: &AdminState, caller: &Caller, tenant: &TenantName) -> Result<Arc<Tenant>> {
    caller.require(Permission::Read, tenant.as_str())?;
    state.registry.find(tenant.as_str()).ok_or_else(|| Error::new(&codes::UNKNOWN_TENANT))
}

impl From<&menlou_tenant::MinuteStats> for MinuteUsage {
    fn from(minute: &menlou_tenant::MinuteStats) -> Self {
        let millis = |time: Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
        Self {
            at: Timestamp::from_unix_seconds(u64::from(minute.minute) * 60),
            calls: minute.requests,
            client_errors: minute.client_errors,
            errors: minute.errors,
            platform_errors: minute.platform_errors,
            sessions: minute.sessions,
            p50_ms: millis(minute.quantile(0.5)),
            p95_ms: millis(minute.quantile(0.95)),
        }
    }
}
