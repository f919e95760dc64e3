//! What is sent once more, and what never is.

use crate::{
    OK, at, get, piecewise, post, request,
    server::{Server, nobody},
    text, until, whole,
};
use bytes::Bytes;
use http::Method;
use menlou_error::codes;
use menlou_upstream::ForwardRequest;
use std::time::{Duration, Instant};

/// A server that reads requests and closes without an answer.
async fn breaking() -> Server {
    Server::start(|mut talk| async move {
        talk.body().await;
        None
    })
    .await
}

#[tokio::test]
async fn what_never_left_is_sent_to_another_server_by_any_method_with_its_body_whole() {
    let server = Server::start(|mut talk| async move {
        let whole = talk.body().await == b"hello";
        talk.say(if whole { OK } else { "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" }).await;
        Some(talk)
    })
    .await;
    let upstream = at(&[&nobody(), &server.url, &nobody()]);
    for _ in 0..6 {
        let answer = upstream.forward(ForwardRequest { retries: 2, ..post(whole("hello")) }).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let mut unreachable = 0;
    for _ in 0..6 {
        match upstream.forward(post(whole("hello"))).await {
            Ok(answer) => assert_eq!(text(answer).await.unwrap(), "fine"),
            Err(error) => {
                assert!(error.is(&codes::UPSTREAM_UNREACHABLE) && error.status() == 502, "{error}");
                unreachable += 1;
            }
        }
    }
    assert_eq!(unreachable, 4, "without retries the first attempt decides");
    assert_eq!(server.asked(), 8);
}

#[tokio::test]
async fn a_post_that_was_sent_is_never_repeated() {
    for body in ["hello", ""] {
        let server = breaking().await;
        let other = breaking().await;
        let request = ForwardRequest { retries: 5, ..post(whole(body)) };
        let error = at(&[&server.url, &other.url]).forward(request).await.unwrap_err();
        assert!(error.is(&codes::UPSTREAM_UNREACHABLE), "{error}");
        assert_eq!(server.asked() + other.asked(), 1);
    }
}

#[tokio::test]
async fn an_idempotent_request_is_repeated_while_its_body_is_untouched() {
    for (method, body, asked) in [
        (Method::GET, "", 4),
        (Method::HEAD, "", 4),
        (Method::OPTIONS, "", 4),
        (Method::DELETE, "", 4),
        (Method::PUT, "", 4),
        (Method::PUT, "hello", 1),
        (Method::PATCH, "", 1),
    ] {
        let server = breaking().await;
        let request = ForwardRequest { retries: 3, body: whole(body), ..request(method.clone()) };
        assert!(at(&[&server.url]).forward(request).await.is_err());
        assert_eq!(server.asked(), asked, "{method} {body}");
    }
    let (broken, well) = (breaking().await, Server::saying(OK).await);
    let upstream = at(&[&broken.url, &well.url]);
    for _ in 0..4 {
        text(upstream.forward(ForwardRequest { retries: 1, ..get() }).await.unwrap()).await.unwrap();
    }
    assert_eq!((broken.asked(), well.asked()), (2, 4), "the other server is asked next");
}

#[tokio::test]
async fn nothing_is_repeated_once_an_answer_came_or_time_is_over() {
    let unusable = Server::saying("no http at all\r\n\r\n").await;
    let error = at(&[&unusable.url]).forward(ForwardRequest { retries: 5, ..get() }).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_ERROR) && error.status() == 502, "{error}");
    assert_eq!(unusable.asked(), 1);

    let refusing = Server::saying("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy").await;
    let answer = at(&[&refusing.url]).forward(ForwardRequest { retries: 5, ..get() }).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"7".parse().unwrap()));
    assert_eq!(text(answer).await.unwrap(), "busy");
    assert_eq!(refusing.asked(), 1);

    let cut = Server::start(|mut talk| async move {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        None
    })
    .await;
    let answer = at(&[&cut.url]).forward(ForwardRequest { retries: 5, ..get() }).await.unwrap();
    assert!(text(answer).await.unwrap_err().is(&codes::UPSTREAM_ERROR));
    assert_eq!(cut.asked(), 1);

    let silent = Server::start(|mut talk| async move {
        while !talk.more().await.is_empty() {}
        None
    })
    .await;
    let begun = Instant::now();
    let request = ForwardRequest { retries: 5, timeout: Duration::from_millis(200), ..get() };
    let error = at(&[&silent.url]).forward(request).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_TIMEOUT) && error.status() == 504, "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(200));
    assert_eq!(silent.asked(), 1);
}

#[tokio::test]
async fn a_body_of_which_a_piece_was_sent_is_not_sent_again() {
    let server = Server::start(|mut talk| async move {
        talk.more().await;
        None
    })
    .await;
    let (sender, body) = piecewise();
    sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    let request = ForwardRequest { retries: 5, body, ..request(Method::PUT) };
    assert!(at(&[&server.url]).forward(request).await.unwrap_err().is(&codes::UPSTREAM_UNREACHABLE));
    assert_eq!(server.asked(), 1);
    drop(sender);
}

/// Number of this process's connections to the server that are not closed on both sides.
fn open_connections(server: &Server) -> usize {
    let port: u16 = server.url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let (remote, open) = (format!("0100007F:{port:04X}"), ["01", "08"]); // ESTABLISHED, CLOSE_WAIT
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|line| line.get(2) == Some(&&*remote) && line.get(3).is_some_and(|state| open.contains(state)))
        .count()
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_costs_no_call() {
    let server = Server::start(|mut talk| async move {
        talk.body().await;
        talk.say(OK).await;
        None
    })
    .await;
    let upstream = at(&[&server.url]);
    for sent in 1..=20 {
        text(upstream.forward(post(whole("hello"))).await.unwrap()).await.unwrap();
        // A request that is sent before the client has noticed the end of the connection is lost.
        until(|| open_connections(&server) == 0).await;
        assert_eq!(server.asked(), sent);
    }
}

#[tokio::test]
async fn errors_name_the_server_for_the_log_only() {
    let url = format!("{}/secret-path", nobody());
    let error = at(&[&url]).forward(get()).await.unwrap_err();
    let origin = url.strip_suffix("/secret-path").unwrap();
    assert!(error.cause().unwrap().contains(origin), "{error}");
    assert!(!error.to_string().contains("secret-path"), "{error}");
    assert!(!error.text().en.contains("127.0.0.1") && !error.text().zh.contains("127.0.0.1"));
}
