//! The traffic side: the life of a request stands in [`walk`], from its head to its answer.

mod accept;
mod addresses;
mod begun;
mod body;
mod calls;
mod decode;
mod encode;
mod layers;
mod pace;
mod proxies;
mod refusal;
mod request_id;
mod wire;

use crate::{
    call::{Reply, Unread},
    config::server,
    error::{Error, Result, words},
    tenant::{Roster, Switched, Tenant},
    tls::Tls,
};
pub use accept::serve;
use body::{Arrival, Outgoing};
use decode::{Address, Asked, Input};
use http::{Request, Response, header::HOST, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use pace::Pace;
use std::{future::Future, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// What the walk needs to know.
pub struct Traffic {
    /// Who serves.
    pub roster: Arc<Roster>,
    /// Limits and deadlines.
    pub limits: server::Server,
    /// What clients may ask for.
    pub clients: server::Clients,
    /// Who is believed about who the client is.
    pub proxies: server::Proxies,
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
async fn walk(traffic: &Traffic, asked: &Asked, request: Request<Incoming>, remote: IpAddr, until: Instant) -> Answer {
    let began = Instant::now();
    let mut found = Found::default();
    let (answer, error) = match serve_call(traffic, asked, request, remote, until, &mut found).await {
        Ok(reply) => (encode::reply(reply, asked), None),
        Err(error) => (encode::error(&error, asked), Some(error)),
    };
    let took = began.elapsed();
    found.count(error.as_ref(), took);
    if traffic.access_log {
        log(&found, asked, answer.status().as_u16(), error.as_ref(), took, remote);
    } else if let Some(error) = &error {
        log_cause(&found, asked, error);
    }
    answer
}

async fn serve_call(
    traffic: &Traffic,
    asked: &Asked,
    request: Request<Incoming>,
    remote: IpAddr,
    until: Instant,
    found: &mut Found,
) -> Result<Reply> {
    let (head, body) = request.into_parts();
    if !is_of_one_host(&head) {
        return Err(Error::new(&words::BAD_REQUEST));
    }
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > traffic.clients.max_target.bytes() {
        return Err(Error::new(&words::URI_TOO_LONG));
    }
    let address = Address::of(&head.uri)?;
    let tenant = found.tenant(traffic.roster.find(&address.tenant))?;
    let action = found.action(&tenant, &address.action)?;
    let takes = action.descriptor().takes;
    if !takes.subpaths && !address.subpath.is_empty() {
        return Err(Error::new(&words::NOT_FOUND));
    }
    let (limits, clients, mut input, mut arrival) = (&traffic.limits, &traffic.clients, Input::default(), None);
    let pace = Pace::new(clients.body_idle_timeout.get(), clients.min_rate.bytes());
    match takes.raw_query {
        true => input.query = address.query(),
        false => input.params = address.params()?,
    }
    match takes.raw_body {
        true => {
            let arrival = arrival.insert(Arrival::new()).clone();
            let body = body::Incoming::new(body, pace, until, Some(arrival));
            input.unread = Some(Unread::new(body.boxed_unsync()));
        }
        false => {
            let body = body::Incoming::new(body, pace, until, None);
            input.body = decode::body(&head, body, limits, &mut input.params).await?;
        }
    }
    let (limit, subpath) = (limits.call_timeout.get(), address.subpath.to_owned());
    let call = decode::call(asked, head, (found, subpath), input, remote, limit)?;
    within(limit, arrival, action.run(call)).await
}

/// Whether `Host` names the authority of HTTP/2, where there are both. Of HTTP/1 the wire knows.
fn is_of_one_host(head: &Parts) -> bool {
    let (authority, mut hosts) = (head.uri.authority(), head.headers.get_all(HOST).iter());
    match (authority, hosts.next()) {
        (Some(authority), Some(host)) => {
            hosts.next().is_none() && authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
        }
        _ => hosts.next().is_none(),
    }
}

/// Gives up on a call where it takes too long, counted from the last byte that came.
async fn within(
    limit: Duration,
    arrival: Option<Arc<Arrival>>,
    call: impl Future<Output = Result<Reply>>,
) -> Result<Reply> {
    let mut call = pin!(call);
    let mut until = Instant::now() + limit;
    loop {
        match timeout_at(until, &mut call).await {
            Ok(outcome) => return outcome,
            Err(_) => match arrival.as_ref().map(|a| a.last() + limit).filter(|later| *later > until) {
                Some(later) => until = later,
                None => return Err(Error::new(&words::CALL_TIMEOUT)),
            },
        }
    }
}

/// What a request was found to be about, for the log and the counters.
#[derive(Default)]
struct Found {
    tenant: Option<Arc<Tenant>>,
    switched: Option<Arc<Switched>>,
}

impl Found {
    fn tenant(&mut self, tenant: Option<Arc<Tenant>>) -> Result<Arc<Tenant>> {
        self.tenant = tenant;
        self.tenant.clone().ok_or_else(|| Error::new(&words::UNKNOWN_TENANT))
    }

    fn action(&mut self, tenant: &Tenant, name: &str) -> Result<Arc<crate::action::Action>> {
        let switched = tenant.action(name).ok_or_else(|| Error::new(&words::UNKNOWN_ACTION))?;
        self.switched = Some(switched.clone());
        switched.action.clone().ok_or_else(|| Error::new(&words::PLUGIN_UNAVAILABLE))
    }

    fn names(&self) -> (&str, &str) {
        (self.tenant.as_ref().map_or("", |t| &t.name), self.switched.as_ref().map_or("", |s| &s.name))
    }

    fn count(&self, error: Option<&Error>, took: Duration) {
        if let Some(switched) = &self.switched {
            switched.calls.increment(1);
            switched.seconds.record(took);
        }
        if let Some(error) = error {
            // Words of plugins' own are as many as their authors like: they count as one.
            let word = words::find(error.word()).map_or("other", |w| w.name);
            let (tenant, action) = self.names();
            metrics::counter!("menlou_errors_total", "tenant" => tenant.to_owned(), "action" => action.to_owned(), "error" => word)
                .increment(1);
        }
    }
}

fn log(found: &Found, asked: &Asked, status: u16, error: Option<&Error>, took: Duration, remote: IpAddr) {
    let (tenant, action) = found.names();
    // Fields without a value are left out of the line.
    let (word, cause) = (error.map(Error::word), error.and_then(Error::cause));
    let ms = format_args!("{:.3}", took.as_secs_f64() * 1000.0);
    match status {
        500.. => {
            tracing::error!(target: "access", request_id = asked.id, tenant, action, status, error = word, cause, %ms, %remote)
        }
        _ => {
            tracing::info!(target: "access", request_id = asked.id, tenant, action, status, error = word, cause, %ms, %remote)
        }
    }
}

fn log_cause(found: &Found, asked: &Asked, error: &Error) {
    let (tenant, action) = found.names();
    if let Some(cause) = error.cause() {
        tracing::warn!(request_id = asked.id, tenant, action, error = error.word(), cause, "a call failed");
    }
}
