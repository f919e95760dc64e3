//! A tenant's own back end: a group of servers, to which calls are forwarded with their bodies as they come.
//!
//! Nothing of a body is kept: a piece is read when the other side has taken the one before. Protocol upgrades (WebSocket)
//! are not forwarded, nor are trailers or interim answers (1xx).

mod address;
mod answer;
mod health_check;
mod hop_by_hop;
mod load_balancer;
mod metrics;
mod options;
mod send;

use address::{Address, Target};
use answer::Answer;
pub use hop_by_hop::end_to_end;
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

/// What is forwarded. It has no `Debug`: path, headers and body may hold secrets.
pub struct ForwardRequest {
    /// Any but `CONNECT`.
    pub method: Method,
    /// What follows the server's base URL: it starts with `/`, or has no path.
    pub path_and_query: String,
    /// What is to go. Framing, `Host`, `Expect` and what is for one connection only are taken out here; call
    /// [`end_to_end`] on a client's headers before others are put among them.
    pub headers: HeaderMap,
    /// The body. One of known size goes with a `Content-Length`, others in chunks. Where the client breaks off, it ends in
    /// the error that says so.
    pub body: BodyStream,
    /// The longest that the server may keep us waiting: to take the next piece of the body, to answer once it has the
    /// last one, to send the next piece of the answer. Time that the client takes doesn't count. Attempts share it.
    pub timeout: Duration,
    /// How many more attempts may be made: by any method where nothing of the request left, by an idempotent one where
    /// the connection broke before an answer and before a piece of the body was sent.
    pub retries: u32,
}

/// A tenant's action's group of servers.
pub struct Upstream {
    group: Arc<LoadBalancer>,
    health: Option<Checks>,
    checking: Mutex<JoinSet<()>>,
}

struct Checks {
    interval: Duration,
    /// For each server, what is asked for.
    urls: Vec<String>,
}

impl Upstream {
    /// The group. It starts nothing.
    ///
    /// # Errors
    /// All that is wrong with the options.
    pub fn new(options: UpstreamOptions) -> Result<Self, Vec<OptionError>> {
        let UpstreamOptions { labels, servers, break_after, break_for, health } = options;
        let mut faults = Vec::new();
        let addresses = addresses(&servers, &mut faults);
        let health = health.map(|health| {
            if health.interval < MIN_INTERVAL {
                let text = Text::fixed("不可短于 100ms", "must be 100ms at least");
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
        let group = LoadBalancer::new(labels, addresses, limits, checked_every);
        Ok(Self { group, health, checking: Mutex::default() })
    }

    /// Begins the health checks, if there are any; they end when this is dropped. A second call does nothing. It needs
    /// a tokio runtime around it.
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

    /// Sends a request to the server with the fewest calls in flight, and gives the answer's head with its body still to
    /// come: its headers without what is for one connection only. Dropping the future or the body ends the request.
    ///
    /// The body of the answer ends in an error where the server broke off or paused for too long; that has been logged.
    ///
    /// # Errors
    /// `upstream_unreachable`, `upstream_error`, `upstream_timeout`, `upstream_unavailable`; `bad_request` where the path
    /// can't go; or that of the client's own body.
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
                    return Err(
                        failed.unwrap_or_else(|| unavailable().with_cause("no server may be asked at the moment"))
                    );
                }
            };
            tried.push(turn.server);
            let url = self.group.servers[turn.server].address.at(&target);
            match self.attempt(http, turn, &method, &url, headers.clone(), &sending).await {
                Ok((head, turn)) => return Ok(answer(head, turn, sending)),
                Err(Failed { error, repeatable }) => {
                    let again = match repeatable {
                        Repeatable::Never => false,
                        Repeatable::Idempotent => method.is_idempotent() && !sending.begun(),
                        Repeatable::Always => true,
                    };
                    if !again || tried.len() as u64 > u64::from(retries) {
                        return Err(error);
                    }
                    tracing::debug!(cause = error.cause(), "a request is sent to an upstream once more");
                    failed = Some(error);
                }
            }
        }
    }

    /// Asks one server, until its answer's head.
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

/// Why an attempt brought no answer.
struct Failed {
    error: Error,
    repeatable: Repeatable,
}

/// Which requests may be sent again.
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

/// Says how long the body is, or that it comes in chunks. Left to itself hyper takes a GET's body of unknown length for
/// none, and says nothing where there is none.
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

/// What goes on to the client.
fn answer(head: Response<ResponseBody>, turn: Turn, sending: Sending) -> Response<BodyStream> {
    let (mut head, incoming) = head.into_parts();
    hop_by_hop::of_answer(&mut head.headers);
    let mut answer = Response::new(Answer::new(incoming, turn, sending).boxed_unsync());
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    answer
}
