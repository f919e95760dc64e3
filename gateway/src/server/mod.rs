//! The traffic side: the life of a request stands in [`walk`], from its head to its answer.

mod accept;
mod decode;
mod encode;
mod layers;
mod refusal;
mod request_id;

use crate::{
    config::server,
    error::{Error, Result, words},
    tenant::{Roster, Switched, Tenant},
};
pub use accept::serve;
use decode::{Address, Asked};
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// What the walk needs to know.
pub struct Traffic {
    /// Who serves.
    pub roster: Arc<Roster>,
    /// Limits and deadlines.
    pub limits: server::Server,
    /// Whether each call is logged.
    pub access_log: bool,
}

/// What a request's answer is: always the envelope.
pub(crate) type Answer = Response<Full<Bytes>>;

/// One request, from its head to its answer: decode → tenant → action (who may call, the plugin) → encode. The layers
/// around it (panic, load, see [`layers`]) make an answer where this can't.
async fn walk(traffic: &Traffic, asked: &Asked, request: Request<Incoming>, remote: IpAddr) -> Answer {
    let began = Instant::now();
    let mut found = Found::default();
    let outcome = serve_call(traffic, asked, request, remote, &mut found).await;
    let answer = match &outcome {
        Ok(reply) => encode::reply(reply, asked),
        Err(error) => encode::error(error, asked),
    };
    let took = began.elapsed();
    found.count(outcome.as_ref().err(), took, &asked.id);
    if traffic.access_log {
        log(&found, asked, &outcome, took, remote);
    } else if let Err(error) = &outcome {
        log_cause(&found, asked, error);
    }
    answer
}

async fn serve_call(
    traffic: &Traffic,
    asked: &Asked,
    request: Request<Incoming>,
    remote: IpAddr,
    found: &mut Found,
) -> Result<crate::call::Reply> {
    let (head, body) = request.into_parts();
    let Address { tenant, action, mut params } = decode::address(&head.uri)?;
    let tenant = found.tenant(traffic.roster.find(&tenant))?;
    let action = found.action(&tenant, &action)?;
    let body = decode::body(&head, body, &traffic.limits, &mut params).await?;
    let limit = traffic.limits.call_timeout.get();
    let call = decode::call(asked, head, found, params, body, remote, limit)?;
    timeout(limit, action.run(call)).await.unwrap_or_else(|_| Err(Error::new(&words::CALL_TIMEOUT)))
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

    fn count(&self, error: Option<&Error>, took: Duration, request_id: &str) {
        if let Some(switched) = &self.switched {
            switched.calls.increment(1);
            switched.seconds.record(took);
            switched.usage.record(error.is_some(), took);
        }
        if let (Some(tenant), Some(error)) = (&self.tenant, error) {
            tenant.activity.failed(self.switched.as_ref().map(|s| s.name.as_str()), error, request_id);
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

fn log(found: &Found, asked: &Asked, outcome: &Result<crate::call::Reply>, took: Duration, remote: IpAddr) {
    let (tenant, action) = found.names();
    let error = outcome.as_ref().err();
    let status = error.map_or(200, Error::status);
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
