//! The one HTTP client for everything that leaves the gateway: bounded in time and size, and silent about URLs.

use super::circuits::PlatformCircuits;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Response, header::USER_AGENT};
use hyper::body::{Body, Frame, SizeHint};
pub use reqwest::Url;
use std::{
    error::Error as _,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

/// The longest that a connection may take to come about, DNS and TLS included.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an unused connection is kept: shorter than servers usually do, so that it is seldom they who close it.
const IDLE: Duration = Duration::from_secs(15);
/// How many unused connections are kept for one host: more than there are calls in flight in a rush. Where fewer were
/// kept than a rush needs, each would connect anew, and throw away what it had.
const IDLE_PER_HOST: usize = 2048;
/// The largest answer that is read, in bytes.
pub const MAX_RESPONSE_SIZE: usize = 1 << 20;
/// What the gateway calls itself in requests of its own.
pub const USER_AGENT_VALUE: HeaderValue = HeaderValue::from_static(concat!("menlou/", env!("CARGO_PKG_VERSION")));

/// A request to send. It has no `Debug`: URL, headers and body may hold secrets.
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: Method,
    /// `http://` or `https://`, absolute.
    pub url: String,
    /// Headers to send; `User-Agent` is set where it is missing.
    pub headers: HeaderMap,
    /// The body; empty for none.
    pub body: Bytes,
    /// How long it may take until the answer's last byte.
    pub timeout: Duration,
    /// Whether it may be sent once more, within the same `timeout`, if the connection breaks before an answer. Never
    /// for what carries a single-use code.
    pub repeatable: bool,
}

/// A complete answer, whatever its status. It has no `Debug`: the body may hold secrets.
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most [`MAX_RESPONSE_SIZE`] bytes.
    pub body: Bytes,
}

/// The body of an answer, still to come: pieces as they are read. Where it is dropped before its end, its connection is
/// closed.
pub struct ResponseBody(reqwest::Body);

/// Why there is no answer. The texts are for the log: they hold no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// No byte of the request left: refused connection, DNS, TLS, a connection that closed before its turn came, or a
    /// malformed URL.
    NotSent(String),
    /// The request may have been received: the deadline passed or the connection broke before the answer was complete.
    Unanswered(String),
    /// An answer came that can't be used: too large, or not HTTP.
    Unusable(String),
}

/// The client: a pool of connections, cheap to clone.
///
/// - It follows no redirect, so that a code or a secret goes only where the configuration says.
/// - It takes no proxy from the environment, for the same reason: a stray `HTTP_PROXY` must not see secrets.
/// - It never sends a request a second time, except where [`HttpRequest::repeatable`] says so. (hyper-util takes a fresh
///   connection if a kept one had closed before the request's first byte was written; a request that was started is
///   never handed back to it. reqwest's own retries, of HTTP/2 refusals, are off.)
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    circuits: Arc<PlatformCircuits>,
}

impl HttpClient {
    /// Builds the client; fails where the system has no CA certificates.
    pub fn new() -> Result<Self, HttpFailure> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build();
        let client = client.map_err(|e| HttpFailure::NotSent(chain(e)))?;
        Ok(Self { client, circuits: Arc::default() })
    }

    /// The circuits of the platforms that are asked by this client.
    pub fn circuits(&self) -> &PlatformCircuits {
        &self.circuits
    }

    /// Sends a request and reads its whole answer.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
        let deadline = Instant::now() + request.timeout;
        let once = || async {
            let attempt = self.attempt(&request);
            timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
                Err(Broken {
                    failure: HttpFailure::Unanswered(format!("no answer in {:?}", request.timeout)),
                    late: true,
                })
            })
        };
        match once().await {
            Err(Broken { failure: HttpFailure::Unanswered(_), late: false }) if request.repeatable => once().await,
            outcome => outcome,
        }
        .map_err(|broken| broken.failure)
    }

    /// Sends a request whose body goes as it comes, once, and gives the answer's head with its body still to come.
    ///
    /// The headers go as they are, besides `Host` and the framing; reqwest adds `Accept: */*` where there is none, which
    /// means the same. There is no time limit but the connecting's: whoever drops the future, or the answer's body before
    /// its end, ends the request.
    pub async fn stream<B>(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: B,
    ) -> Result<Response<ResponseBody>, HttpFailure>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + Sync + 'static,
    {
        let body = reqwest::Body::wrap(body);
        let sending = self.client.request(method, url).headers(headers).body(body).send();
        let answer = sending.await.map_err(|e| Broken::sending(e).failure)?;
        Ok(Response::from(answer).map(ResponseBody))
    }

    async fn attempt(&self, request: &HttpRequest) -> Result<HttpResponse, Broken> {
        let mut headers = request.headers.clone();
        headers.entry(USER_AGENT).or_insert(USER_AGENT_VALUE);
        let sending = self
            .client
            .request(request.method.clone(), &request.url)
            .headers(headers)
            .body(request.body.clone())
            .send();
        let mut response = sending.await.map_err(Broken::sending)?;
        let too_large =
            || Broken::from(HttpFailure::Unusable(format!("the answer is larger than {MAX_RESPONSE_SIZE} bytes")));
        let announced = response.content_length().unwrap_or(0);
        if announced > MAX_RESPONSE_SIZE as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(announced as usize);
        while let Some(chunk) = response.chunk().await.map_err(Broken::reading)? {
            if body.len() + chunk.len() > MAX_RESPONSE_SIZE {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status().as_u16();
        Ok(HttpResponse { status, headers: std::mem::take(response.headers_mut()), body: body.freeze() })
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpFailure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpFailure>>> {
        Pin::new(&mut self.0).poll_frame(cx).map_err(|e| Broken::reading(e).failure)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}

/// A failure, and whether it was the deadline that ended the attempt.
struct Broken {
    failure: HttpFailure,
    late: bool,
}

impl From<HttpFailure> for Broken {
    fn from(failure: HttpFailure) -> Self {
        Self { failure, late: false }
    }
}

impl Broken {
    fn sending(e: reqwest::Error) -> Self {
        let cause = hyper_cause(&e);
        let unsent = e.is_builder() || e.is_connect() || cause.is_some_and(hyper::Error::is_canceled);
        let garbled = cause.is_some_and(hyper::Error::is_parse);
        let failure = match chain(e) {
            cause if unsent => HttpFailure::NotSent(cause),
            cause if garbled => HttpFailure::Unusable(cause),
            cause => HttpFailure::Unanswered(cause),
        };
        failure.into()
    }

    fn reading(e: reqwest::Error) -> Self {
        HttpFailure::Unanswered(chain(e)).into()
    }
}

fn hyper_cause(e: &reqwest::Error) -> Option<&hyper::Error> {
    let mut cause = e.source();
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref() {
            return Some(e);
        }
        cause = e.source();
    }
    None
}

/// The error and what is beneath it, without the URL: it holds secrets.
fn chain(e: reqwest::Error) -> String {
    let e = e.without_url();
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(e) = cause {
        text.push_str(": ");
        text.push_str(&e.to_string());
        cause = e.source();
    }
    text
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(cause) => write!(f, "not sent: {cause}"),
            Self::Unanswered(cause) => write!(f, "sent, but not answered: {cause}"),
            Self::Unusable(cause) => write!(f, "unusable answer: {cause}"),
        }
    }
}

impl std::error::Error for HttpFailure {}
