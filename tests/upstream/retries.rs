//! Retries: which requests are repeated.

use crate::{
    OK, body_text, full_body, get, post, request,
    server::{Server, closed_port_url},
    streaming_body, upstream_to, wait_until,
};
use bytes::Bytes;
use http::Method;
use menlou_error::codes;
use menlou_upstream::ForwardRequest;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// A server that reads requests and closes the connection without a response.
async fn closing_server() -> Server {
    Server::start(|mut connection| async move {
        connection.read_body().await;
        None
    })
    .await
}

#[tokio::test]
async fn an_unsent_request_of_any_method_is_sent_whole_to_another_server() {
    let server = Server::start(|mut connection| async move {
        let complete = connection.read_body().await == b"hello";
        connection.send(if complete { OK } else { "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" }).await;
        Some(connection)
    })
    .await;
    let upstream = upstream_to(&[&closed_port_url(), &server.url, &closed_port_url()]);
    for _ in 0..6 {
        let response = upstream.forward(ForwardRequest { retries: 2, ..post(full_body("hello")) }).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    let mut unreachable = 0;
    for _ in 0..6 {
        match upstream.forward(post(full_body("hello"))).await {
            Ok(response) => assert_eq!(body_text(response).await.unwrap(), "fine"),
            Err(error) => {
                assert!(error.is(&codes::UPSTREAM_UNREACHABLE) && error.status() == 502, "{error}");
                unreachable += 1;
            }
        }
    }
    assert_eq!(unreachable, 4, "without retries the first attempt decides");
    assert_eq!(server.request_count(), 8);
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_repeated() {
    for body in ["hello", ""] {
        let server = closing_server().await;
        let other = closing_server().await;
        let request = ForwardRequest { retries: 5, ..post(full_body(body)) };
        let error = upstream_to(&[&server.url, &other.url]).forward(request).await.unwrap_err();
        assert!(error.is(&codes::UPSTREAM_UNREACHABLE), "{error}");
        assert_eq!(server.request_count() + other.request_count(), 1);
    }
}

#[tokio::test]
async fn an_idempotent_request_is_repeated_unless_a_body_was_read() {
    for (method, body, attempts) in [
        (Method::GET, "", 4),
        (Method::HEAD, "", 4),
        (Method::OPTIONS, "", 4),
        (Method::DELETE, "", 4),
        (Method::PUT, "", 4),
        (Method::PUT, "hello", 1),
        (Method::PATCH, "", 1),
    ] {
        let server = closing_server().await;
        let request = ForwardRequest { retries: 3, body: full_body(body), ..request(method.clone()) };
        assert!(upstream_to(&[&server.url]).forward(request).await.is_err());
        assert_eq!(server.request_count(), attempts, "{method} {body}");
    }
    let (closing, healthy) = (closing_server().await, Server::with_response(OK).await);
    let upstream = upstream_to(&[&closing.url, &healthy.url]);
    for _ in 0..4 {
        body_text(upstream.forward(ForwardRequest { retries: 1, ..get() }).await.unwrap()).await.unwrap();
    }
    assert_eq!((closing.request_count(), healthy.request_count()), (2, 4), "the retry goes to the other server");
}

#[tokio::test]
async fn nothing_is_repeated_after_a_response_or_the_deadline() {
    let unusable = Server::with_response("not HTTP\r\n\r\n").await;
    let error = upstream_to(&[&unusable.url]).forward(ForwardRequest { retries: 5, ..get() }).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_ERROR) && error.status() == 502, "{error}");
    assert_eq!(unusable.request_count(), 1);

    let refusing =
        Server::with_response("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy")
            .await;
    let response = upstream_to(&[&refusing.url]).forward(ForwardRequest { retries: 5, ..get() }).await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    assert_eq!(body_text(response).await.unwrap(), "busy");
    assert_eq!(refusing.request_count(), 1);

    let truncating = Server::truncating().await;
    let response = upstream_to(&[&truncating.url]).forward(ForwardRequest { retries: 5, ..get() }).await.unwrap();
    assert!(body_text(response).await.unwrap_err().is(&codes::UPSTREAM_ERROR));
    assert_eq!(truncating.request_count(), 1);

    let silent = Server::silent().await;
    let started = Instant::now();
    let request = ForwardRequest { retries: 5, timeout: Duration::from_millis(200), ..get() };
    let error = upstream_to(&[&silent.url]).forward(request).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_TIMEOUT) && error.status() == 504, "{error}");
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(silent.request_count(), 1);
}

#[tokio::test]
async fn a_partly_sent_body_is_not_sent_again() {
    let server = Server::start(|mut connection| async move {
        connection.read_chunk().await;
        None
    })
    .await;
    let (sender, body) = streaming_body();
    sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
    let request = ForwardRequest { retries: 5, body, ..request(Method::PUT) };
    assert!(upstream_to(&[&server.url]).forward(request).await.unwrap_err().is(&codes::UPSTREAM_UNREACHABLE));
    assert_eq!(server.request_count(), 1);
    drop(sender);
}

#[tokio::test]
async fn a_pooled_connection_closed_by_the_server_loses_no_request() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&closed);
    let server = Server::start(move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            connection.read_body().await;
            connection.send(OK).await;
            connection.shutdown().await;
            connection.wait_for_close().await;
            count.fetch_add(1, SeqCst);
            None
        }
    })
    .await;
    let upstream = upstream_to(&[&server.url]);
    for sent in 1..=20 {
        body_text(upstream.forward(post(full_body("hello"))).await.unwrap()).await.unwrap();
        // A request that is sent before the client notices the close is lost.
        wait_until(|| closed.load(SeqCst) == sent).await;
        assert_eq!(server.request_count(), sent);
    }
}

#[tokio::test]
async fn errors_name_the_server_without_path_and_in_their_cause_only() {
    let url = format!("{}/secret-path", closed_port_url());
    let error = upstream_to(&[&url]).forward(get()).await.unwrap_err();
    let origin = url.strip_suffix("/secret-path").unwrap();
    assert!(error.cause().unwrap().contains(origin), "{error}");
    assert!(!error.to_string().contains("secret-path"), "{error}");
    assert!(!error.text().en.contains("127.0.0.1") && !error.text().zh.contains("127.0.0.1"));
}
