//! The HTTP client for all outgoing requests: bounded in time and size; its errors contain no URL.

mod failure;
mod kept_connection;
mod streaming;

use super::circuits::PlatformCircuits;
use super::decompress::decompress;
use bytes::{Bytes, BytesMut};
pub use failure::HttpFailure;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response,
    header::{CONTENT_ENCODING, USER_AGENT},
};
use http_body_util::BodyExt;
use hyper::body::Body;
use kept_connection::CONNECT_TIMEOUT;
pub use reqwest::Url;
use std::{error::Error as _, sync::Arc, time::Duration};
pub use streaming::{ConnectionChoice, KeepAlive, ResponseBody};
use streaming::{MAX_IDLE_PER_HOST, StreamingClient};
use tokio::time::{Instant, timeout_at};

/// Idle timeout of pooled connections. It is shorter than that of most servers, so that they rarely close one first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Maximum size of a response body, in bytes.
pub const MAX_RESPONSE_SIZE: usize = 1 << 20;
/// The `User-Agent` of the gateway's own requests.
pub const USER_AGENT_VALUE: HeaderValue = HeaderValue::from_static(concat!("menlou/", env!("CARGO_PKG_VERSION")));

/// A request to send. It has no `Debug`, because URL, headers and body may contain secrets.
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// `http://` or `https://`, absolute.
    pub url: String,
    /// Headers; `User-Agent` is added if it is missing.
    pub headers: HeaderMap,
    /// The body; empty if there is none.
    pub body: Bytes,
    /// Maximum time until the last byte of the response.
    pub timeout: Duration,
    /// Whether the request may be repeated once, within the same `timeout`, if the connection breaks before the response.
    /// Must be false for single-use codes.
    pub repeatable: bool,
}

/// A complete response, whatever its status. It has no `Debug`, because the body may contain secrets.
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, at most [`MAX_RESPONSE_SIZE`] bytes.
    pub body: Bytes,
}

/// The HTTP client, with a connection pool. Clones share the pool.
///
/// - It follows no redirects, so that codes and secrets are sent only to the configured hosts.
/// - It uses no proxy from the environment, for the same reason: a forgotten `HTTP_PROXY` must not receive secrets.
/// - It never repeats a request unless [`HttpRequest::repeatable`] is set. (hyper-util opens a new
///   connection if a pooled one was closed before the first byte of the request was written, but never repeats a request
///   that was started. The retries of reqwest, for refused HTTP/2 streams, are disabled.)
#[derive(Clone)]
pub struct HttpClient {
    client: reqwest::Client,
    streaming: StreamingClient,
    circuits: Arc<PlatformCircuits>,
}

impl HttpClient {
    /// Builds the client.
    ///
    /// # Errors
    /// The system has no CA certificates.
    pub fn new() -> Result<Self, HttpFailure> {
        Self::with_keep_alive(KeepAlive::default())
    }

    /// Builds the client. `keep_alive` is for the connections of [`HttpClient::stream`].
    ///
    /// # Errors
    /// The system has no CA certificates.
    pub fn with_keep_alive(keep_alive: KeepAlive) -> Result<Self, HttpFailure> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
            .build();
        let client = client.map_err(|e| HttpFailure::NotSent(chain(e)))?;
        Ok(Self { client, streaming: StreamingClient::new(keep_alive)?, circuits: Arc::default() })
    }

    /// The circuit breakers of the platforms that are used through this client.
    pub fn circuits(&self) -> &PlatformCircuits {
        &self.circuits
    }

    /// Sends a request and reads the complete response.
    pub async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFailure> {
        let deadline = Instant::now() + request.timeout;
        let once = || async {
            let attempt = self.attempt(&request);
            timeout_at(deadline, attempt).await.unwrap_or_else(|_| {
                Err(Failed {
                    failure: HttpFailure::Unanswered(format!("no response within {:?}", request.timeout)),
                    is_timeout: true,
                })
            })
        };
        match once().await {
            Err(Failed { failure: HttpFailure::Unanswered(_), is_timeout: false }) if request.repeatable => {
                once().await
            }
            outcome => outcome,
        }
        .map_err(|failed| failed.failure)
    }

    /// Sends a request once with a streamed body, and returns the response with a streamed body.
    ///
    /// The headers are sent unchanged, besides `Host` and the framing. Only the connection has a timeout. The request ends
    /// when the future, or the response body before its end, is dropped.
    pub async fn stream<B>(
        &self,
        method: Method,
        url: &str,
        headers: HeaderMap,
        body: B,
        choice: ConnectionChoice,
    ) -> Result<Response<ResponseBody>, HttpFailure>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        let body = body.map_err(Into::into).boxed_unsync();
        let request = Request::builder().method(method).uri(url).body(body);
        let mut request = request.map_err(|e| HttpFailure::NotSent(e.to_string()))?;
        *request.headers_mut() = headers;
        self.streaming.send(request, choice).await
    }

    async fn attempt(&self, request: &HttpRequest) -> Result<HttpResponse, Failed> {
        let mut headers = request.headers.clone();
        headers.entry(USER_AGENT).or_insert(USER_AGENT_VALUE);
        let sending = self
            .client
            .request(request.method.clone(), &request.url)
            .headers(headers)
            .body(request.body.clone())
            .send();
        let mut response = sending.await.map_err(Failed::sending)?;
        let too_large =
            || Failed::from(HttpFailure::Unusable(format!("the response is larger than {MAX_RESPONSE_SIZE} bytes")));
        let announced = response.content_length().unwrap_or(0);
        if announced > MAX_RESPONSE_SIZE as u64 {
            return Err(too_large());
        }
        let mut body = BytesMut::with_capacity(announced as usize);
        while let Some(chunk) = response.chunk().await.map_err(Failed::reading)? {
            if body.len() + chunk.len() > MAX_RESPONSE_SIZE {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let status = response.status().as_u16();
        let mut headers = std::mem::take(response.headers_mut());
        let body = decompress(body.freeze(), &headers, MAX_RESPONSE_SIZE).map_err(HttpFailure::Unusable)?;
        headers.remove(CONTENT_ENCODING);
        Ok(HttpResponse { status, headers, body })
    }
}

/// A failure, and whether the deadline caused it.
struct Failed {
    failure: HttpFailure,
    is_timeout: bool,
}

impl From<HttpFailure> for Failed {
    fn from(failure: HttpFailure) -> Self {
        Self { failure, is_timeout: false }
    }
}

impl Failed {
    fn sending(e: reqwest::Error) -> Self {
        let cause = hyper_cause(&e);
        let is_unsent = e.is_builder() || e.is_connect() || cause.is_some_and(hyper::Error::is_canceled);
        let is_malformed = cause.is_some_and(hyper::Error::is_parse);
        let failure = match chain(e) {
            cause if is_unsent => HttpFailure::NotSent(cause),
            cause if is_malformed => HttpFailure::Unusable(cause),
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

/// The error and its causes, without the URL, which may contain secrets.
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
