//! Forwards requests to a tenant's own back end: load balancing, health checks, retries.
//!
//! Bodies are streamed with back pressure and never buffered. Protocol upgrades (WebSocket), trailers and interim responses
//! (1xx) are not forwarded.

mod address;
mod client_headers;
mod cookies;
mod health_check;
mod hop_by_hop;
mod load_balancer;
mod location;
mod metrics;
mod options;
mod request_body;
mod response_body;
mod response_headers;

use address::{Address, Target};
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
};
use http_body_util::BodyExt;
use hyper::body::Body;
use load_balancer::{LoadBalancer, ServerPermit};
use location::PublicPath;
use menlou_call::BodyStream;
use menlou_circuit::BreakerPolicy;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_platform::http::{ConnectionChoice, HttpClient, HttpFailure, ResponseBody};
use metrics::Outcome;
pub use options::{HealthCheckOptions, MIN_INTERVAL, OptionError, OptionField, UpstreamLabels, UpstreamOptions};
use request_body::RequestBody;
use response_body::ForwardedBody;
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
    /// if the connection broke before the response and before any piece of the body was sent. A request that met a kept
    /// connection which the server was closing is sent again on a new one in any case, if its body so far is short.
    pub retries: u32,
    /// Whether addresses in `Location`, `Content-Location` and `Refresh` of the response stay as the server wrote them.
    /// Otherwise those of the servers become public paths.
    pub keep_location: bool,
}

/// The servers of one action of a tenant.
pub struct Upstream {
    balancer: Arc<LoadBalancer>,
    /// Path of the action on the traffic port, `/srv/tenant/action`.
    path: String,
    health: Option<HealthChecks>,
    check_tasks: Mutex<JoinSet<()>>,
}

