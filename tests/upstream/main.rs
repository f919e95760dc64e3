//! What holds for calls that are forwarded to a tenant's own servers, over real sockets.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test stops at its first surprise")]

mod balance;
mod circuits;
mod forwarding;
mod health;
mod large;
mod options;
mod retries;
mod server;
mod waiting;

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

/// The answer of a server that is well.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine";

/// A circuit that never opens, no health checks.
fn options(servers: &[&str]) -> UpstreamOptions {
    UpstreamOptions {
        labels: UpstreamLabels { tenant: "acme".into(), action: "orders".into() },
        servers: servers.iter().map(|s| (*s).to_owned()).collect(),
        break_after: 0,
        break_for: Duration::from_secs(60),
        health: None,
    }
}

/// An upstream, with the client that it is asked by.
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
    let upstream = menlou_upstream::Upstream::new(options).expect("options without fault");
    Upstream { upstream, http: HttpClient::new().expect("a client") }
}

fn at(servers: &[&str]) -> Upstream {
    upstream(options(servers))
}

/// A request for `/`, without body, headers and retries; generous in time.
fn request(method: Method) -> ForwardRequest {
    ForwardRequest {
        method,
        path_and_query: "/".to_owned(),
        headers: HeaderMap::new(),
        body: whole(""),
        timeout: Duration::from_secs(20),
        retries: 0,
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

/// A body of known size.
fn whole(text: impl Into<Bytes>) -> BodyStream {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of unknown size, which ends when its sender is dropped.
fn piecewise() -> (mpsc::Sender<Result<Bytes, Error>>, BodyStream) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = stream::unfold(receiver, |mut receiver| async {
        let piece: Result<Bytes, Error> = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    (sender, StreamBody::new(pieces).boxed_unsync())
}

/// The whole of an answer's body, as text.
async fn text(answer: Response<BodyStream>) -> Result<String, Error> {
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).expect("text"))
}

/// The next piece of an answer's body.
async fn piece(body: &mut BodyStream) -> Option<Result<Bytes, Error>> {
    body.frame().await.map(|frame| frame.map(|f| f.into_data().expect("data")))
}

/// Waits until it is so.
async fn until(so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never was so");
        sleep(Duration::from_millis(5)).await;
    }
}

/// What does not come within a while that is long enough to tell.
async fn never<T>(what: impl Future<Output = T>) {
    assert!(tokio::time::timeout(Duration::from_millis(300), what).await.is_err(), "it came");
}
