//! One tenant: how it is doing, why calls failed, whether its credentials work.

use super::{BASE, chart::Chart, console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::Permission;
use crate::activity::{self, ActionUsage, RecentFailure};
use crate::sessions;
use crate::tenants::{self, Precondition};
use crate::timestamp::Timestamp;
use crate::verify::{self, Step, Verification};
use askama::Template;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_platform::wechat::errcodes;
use menlou_tenant::Revision;
use std::net::SocketAddr;

#[derive(Template)]
#[template(path = "tenant.html")]
struct Page {
    layout: Layout,
    tenant: tenants::TenantDetails,
    verified: Option<(bool, Timestamp)>,
    verification: Option<Verification>,
    /// Of how many minutes the numbers are.
    minutes: u32,
    plot: Chart,
    usage: Vec<ActionUsage>,
    failures: Vec<Explained>,
    sessions: Option<u64>,
    traffic: SocketAddr,
}

/// What the platform said of the credentials, as part of a page.
#[derive(Template)]
#[template(path = "verification.html")]
struct Verified {
    layout: Layout,
    verification: Option<Verification>,
}

/// A failure in words: the latest of its kind.
struct Explained {
    failure: RecentFailure,
    /// Those of the same kind before it.
    earlier: Vec<RecentFailure>,
    what: Option<String>,
    who: Option<String>,
    remedy: Option<String>,
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
    if request.layout.part {
        return ConsoleResponse::page(&Verified { layout: request.layout, verification });
    }
    page(request, verification).await
}

async fn page(mut request: ConsoleRequest, verification: Option<Verification>) -> Result<ConsoleResponse> {
    let name = request.tenant("")?;
    let (state, caller) = (request.state(), request.caller()?);
    let minutes = if request.query.get("minutes") == "60" { 60 } else { 360 };
    let tenant = tenants::read(state, caller, &name).await?;
    // One that does not serve has none.
    let usage = activity::usage(state, caller, &name, minutes).unwrap_or_default();
    let failures = activity::failures(state, caller, &name).unwrap_or_default();
    let summary = tenants::summary_of(state, caller, &name)?;
    let page = Page {
        plot: Chart::of(&usage, minutes, if minutes == 60 { 60 } else { 72 }),
        usage,
        failures: Explained::together(failures, &request.layout),
        verified: summary.and_then(|summary| summary.verified.zip(summary.verified_at)),
        verification,
        minutes,
        // The page stands also where the store is away.
        sessions: sessions::count(state, caller, &name).await.ok(),
        traffic: state.traffic_addr,
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
        let text = Text::fixed("请输入租户名以确认删除", "Write the tenant's name to say that you mean it.");
        return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
    }
    let seen = Precondition::Matches(Revision::told(request.form.get("revision")));
    tenants::remove(request.state(), request.caller()?, &name, seen).await?;
    Ok(ConsoleResponse::to(format!("{BASE}?done=removed")))
}

/// Whether what to do about a step's trouble stands at a step before it.
fn told_before(steps: &[Step], &index: &usize) -> bool {
    let code = |step: &Step| step.trouble.as_ref().and_then(|trouble| trouble.errcode);
    code(&steps[index]).is_some() && steps[..index].iter().any(|step| code(step) == code(&steps[index]))
}

impl Explained {
    /// Failures of one kind stand together, the kinds in the order of their latest.
    fn together(failures: Vec<RecentFailure>, layout: &Layout) -> Vec<Self> {
        let mut kinds: Vec<Self> = Vec::new();
        for failure in failures {
            let alike = |one: &RecentFailure| {
                one.action == failure.action && one.error == failure.error && one.errcode == failure.errcode
            };
            match kinds.iter_mut().find(|kind| alike(&kind.failure)) {
                Some(kind) => kind.earlier.push(failure),
                None => kinds.push(Self::of(failure, layout)),
            }
        }
        kinds
    }

    fn of(failure: RecentFailure, layout: &Layout) -> Self {
        let told = |text: &Text| Some(layout.s(text).to_owned());
        // The platform's own code says more than our word for it.
        if let Some(explained) = failure.errcode.and_then(errcodes::explain) {
            return Self {
                what: told(&explained.what),
                who: told(&explained.who.text()),
                remedy: told(&explained.remedy),
                place: explained.place.as_ref().and_then(told),
                earlier: Vec::new(),
                failure,
            };
        }
        // A plugin's own words stand in no table.
        let word = codes::find(&failure.error).or_else(|| admin_codes::find(&failure.error));
        Self {
            what: word.and_then(|word| told(&word.text)),
            who: word.and_then(|word| told(&word.who.text())),
            remedy: word.and_then(|word| told(&word.remedy)),
            place: None,
            earlier: Vec::new(),
            failure,
        }
    }
}
