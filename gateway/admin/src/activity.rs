//! What a tenant's mini-program has been doing: calls by the minute, and why the latest of them failed.

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

/// The calls of one action.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActionUsage {
    /// The action.
    pub action: String,
    /// All calls within the time.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Sessions that were opened.
    pub sessions: u64,
    /// By the minute, the oldest first; minutes without calls are left out.
    pub minutes: Vec<MinuteUsage>,
}

/// The calls of one minute.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MinuteUsage {
    /// When it began.
    pub at: Timestamp,
    /// All calls.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Sessions that were opened.
    pub sessions: u32,
    /// Half of them were answered within so many milliseconds, estimated.
    pub p50_ms: f64,
    /// 95 of 100 of them were.
    pub p95_ms: f64,
}

/// A call that failed. Nothing in it says who called.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RecentFailure {
    /// When.
    pub at: Timestamp,
    /// The action; null where the tenant has no such action.
    pub action: Option<String>,
    /// The error's word.
    pub error: String,
    /// The platform's error code.
    pub errcode: Option<i64>,
    /// The platform's id of its own request, for its support.
    pub rid: Option<String>,
    /// The id under which the gateway's log tells more.
    pub request_id: String,
}

/// The calls of each action within the last `minutes` (360 at most), as this gateway counted them.
///
/// # Errors
/// `forbidden`, `unknown_tenant`.
pub fn usage(state: &AdminState, caller: &Caller, tenant: &TenantName, minutes: u32) -> Result<Vec<ActionUsage>> {
    let tenant = found(state, caller, tenant)?;
    let of = |(action, minutes): (String, Vec<menlou_tenant::Minute>)| ActionUsage {
        action,
        calls: minutes.iter().map(|m| u64::from(m.calls)).sum(),
        failures: minutes.iter().map(|m| u64::from(m.failures)).sum(),
        sessions: minutes.iter().map(|m| u64::from(m.opened)).sum(),
        minutes: minutes.iter().map(MinuteUsage::from).collect(),
    };
    Ok(tenant.activity.usage(minutes).into_iter().map(of).collect())
}

/// The latest failures, the newest first, as this gateway saw them; 100 are kept.
///
/// # Errors
/// `forbidden`, `unknown_tenant`.
pub fn failures(state: &AdminState, caller: &Caller, tenant: &TenantName) -> Result<Vec<RecentFailure>> {
    let tenant = found(state, caller, tenant)?;
    let failure = |failure: menlou_tenant::Failure| RecentFailure {
        at: Timestamp(i64::try_from(failure.at).unwrap_or(i64::MAX)),
        action: failure.action,
        error: failure.word,
        errcode: failure.errcode,
        rid: failure.rid,
        request_id: failure.request_id,
    };
    Ok(tenant.activity.failures().into_iter().map(failure).collect())
}

fn found(state: &AdminState, caller: &Caller, tenant: &TenantName) -> Result<Arc<Tenant>> {
    caller.require(Permission::Read, tenant.as_str())?;
    state.registry.find(tenant.as_str()).ok_or_else(|| Error::new(&codes::UNKNOWN_TENANT))
}

impl From<&menlou_tenant::Minute> for MinuteUsage {
    fn from(minute: &menlou_tenant::Minute) -> Self {
        let millis = |time: Duration| (time.as_secs_f64() * 10_000.0).round() / 10.0;
        Self {
            at: Timestamp::from_unix_seconds(u64::from(minute.minute) * 60),
            calls: minute.calls,
            failures: minute.failures,
            sessions: minute.opened,
            p50_ms: millis(minute.within(0.5)),
            p95_ms: millis(minute.within(0.95)),
        }
    }
}
