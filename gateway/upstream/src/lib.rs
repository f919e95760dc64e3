//! Forwards requests to a tenant's own back end: load balancing, health checks, retries.
//!
//! Bodies are streamed with back pressure and never buffered. Protocol upgrades (WebSocket), trailers and interim responses
//! (1xx) are not forwarded.

mod address;
mod answer;
mod client_headers;
mod cookies;
mod health_check;
mod hop_by_hop;
mod load_balancer;
mod metrics;
mod options;
mod response_headers;
mod send;

use address::{Address, Target};
use answer::Answer;
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body_util::BodyExt;
use hyper::body::Body;
use load_balancer::{LoadBalancer, Turn};
use menlou_call::BodyStream;
use menlou_circuit::BreakerPolicy;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_platform::http::{HttpClient, HttpFailure, ResponseBody};
use metrics::Outcome;
pub use options::{HealthCheckOptions, MIN_INTERVAL, OptionError, OptionField, UpstreamLabels, UpstreamOptions};
use send::Sending;
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// A request to forward. It has no `Debug`, because path, headers and body may contain secrets.
pub struct ForwardRequest {
    /// Any but `CONNECT`.
    pub method: Method,
    /// Path and query below the server's base URL. It starts with `/`, or the path is empty.
    pub path_and_query: String,
    /// Headers. Framing, `Host`, `Expect` and hop-by-hop headers are removed here. Call [`Upstream::keep_end_to_end`] on a
    /// client's headers before other headers are added.
    pub headers: HeaderMap,
    /// The body. It is sent with `Content-Length` if its size is known, else chunked. If the client aborts, it ends in an
    /// error.
    pub body: BodyStream,
    /// Idle timeout of the server: until it accepts the next piece of the body, starts the response after the last piece, or
    /// sends the next piece of the response. Time in which the client is slow does not count.
    pub timeout: Duration,
    /// Maximum number of retries. Any request is retried if nothing of it was sent. An idempotent request is also retried
    /// if the connection broke before the response and before any piece of the body was sent.
    pub retries: u32,
}

/// The servers of one action of a tenant.
pub struct Upstream {
    group: Arc<LoadBalancer>,
    /// Path of the action on the traffic port, `/srv/tenant/action`.
    path: String,
    health: Option<Checks>,
    checking: Mutex<JoinSet<()>>,
}

struct Checks {
    interval: Duration,
    /// Health check URL of each server.
    urls: Vec<String>,
}

