//! What arrives at the server, and what comes back.

use crate::{OK, at, get, headers, never, piece, piecewise, post, request, server::Server, text, until, whole};
use bytes::Bytes;
use http::Method;
use hyper::body::Body;
use menlou_error::{Error, codes};
use menlou_upstream::ForwardRequest;

#[tokio::test]
async fn a_request_arrives_as_it_was_given_beneath_the_servers_base() {
    let server = Server::start(|mut talk| async move {
        let body = talk.body().await;
        let length = body.len();
        talk.say(format!("HTTP/1.1 418 Odd\r\nX-Told: 1\r\nX-Told: 2\r\nContent-Length: {length}\r\n\r\n")).await;
        talk.say(body).await;
        Some(talk)
    })
    .await;
    let upstream = at(&[&format!("{}/api/", server.url)]);
    let request = ForwardRequest {
        path_and_query: "/orders/%E4%BA%BA?a=1&b=%2F".to_owned(),
        headers: headers(&[("x-menlou-user", "7"), ("content-type", "text/plain"), ("accept", "text/x")]),
        ..post(whole("hello"))
    };
    let answer = upstream.forward(request).await.unwrap();
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers().get_all("x-told").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(text(answer).await.unwrap(), "hello");
    let mut lines: Vec<_> = server.heads()[0].lines().map(str::to_owned).collect();
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
async fn what_is_for_one_connection_only_goes_no_further_in_either_direction() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: X-Private\r\nX-Private: s\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n\
                  Proxy-Authenticate: Basic\r\nTrailer: X-Sum\r\nX-Public: p\r\nTransfer-Encoding: chunked\r\n\r\n\
                  4\r\nfine\r\n0\r\nX-Sum: 1\r\n\r\n";
    let server = Server::saying(answer).await;
    let given = headers(&[
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
    let answer = at(&[&server.url]).forward(ForwardRequest { headers: given, ..get() }).await.unwrap();
    assert_eq!(answer.headers(), &headers(&[("x-public", "p")]));
    assert_eq!(text(answer).await.unwrap(), "fine");
    let head = &server.heads()[0];
    assert!(head.contains("x-public: c") && head.contains("host: 127.0.0.1:"), "{head}");
    for gone in
        ["private", "upgrade", "te:", "keep-alive", "proxy", "expect", "length", "encoding", "elsewhere", "agent"]
    {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
}

#[tokio::test]
async fn a_known_length_stays_known_and_an_unknown_one_goes_in_chunks() {
    let server = Server::saying(OK).await;
    let upstream = at(&[&server.url]);
    for (method, body, framing) in [
        (Method::POST, whole("12345"), "content-length: 5"),
        (Method::DELETE, whole("123"), "content-length: 3"),
        (Method::GET, whole("123"), "content-length: 3"),
        (Method::POST, whole(""), "content-length: 0"),
    ] {
        let answer = upstream.forward(ForwardRequest { body, ..request(method) }).await.unwrap();
        assert_eq!(
            (&answer.headers()["content-length"], answer.body().size_hint().exact()),
            (&"4".parse().unwrap(), Some(4))
        );
        text(answer).await.unwrap();
        let head = server.heads().pop().unwrap();
        assert!(head.contains(framing) && !head.contains("transfer-encoding"), "{head}");
    }
    for method in [Method::POST, Method::GET] {
        let (sender, body) = piecewise();
        sender.send(Ok(Bytes::from_static(b"12345"))).await.unwrap();
        drop(sender);
        text(upstream.forward(ForwardRequest { body, ..request(method) }).await.unwrap()).await.unwrap();
        let head = server.heads().pop().unwrap();
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    }
    text(upstream.forward(get()).await.unwrap()).await.unwrap();
    let head = server.heads().pop().unwrap();
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert_eq!(server.connections(), 1, "the connection is kept");

    let chunked = Server::saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n").await;
    let answer = at(&[&chunked.url]).forward(get()).await.unwrap();
    assert_eq!((answer.headers().len(), answer.body().size_hint().exact()), (0, None));
    assert_eq!(text(answer).await.unwrap(), "fine");
}

#[tokio::test]
async fn answers_without_a_body_end_at_their_head() {
    let server = Server::start(|mut talk| async move {
        let answer = match talk.head.split(' ').next().unwrap_or_default() {
            "head" => "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
            "delete" => "HTTP/1.1 204 No Content\r\n\r\n",
            _ => "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n",
        };
        talk.say(answer).await;
        Some(talk)
    })
    .await;
    let upstream = at(&[&server.url]);
    for (method, status, length) in
        [(Method::HEAD, 200, Some("1000")), (Method::DELETE, 204, None), (Method::GET, 304, Some("1000"))]
    {
        let answer = upstream.forward(request(method)).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers().get("content-length").map(|l| l.to_str().unwrap()), length);
        assert!(answer.body().is_end_stream());
        assert_eq!(text(answer).await.unwrap(), "");
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn pieces_pass_as_they_come_in_both_directions() {
    let server = Server::start(|mut talk| async move {
        talk.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        loop {
            let more = talk.more().await;
            talk.say(format!("{:x}\r\n", more.len())).await;
            talk.say(&more).await;
            talk.say("\r\n").await;
            if more.is_empty() || more.ends_with(b"0\r\n\r\n") {
                talk.say("0\r\n\r\n").await;
                return Some(talk);
            }
        }
    })
    .await;
    let (sender, body) = piecewise();
    let mut answer = at(&[&server.url]).forward(post(body)).await.unwrap().into_body();
    for said in ["one", "two", "three"] {
        sender.send(Ok(Bytes::from_static(said.as_bytes()))).await.unwrap();
        let mut heard = String::new();
        while !heard.ends_with(&format!("{said}\r\n")) {
            heard += std::str::from_utf8(&piece(&mut answer).await.unwrap().unwrap()).unwrap();
        }
    }
    drop(sender);
    while let Some(piece) = piece(&mut answer).await {
        piece.unwrap();
    }
}

#[tokio::test]
async fn a_path_that_could_lead_elsewhere_reaches_no_server() {
    let server = Server::saying(OK).await;
    let upstream = at(&[&format!("{}/api", server.url)]);
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
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_server_that_answers_early_gets_no_more_of_the_body() {
    let server = Server::start(|mut talk| async move {
        talk.more().await;
        talk.say("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig").await;
        while !talk.more().await.is_empty() {}
        None
    })
    .await;
    let (sender, body) = piecewise();
    sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    let answer = at(&[&server.url]).forward(post(body)).await.unwrap();
    assert_eq!((answer.status().as_u16(), text(answer).await.unwrap()), (413, "big".to_owned()));
    until(|| sender.is_closed()).await;
}

#[tokio::test]
async fn dropping_a_call_ends_its_request_before_the_answer_and_within_it() {
    let (ended, mut endings) = tokio::sync::mpsc::channel(1);
    let server = Server::start(move |mut talk| {
        let ended = ended.clone();
        async move {
            if talk.head.starts_with("post") {
                talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            }
            while !talk.more().await.is_empty() {}
            let _ = ended.send(()).await;
            None
        }
    })
    .await;
    let upstream = at(&[&server.url]);
    never(upstream.forward(get())).await;
    endings.recv().await.unwrap();

    let (sender, body) = piecewise();
    sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    drop(upstream.forward(post(body)).await.unwrap());
    endings.recv().await.unwrap();
    until(|| sender.is_closed()).await;
}

#[tokio::test]
async fn what_the_clients_own_body_fails_with_comes_out_as_it_is() {
    let server = Server::start(|mut talk| async move {
        if talk.head.contains("/early") {
            talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        }
        talk.body().await;
        None
    })
    .await;
    let upstream = at(&[&server.url]);
    let fault = || Error::new(&codes::REQUEST_TIMEOUT).with_cause("the client was too slow");

    let (sender, body) = piecewise();
    sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    let (answer, _) =
        tokio::join!(upstream.forward(ForwardRequest { retries: 5, ..post(body) }), sender.send(Err(fault())));
    let error = answer.unwrap_err();
    assert_eq!((error.code(), error.cause()), ("request_timeout", Some("the client was too slow")));
    assert_eq!(server.asked(), 1);

    let (sender, body) = piecewise();
    let early = ForwardRequest { path_and_query: "/early".to_owned(), ..post(body) };
    let mut answer = upstream.forward(early).await.unwrap().into_body();
    assert_eq!(piece(&mut answer).await.unwrap().unwrap(), "half");
    sender.send(Err(fault())).await.unwrap();
    assert!(piece(&mut answer).await.unwrap().unwrap_err().is(&codes::REQUEST_TIMEOUT));
    assert!(piece(&mut answer).await.is_none());
}
