//! What is fuzzed: each parser of what strangers, tenants, platforms and plugins send, with what must hold of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Empty, Full};
use http_guard::Framing;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use menlou_action::{ParamsSchema, check_file};
use menlou_call::{MAX_NAME, Params};
use menlou_config::{
    edit::{self, ConfigChange},
    load::Document,
    server::Server,
    tenant::{TenantFile, is_name},
};
use menlou_error::text::Language;
use menlou_platform::{
    http::HttpResponse,
    wechat::answer::{read, read_any},
};
use menlou_server::decode::{self, RouteTarget};
use menlou_store::session_record;
use std::{
    cell::RefCell,
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// A request: its target in the first line, its media type in the second, then its body.
pub fn request(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let [target, media_type, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let Ok(uri) = std::str::from_utf8(target).unwrap_or_default().parse() else { return };
    let address = match RouteTarget::parse(&uri) {
        Ok(address) => address,
        Err(error) => return assert!(error.status() < 500, "{error:?}"),
    };
    assert!(is_name(&address.tenant) && is_name(&address.action));
    assert!(address.subpath.is_empty() || address.subpath.starts_with('/'));
    let mut head = Request::post(uri.clone()).body(()).expect("a URI").into_parts().0;
    if let Ok(value) = HeaderValue::from_bytes(media_type) {
        head.headers.insert(CONTENT_TYPE, value);
    }
    let read = address.params().and_then(|mut params| {
        at_once(decode::body(&head, Full::new(Bytes::copy_from_slice(body)), &Server::default(), &mut params))?;
        Ok(params)
    });
    match read {
        Err(error) => assert!((400..500).contains(&error.status()), "{error:?}"),
        Ok(params) => {
            for (name, value) in params.as_map() {
                assert!(!name.is_empty() && name.chars().count() <= MAX_NAME, "{name:?}");
                assert!(!value.is_null() && value != "" && !value.as_str().is_some_and(|t| t.contains('\0')));
            }
        }
    }
}

/// A tenant's file. Each fault lies inside of it and can be shown; a change of a good one is read as what was asked for.
pub fn tenant_file(data: &[u8]) {
    let read = Document::parse("x.toml", data).and_then(|doc| TenantFile::read(&doc));
    let Err(faults) = read else {
        let text = std::str::from_utf8(data).expect("what is read is UTF-8");
        let path = vec!["session".to_owned(), "ttl".to_owned()];
        let Ok(changed) = edit::apply(text, &[ConfigChange::Set(path, "2d".into())]) else { return };
        let doc = Document::parse("x.toml", changed.as_bytes()).expect("what was edited is read");
        assert_eq!(doc.value("/session/ttl").and_then(|v| v.as_str()), Some("2d"));
        return;
    };
    assert!(!faults.is_empty());
    for fault in faults {
        assert!(!fault.render(Language::Zh, false).is_empty() && !fault.render(Language::En, true).is_empty());
    }
}

/// What WeChat answers, with the secret of the request perhaps repeated in it: it comes to no error. The first byte
/// chooses status and media type.
pub fn platform_answer(data: &[u8]) {
    const SECRET: &str = "hunter2-the-secret";
    let Some((how, body)) = data.split_first() else { return };
    let answer = || {
        let status = [200, 201, 302, 404, 429, 503][usize::from(how >> 4) % 6];
        let media_type = ["application/json", "image/jpeg", "text/plain", ""][usize::from(how & 3)];
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        Ok(HttpResponse { status, headers, body: Bytes::copy_from_slice(body) })
    };
    let refusals = [read(answer(), &[SECRET]).err(), read_any(answer(), &[SECRET]).err()];
    for refusal in refusals.into_iter().flatten() {
        assert!(!format!("{:?}", refusal.error).contains(SECRET));
        assert!(!refusal.error.cause().unwrap_or_default().contains(SECRET));
    }
}

/// The schema of a plugin's parameters and, behind a NUL, the parameters of a call. What fits once fits again.
pub fn parameters(data: &[u8]) {
    let mut parts = data.splitn(2, |b| *b == 0);
    let [schema, given] = [(); 2].map(|()| serde_json::from_slice(parts.next().unwrap_or_default()).ok());
    let Some(schema) = ParamsSchema::compile(schema).ok() else { return };
    let Some(serde_json::Value::Object(given)) = given else { return };
    let mut params = Params::new();
    *params.as_map_mut() = given;
    match schema.convert(&mut params) {
        Ok(()) => assert!(schema.convert(&mut params).is_ok()),
        Err(error) => assert_eq!(error.status(), 400, "{error:?}"),
    }
}

/// A plugin's file, before any of its code runs.
pub fn plugin_file(data: &[u8]) {
    let _ = check_file(data);
}

/// What a client sends over HTTP/1. What the wire lets pass leaves hyper no choice: it reads the same requests, takes none
/// for whole that isn't, and sees nothing behind what is out of order.
pub fn http_guard(data: &[u8]) {
    let (sent, passed) = as_the_guard_reads(data);
    let served = as_hyper_reads(&data[..passed]);
    assert!(served.len() <= sent.len(), "{served:?} of {sent:?}");
    for ((line, body), (sent_line, sent_body)) in served.iter().zip(&sent) {
        assert_eq!(line, sent_line);
        assert!(body.is_none() || body == sent_body, "{body:?} of {sent_body:?}");
    }
}

/// Where a request goes, and its body if that came whole.
type Read = (String, Option<Vec<u8>>);

/// The requests that have begun, and how many bytes passed.
fn as_the_guard_reads(data: &[u8]) -> (Vec<Read>, usize) {
    let (mut framing, mut read, mut start, mut chunked) = (Framing::new(16 * 1024), Vec::<Read>::new(), 0, false);
    for (at, byte) in data.iter().enumerate() {
        let heads = framing.heads();
        if framing.check(std::slice::from_ref(byte)).is_err() {
            return (read, at);
        }
        if framing.heads() > heads {
            let head = String::from_utf8_lossy(&data[start..=at]);
            let mut parts = head.trim_start().split(' ');
            let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            read.push((place(method, target), None));
            chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding:");
            start = at + 1;
        }
        if framing.is_between_requests()
            && let Some((_, body @ None)) = read.last_mut()
        {
            *body = Some(if chunked { unchunked(&data[start..=at]) } else { data[start..=at].to_vec() });
            start = at + 1;
        }
    }
    (read, data.len())
}

/// What of a target hyper leaves as it is.
fn place(method: &str, target: &str) -> String {
    format!("{method} {}", if target.starts_with('/') { target } else { "elsewhere" })
}

fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = chunks.windows(2).position(|w| w == b"\r\n") {
        let line = String::from_utf8_lossy(&chunks[..end]);
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default(), 16).expect("a size");
        let Some(rest) = chunks.get(end + 2 + size + 2..).filter(|_| size > 0) else { break };
        body.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = rest;
    }
    body
}

