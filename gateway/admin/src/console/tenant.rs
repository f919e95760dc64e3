//! One tenant: how it is doing, why calls failed, whether its credentials work.

use super::{BASE, answer::Answer, frame::Frame, plot::Plot, visit::Visit};
use crate::Right;
use crate::activity::{self, Failure, Usage};
use crate::sessions;
use crate::tenants::{self, Condition};
use crate::time::Time;
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
    frame: Frame,
    tenant: tenants::Page,
    verified: Option<(bool, Time)>,
    verification: Option<Verification>,
    /// Of how many minutes the numbers are.
    minutes: u32,
    plot: Plot,
    usage: Vec<Usage>,
    failures: Vec<Explained>,
    sessions: Option<u64>,
    traffic: SocketAddr,
}

/// What the platform said of the credentials, as part of a page.
#[derive(Template)]
#[template(path = "verification.html")]
struct Verified {
    frame: Frame,
    verification: Option<Verification>,
}

/// A failure in words: the latest of its kind.
struct Explained {
    failure: Failure,
    /// Those of the same kind before it.
    earlier: Vec<Failure>,
    what: Option<String>,
    who: Option<String>,
    remedy: Option<String>,
    place: Option<String>,
}

/// `GET /console/tenants/{tenant}`
pub async fn show(visit: Visit) -> Result<Answer> {
    page(visit, None).await
}

/// `POST /console/tenants/{tenant}/verify`
pub async fn verify(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("")?;
    let verification = Some(verify::verify(visit.desk(), visit.caller()?, &name).await?);
    if visit.frame.part {
        return Answer::page(&Verified { frame: visit.frame, verification });
    }
    page(visit, verification).await
}

async fn page(mut visit: Visit, verification: Option<Verification>) -> Result<Answer> {
    let name = visit.tenant("")?;
    let (desk, caller) = (visit.desk(), visit.caller()?);
    let minutes = if visit.query.get("minutes") == "60" { 60 } else { 360 };
    let tenant = tenants::read(desk, caller, &name).await?;
    // One that does not serve has none.
    let usage = activity::usage(desk, caller, &name, minutes).unwrap_or_default();
    let failures = activity::failures(desk, caller, &name).unwrap_or_default();
    let summary = tenants::summary_of(desk, caller, &name)?;
    let page = Page {
        plot: Plot::of(&usage, minutes, if minutes == 60 { 60 } else { 72 }),
        usage,
        failures: Explained::together(failures, &visit.frame),
        verified: summary.and_then(|summary| summary.verified.zip(summary.verified_at)),
        verification,
        minutes,
        // The page stands also where the store is away.
        sessions: sessions::count(desk, caller, &name).await.ok(),
        traffic: desk.traffic,
        tenant,
        frame: visit.frame,
    };
    Answer::page(&page)
}

/// `POST /console/tenants/{tenant}/remove`
pub async fn remove(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("")?;
    visit.caller()?.may(Right::Operate, name.as_str())?;
    if visit.form.get("name") != name.as_str() {
        let text = Text::fixed("请输入租户名以确认删除", "Write the tenant's name to say that you mean it.");
        return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
    }
    let seen = Condition::Is(Revision::told(visit.form.get("revision")));
    tenants::remove(visit.desk(), visit.caller()?, &name, seen).await?;
    Ok(Answer::to(format!("{BASE}?done=removed")))
}

/// Whether what to do about a step's trouble stands at a step before it.
fn told_before(steps: &[Step], &index: &usize) -> bool {
    let code = |step: &Step| step.trouble.as_ref().and_then(|trouble| trouble.errcode);
    code(&steps[index]).is_some() && steps[..index].iter().any(|step| code(step) == code(&steps[index]))
}

impl Explained {
    /// Failures of one kind stand together, the kinds in the order of their latest.
    fn together(failures: Vec<Failure>, frame: &Frame) -> Vec<Self> {
        let mut kinds: Vec<Self> = Vec::new();
        for failure in failures {
            let alike = |one: &Failure| {
                one.action == failure.action && one.error == failure.error && one.errcode == failure.errcode
            };
            match kinds.iter_mut().find(|kind| alike(&kind.failure)) {
                Some(kind) => kind.earlier.push(failure),
                None => kinds.push(Self::of(failure, frame)),
            }
        }
        kinds
    }

    fn of(failure: Failure, frame: &Frame) -> Self {
        let told = |text: &Text| Some(frame.s(text).to_owned());
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
