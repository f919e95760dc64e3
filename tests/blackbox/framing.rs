//! Framing of HTTP/1: a request that two servers could read differently gets one response, 400, and its connection is
//! closed.

use crate::scene::{Scene, Stores};
use menlou_harness::{
    Envelope,
    http::{self, Request},
};
use std::{
    io::{Cursor, Read, Write},
    thread,
    time::Duration,
};

const POST: &str = "POST /srv/?f=manulife&a=openid HTTP/1.1\r\n";
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// A request hidden behind another one. Its response would be 404.
const SMUGGLED: &str = "GET /srv/?f=nobody&a=smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Sends `bytes` in one piece or in two, and returns everything that is received before the connection is closed.
fn responses(scene: &Scene, bytes: &[u8], cut: Option<usize>) -> Vec<u8> {
    let mut stream = http::connect(scene.addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (first, second) = bytes.split_at(cut.unwrap_or(bytes.len()));
    // A write fails if the server has rejected the request already. The response counts.
    let _ = stream.write_all(first);
    if !second.is_empty() {
        // The pause lets the two pieces arrive separately.
        thread::sleep(Duration::from_millis(10));
        let _ = stream.write_all(second);
    }
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap_or_else(|e| panic!("the connection is not closed: {e}: {}", printed(bytes)));
    all
}

fn count(all: &[u8]) -> usize {
    all.windows(7).filter(|w| w == b"HTTP/1.").count()
}

fn printed(bytes: &[u8]) -> String {
    bytes.get(..bytes.len().min(400)).unwrap_or_default().escape_ascii().to_string()
}

/// Sends each case with a hidden request behind it. There must be one response, one of `expected`, and the connection must
/// be closed.
fn each_gets_one_response(scene: &Scene, cases: Vec<Vec<u8>>, expected: &[(u16, &str)]) {
    for case in cases {
        let bytes = [&case, SMUGGLED.as_bytes()].concat();
        for cut in [None, Some(case.len() / 2), Some(case.len() - 1)] {
            let all = responses(scene, &bytes, cut);
            let context = || format!("{}\n{}", printed(&case), printed(&all));
            assert_eq!(count(&all), 1, "one response: {}", context());
            let envelope =
                Envelope::parse(http::read(&mut Cursor::new(&all)).unwrap_or_else(|e| panic!("{e}: {}", context())));
            let got = (envelope.status, envelope.error.as_deref().unwrap_or_default());
            assert!(expected.contains(&got), "{got:?}: {}", context());
        }
        let valid = scene.client().send(&Request::post(scene.client().target("user")));
        valid.assert_error(401, "login_required");
    }
}

const REJECTED: &[(u16, &str)] = &[(400, "bad_request")];

#[test]
fn ambiguous_heads_are_rejected() {
    let scene = Scene::new(Stores::Embedded);
    let mut heads: Vec<String> = Vec::new();
    // Lines after a valid request line and Host.
    for lines in [
        // Two lengths, or an invalid length.
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\ncontent-length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: 1,2\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n",
        "Content-Length: 1_0\r\n",
        "Content-Length: 010\r\n",
        "Content-Length: 1Z\r\n",
        "Content-Length 1\r\n",
        "Content-Length: \r\nContent-Length: 43\r\n",
        "Content-Length: 1\r\nContent-Length: 0\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length: \u{661}\r\n",
        "Content-Length: 18446744073709551617\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length:\r\n",
        "Content-Length: \"1\"\r\n",
        "Content-Length: 1;x\r\n",
        "Content-Length: 1\u{b}\r\n",
        // A length and a transfer coding (CL.TE, TE.CL).
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: identity\r\n",
        // A transfer coding that one server knows and another does not (TE.TE).
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: chunk\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: 'chunked'\r\n",
        "Transfer-Encoding: chunked\u{b}\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: \u{c}chunked\r\n",
        "Transfer-Encoding: chunked\0\r\n",
        "Transfer-Encoding: chu\u{130}ked\r\n",
        "Transfer-Encoding: chun\u{212a}ed\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: deflate\r\n",
        "Transfer-Encoding: blegh\r\n",
        "Transfer-Encoding: ,chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n",
        // Invalid names.
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding\u{b}: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "\u{b}Transfer-Encoding: chunked\r\n",
        "Content-Length : 4\r\n",
        "Content-Length\u{a0}: 4\r\n",
        " X-A: 1\r\n",
        "X-A\r\n",
        "X A: 1\r\n",
        "X-A(: 1\r\n",
        "X-A\u{7f}: 1\r\n",
        ": 1\r\n",
        ":\r\n",
        "X-A\"(),/;<=>?@[]{}: 1\r\n",
        // Folded lines, and lines with an invalid end.
        "X-A: 1\r\n 2\r\n",
        "X-A: 1\r\n\tTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-\r\nEncoding: chunked\r\n",
        "X-\nA: 1\r\n",
        "X-A:\n\nGET / HTTP/1.1\r\n",
        "\rX-A: 1\r\n",
        "\rZ",
        "X-A: 1\nX-B: 2\r\n",
        "X-A: 1\rX-B: 2\r\n",
        "X-A: 1\r\r\n",
        "X-A: 1\n",
        "X-A: x\nTransfer-Encoding: chunked\r\n",
        "X-A: x\rTransfer-Encoding: chunked\r\n",
        // Control characters in values.
        "X-A: a\0b\r\n",
        "X-A: a\0\r\n",
        "X-A: a\u{1}b\r\n",
        "X-A: a\u{8}b\r\n",
        "X-A: a\u{1b}b\r\n",
        "X-A: a\u{7f}b\r\n",
        // Exactly one valid host.
        "Host: a\r\n",
        "Host: b\r\n",
        "host: b\r\n",
    ] {
        heads.push(format!("{POST}Host: a\r\n{lines}\r\n"));
    }
    for host in [
        "",
        "Host:\r\n",
        "Host: a b\r\n",
        "Host: a, b\r\n",
        "Host: a/b\r\n",
        "Host: a@b\r\n",
        "Host: a:b\r\n",
        "Host: a:123456\r\n",
        "Host: http://a\r\n",
        "Host: [::1\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: a\0.b\r\n",
        "Host: a\tb\r\n",
        "Host: []\r\n",
        "Host: [::1]x\r\n",
        "Host: a*\r\n",
        "Host : a\r\n",
        "Host\t: a\r\n",
        " Host: a\r\n",
    ] {
        heads.push(format!("{POST}{host}\r\n"));
    }
    for line in [
        // Authorities that differ from Host or are invalid.
        "GET http://b/srv/ HTTP/1.1",
        "GET http://a:81/srv/ HTTP/1.1",
        "GET http://b@a/srv/ HTTP/1.1",
        "GET http:///srv/ HTTP/1.1",
        "GET http:/srv/ HTTP/1.1",
        "GET ftp://a/srv/ HTTP/1.1",
        "GET a HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET srv/ HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
        "CONNECT /srv/ HTTP/1.1",
        "CONNECT http://a/ HTTP/1.1",
        // Invalid targets.
        "GET /srv/#x HTTP/1.1",
        "GET /srv/\0 HTTP/1.1",
        "GET /srv/\u{7f} HTTP/1.1",
        "GET /srv/\t HTTP/1.1",
        "GET /srv/\u{95e8} HTTP/1.1",
        "GET  HTTP/1.1",
        "GET ! HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET /srv/\nHTTP/1.1",
        "GET /srv/\rx HTTP/1.1",
        // Invalid request lines.
        "GET  /srv/ HTTP/1.1",
        "GET /srv/  HTTP/1.1",
        "GET\t/srv/\tHTTP/1.1",
        "GET\u{b}/srv/ HTTP/1.1",
        " GET /srv/ HTTP/1.1",
        "GET /srv/ HTTP/1.1 ",
        "GET /srv/ x HTTP/1.1",
        "GET /srv/ HTTP/1.2",
        "GET /srv/ HTTP/0.9",
        "GET /srv/ HTTP/2.0",
        "GET /srv/ HTTP/11",
        "GET /srv/ HTTP/1.10",
        "GET /srv/ HTTP/1.32",
        "GET /srv/ HTTP/1,1",
        "GET /srv/ HTTP/+1.1",
        "GET /srv/ HTTP/257.257",
        "GET /srv/ HTTP/4294967295.255",
        "GET /srv/ HTTP/\r\r1.1",
        "GET /srv/ HTTP/",
        "GET /srv/ HTTP/01.1",
        "GET /srv/ http/1.1",
        "GET /srv/ HTTP/1.1x",
        "GET /srv/ HTTP /1.1",
        "GET /srv/",
        "G\0T /srv/ HTTP/1.1",
        "G=\":<>(e),[T];?\" /srv/ HTTP/1.1",
        "\0 /srv/ HTTP/............0596.7407.",
        "G(T /srv/ HTTP/1.1",
        "/srv/ HTTP/1.1",
        "HTTP/1.1 200 OK",
    ] {
        heads.push(format!("{line}\r\nHost: a\r\n\r\n"));
    }
    heads.extend([
        // Bare LF.
        format!("{}Host: a\r\n\r\n", POST.replace("\r\n", "\n")),
        format!("{POST}Host: a\n\r\n"),
        format!("{POST}Host: a\r\n\n"),
        format!("{POST}Host: a\n\n"),
        format!("\n{POST}Host: a\r\n\r\n"),
        format!("\r\n\r\n{POST}Host: a\r\n\r\n"),
        format!("\r\n\n{POST}Host: a\r\n\r\n"),
        format!("\r{POST}Host: a\r\n\r\n"),
        // Invalid in HTTP/1.0.
        format!("{}{CHUNKED}\r\n", POST.replace("1.1", "1.0")),
        format!("{}Host: a\r\nHost: a\r\n\r\n", POST.replace("1.1", "1.0")),
    ]);
    let mut heads: Vec<Vec<u8>> = heads.into_iter().map(String::into_bytes).collect();
    // Bytes beyond ASCII, which some servers take for white space and others cut off.
    for lines in [
        &b"Content-Length: \xa01\r\n"[..],
        b"Content-Length: 1\x85\r\n",
        b"Content-Length\x85: 1\r\n",
        b"Transfer-Encoding: \xa0chunked\xa0\r\n",
        b"Transfer-Encoding: \x85chunked\r\n",
        b"Transfer-Encoding: \xffchunked\xff\r\n",
        b"\xefX-A: 1\r\n",
        b"Host: \xffa\xff\r\n",
    ] {
        heads.push([POST.as_bytes(), b"Host: a\r\n", lines, b"\r\n"].concat());
    }
    heads.push([POST.as_bytes(), b"Host: \xffa\xff\r\n\r\n"].concat());
    each_gets_one_response(&scene, heads, REJECTED);
    assert!(!scene.log().contains("panicked"));
}

#[test]
fn other_protocols_than_http_are_closed_without_a_response() {
    let scene = Scene::new(Stores::Embedded);
    for foreign in ["INVALID CONNECTION PREFACE\r\n\r\n", "EHLO mail.example.com SIZE\r\n\r\n", "1 2 3\r\n\r\n"] {
        for cut in [None, Some(foreign.len() / 2)] {
            assert_eq!(printed(&responses(&scene, foreign.as_bytes(), cut)), "");
        }
        // After a valid request it counts as a malformed one: the client is waiting for a response.
        let second = format!("{POST}Host: a\r\n\r\n{foreign}");
        let all = responses(&scene, second.as_bytes(), None);
        assert_eq!(count(&all), 2, "{}", printed(&all));
        assert!(String::from_utf8_lossy(&all).contains("bad_request"), "{}", printed(&all));
    }
    scene.client().send(&Request::post(scene.client().target("user"))).assert_error(401, "login_required");
}

#[test]
fn heads_and_targets_that_are_too_long_are_rejected() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("clients.max_uri_length", "\"1KiB\""));
    let long = format!("POST /srv/?f={} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "x".repeat(2000));
    let endless = format!("POST /srv/?f={}", "x".repeat(40_000));
    each_gets_one_response(&scene, vec![long.into_bytes(), endless.into_bytes()], &[(414, "uri_too_long")]);
    let large = format!("{POST}Host: a\r\nX-A: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("{POST}Host: a\r\n{}\r\n", "X-A: 1\r\n".repeat(200));
    each_gets_one_response(&scene, vec![large.into_bytes(), many.into_bytes()], &[(431, "headers_too_large")]);
}

#[test]
fn ambiguous_chunks_end_the_connection() {
    let scene = Scene::new(Stores::Embedded);
    let extension = |length| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length));
    let bodies = [
        // Invalid sizes, or sizes that some servers read differently.
        "0x5\r\nabcde\r\n0\r\n\r\n",
        "+5\r\nabcde\r\n0\r\n\r\n",
        "-5\r\nabcde\r\n0\r\n\r\n",
        " 5\r\nabcde\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "\t5\r\nabcde\r\n0\r\n\r\n",
        "5\u{b}\r\nabcde\r\n0\r\n\r\n",
        "5\0\r\nabcde\r\n0\r\n\r\n",
        "5g\r\nabcde\r\n0\r\n\r\n",
        "5,5\r\nabcde\r\n0\r\n\r\n",
        "0_2e\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "-0x0\r\n\r\n",
        "0x\r\n\r\n",
        "1a b\r\n",
        "           0\r\n\r\n",
        "0r\n\r\n",
        "INVALID!!!\r\n",
        "Z\r\nZZ\r\nZZZ\r\n\r\n",
        "\r\n\r\n",
        "\r\nabcde\r\n0\r\n\r\n",
        ";x\r\nabcde\r\n0\r\n\r\n",
        "00000000000000005\r\nabcde\r\n0\r\n\r\n",
        "10000000000000005\r\nabcde\r\n0\r\n\r\n",
        "ffffffffffffffffffff\r\nabcde\r\n0\r\n\r\n",
        // Lines with an invalid end.
        "5\nabcde\r\n0\r\n\r\n",
        "5\rabcde\r\n0\r\n\r\n",
        "5\r\rabcde\r\n0\r\n\r\n",
        "5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n",
        "1\r\na\r\n\r\n0\r\n\r\n",
        "1\r\na0\r\n\r\n",
        "5\r\nabcde\n0\r\n\r\n",
        "5\r\nabcde\r0\r\n\r\n",
        "5\r\nabcde0\r\n\r\n",
        "5\r\nabcdef\r\n0\r\n\r\n",
        "5\r\nabcd\r\n0\r\n\r\n",
        "5\r\nabcde\r\n0\n\r\n",
        "5\r\nabcde\r\n0\r\n\n",
        "5\r\nabcde\r\n0\r\r\n",
        // Extensions.
        "5;a\nb\r\nabcde\r\n0\r\n\r\n",
        "5;a\rb\r\nabcde\r\n0\r\n\r\n",
        "5;a\0b\r\nabcde\r\n0\r\n\r\n",
        "5;a=b\r\rabcde\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nabcde\r\n0\r\n\r\n",
        "5;\u{e9}\r\nabcde\r\n0\r\n\r\n",
        "5 ;a\r\nabcde\r\n0\r\n\r\n",
        "5;\n\r\nabcde\r\n0\r\n\r\n",
        "0;\nX\r\n\r\n",
        &extension(300),
        &extension(20_000),
        // Trailers.
        "1\r\na\r\n0\r\nX-A\r\n\r\n",
        "1\r\na\r\n0\r\nX A: 1\r\n\r\n",
        "1\r\na\r\n0\r\n: 1\r\n\r\n",
        "1\r\na\r\n0\r\nX-A\0: 1\r\n\r\n",
        "1\r\na\r\n0\r\nXX\r\n\r\n",
        "1\r\na\r\n0\r\nX-A: 1\r\n 2\r\n\r\n",
        "1\r\na\r\n0\r\nX-A: \0\r\n\r\n",
        "1\r\na\r\n0\r\nX-A: 1\n\r\n",
        "1\r\na\r\n0\r\n X-A: 1\r\n\r\n",
        "1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n",
        "1\r\na\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "1\r\na\r\n0\r\nHost: b\r\n\r\n",
        &format!("1\r\na\r\n0\r\nX-A: {}\r\n\r\n", "x".repeat(40_000)),
    ];
    let with_head = |first: &str| -> Vec<Vec<u8>> {
        bodies.iter().map(|body| format!("{first}Host: a\r\n{FORM}{CHUNKED}\r\n{body}").into_bytes()).collect()
    };
    // If the body is read, and if the response is sent without reading it.
    each_gets_one_response(&scene, with_head(POST), &[(400, "bad_body")]);
    let unread = "POST /srv/?f=nobody&a=openid HTTP/1.1\r\n";
    for case in with_head(unread) {
        let all = responses(&scene, &[&case, SMUGGLED.as_bytes()].concat(), None);
        assert_eq!(count(&all), 1, "{}\n{}", printed(&case), printed(&all));
        Envelope::parse(http::read(&mut Cursor::new(&all)).unwrap()).assert_error(404, "unknown_tenant");
    }
    scene.client().send(&Request::post(scene.client().target("user"))).assert_error(401, "login_required");
}

