//! The traffic side: the life of a request stands in [`handle`], from its head to its answer.

mod accept;
pub mod addresses;
mod begun;
mod body;
pub mod calls;
mod compress;
mod cors;
pub mod decode;
mod early_response;
mod encode;
mod layers;
mod pace;
mod preamble;
pub mod proxies;
mod request_id;
pub mod tls;
pub mod wire;

use crate::proxies::Proxies;
use crate::tls::Tls;
pub use accept::serve;
use body::{BodyProgress, Outgoing};
use decode::{Input, RequestContext, RouteTarget};
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{HOST, ORIGIN},
    request::Parts,
};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use menlou_call::{Reply, Unread};
use menlou_config::server;
use menlou_error::{Error, Result, codes};
use menlou_policy::{
    cors::Cors,
    limits::{AdmissionController, RateLimitHeaders, RateLimitPermit},
};
use menlou_tenant::{Tenant, TenantAction, TenantRegistry};
use pace::Pace;
use std::{future::Future, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// What the handle needs to know.
pub struct TrafficState {
    /// Who serves.
    pub registry: Arc<TenantRegistry>,
    /// Where calls under way have their places.
    pub admission: Arc<AdmissionController>,
    /// Limits and deadlines.
    pub limits: server::Server,
    /// What clients may ask for.
    pub clients: server::Clients,
    /// Who is believed about who the client is.
    pub proxies: Arc<Proxies>,
    /// Certificates, where the traffic port speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// What HTTP/2 may cost.
    pub http2: server::Http2,
    /// Whether each call is logged.
    pub access_log: bool,
}

/// What a request's answer is: the envelope, but for files and streams.
type Answer = Response<Outgoing>;

/// One request, from its head to its answer: decode → tenant → action (who may call, the plugin) → encode. The layers
/// around it (panic, load, see [`layers`]) make an answer where this can't.
async fn handle(
    traffic: &TrafficState,
    asked: &RequestContext,
    request: Request<Incoming>,
    remote: IpAddr,
    (began, until): (Instant, Instant),
) -> Answer {
    let mut found = RequestOutcome::default();
    let origin = request.headers().get(ORIGIN).cloned();
    let (mut answer, error) = match dispatch(traffic, asked, request, remote, until, &mut found).await {
        Ok(answer) => (answer, None),
        Err(error) => (encode::error(&error, asked), Some(error)),
    };
    if let Some(quota) = found.quota() {
        encode::quota(&mut answer, &quota);
    }
    if let Some(cors) = found.cors() {
        cors::mark(answer.headers_mut(), cors, origin);
    }
    let took = began.elapsed();
    found.count(error.as_ref(), took, &asked.id);
    if traffic.access_log {
        log(&found, asked, answer.status().as_u16(), error.as_ref(), took, remote);
    } else if let Some(error) = &error {
        log_cause(&found, asked, error);
    }
    match found.passage.into_place() {
        Some(place) => answer.map(|body| body.holding(place)),
        None => answer,
    }
}

/// The answer where there is no admission for a call. The tenant's pages may read it, and what their browsers ask beforehand is
/// answered as ever, which costs no more.
fn reject_overloaded(traffic: &TrafficState, asked: &RequestContext, request: Request<Incoming>) -> Answer {
    let (head, _) = request.into_parts();
    let overloaded = encode::error(&Error::new(&codes::OVERLOADED), asked);
    let Some(origin) = head.headers.get(ORIGIN).cloned() else { return overloaded };
    let Ok(address) = RouteTarget::of(&head.uri) else { return overloaded };
    let Some(tenant) = traffic.registry.find(&address.tenant) else { return overloaded };
    let Some(cors) = &tenant.cors else { return overloaded };
    let mut answer = match cors::preflight(asked, &head, Some(cors), || methods(&tenant, &address.action)) {
        Ok(asks) => asks.unwrap_or(overloaded),
        Err(error) => encode::error(&error, asked),
    };
    cors::mark(answer.headers_mut(), cors, Some(origin));
    answer
}

async fn dispatch(
    traffic: &TrafficState,
    asked: &RequestContext,
    request: Request<Incoming>,
    remote: IpAddr,
    until: Instant,
    found: &mut RequestOutcome,
) -> Result<Answer> {
    let (head, body) = request.into_parts();
    if !is_of_one_host(&head) {
        return Err(Error::new(&codes::BAD_REQUEST));
    }
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > traffic.clients.max_uri_length.bytes() {
        return Err(Error::new(&codes::URI_TOO_LONG));
    }
    let address = RouteTarget::of(&head.uri)?;
    let RequestOutcome { tenant, action_at, passage } = found;
    let tenant =
        &**tenant.insert(traffic.registry.find(&address.tenant).ok_or_else(|| Error::new(&codes::UNKNOWN_TENANT))?);
    if let Some(answer) = cors::preflight(asked, &head, tenant.cors.as_deref(), || methods(tenant, &address.action))? {
        return Ok(answer);
    }
    let (at, tenant_action) = tenant.find(&address.action).ok_or_else(|| Error::new(&codes::UNKNOWN_ACTION))?;
    *action_at = Some(at);
    tenant_action.prefetch();
    let action = tenant_action.action.as_ref().ok_or_else(|| Error::new(&codes::PLUGIN_UNAVAILABLE))?;
    let takes = action.descriptor().flags;
    if !takes.subpaths && !address.subpath.is_empty() {
        return Err(Error::new(&codes::NOT_FOUND));
    }
    passage.enter(&tenant_action.limits, remote).await?;
    let (limits, clients, mut input, mut arrival) = (&traffic.limits, &traffic.clients, Input::default(), None);
    let pace = Pace::new(clients.body_idle_timeout.get(), clients.min_transfer_rate.bytes());
    match takes.raw_query {
        true => input.query = address.query(),
        false => input.params = address.params()?,
    }
    match takes.raw_body {
        true => {
            let arrival = arrival.insert(BodyProgress::new()).clone();
            let body = body::Incoming::new(body, pace, until, Some(arrival));
            input.unread = Some(Unread::new(body.boxed_unsync()));
        }
        false => {
            let body = body::Incoming::new(body, pace, until, None);
            input.body = decode::body(&head, body, limits, &mut input.params).await?;
        }
    }
    let (limit, names) = (limits.call_timeout.get(), (address.action, address.subpath.to_owned()));
    let call = decode::call(asked, head, names, input, remote, limit)?;
    let served = async {
        let caller = action.admit(&call, Some((&tenant_action.limits, passage))).await?;
        action.serve(call, caller).await
    };
    Ok(match within(limit, arrival, served).await? {
        data @ Reply::Data(_) => compress::compress_reply(encode::reply(data, asked), asked).await,
        as_it_is => encode::reply(as_it_is, asked),
    })
}

/// The methods that an action serves; of one that isn't there, what calls mostly come with.
fn methods<'a>(tenant: &'a Tenant, action: &str) -> &'a [Method] {
    let action = tenant.action(action).and_then(|tenant_action| tenant_action.action.as_ref());
    action.map_or(&[Method::POST], |action| &action.descriptor().methods)
}

