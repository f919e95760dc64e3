//! Timeouts: a slow server fails the request, a slow client does not.

use crate::{OK, body_text, full_body, get, next_chunk, post, server::Server, streaming_body, upstream_to};
use bytes::Bytes;
use menlou_error::codes;
use menlou_upstream::ForwardRequest;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The timeout of the requests. Time is the subject here: each sleep is a slow client or a slow server.
const TIMEOUT: Duration = Duration::from_millis(600);
/// A timeout that is long enough for a server on a busy machine.
const LONG_TIMEOUT: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_time_that_a_client_takes_to_send_does_not_count() {
    let server = Server::with_response(OK).await;
    let (sender, body) = streaming_body();
    let slow = async move {
        for _ in 0..4 {
            sleep(TIMEOUT * 3 / 2).await;
            sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
        }
    };
    let upstream = upstream_to(&[&server.url]);
    let (response, ()) = tokio::join!(upstream.forward(ForwardRequest { timeout: TIMEOUT, ..post(body) }), slow);
    assert_eq!(body_text(response.unwrap()).await.unwrap(), "fine");
}

#[tokio::test]
async fn the_timeout_starts_at_the_last_byte_of_the_request() {
    let server = Server::start(|mut connection| async move {
        connection.read_body().await;
        sleep(LONG_TIMEOUT / 2).await;
        connection.send(OK).await;
        Some(connection)
    })
    .await;
    let (sender, body) = streaming_body();
    let slow = async move {
        sleep(LONG_TIMEOUT * 3 / 4).await;
        sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
    };
    let upstream = upstream_to(&[&server.url]);
    let (response, ()) = tokio::join!(upstream.forward(ForwardRequest { timeout: LONG_TIMEOUT, ..post(body) }), slow);
    assert_eq!(body_text(response.unwrap()).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_server_that_does_not_read_the_body_times_out() {
    let server = Server::start(|connection| async move {
        std::future::pending::<()>().await;
        Some(connection)
    })
    .await;
    let body = full_body(vec![0; 64 << 20]);
    let started = Instant::now();
    let error =
        upstream_to(&[&server.url]).forward(ForwardRequest { timeout: TIMEOUT, ..post(body) }).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_TIMEOUT), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_pause_in_the_response_aborts_it() {
    let server = Server::start(|mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\none").await;
        for chunk in ["two", "six"] {
            sleep(LONG_TIMEOUT / 2).await;
            connection.send(chunk).await;
        }
        connection.wait_for_close().await;
        None
    })
    .await;
    let started = Instant::now();
    let response =
        upstream_to(&[&server.url]).forward(ForwardRequest { timeout: LONG_TIMEOUT, ..get() }).await.unwrap();
    let mut body = response.into_body();
    for sent in ["one", "two", "six"] {
        assert_eq!(next_chunk(&mut body).await.unwrap().unwrap(), sent);
    }
    assert!(next_chunk(&mut body).await.unwrap().unwrap_err().is(&codes::UPSTREAM_TIMEOUT));
    assert!(next_chunk(&mut body).await.is_none());
    assert!((LONG_TIMEOUT * 2..Duration::from_secs(20)).contains(&started.elapsed()));
}

#[tokio::test]
async fn a_response_that_waits_for_a_slow_request_body_is_not_aborted() {
    let server = Server::start(|mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none").await;
        connection.read_body().await;
        connection.send("two").await;
        Some(connection)
    })
    .await;
    let (sender, body) = streaming_body();
    let response =
        upstream_to(&[&server.url]).forward(ForwardRequest { timeout: TIMEOUT, ..post(body) }).await.unwrap();
    let slow = async move {
        sleep(TIMEOUT * 5 / 2).await;
        sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
    };
    let (response, ()) = tokio::join!(body_text(response), slow);
    assert_eq!(response.unwrap(), "onetwo");
}

#[tokio::test]
async fn a_client_that_reads_slowly_does_not_abort_the_response() {
    let server = Server::start(|mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n").await;
        connection.send(vec![b'x'; 16 << 20]).await;
        Some(connection)
    })
    .await;
    let response = upstream_to(&[&server.url]).forward(ForwardRequest { timeout: TIMEOUT, ..get() }).await.unwrap();
    let mut body = response.into_body();
    let mut received = 0;
    let mut chunks = 0;
    while let Some(chunk) = next_chunk(&mut body).await {
        received += chunk.unwrap().len();
        chunks += 1;
        if chunks <= 3 {
            sleep(TIMEOUT * 2).await;
        }
    }
    assert_eq!(received, 16 << 20);
}
