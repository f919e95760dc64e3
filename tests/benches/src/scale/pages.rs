//! The admin side as people and programs see it, and how long each answer takes them.

use crate::{Result, rounds::median, scale::fleet::Fleet};
use menlou_harness::{Browser, http::Request};
use std::time::Instant;

/// How often each page is opened.
const TIMES: usize = 7;

/// A page, how long it took at the median, milliseconds, and how large it was.
pub struct Opened {
    pub page: String,
    pub ms: f64,
    pub bytes: usize,
}

/// Signs in at the console with a new token and opens everything; `tenant` is some tenant's name.
pub fn open(fleet: &Fleet, tenant: &str) -> Result<Vec<Opened>> {
    let admin = fleet.home.admin;
    let token = fleet.home.command(&["admin", "token", "new", "--role", "operator", "--label", "benches"])?;
    let mut browser = Browser::at(admin);
    let entered = browser.post("/console/sign-in", &[("token", &token), ("next", "/console/")]);
    if entered.status != 303 {
        return Err(format!("no one could sign in: {}", entered.text()).into());
    }
    let half = &tenant[..tenant.len() - 2];
    let console = [
        "/console/".to_owned(),
        format!("/console/?q={half}"),
        format!("/console/?after={tenant}"),
        format!("/console/tenants/{tenant}"),
        format!("/console/tenants/{tenant}/settings"),
        format!("/console/tenants/{tenant}/actions"),
        format!("/console/tenants/{tenant}/history"),
        "/console/audit".to_owned(),
        "/console/plugins".to_owned(),
    ];
    let api = ["/api/v1/tenants".to_owned(), format!("/api/v1/tenants/{tenant}")];
    let open = ["/readyz".to_owned(), "/metrics".to_owned(), format!("/openapi.json?tenant={tenant}")];
    let mut opened = Vec::new();
    for page in console {
        opened.push(timed(&page, || {
            let answer = browser.get(&page);
            Ok((answer.status, answer.body.len()))
        })?);
    }
    for page in api.into_iter().chain(open) {
        opened.push(timed(&page, || {
            let answer = Request::new("GET", &page).bearer(&token).send(admin)?;
            Ok((answer.status, answer.body.len()))
        })?);
    }
    Ok(opened)
}

/// The value of a counter without labels.
pub fn counter(fleet: &Fleet, name: &str) -> Result<f64> {
    let metrics = Request::new("GET", "/metrics").send(fleet.home.admin)?.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.ok_or_else(|| format!("no metric {name}"))?.parse()?)
}

fn timed(page: &str, mut open: impl FnMut() -> Result<(u16, usize)>) -> Result<Opened> {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..TIMES {
        let start = Instant::now();
        let (status, size) = open()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
        if status != 200 {
            return Err(format!("{page} answered {status}").into());
        }
        bytes = size;
    }
    Ok(Opened { page: page.to_owned(), ms: median(&times), bytes })
}