/// Whether a request of HTTP/2 is for one host, by its authority, by `Host`, or by both alike. Of HTTP/1 the wire knows.
fn is_of_one_host(head: &Parts) -> bool {
    let (authority, mut hosts) = (head.uri.authority(), head.headers.get_all(HOST).iter());
    let (host, authority) = (hosts.next().map(HeaderValue::as_bytes), authority.map(|a| a.as_str().as_bytes()));
    let is_one = hosts.next().is_none()
        && host.zip(authority).is_none_or(|(host, authority)| host.eq_ignore_ascii_case(authority));
    is_one && (head.version != Version::HTTP_2 || authority.or(host).is_some_and(wire::is_host))
}

/// Gives up on a call where it takes too long, counted from the last byte that came.
async fn within(
    limit: Duration,
    arrival: Option<Arc<BodyProgress>>,
    call: impl Future<Output = Result<Reply>>,
) -> Result<Reply> {
    let mut call = pin!(call);
    let mut until = Instant::now() + limit;
    loop {
        match timeout_at(until, &mut call).await {
            Ok(outcome) => return outcome,
            Err(_) => match arrival.as_ref().map(|a| a.last() + limit).filter(|later| *later > until) {
                Some(later) => until = later,
                None => return Err(Error::new(&codes::CALL_TIMEOUT)),
            },
        }
    }
}

/// What a request was found to be about, for the log and the counters.
#[derive(Default)]
struct RequestOutcome {
    tenant: Option<Arc<Tenant>>,
    /// Where in the tenant the action stands.
    action_at: Option<usize>,
    passage: RateLimitPermit,
}

impl RequestOutcome {
    fn tenant_action(&self) -> Option<&TenantAction> {
        self.tenant.as_ref()?.action_at(self.action_at?)
    }

    fn quota(&self) -> Option<RateLimitHeaders<'_>> {
        self.passage.quota(&self.tenant_action()?.limits)
    }

    fn cors(&self) -> Option<&Cors> {
        self.tenant.as_ref()?.cors.as_deref()
    }

    fn names(&self) -> (&str, &str) {
        (self.tenant.as_ref().map_or("", |t| &t.name), self.tenant_action().map_or("", |s| &s.name))
    }

    fn count(&self, error: Option<&Error>, took: Duration, request_id: &str) {
        let tenant_action = self.tenant_action();
        if let Some(tenant_action) = tenant_action {
            self.passage.took(&tenant_action.limits, took);
            tenant_action.called(error.is_some(), took);
        }
        let Some(error) = error else { return };
        // Words of plugins' own are as many as their authors like: they count as one.
        let word = codes::find(error.code()).map_or("other", |w| w.name);
        match (&self.tenant, tenant_action) {
            (Some(tenant), Some(tenant_action)) => tenant_action.failed(&tenant.name, word),
            (tenant, _) => {
                let tenant = tenant.as_ref().map_or(String::new(), |tenant| tenant.name.clone());
                metrics::counter!("menlou_errors_total", "tenant" => tenant, "action" => "", "error" => word)
                    .increment(1);
            }
        }
        if let Some(tenant) = &self.tenant {
            tenant.activity.failed(tenant_action.map(|s| s.name.as_str()), error, request_id);
        }
    }
}

fn log(
    found: &RequestOutcome,
    asked: &RequestContext,
    status: u16,
    error: Option<&Error>,
    took: Duration,
    remote: IpAddr,
) {
    let (tenant, action) = found.names();
    // Fields without a value are left out of the line.
    let known = error.is_some_and(Error::is_logged);
    let (word, cause) = (error.map(Error::code), error.filter(|_| !known).and_then(Error::cause));
    let ms = format_args!("{:.3}", took.as_secs_f64() * 1000.0);
    match status {
        500.. if !known => {
            tracing::error!(target: "access", request_id = asked.id, tenant, action, status, error = word, cause, %ms, %remote)
        }
        _ => {
            tracing::info!(target: "access", request_id = asked.id, tenant, action, status, error = word, cause, %ms, %remote)
        }
    }
}

fn log_cause(found: &RequestOutcome, asked: &RequestContext, error: &Error) {
    let (tenant, action) = found.names();
    if let Some(cause) = error.cause().filter(|_| !error.is_logged()) {
        tracing::warn!(request_id = asked.id, tenant, action, error = error.code(), cause, "a call failed");
    }
}