#[test]
fn pipelined_requests_are_answered_in_order_and_before_an_invalid_one() {
    let scene = Scene::new(Stores::Embedded);
    let user = "POST /srv/?f=manulife&a=user HTTP/1.1\r\nHost: localhost:8080\r\n";
    let chunked = format!("{user}{FORM}{CHUNKED}\r\n1;n=\"v\"\r\na\r\n2\r\n=1\r\n0\r\nX-Sum: 1\r\n\r\n");
    let valid = [
        format!("{user}\r\n"),
        format!("{user}{FORM}Content-Length: 3\r\n\r\na=1\r\n"),
        chunked,
        "POST http://LOCALHOST/srv/manulife/user HTTP/1.1\r\nHost: localhost\r\nX-A: \u{e9}\r\n\r\n".to_owned(),
    ]
    .concat();
    let invalid = format!("{user}Host: again\r\n\r\n{user}\r\n");
    for (end, last) in
        [(invalid.as_str(), "bad_request"), (&format!("{user}Connection: close\r\n\r\n"), "login_required")]
    {
        let bytes = format!("{valid}{end}");
        for cut in [None, Some(5), Some(100), Some(bytes.len() / 2), Some(bytes.len() - 3)] {
            let all = responses(&scene, bytes.as_bytes(), cut);
            let text = String::from_utf8_lossy(&all);
            let codes: Vec<_> = text.split("\"error\":\"").skip(1).filter_map(|t| t.split('"').next()).collect();
            let expected = [&["login_required"; 4][..], &[last]].concat();
            assert_eq!(codes, expected, "{cut:?} {text}");
        }
    }
    // HTTP/1.0 without Host.
    let all = responses(&scene, b"POST /srv/manulife/user HTTP/1.0\r\n\r\n", None);
    assert_eq!(count(&all), 1, "{}", printed(&all));
}