impl Upstream {
    /// Builds an upstream. Health checks are not started.
    ///
    /// # Errors
    /// All errors of the options.
    pub fn new(options: UpstreamOptions) -> Result<Self, Vec<OptionError>> {
        let UpstreamOptions { labels, servers, break_after, break_for, health } = options;
        let mut faults = Vec::new();
        let addresses = addresses(&servers, &mut faults);
        let health = health.map(|health| {
            if health.interval < MIN_INTERVAL {
                let text = Text::fixed("不可短于 100ms", "must be at least 100ms");
                faults.push(OptionError { field: OptionField::HealthInterval, text });
            }
            let target = Target::new(health.path);
            if target.is_none() {
                let text = Text::fixed(
                    "须以 / 开头，且不含空格、#、反斜杠、. 或 .. 段",
                    "must begin with / and hold no space, #, backslash, nor . or .. as a segment",
                );
                faults.push(OptionError { field: OptionField::HealthPath, text });
            }
            let urls = target.iter().flat_map(|target| addresses.iter().map(|a| a.at(target))).collect();
            Checks { interval: health.interval, urls }
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let limits = BreakerPolicy { break_after, break_for };
        let checked_every = health.as_ref().map_or(Duration::ZERO, |h| h.interval);
        let path = format!("/srv/{}/{}", labels.tenant, labels.action);
        let group = LoadBalancer::new(labels, addresses, limits, checked_every);
        Ok(Self { group, path, health, checking: Mutex::default() })
    }

    /// Starts the health checks, if enabled; they end when the upstream is dropped. Further calls have no effect. It must be
    /// called within a tokio runtime.
    pub fn start(&self, http: &HttpClient) {
        let Some(health) = &self.health else { return };
        let mut checking = self.checking.lock().unwrap_or_else(PoisonError::into_inner);
        if checking.is_empty() {
            for (server, url) in health.urls.iter().enumerate() {
                let (group, http) = (Arc::clone(&self.group), http.clone());
                checking.spawn(health_check::watch(group, server, url.clone(), health.interval, http));
            }
        }
    }

    /// Prepares a client's headers for the upstream: removes the hop-by-hop headers, the cookies that the upstream cannot have
    /// set, and headers that a server could take for one of the gateway or for one of `added`, which are the names of the
    /// headers that the gateway adds. `request_path` is the path of the request on the traffic port.
    ///
    /// Call this **before** the gateway adds its own headers: otherwise a client could remove those by naming them in
    /// `Connection`.
    pub fn keep_end_to_end(&self, headers: &mut HeaderMap, request_path: &str, added: &[&str]) {
        hop_by_hop::end_to_end(headers);
        client_headers::remove_impostors(headers, added);
        cookies::of_request(headers, &self.path, request_path);
    }

    /// Sends a request to the server with the fewest requests in flight, and returns the response with a streamed body and
    /// without hop-by-hop headers. Dropping the future or the body ends the request.
    ///
    /// The body ends in an error if the server aborted the response or exceeded the timeout. That error has been logged.
    ///
    /// # Errors
    /// `upstream_unreachable`, `upstream_error`, `upstream_timeout`, `upstream_unavailable`; `bad_request` where the path
    /// is invalid; or the error of the client's own body.
    pub async fn forward(&self, http: &HttpClient, request: ForwardRequest) -> Result<Response<BodyStream>> {
        let ForwardRequest { method, path_and_query, mut headers, body, timeout, retries } = request;
        if method == Method::CONNECT {
            return Err(Error::new(&codes::BAD_REQUEST).with_cause("CONNECT is not forwarded"));
        }
        let target = Target::new(path_and_query)
            .ok_or_else(|| Error::new(&codes::BAD_REQUEST).with_cause("the path can't be put beneath the server's"))?;
        hop_by_hop::of_request(&mut headers);
        frame(&mut headers, &method, &body);
        let sending = Sending::new(body, timeout);
        let mut tried = Vec::new();
        let mut failed = None;
        loop {
            let turn = match self.group.enter(&tried) {
                Ok(turn) => turn,
                Err(wait) => {
                    let unavailable = || Error::new(&codes::UPSTREAM_UNAVAILABLE).retry_after(wait);
                    return Err(failed.unwrap_or_else(|| unavailable().with_cause("no server is available")));
                }
            };
            tried.push(turn.server);
            let url = self.group.servers[turn.server].address.at(&target);
            match self.attempt(http, turn, &method, &url, headers.clone(), &sending).await {
                Ok((head, turn)) => return Ok(answer(head, turn, sending, &self.path)),
                Err(Failed { error, repeatable }) => {
                    let again = match repeatable {
                        Repeatable::Never => false,
                        Repeatable::Idempotent => method.is_idempotent() && !sending.begun(),
                        Repeatable::Always => true,
                    };
                    if !again || tried.len() as u64 > u64::from(retries) {
                        return Err(error);
                    }
                    tracing::debug!(cause = error.cause(), "upstream request is retried");
                    failed = Some(error);
                }
            }
        }
    }

    /// Sends the request to one server and waits for the head of its response.
    async fn attempt(
        &self,
        http: &HttpClient,
        mut turn: Turn,
        method: &Method,
        url: &str,
        headers: HeaderMap,
        sending: &Sending,
    ) -> Result<(Response<ResponseBody>, Turn), Failed> {
        let begun = Instant::now();
        let answered = http.stream(method.clone(), url, headers, sending.attempt());
        let outcome = tokio::select! {
            biased;
            outcome = answered => outcome,
            () = sending.overdue() => {
                let cause = format!("{}: it kept us waiting for {:?}", turn.origin(), sending.patience());
                turn.end(Outcome::Timeout);
                let error = Error::new(&codes::UPSTREAM_TIMEOUT).with_cause(cause);
                return Err(Failed { error, repeatable: Repeatable::Never });
            }
        };
        let failure = match outcome {
            Ok(head) if !head.status().is_informational() => {
                turn.answered(head.status(), begun.elapsed());
                return Ok((head, turn));
            }
            Ok(head) => HttpFailure::Unusable(format!("it answers {}, unasked", head.status())),
            Err(failure) => failure,
        };
        if let Some(error) = sending.fault() {
            turn.end(Outcome::ClientFault);
            return Err(Failed { error, repeatable: Repeatable::Never });
        }
        let (word, outcome, repeatable) = match failure {
            HttpFailure::NotSent(_) => (&codes::UPSTREAM_UNREACHABLE, Outcome::Unreachable, Repeatable::Always),
            HttpFailure::Unanswered(_) => (&codes::UPSTREAM_UNREACHABLE, Outcome::Broken, Repeatable::Idempotent),
            HttpFailure::Unusable(_) => (&codes::UPSTREAM_ERROR, Outcome::Unusable, Repeatable::Never),
        };
        let error = Error::new(word).with_cause(format!("{}: {failure}", turn.origin()));
        turn.end(outcome);
        Err(Failed { error, repeatable })
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.group.servers.iter().map(|s| &s.address.origin)).finish()
    }
}

/// A failed attempt.
struct Failed {
    error: Error,
    repeatable: Repeatable,
}

/// Which requests may be repeated after a failure.
enum Repeatable {
    Never,
    Idempotent,
    Always,
}

fn addresses(servers: &[String], faults: &mut Vec<OptionError>) -> Vec<Address> {
    if servers.is_empty() {
        let text = Text::fixed("至少要有一个地址", "must have one address at least");
        faults.push(OptionError { field: OptionField::Servers, text });
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(servers.len());
    for (i, server) in servers.iter().enumerate() {
        match Address::new(server) {
            Ok(address) if addresses.iter().all(|other| other.base != address.base) => addresses.push(address),
            Ok(_) => {
                let text = Text::fixed("与前面的某个地址重复", "stands there twice");
                faults.push(OptionError { field: OptionField::Server(i), text });
            }
            Err(text) => faults.push(OptionError { field: OptionField::Server(i), text }),
        }
    }
    addresses
}

/// Sets the framing headers. By itself hyper treats a GET body of unknown length as absent, and sets no header for an empty
/// body.
fn frame(headers: &mut HeaderMap, method: &Method, body: &BodyStream) {
    match body.size_hint().exact() {
        Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {}
        Some(length) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        None => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// The response for the client.
fn answer(head: Response<ResponseBody>, turn: Turn, sending: Sending, path: &str) -> Response<BodyStream> {
    let (mut head, incoming) = head.into_parts();
    hop_by_hop::of_answer(&mut head.headers);
    response_headers::retain_allowed(&mut head.headers);
    cookies::of_answer(&mut head.headers, path);
    let mut answer = Response::new(Answer::new(incoming, turn, sending).boxed_unsync());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}
