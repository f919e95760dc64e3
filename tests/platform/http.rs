//! The outgoing HTTP client.

use crate::peer::{Peer, Step, ok};
use crate::wait_until;
use bytes::Bytes;
use http::{HeaderMap, Method};
use menlou_platform::http::{HttpClient, HttpFailure, HttpRequest, MAX_RESPONSE_SIZE};
use std::time::{Duration, Instant};

fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: Method::GET,
        url: url.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: Duration::from_secs(5),
        repeatable: false,
    }
}

fn client() -> HttpClient {
    HttpClient::new().expect("a client")
}

#[tokio::test]
async fn status_headers_and_body_are_returned_unchanged() {
    let response = b"HTTP/1.1 404 Not Found\r\nX-Custom: yes\r\nContent-Length: 4\r\n\r\nnone".to_vec();
    let peer = Peer::start(vec![Step::Send(response)]).await;
    let mut request = get(&format!("{}/a?b=c", peer.base_url));
    request.method = Method::POST;
    request.body = Bytes::from_static(b"hello");
    let response = client().send(request).await.expect("a response");
    assert_eq!((response.status, &response.body[..]), (404, &b"none"[..]));
    assert_eq!(response.headers["x-custom"], "yes");
    let seen = peer.requests().remove(0).to_ascii_lowercase();
    assert!(seen.starts_with("post /a?b=c http/1.1\r\n") && seen.ends_with("\r\n\r\nhello"), "{seen}");
    assert!(seen.contains(concat!("user-agent: menlou/", env!("CARGO_PKG_VERSION"))), "{seen}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let response = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_vec();
    let peer = Peer::start(vec![Step::Send(response)]).await;
    assert_eq!(client().send(get(&peer.base_url)).await.expect("a response").status, 302);
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn failures_distinguish_unsent_from_unanswered_requests() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        format!("http://{}/?secret=hunter2", listener.local_addr().expect("an address"))
    };
    for url in [closed.as_str(), "ftp://x/?secret=hunter2", "secret=hunter2", ""] {
        let failure = client().send(get(url)).await.err().expect("an error");
        assert!(matches!(failure, HttpFailure::NotSent(_)), "{url}: {failure}");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec();
    for step in [Step::Close, Step::SendAndClose(short), Step::SendAndClose(b"HTTP/1.1 2".to_vec())] {
        let peer = Peer::start(vec![step]).await;
        let failure = client().send(get(&format!("{}/?secret=hunter2", peer.base_url))).await.err().expect("an error");
        assert!(matches!(failure, HttpFailure::Unanswered(_)), "{failure}");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
        assert_eq!(peer.requests().len(), 1);
    }
    let peer = Peer::start(vec![Step::SendAndClose(b"not HTTP\r\n\r\n".to_vec())]).await;
    assert!(matches!(client().send(get(&peer.base_url)).await, Err(HttpFailure::Unusable(_))));
}

#[tokio::test]
async fn a_silent_or_stalled_peer_fails_the_request_at_the_deadline() {
    let long = Duration::from_secs(60);
    let stalled = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf".to_vec();
    for step in [Step::After(long, Box::new(Step::Close)), Step::Send(stalled)] {
        let peer = Peer::start(vec![step]).await;
        let mut request = get(&peer.base_url);
        request.timeout = Duration::from_millis(200);
        request.repeatable = true;
        let started = Instant::now();
        let failure = client().send(request).await.err().expect("an error");
        assert!(matches!(failure, HttpFailure::Unanswered(_)), "{failure}");
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(peer.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_response_above_the_size_limit_is_unusable_with_or_without_content_length() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", MAX_RESPONSE_SIZE + 1).into_bytes();
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(endless.len() + MAX_RESPONSE_SIZE + 1, b' ');
    for bytes in [announced, endless] {
        let peer = Peer::start(vec![Step::SendAndClose(bytes)]).await;
        let failure = client().send(get(&peer.base_url)).await.err().expect("an error");
        assert!(matches!(failure, HttpFailure::Unusable(_)), "{failure}");
    }
    let peer = Peer::start(vec![Step::Send(ok(vec![b' '; MAX_RESPONSE_SIZE]))]).await;
    assert_eq!(client().send(get(&peer.base_url)).await.expect("a response").body.len(), MAX_RESPONSE_SIZE);
}

#[tokio::test]
async fn a_request_lost_with_its_connection_is_sent_again_only_if_repeatable() {
    for repeatable in [false, true] {
        let peer = Peer::start(vec![Step::Send(ok("1")), Step::Close, Step::Send(ok("3"))]).await;
        let client = client();
        client.send(get(&peer.base_url)).await.expect("a response");
        let mut request = get(&peer.base_url);
        request.repeatable = repeatable;
        let second = client.send(request).await;
        assert_eq!(second.is_ok(), repeatable);
        assert_eq!(peer.requests().len(), if repeatable { 3 } else { 2 });
    }
}

#[tokio::test]
async fn a_pooled_connection_closed_by_the_peer_loses_no_request() {
    let peer = Peer::start(vec![Step::SendAndClose(ok("x"))]).await;
    let client = client();
    for sent in 1..=20 {
        client.send(get(&peer.base_url)).await.expect("a response");
        // A request that is sent before the client notices the close is lost.
        wait_until(|| peer.closed() == sent).await;
        assert_eq!(peer.requests().len(), sent);
    }
}