struct HealthChecks {
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
        let mut errors = Vec::new();
        let addresses = addresses(&servers, &mut errors);
        let health = health.map(|health| {
            if health.interval < MIN_INTERVAL {
                let text = Text::fixed("不可短于 100ms", "must be at least 100ms");
                errors.push(OptionError { field: OptionField::HealthInterval, text });
            }
            let target = Target::new(health.path);
            if target.is_none() {
                let text = Text::fixed(
                    "须以 / 开头，且不含空格、#、反斜杠、. 或 .. 段",
                    "must begin with / and must not contain spaces, #, backslashes, or the segments . or ..",
                );
                errors.push(OptionError { field: OptionField::HealthPath, text });
            }
            let urls = target.iter().flat_map(|target| addresses.iter().map(|a| a.at(target))).collect();
            HealthChecks { interval: health.interval, urls }
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let policy = BreakerPolicy { break_after, break_for };
        let check_interval = health.as_ref().map_or(Duration::ZERO, |h| h.interval);
        let path = format!("/srv/{}/{}", labels.tenant, labels.action);
        let balancer = LoadBalancer::new(labels, addresses, policy, check_interval);
        Ok(Self { balancer, path, health, check_tasks: Mutex::default() })
    }

    /// Starts the health checks, if enabled; they end when the upstream is dropped. Further calls have no effect. It must be
    /// called within a tokio runtime.
    pub fn start(&self, http: &HttpClient) {
        let Some(health) = &self.health else { return };
        let mut tasks = self.check_tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if tasks.is_empty() {
            for (server, url) in health.urls.iter().enumerate() {
                let (balancer, http) = (Arc::clone(&self.balancer), http.clone());
                tasks.spawn(health_check::run(balancer, server, url.clone(), health.interval, http));
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
        cookies::filter_request(headers, &self.path, request_path);
    }

    /// Sends a request to the server with the fewest requests in flight, and returns the response with a streamed body and
    /// without hop-by-hop headers. Dropping the future or the body ends the request.
    ///
    /// The body ends in an error if the server aborted the response or exceeded the timeout. That error has been logged.
    ///
    /// # Errors
    /// `upstream_unreachable`, `upstream_error`, `upstream_timeout`, `upstream_unavailable`; `bad_request` if the path
    /// is invalid; or the error of the client's own body.
    pub async fn forward(&self, http: &HttpClient, request: ForwardRequest) -> Result<Response<BodyStream>> {
        let ForwardRequest { method, path_and_query, mut headers, body, timeout, retries, keep_location } = request;
        if method == Method::CONNECT {
            return Err(Error::new(&codes::BAD_REQUEST).with_cause("CONNECT is not forwarded"));
        }
        let target = Target::new(path_and_query).ok_or_else(|| {
            Error::new(&codes::BAD_REQUEST).with_cause("the path is not valid below the server's base URL")
        })?;
        hop_by_hop::strip_request(&mut headers);
        set_framing(&mut headers, &method, &body);
        let body = RequestBody::new(body, timeout);
        let mut tried = Vec::new();
        let mut last_error = None;
        loop {
            let permit = match self.balancer.acquire(&tried) {
                Ok(permit) => permit,
                Err(wait) => {
                    let unavailable = || Error::new(&codes::UPSTREAM_UNAVAILABLE).retry_after(wait);
                    return Err(last_error.unwrap_or_else(|| unavailable().with_cause("no server is available")));
                }
            };
            tried.push(permit.server);
            let url = self.balancer.servers[permit.server].address.at(&target);
            match self.attempt(http, permit, &method, &url, headers.clone(), &body).await {
                Ok((mut response, permit)) => {
                    if !keep_location {
                        let public =
                            PublicPath { request_url: &url, action: &self.path, is_kept: target.is_below(&self.path) };
                        let servers = self.balancer.servers.iter().map(|server| &server.address);
                        location::rewrite(response.headers_mut(), &public, servers);
                    }
                    return Ok(client_response(response, permit, body, &self.path));
                }
                Err(FailedAttempt { error, retry }) => {
                    let may_retry = match retry {
                        Retry::Never => false,
                        Retry::IfIdempotent => method.is_idempotent() && !body.is_started(),
                        Retry::Always => true,
                    };
                    if !may_retry || tried.len() as u64 > u64::from(retries) {
                        return Err(error);
                    }
                    tracing::debug!(cause = error.cause(), "upstream request is retried");
                    last_error = Some(error);
                }
            }
        }
    }

    /// Sends the request to one server and waits for the head of its response.
    async fn attempt(
        &self,
        http: &HttpClient,
        mut permit: ServerPermit,
        method: &Method,
        url: &str,
        headers: HeaderMap,
        body: &RequestBody,
    ) -> Result<(Response<ResponseBody>, ServerPermit), FailedAttempt> {
        let start = Instant::now();
        let response = async {
            let kept = ConnectionChoice::Kept;
            match http.stream(method.clone(), url, headers.clone(), body.attempt(), kept).await {
                Err(HttpFailure::ConnectionClosing(cause)) if body.can_be_resent() => {
                    tracing::debug!(cause, "upstream closed a kept connection; the request is sent again on a new one");
                    http.stream(method.clone(), url, headers, body.attempt(), ConnectionChoice::Fresh).await
                }
                outcome => outcome,
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = response => outcome,
            () = body.wait_for_idle_timeout() => {
                let cause = format!("{}: no progress within {:?}", permit.origin(), body.idle_timeout());
                permit.end(Outcome::Timeout);
                let error = Error::new(&codes::UPSTREAM_TIMEOUT).with_cause(cause);
                return Err(FailedAttempt { error, retry: Retry::Never });
            }
        };
        let failure = match outcome {
            Ok(head) if !head.status().is_informational() => {
                body.discard_sent();
                permit.record_head(head.status(), start.elapsed());
                return Ok((head, permit));
            }
            Ok(head) => HttpFailure::Unusable(format!("an unexpected response with status {}", head.status())),
            Err(failure) => failure,
        };
        if let Some(error) = body.client_error() {
            permit.end(Outcome::ClientError);
            return Err(FailedAttempt { error, retry: Retry::Never });
        }
        let (code, outcome, retry) = match failure {
            HttpFailure::NotSent(_) => (&codes::UPSTREAM_UNREACHABLE, Outcome::Unreachable, Retry::Always),
            HttpFailure::ConnectionClosing(_) | HttpFailure::Unanswered(_) => {
                (&codes::UPSTREAM_UNREACHABLE, Outcome::Broken, Retry::IfIdempotent)
            }
            HttpFailure::Unusable(_) => (&codes::UPSTREAM_ERROR, Outcome::Unusable, Retry::Never),
        };
        let error = Error::new(code).with_cause(format!("{}: {failure}", permit.origin()));
        permit.end(outcome);
        Err(FailedAttempt { error, retry })
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.balancer.servers.iter().map(|s| &s.address.origin)).finish()
    }
}

/// A failed attempt.
struct FailedAttempt {
    error: Error,
    retry: Retry,
}

/// Which requests may be retried after a failure.
enum Retry {
    Never,
    IfIdempotent,
    Always,
}

fn addresses(servers: &[String], errors: &mut Vec<OptionError>) -> Vec<Address> {
    if servers.is_empty() {
        let text = Text::fixed("至少要有一个地址", "must have at least one address");
        errors.push(OptionError { field: OptionField::Servers, text });
    }
    let mut addresses: Vec<Address> = Vec::with_capacity(servers.len());
    for (i, server) in servers.iter().enumerate() {
        match Address::new(server) {
            Ok(address) if addresses.iter().all(|other| other.base != address.base) => addresses.push(address),
            Ok(_) => {
                let text = Text::fixed("与前面的某个地址重复", "duplicates an earlier address");
                errors.push(OptionError { field: OptionField::Server(i), text });
            }
            Err(text) => errors.push(OptionError { field: OptionField::Server(i), text }),
        }
    }
    addresses
}

/// Sets the framing headers. By itself hyper treats a GET body of unknown length as absent, and sets no header for an empty
/// body.
fn set_framing(headers: &mut HeaderMap, method: &Method, body: &BodyStream) {
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
fn client_response(
    response: Response<ResponseBody>,
    permit: ServerPermit,
    request_body: RequestBody,
    path: &str,
) -> Response<BodyStream> {
    let (mut head, incoming) = response.into_parts();
    hop_by_hop::strip_response(&mut head.headers);
    response_headers::retain_allowed(&mut head.headers);
    cookies::confine_response(&mut head.headers, path);
    let mut response = Response::new(ForwardedBody::new(incoming, permit, request_body).boxed_unsync());
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}
