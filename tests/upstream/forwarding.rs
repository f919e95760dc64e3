//! Forwarding: the request that the server gets and the response that the client gets.

use crate::{
    OK, assert_pending, body_text, full_body, get, headers, next_chunk, post, request, server::Server, streaming_body,
    upstream_to, wait_until,
};
use bytes::Bytes;
use http::Method;
use hyper::body::Body;
use menlou_error::{Error, codes};
use menlou_upstream::ForwardRequest;

#[tokio::test]
async fn a_request_arrives_unchanged_below_the_base_path_of_the_server() {
    let server = Server::start(|mut connection| async move {
        let body = connection.read_body().await;
        let length = body.len();
        connection
            .send(format!("HTTP/1.1 418 Odd\r\nX-Custom: 1\r\nX-Custom: 2\r\nContent-Length: {length}\r\n\r\n"))
            .await;
        connection.send(body).await;
        Some(connection)
    })
    .await;
    let upstream = upstream_to(&[&format!("{}/api/", server.url)]);
    let request = ForwardRequest {
        path_and_query: "/orders/%E4%BA%BA?a=1&b=%2F".to_owned(),
        headers: headers(&[("x-menlou-user", "7"), ("content-type", "text/plain"), ("accept", "text/x")]),
        ..post(full_body("hello"))
    };
    let response = upstream.forward(request).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers().get_all("x-custom").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(body_text(response).await.unwrap(), "hello");
    let mut lines: Vec<_> = server.request_heads()[0].lines().map(str::to_owned).collect();
    lines[1..].sort();
    let host = format!("host: {}", server.url.strip_prefix("http://").unwrap());
    let expected = [
        "post /api/orders/%e4%ba%ba?a=1&b=%2f http/1.1",
        "accept: text/x",
        "content-length: 5",
        "content-type: text/plain",
        &host,
        "x-menlou-user: 7",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn hop_by_hop_headers_are_removed_in_both_directions() {
    let response = "HTTP/1.1 200 OK\r\nConnection: X-Private\r\nX-Private: s\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
                  Proxy-Authenticate: Basic\r\nTrailer: X-Sum\r\nX-Public: p\r\nTransfer-Encoding: chunked\r\n\r\n\
                  4\r\nfine\r\n0\r\nX-Sum: 1\r\n\r\n";
    let server = Server::with_response(response).await;
    let sent = headers(&[
        ("connection", "upgrade, x-private"),
        ("upgrade", "websocket"),
        ("x-private", "c"),
        ("te", "trailers"),
        ("keep-alive", "300"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "close"),
        ("host", "elsewhere"),
        ("expect", "100-continue"),
        ("content-length", "99"),
        ("transfer-encoding", "gzip"),
        ("x-public", "c"),
    ]);
    let response = upstream_to(&[&server.url]).forward(ForwardRequest { headers: sent, ..get() }).await.unwrap();
    assert_eq!(response.headers(), &headers(&[("x-public", "p")]));
    assert_eq!(body_text(response).await.unwrap(), "fine");
    let head = &server.request_heads()[0];
    assert!(head.contains("x-public: c") && head.contains("host: 127.0.0.1:"), "{head}");
    for removed in
        ["private", "upgrade", "te:", "keep-alive", "proxy", "expect", "length", "encoding", "elsewhere", "agent"]
    {
        assert!(!head.contains(removed), "{removed}: {head}");
    }
}

#[tokio::test]
async fn a_body_of_known_length_has_a_content_length_and_any_other_is_chunked() {
    let server = Server::with_response(OK).await;
    let upstream = upstream_to(&[&server.url]);
    for (method, body, framing) in [
        (Method::POST, full_body("12345"), "content-length: 5"),
        (Method::DELETE, full_body("123"), "content-length: 3"),
        (Method::GET, full_body("123"), "content-length: 3"),
        (Method::POST, full_body(""), "content-length: 0"),
    ] {
        let response = upstream.forward(ForwardRequest { body, ..request(method) }).await.unwrap();
        assert_eq!(
            (&response.headers()["content-length"], response.body().size_hint().exact()),
            (&"4".parse().unwrap(), Some(4))
        );
        body_text(response).await.unwrap();
        let head = server.request_heads().pop().unwrap();
        assert!(head.contains(framing) && !head.contains("transfer-encoding"), "{head}");
    }
    for method in [Method::POST, Method::GET] {
        let (sender, body) = streaming_body();
        sender.send(Ok(Bytes::from_static(b"12345"))).await.unwrap();
        drop(sender);
        body_text(upstream.forward(ForwardRequest { body, ..request(method) }).await.unwrap()).await.unwrap();
        let head = server.request_heads().pop().unwrap();
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    }
    body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
    let head = server.request_heads().pop().unwrap();
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert_eq!(server.connection_count(), 1, "the connection is reused");

    let chunked =
        Server::with_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n").await;
    let response = upstream_to(&[&chunked.url]).forward(get()).await.unwrap();
    assert_eq!((response.headers().len(), response.body().size_hint().exact()), (0, None));
    assert_eq!(body_text(response).await.unwrap(), "fine");
}

#[tokio::test]
async fn responses_without_a_body_end_after_their_head() {
    let server = Server::start(|mut connection| async move {
        let response = match connection.head.split(' ').next().unwrap_or_default() {
            "head" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            "delete" => "HTTP/1.1 204 No Content\r\n\r\n",
            _ => "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n",
        };
        connection.send(response).await;
        Some(connection)
    })
    .await;
    let upstream = upstream_to(&[&server.url]);
    for (method, status, length) in
        [(Method::HEAD, 200, Some("1000")), (Method::DELETE, 204, None), (Method::GET, 304, Some("1000"))]
    {
        let response = upstream.forward(request(method)).await.unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().get("content-length").map(|l| l.to_str().unwrap()), length);
        assert!(response.body().is_end_stream());
        assert_eq!(body_text(response).await.unwrap(), "");
    }
    assert_eq!(server.connection_count(), 1);
}

#[tokio::test]
async fn chunks_are_forwarded_as_they_arrive_in_both_directions() {
    let server = Server::start(|mut connection| async move {
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let chunk = connection.read_chunk().await;
            connection.send(format!("{:x}\r\n", chunk.len())).await;
            connection.send(&chunk).await;
            connection.send("\r\n").await;
            if chunk.is_empty() || chunk.ends_with(b"0\r\n\r\n") {
                connection.send("0\r\n\r\n").await;
                return Some(connection);
            }
        }
    })
    .await;
    let (sender, body) = streaming_body();
    let mut response = upstream_to(&[&server.url]).forward(post(body)).await.unwrap().into_body();
    for sent in ["one", "two", "three"] {
        sender.send(Ok(Bytes::from_static(sent.as_bytes()))).await.unwrap();
        let mut received = String::new();
        while !received.ends_with(&format!("{sent}\r\n")) {
            received += std::str::from_utf8(&next_chunk(&mut response).await.unwrap().unwrap()).unwrap();
        }
    }
    drop(sender);
    while let Some(chunk) = next_chunk(&mut response).await {
        chunk.unwrap();
    }
}

