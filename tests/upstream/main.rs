//! Tests of forwarding to the servers of a tenant, over real sockets.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod circuits;
mod forwarding;
mod health_checks;
mod kept_connections;
mod large_bodies;
mod load_balancing;
mod options;
mod retries;
mod server;
mod timeouts;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use menlou_call::BodyStream;
use menlou_error::Error;
use menlou_platform::http::HttpClient;
use menlou_upstream::{ForwardRequest, UpstreamLabels, UpstreamOptions};
use std::{future::Future, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// The response of a healthy server.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// Options with a circuit that never opens and without health checks.
fn options(servers: &[&str]) -> UpstreamOptions {
    UpstreamOptions {
        labels: UpstreamLabels { tenant: "acme".into(), action: "orders".into() },
        servers: servers.iter().map(|s| (*s).to_owned()).collect(),
        break_after: 0,
        break_for: Duration::from_secs(60),
        health: None,
    }
}

/// An upstream with the HTTP client that it uses.
struct Upstream {
    upstream: menlou_upstream::Upstream,
    http: HttpClient,
}

impl Upstream {
    fn start(&self) {
        self.upstream.start(&self.http);
    }

    async fn forward(&self, request: ForwardRequest) -> Result<Response<BodyStream>, Error> {
        self.upstream.forward(&self.http, request).await
    }
}

fn upstream(options: UpstreamOptions) -> Upstream {
    let upstream = menlou_upstream::Upstream::new(options).expect("valid options");
    Upstream { upstream, http: HttpClient::new().expect("a client") }
}

fn upstream_to(servers: &[&str]) -> Upstream {
    upstream(options(servers))
}

/// A request for `/` without body, headers and retries, with a long timeout.
fn request(method: Method) -> ForwardRequest {
    ForwardRequest {
        method,
        path_and_query: "/".to_owned(),
        headers: HeaderMap::new(),
        body: full_body(""),
        timeout: Duration::from_secs(20),
        retries: 0,
        keep_location: false,
    }
}

fn get() -> ForwardRequest {
    request(Method::GET)
}

fn post(body: BodyStream) -> ForwardRequest {
    ForwardRequest { body, ..request(Method::POST) }
}

fn headers(headers: &[(&'static str, &'static str)]) -> HeaderMap {
    headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
}

/// A body of known length.
fn full_body(text: impl Into<Bytes>) -> BodyStream {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of unknown length, which ends when its sender is dropped.
fn streaming_body() -> (mpsc::Sender<Result<Bytes, Error>>, BodyStream) {
    let (sender, receiver) = mpsc::channel(1);
    let chunks = stream::unfold(receiver, |mut receiver| async {
        let chunk: Result<Bytes, Error> = receiver.recv().await?;
        Some((chunk.map(Frame::data), receiver))
    });
    (sender, StreamBody::new(chunks).boxed_unsync())
}

/// The whole body of a response.
async fn body_text(response: Response<BodyStream>) -> Result<String, Error> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

/// The next chunk of a body.
async fn next_chunk(body: &mut BodyStream) -> Option<Result<Bytes, Error>> {
    body.frame().await.map(|frame| frame.map(|f| f.into_data().expect("data")))
}

/// Waits until the condition holds, for at most 20 s.
async fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "the condition did not become true within 20 s");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Asserts that the future is still pending after 300 ms.
async fn assert_pending<T>(future: impl Future<Output = T>) {
    assert!(tokio::time::timeout(Duration::from_millis(300), future).await.is_err(), "the future is ready");
}
