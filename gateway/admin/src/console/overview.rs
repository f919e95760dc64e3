//! The first page: all tenants and their status.

use super::{chart::Chart, console_request::ConsoleRequest, layout::Layout, paths::BASE, response::ConsoleResponse};
use crate::{
    activity, plugins,
    tenants::{self, TenantFilter},
};
use askama::Template;
use menlou_config::tenant::TenantName;
use menlou_error::Result;

/// Number of tenants on a page.
const PAGE_SIZE: usize = 50;
/// The period of each chart, in minutes.
const CHART_MINUTES: u32 = 360;
/// Number of bars in each chart.
const CHART_BARS: u32 = 36;

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    rows: Vec<Row>,
    /// The search text.
    text: String,
    invalid_only: bool,
    /// The page lists names after this one; empty on the first page.
    after: String,
    /// The next page lists names after this one.
    next_after: Option<String>,
    serving: usize,
    invalid: usize,
    plugins: usize,
    rejected: usize,
}

struct Row {
    tenant: tenants::TenantSummary,
    /// Whether the tenant has pages. A file whose name is not a valid tenant name has none.
    has_pages: bool,
    chart: Chart,
}

/// `GET /console/`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    if let Some(own) = request.own_tenant() {
        return Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{own}")));
    }
    let (state, caller) = (request.state(), request.caller()?);
    let (text, after) = (request.query.get("q").trim(), request.query.get("after"));
    let invalid_only = request.query.get("faulty") == "1";
    let mut found = tenants::list(state, caller, TenantFilter { after, text, invalid_only }, PAGE_SIZE + 1)?;
    if let [only] = found.as_slice()
        && only.name == text.to_lowercase()
    {
        return Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{}", only.name)));
    }
    let next_after = (found.len() > PAGE_SIZE).then(|| found[PAGE_SIZE - 1].name.clone());
    found.truncate(PAGE_SIZE);
    let mut rows = Vec::new();
    for tenant in found {
        let name = TenantName::parse(&tenant.name).ok();
        // A tenant that is not serving has no usage.
        let usage = name.as_ref().and_then(|name| activity::usage(state, caller, name, CHART_MINUTES).ok());
        let chart = Chart::new(&usage.unwrap_or_default(), CHART_MINUTES, CHART_BARS);
        rows.push(Row { chart, has_pages: name.is_some(), tenant });
    }
    let loaded = plugins::list(state, caller)?;
    let page = OverviewPage {
        rows,
        text: text.to_owned(),
        invalid_only,
        after: after.to_owned(),
        next_after,
        serving: state.registry.len(),
        invalid: state.registry.invalid_count(),
        plugins: loaded.plugins.len(),
        rejected: loaded.rejected.len(),
        layout: request.layout,
    };
    ConsoleResponse::page(&page)
}

impl OverviewPage {
    /// The address of the page that lists names after this one.
    fn page_address(&self, after: &str) -> String {
        let pairs = [("q", self.text.as_str()), ("faulty", if self.invalid_only { "1" } else { "" }), ("after", after)];
        let given = pairs.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = given.map(|(name, value)| format!("{name}={}", self.layout.url(value))).collect();
        format!("{BASE}?{}", query.join("&"))
    }
}

impl Row {
    /// Whether more than half of at least five requests in the last hour failed.
    fn is_failing(&self) -> bool {
        self.tenant.calls >= 5 && self.tenant.failures * 2 > self.tenant.calls
    }

    /// The CSS class of the status: `down`, `well` or `ill`.
    fn status_class(&self) -> &'static str {
        match (self.tenant.serving, self.tenant.faults, self.tenant.verified) {
            (false, _, _) => "down",
            (true, 0, Some(true) | None) if !self.is_failing() => "well",
            (true, _, _) => "ill",
        }
    }
}
