//! All tenants, and how each is doing.

use super::{BASE, chart::Chart, console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::activity;
use crate::plugins;
use crate::tenants::{self, TenantFilter};
use askama::Template;
use menlou_config::tenant::TenantName;
use menlou_error::Result;

/// How many tenants a page shows.
const MOST: usize = 50;
/// Of how many minutes, and in how many bars.
const MINUTES: u32 = 360;
const BARS: u32 = 36;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    layout: Layout,
    rows: Vec<Row>,
    /// What was sought: a part of the name, and whether only tenants with faults are.
    sought: String,
    only_faulty: bool,
    /// The name behind which this page begins; empty where it is the first.
    after: String,
    /// The name behind which the next page begins.
    more: Option<String>,
    serving: usize,
    faulty: usize,
    plugins: usize,
    refused: usize,
}

struct Row {
    tenant: tenants::TenantSummary,
    /// Whether it has pages: a file owner name is no tenant's has none.
    named: bool,
    plot: Chart,
}

/// `GET /console/`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    if let Some(own) = request.own() {
        return Ok(ConsoleResponse::to(format!("{BASE}tenants/{own}")));
    }
    let (state, caller) = (request.state(), request.caller()?);
    let (text, after) = (request.query.get("q").trim(), request.query.get("after"));
    let only_faulty = request.query.get("faulty") == "1";
    let mut found = tenants::list(state, caller, TenantFilter { after, text, invalid_only: only_faulty }, MOST + 1)?;
    if let [only] = found.as_slice()
        && only.name == text.to_lowercase()
    {
        return Ok(ConsoleResponse::to(format!("{BASE}tenants/{}", only.name)));
    }
    let more = (found.len() > MOST).then(|| found[MOST - 1].name.clone());
    found.truncate(MOST);
    let mut rows = Vec::new();
    for tenant in found {
        let name = TenantName::parse(&tenant.name).ok();
        // One that does not serve has none.
        let usage = name.as_ref().and_then(|name| activity::usage(state, caller, name, MINUTES).ok());
        let plot = Chart::of(&usage.unwrap_or_default(), MINUTES, BARS);
        rows.push(Row { plot, named: name.is_some(), tenant });
    }
    let loaded = plugins::list(state, caller)?;
    let page = Page {
        rows,
        sought: text.to_owned(),
        only_faulty,
        after: after.to_owned(),
        more,
        serving: state.registry.len(),
        faulty: state.registry.faulty(),
        plugins: loaded.plugins.len(),
        refused: loaded.rejected.len(),
        layout: request.layout,
    };
    ConsoleResponse::page(&page)
}

impl Page {
    /// The address of the page that begins behind this name.
    fn at(&self, after: &str) -> String {
        let pairs =
            [("q", self.sought.as_str()), ("faulty", if self.only_faulty { "1" } else { "" }), ("after", after)];
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", self.layout.url(value))).collect();
        format!("{BASE}?{}", query.join("&"))
    }
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
