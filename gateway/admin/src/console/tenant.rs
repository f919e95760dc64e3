//! The status page of a tenant: credentials, usage and recent failures.

use super::{chart::Chart, console_request::ConsoleRequest, layout::Layout, paths::BASE, response::ConsoleResponse};
use crate::{
    activity::{self, ActionUsage, RecentFailure},
    caller::Permission,
    sessions,
    tenants::{self, Precondition},
    timestamp::Timestamp,
    verify::{self, Step, Verification},
};
use askama::Template;
use menlou_error::text::Text;
use menlou_error::{Error, Outcome, Result, admin_codes, codes};
use menlou_platform::wechat::errcodes;
use menlou_tenant::Revision;
use std::net::SocketAddr;

#[derive(Template)]
#[template(path = "tenant.html")]
struct TenantPage {
    layout: Layout,
    tenant: tenants::TenantDetails,
    /// The result and time of the last verification.
    verified: Option<(bool, Timestamp)>,
    /// The result of a verification that was just made.
    verification: Option<Verification>,
    /// The period of the chart, in minutes.
    minutes: u32,
    chart: Chart,
    usage: Vec<ActionUsage>,
    failures: Vec<FailureGroup>,
    /// Requests that were refused because of their client or user.
    refused: Vec<FailureGroup>,
    sessions: Option<u64>,
    traffic_addr: SocketAddr,
}

/// The result of a verification as a fragment.
#[derive(Template)]
#[template(path = "verification.html")]
struct VerificationFragment {
    layout: Layout,
    /// The last result, shown until a verification is made: both together could contradict each other.
    verified: Option<(bool, Timestamp)>,
    verification: Option<Verification>,
}

/// Failures with the same action and error, explained.
struct FailureGroup {
    latest: RecentFailure,
    earlier: Vec<RecentFailure>,
    what: Option<String>,
    who: Option<String>,
    remedy: Option<String>,
    /// Where in the platform's web console.
    place: Option<String>,
}

/// `GET /console/tenants/{tenant}`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    page(request, None).await
}

/// `POST /console/tenants/{tenant}/verify`
pub async fn verify(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("")?;
    let verification = Some(verify::verify(request.state(), request.caller()?, &name).await?);
    if request.layout.is_fragment {
        return ConsoleResponse::page(&VerificationFragment { layout: request.layout, verified: None, verification });
    }
    page(request, verification).await
}

async fn page(mut request: ConsoleRequest, verification: Option<Verification>) -> Result<ConsoleResponse> {
    let name = request.tenant("")?;
    let (state, caller) = (request.state(), request.caller()?);
    let minutes = if request.query.get("minutes") == "60" { 60 } else { 360 };
    let tenant = tenants::read(state, caller, &name).await?;
    // A tenant that is not serving has neither usage nor failures.
    let usage = activity::usage(state, caller, &name, minutes).unwrap_or_default();
    let failures = activity::failures(state, caller, &name).unwrap_or_default();
    let is_refused = |failure: &RecentFailure| failure.outcome == Outcome::ClientError.name();
    let (refused, failures) = failures.into_iter().partition(is_refused);
    let summary = tenants::summary(state, caller, &name)?;
    let page = TenantPage {
        chart: Chart::new(&usage, minutes, if minutes == 60 { 60 } else { 72 }),
        usage,
        failures: FailureGroup::group(failures, &request.layout),
        refused: FailureGroup::group(refused, &request.layout),
        verified: summary.and_then(|summary| summary.verified.zip(summary.verified_at)),
        verification,
        minutes,
        // The page is shown even if the store is unavailable.
        sessions: sessions::count(state, caller, &name).await.ok(),
        traffic_addr: state.traffic_addr,
        tenant,
        layout: request.layout,
    };
    ConsoleResponse::page(&page)
}

/// `POST /console/tenants/{tenant}/remove`
pub async fn remove(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("")?;
    request.caller()?.require(Permission::Operate, name.as_str())?;
    if request.form.get("name") != name.as_str() {
        let text = Text::fixed("请输入租户名以确认删除", "Enter the tenant's name to confirm.");
        return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
    }
    let precondition = Precondition::Matches(Revision::from_tag(request.form.get("revision")));
    tenants::remove(request.state(), request.caller()?, &name, precondition).await?;
    Ok(ConsoleResponse::redirect(format!("{BASE}?done=removed")))
}

/// Whether an earlier step failed with the same error code, so that its remedy is already shown.
fn is_remedy_shown(steps: &[Step], &index: &usize) -> bool {
    let code = |step: &Step| step.trouble.as_ref().and_then(|trouble| trouble.errcode);
    code(&steps[index]).is_some() && steps[..index].iter().any(|step| code(step) == code(&steps[index]))
}

impl FailureGroup {
    /// Groups failures, given newest first. The groups are in the order of their latest failure.
    fn group(failures: Vec<RecentFailure>, layout: &Layout) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for failure in failures {
            let is_same = |one: &RecentFailure| {
                one.action == failure.action && one.error == failure.error && one.errcode == failure.errcode
            };
            match groups.iter_mut().find(|group| is_same(&group.latest)) {
                Some(group) => group.earlier.push(failure),
                None => groups.push(Self::new(failure, layout)),
            }
        }
        groups
    }

    fn new(failure: RecentFailure, layout: &Layout) -> Self {
        let text = |text: &Text| Some(layout.s(text).to_owned());
        // The platform's error code is more specific than the gateway's.
        if let Some(explanation) = failure.errcode.and_then(errcodes::explain) {
            return Self {
                what: text(&explanation.meaning),
                who: text(&explanation.responsible.text()),
                remedy: text(&explanation.remedy),
                place: explanation.location.as_ref().and_then(text),
                earlier: Vec::new(),
                latest: failure,
            };
        }
        // A plugin's own error codes have no explanation.
        let code = codes::find(&failure.error).or_else(|| admin_codes::find(&failure.error));
        Self {
            what: code.and_then(|code| text(code.meaning())),
            who: code.and_then(|code| text(&code.who.text())),
            remedy: code.and_then(|code| text(&code.remedy)),
            place: None,
            earlier: Vec::new(),
            latest: failure,
        }
    }
}
