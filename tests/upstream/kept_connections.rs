//! Connections that are kept between requests: how long, and what happens to a request that meets one which the server closes.

use crate::{
    OK, Upstream, body_text, full_body, get, options, post, request, server::Server, streaming_body, upstream_to,
};
use bytes::Bytes;
use http::Method;
use menlou_error::codes;
use menlou_platform::http::{HttpClient, KeepAlive};
use menlou_upstream::ForwardRequest;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// A server whose first connection serves one request and ends as the next one arrives. Further connections serve one request
/// each. It counts connections, and passes on the bodies of the requests that it read.
struct ClosingServer {
    url: String,
    connections: Arc<AtomicUsize>,
    bodies: mpsc::UnboundedReceiver<Vec<u8>>,
    _tasks: JoinSet<()>,
}

impl ClosingServer {
    /// Whether the first connection is closed without reading the next request, which resets it.
    async fn start(is_reset: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let connections = Arc::<AtomicUsize>::default();
        let (sender, bodies) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        let count = Arc::clone(&connections);
        tasks.spawn(async move {
            let mut serving = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (nth, sender) = (count.fetch_add(1, Ordering::SeqCst), sender.clone());
                serving.spawn(async move {
                    let _ = sender.send(read_request(&mut stream).await);
                    let _ = stream.write_all(OK.as_bytes()).await;
                    if nth == 0 {
                        let _ = stream.readable().await;
                        if !is_reset {
                            let _ = sender.send(read_request(&mut stream).await);
                        }
                    }
                });
            }
        });
        Self { url, connections, bodies, _tasks: tasks }
    }

    async fn next_body(&mut self) -> String {
        let body = timeout(Duration::from_secs(20), self.bodies.recv()).await.expect("in time").expect("a request");
        String::from_utf8(body).expect("text")
    }
}

/// Reads a request with `Content-Length`, and returns its body.
async fn read_request(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return read.split_off(read.len() - body.len());
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return read;
        }
    }
}

fn upstream_with(url: &str, keep_alive: KeepAlive) -> Upstream {
    let upstream = menlou_upstream::Upstream::new(options(&[url])).expect("valid options");
    Upstream { upstream, http: HttpClient::with_keep_alive(keep_alive).expect("a client") }
}

#[tokio::test]
async fn request_that_meets_a_closing_connection_is_sent_again_by_any_method() {
    for method in [Method::POST, Method::PATCH, Method::GET] {
        let mut server = ClosingServer::start(true).await;
        let upstream = upstream_to(&[&server.url]);
        for body in ["first", "second"] {
            let request = ForwardRequest { body: full_body(body), ..request(method.clone()) };
            assert_eq!(body_text(upstream.forward(request).await.unwrap()).await.unwrap(), "fine", "{method}");
            assert_eq!(server.next_body().await, body);
        }
        assert_eq!(server.connections.load(Ordering::SeqCst), 2, "{method}");
    }
}

#[tokio::test]
async fn body_that_comes_in_pieces_is_sent_again_from_its_beginning() {
    let mut server = ClosingServer::start(true).await;
    let upstream = upstream_to(&[&server.url]);
    body_text(upstream.forward(post(full_body("first"))).await.unwrap()).await.unwrap();
    server.next_body().await;
    let (sender, body) = streaming_body();
    let sending = tokio::spawn(async move {
        for piece in ["sec", "ond"] {
            sender.send(Ok(Bytes::from_static(piece.as_bytes()))).await.unwrap();
        }
    });
    assert_eq!(upstream.forward(post(body)).await.unwrap().status(), 200);
    sending.await.unwrap();
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn post_that_the_server_has_read_is_not_sent_again() {
    let mut server = ClosingServer::start(false).await;
    let upstream = upstream_to(&[&server.url]);
    body_text(upstream.forward(post(full_body("first"))).await.unwrap()).await.unwrap();
    let request = ForwardRequest { retries: 5, ..post(full_body("second")) };
    assert!(upstream.forward(request).await.unwrap_err().is(&codes::UPSTREAM_UNREACHABLE));
    assert_eq!((server.next_body().await, server.next_body().await), ("first".to_owned(), "second".to_owned()));
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn long_body_is_not_sent_again() {
    let server = ClosingServer::start(true).await;
    let upstream = upstream_to(&[&server.url]);
    body_text(upstream.forward(post(full_body("first"))).await.unwrap()).await.unwrap();
    let error = upstream.forward(post(full_body(vec![b'x'; 4 << 20]))).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_UNREACHABLE), "{error}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn idle_connections_are_closed_after_their_timeout_and_at_their_maximum_age() {
    for (idle_ms, age_ms) in [(100, 60_000), (60_000, 100)] {
        let (ended, mut endings) = mpsc::channel(1);
        let server = Server::start(move |mut connection| {
            let ended = ended.clone();
            async move {
                connection.send(OK).await;
                // The client sends nothing more.
                assert!(connection.read_chunk().await.is_empty());
                let _ = ended.send(()).await;
                None
            }
        })
        .await;
        let [idle_timeout, max_age] = [idle_ms, age_ms].map(Duration::from_millis);
        let upstream = upstream_with(&server.url, KeepAlive { idle_timeout, max_age });
        body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
        timeout(Duration::from_secs(20), endings.recv()).await.expect("the connection is closed").unwrap();
    }
}

#[tokio::test]
async fn busy_connections_are_replaced_at_their_maximum_age() {
    let server = Server::with_response(OK).await;
    let keep_alive = KeepAlive { idle_timeout: Duration::from_secs(60), max_age: Duration::from_millis(200) };
    let upstream = upstream_with(&server.url, keep_alive);
    let started = Instant::now();
    while server.connection_count() < 3 {
        assert!(started.elapsed() < Duration::from_secs(20), "the connection is never replaced");
        assert_eq!(body_text(upstream.forward(post(full_body("x"))).await.unwrap()).await.unwrap(), "fine");
    }
    // The age is what this test is about.
    assert!(started.elapsed() >= Duration::from_millis(400) && server.request_count() > 10, "{:?}", started.elapsed());
}

#[tokio::test]
async fn response_longer_than_the_maximum_age_is_complete() {
    let server = Server::start(|mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi").await;
        // The age passes within the response.
        sleep(Duration::from_millis(300)).await;
        connection.send("ne").await;
        Some(connection)
    })
    .await;
    let keep_alive = KeepAlive { idle_timeout: Duration::from_secs(60), max_age: Duration::from_millis(100) };
    let upstream = upstream_with(&server.url, keep_alive);
    for connections in 1..=2 {
        assert_eq!(body_text(upstream.forward(get()).await.unwrap()).await.unwrap(), "fine");
        assert_eq!(server.connection_count(), connections);
    }
}

#[tokio::test]
async fn response_may_have_hundreds_of_header_lines() {
    let server = Server::start(|mut connection| async move {
        let lines: String = (0..300).map(|n| format!("X-{n}: {n}\r\n")).collect();
        connection.send(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 4\r\n\r\nfine")).await;
        Some(connection)
    })
    .await;
    let response = upstream_to(&[&server.url]).forward(get()).await.unwrap();
    assert_eq!((response.headers()["x-299"].to_str().unwrap(), response.headers().len()), ("299", 301));
    assert_eq!(body_text(response).await.unwrap(), "fine");
}