#[tokio::test]
async fn a_path_that_leaves_the_base_path_or_is_malformed_reaches_no_server() {
    let server = Server::with_response(OK).await;
    let upstream = upstream_to(&[&format!("{}/api", server.url)]);
    for path in [
        "/../admin",
        "/..;/admin",
        "/.;x/..;/admin",
        "/%u002e%u002e/admin",
        "/%c0%ae%c0%ae/admin",
        "/a/%2e%2E/%2e%2e/admin",
        "no-slash",
        "@evil/",
        "/a b",
        "/a\r\nX: y",
    ] {
        let request = ForwardRequest { path_and_query: path.to_owned(), ..get() };
        assert!(upstream.forward(request).await.unwrap_err().is(&codes::BAD_REQUEST), "{path}");
    }
    assert!(upstream.forward(request(Method::CONNECT)).await.unwrap_err().is(&codes::BAD_REQUEST));
    assert_eq!(server.request_count(), 0);
}

#[tokio::test]
async fn after_an_early_response_no_more_of_the_body_is_sent() {
    let server = Server::start(|mut connection| async move {
        connection.read_chunk().await;
        connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        connection.wait_for_close().await;
        None
    })
    .await;
    let (sender, body) = streaming_body();
    sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
    let response = upstream_to(&[&server.url]).forward(post(body)).await.unwrap();
    assert_eq!((response.status().as_u16(), body_text(response).await.unwrap()), (413, "big".to_owned()));
    wait_until(|| sender.is_closed()).await;
}

#[tokio::test]
async fn dropping_a_request_closes_its_connection_before_and_during_the_response() {
    let (closed, mut closes) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |mut connection| {
        let closed = closed.clone();
        async move {
            if connection.head.starts_with("post") {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            }
            connection.wait_for_close().await;
            let _ = closed.send(()).await;
            None
        }
    })
    .await;
    let upstream = upstream_to(&[&server.url]);
    assert_pending(upstream.forward(get())).await;
    closes.recv().await.unwrap();

    let (sender, body) = streaming_body();
    sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
    drop(upstream.forward(post(body)).await.unwrap());
    closes.recv().await.unwrap();
    wait_until(|| sender.is_closed()).await;
}

#[tokio::test]
async fn an_error_of_the_request_body_is_returned_unchanged() {
    let server = Server::start(|mut connection| async move {
        if connection.head.contains("/early") {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        }
        connection.read_body().await;
        None
    })
    .await;
    let upstream = upstream_to(&[&server.url]);
    let error = || Error::new(&codes::REQUEST_TIMEOUT).with_cause("the client was too slow");

    let (sender, body) = streaming_body();
    sender.send(Ok(Bytes::from_static(b"chunk"))).await.unwrap();
    let (response, _) =
        tokio::join!(upstream.forward(ForwardRequest { retries: 5, ..post(body) }), sender.send(Err(error())));
    let returned = response.unwrap_err();
    assert_eq!((returned.code(), returned.cause()), ("request_timeout", Some("the client was too slow")));
    assert_eq!(server.request_count(), 1);

    let (sender, body) = streaming_body();
    let early = ForwardRequest { path_and_query: "/early".to_owned(), ..post(body) };
    let mut response = upstream.forward(early).await.unwrap().into_body();
    assert_eq!(next_chunk(&mut response).await.unwrap().unwrap(), "half");
    sender.send(Err(error())).await.unwrap();
    assert!(next_chunk(&mut response).await.unwrap().unwrap_err().is(&codes::REQUEST_TIMEOUT));
    assert!(next_chunk(&mut response).await.is_none());
}
