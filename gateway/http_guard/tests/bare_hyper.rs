//! The example `bare_hyper`, as a client sees it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../examples/bare_hyper.rs"]
#[expect(dead_code, reason = "the tests call the server of the example, not its `main`")]
mod bare_hyper;

use http_guard::GuardConfig;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const VALID: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
/// Ends a connection, so that all responses of a test can be read to the end.
const LAST: &str = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast";

async fn start(config: GuardConfig) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(bare_hyper::serve(listener, config));
    addr
}

/// Sends `bytes` and returns everything that is received before the server closes the connection.
async fn exchange(addr: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let closed = timeout(Duration::from_secs(10), stream.read_to_end(&mut received)).await;
    closed.expect("the server closes the connection").unwrap();
    String::from_utf8(received).unwrap()
}

fn statuses(responses: &str) -> Vec<&str> {
    responses.match_indices("HTTP/1.1 ").map(|(at, start)| &responses[at + start.len()..][..3]).collect()
}

#[tokio::test]
async fn valid_requests_pass_and_share_a_connection() {
    let addr = start(GuardConfig::default()).await;
    let responses = exchange(addr, &[VALID, VALID, LAST].concat()).await;
    assert_eq!(statuses(&responses), ["200", "200", "200"], "{responses}");
    assert!(responses.contains("hello") && responses.ends_with("last"), "{responses}");
}

#[tokio::test]
async fn an_ambiguous_request_gets_400_and_nothing_behind_it_is_read() {
    let addr = start(GuardConfig::default()).await;
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nContent-Length: 4\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X-A: 1\n",
    ] {
        let ambiguous = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
        let responses = exchange(addr, &[VALID, &ambiguous, LAST].concat()).await;
        assert_eq!(statuses(&responses), ["200", "400"], "{fields:?}: {responses}");
        assert!(!responses.contains("last"), "{fields:?}: {responses}");
    }
}

#[tokio::test]
async fn heads_that_are_too_long_or_too_slow_get_their_own_status() {
    let head_timeout = Duration::from_millis(200);
    let addr = start(GuardConfig { head_timeout, ..GuardConfig::default() }).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX-A: {}", "a".repeat(20_000));
    assert_eq!(statuses(&exchange(addr, &long).await), ["431"]);
    let endless = format!("GET /{}", "a".repeat(20_000));
    assert_eq!(statuses(&exchange(addr, &endless).await), ["414"]);
    assert_eq!(statuses(&exchange(addr, "GET / HTTP/1.1\r\nHos").await), ["408"]);
}

#[tokio::test]
async fn silent_connections_and_other_protocols_are_closed_without_a_response() {
    let first_byte_timeout = Duration::from_millis(200);
    let addr = start(GuardConfig { first_byte_timeout, ..GuardConfig::default() }).await;
    for bytes in ["", "EHLO mail.example.com SIZE\r\n\r\n"] {
        assert_eq!(exchange(addr, bytes).await, "");
    }
}