/// The requests that hyper gives its service.
fn as_hyper_reads(data: &[u8]) -> Vec<Read> {
    let read = RefCell::new(Vec::new());
    let service = service_fn(async |request: Request<Incoming>| {
        let target = request.uri().path_and_query().filter(|_| request.uri().scheme().is_none());
        let line = place(request.method().as_str(), target.map_or("", |target| target.as_str()));
        let body = request.into_body().collect().await.ok().map(|body| body.to_bytes().to_vec());
        read.borrow_mut().push((line, body));
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(32 * 1024);
    let connection = http.serve_connection(TokioIo::new(tokio::io::join(data, tokio::io::sink())), service);
    // What it refuses, it refuses.
    drop(runtime().block_on(connection));
    read.into_inner()
}

/// A session as a store has it. An error tells nothing of what stands there.
pub fn session(data: &[u8]) {
    let bytes = |session| session_record::encode(session).expect("every session can be written");
    match session_record::decode(data) {
        Ok(session) => {
            let written = bytes(&session);
            assert_eq!(bytes(&session_record::decode(&written).expect("what was written is read")), written);
        }
        Err(error) => {
            let told = error.to_string().replace(|c: char| c.is_ascii_digit(), "");
            assert!(told.ends_with("of  bytes, wrong at byte ") || told.ends_with("of version , not "), "{error}");
        }
    }
}

/// Gives what doesn't wait for anything.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let runtime = runtime();
    let _entered = runtime.enter();
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}
