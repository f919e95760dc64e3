//! The response times of console pages, admin API, readiness and metrics.

use crate::{Result, rounds::median, scale::fleet::Fleet};
use menlou_harness::{Browser, http::Request};
use std::time::Instant;

/// Number of requests per page.
const REPEATS: usize = 7;

/// The cost of a page.
pub struct PageCost {
    pub page: String,
    /// Median response time in milliseconds.
    pub ms: f64,
    /// Size of the body.
    pub bytes: usize,
}

/// Signs in to the console with a new token, and measures all pages; `tenant` is the name of a tenant.
pub fn measure(fleet: &Fleet, tenant: &str) -> Result<Vec<PageCost>> {
    let admin = fleet.home.admin;
    let token = fleet.home.command(&["admin", "token", "new", "--role", "operator", "--label", "benches"])?;
    let mut browser = Browser::at(admin);
    let response = browser.post("/console/sign-in", &[("token", &token), ("next", "/console/")]);
    if response.status != 303 {
        return Err(format!("the sign-in failed: {}", response.text()).into());
    }
    let prefix = &tenant[..tenant.len() - 2];
    let console = [
        "/console/".to_owned(),
        format!("/console/?q={prefix}"),
        format!("/console/?after={tenant}"),
        format!("/console/tenants/{tenant}"),
        format!("/console/tenants/{tenant}/settings"),
        format!("/console/tenants/{tenant}/actions"),
        format!("/console/tenants/{tenant}/history"),
        "/console/audit".to_owned(),
        "/console/plugins".to_owned(),
    ];
    let api = ["/api/v1/tenants".to_owned(), format!("/api/v1/tenants/{tenant}")];
    let public = ["/readyz".to_owned(), "/metrics".to_owned(), format!("/openapi.json?tenant={tenant}")];
    let mut costs = Vec::new();
    for page in console {
        costs.push(timed(&page, || {
            let response = browser.get(&page);
            Ok((response.status, response.body.len()))
        })?);
    }
    for page in api.into_iter().chain(public) {
        costs.push(timed(&page, || {
            let response = Request::new("GET", &page).bearer(&token).send(admin)?;
            Ok((response.status, response.body.len()))
        })?);
    }
    Ok(costs)
}

/// The value of a counter without labels.
pub fn counter(fleet: &Fleet, name: &str) -> Result<f64> {
    let metrics = Request::new("GET", "/metrics").send(fleet.home.admin)?.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.ok_or_else(|| format!("no metric {name}"))?.parse()?)
}

fn timed(page: &str, mut load: impl FnMut() -> Result<(u16, usize)>) -> Result<PageCost> {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..REPEATS {
        let start = Instant::now();
        let (status, size) = load()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        if status != 200 {
            return Err(format!("{page} answered {status}").into());
        }
        bytes = size;
    }
    Ok(PageCost { page: page.to_owned(), ms: median(&times), bytes })
}
