//! All tenants, and how each is doing.

use super::{BASE, answer::Answer, frame::Frame, plot::Plot, visit::Visit};
use crate::{
    admin::{activity, plugins, tenants},
    config::tenant::TenantName,
    error::Result,
};
use askama::Template;

/// How many tenants a page shows.
const MOST: usize = 50;
/// Of how many minutes, and in how many bars.
const MINUTES: u32 = 360;
const BARS: u32 = 36;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    /// What was sought.
    sought: String,
    /// The name behind which the next page begins.
    more: Option<String>,
    serving: usize,
    faulty: usize,
    plugins: usize,
    refused: usize,
}

struct Row {
    tenant: tenants::Summary,
    plot: Plot,
}

/// `GET /console/`
pub async fn show(visit: Visit) -> Result<Answer> {
    if let Some(own) = visit.own() {
        return Ok(Answer::to(format!("{BASE}tenants/{own}")));
    }
    let (desk, caller) = (visit.desk(), visit.caller()?);
    let sought = visit.query.get("q").trim().to_lowercase();
    let after = visit.query.get("after");
    let mut found = Vec::new();
    if !sought.is_empty() {
        // The one of that name stands before those that begin with it.
        let before = TenantName::parse(&sought).ok().and_then(|name| desk.roster.standing_of(name.as_str()));
        if before.is_some() {
            return Ok(Answer::to(format!("{BASE}tenants/{sought}")));
        }
    }
    let from = if after.is_empty() { sought.as_str() } else { after };
    found.extend(tenants::list(desk, caller, from, MOST + 1).await?);
    found.retain(|tenant| tenant.name.starts_with(&sought));
    let more = (found.len() > MOST).then(|| found[MOST - 1].name.clone());
    found.truncate(MOST);
    let mut rows = Vec::new();
    for tenant in found {
        let usage = match TenantName::parse(&tenant.name) {
            // One that does not serve has none.
            Ok(name) => activity::usage(desk, caller, &name, MINUTES).unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        rows.push(Row { plot: Plot::of(&usage, MINUTES, BARS), tenant });
    }
    let loaded = plugins::list(desk, caller)?;
    let page = Page {
        rows,
        sought,
        more,
        serving: desk.roster.len(),
        faulty: desk.roster.standing().values().filter(|standing| !standing.faults.is_empty()).count(),
        plugins: loaded.plugins.len(),
        refused: loaded.refused.len(),
        frame: visit.frame,
    };
    Answer::page(&page)
}

impl Row {
    /// Whether more than half of the last hour's calls failed, where there were some.
    fn fails(&self) -> bool {
        self.tenant.calls >= 5 && self.tenant.failures * 2 > self.tenant.calls
    }

    /// A word for how it is: the name of a style, too.
    fn health(&self) -> &'static str {
        match (self.tenant.serving, self.tenant.faults, self.tenant.verified) {
            (false, _, _) => "down",
            (true, 0, Some(true) | None) if !self.fails() => "well",
            (true, _, _) => "ill",
        }
    }
}
