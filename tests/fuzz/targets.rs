//! The fuzz targets: each parser of input from clients, tenants, platforms and plugins, with the property that it must keep.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Empty, Full};
use http_guard::Framing;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use menlou_action::{ParamsSchema, check_file};
use menlou_call::{MAX_PARAM_NAME, Params};
use menlou_config::{
    edit::{self, ConfigChange},
    load::Document,
    server::Server,
    tenant::{TenantFile, is_name},
};
use menlou_error::text::Language;
use menlou_platform::{
    http::HttpResponse,
    wechat::response::{parse_json, parse_json_or_file},
};
use menlou_server::decode::{self, RouteTarget};
use menlou_store::session_record;
use std::{
    cell::RefCell,
    convert::Infallible,
    pin::pin,
    task::{Context, Poll, Waker},
};

/// A decoded request is valid, and an error is a client error. Input: target, media type and body, separated by LF.
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
    assert!(!menlou_call::has_dot_segment(address.subpath));
    let mut head = Request::post(uri.clone()).body(()).expect("a URI").into_parts().0;
    if let Ok(value) = HeaderValue::from_bytes(media_type) {
        head.headers.insert(CONTENT_TYPE, value);
    }
    let read = address.params().and_then(|mut params| {
        ready_output(decode::body(&head, Full::new(Bytes::copy_from_slice(body)), &Server::default(), &mut params))?;
        Ok(params)
    });
    match read {
        Err(error) => assert!((400..500).contains(&error.status()), "{error:?}"),
        Ok(params) => {
            for (name, value) in params.as_map() {
                assert!(!name.is_empty() && name.chars().count() <= MAX_PARAM_NAME, "{name:?}");
                assert!(!value.is_null() && value != "" && !value.as_str().is_some_and(|t| t.contains('\0')));
            }
        }
    }
}

/// Every error of a tenant file can be rendered. A setting that the editor changes in a valid file is read back as it was
/// set.
pub fn tenant_file(data: &[u8]) {
    let read = Document::parse("x.toml", data).and_then(|doc| TenantFile::read(&doc));
    let Err(errors) = read else {
        let text = std::str::from_utf8(data).expect("a valid file is UTF-8");
        let path = vec!["session".to_owned(), "ttl".to_owned()];
        let Ok(changed) = edit::apply(text, &[ConfigChange::Set(path, "2d".into())]) else { return };
        let doc = Document::parse("x.toml", changed.as_bytes()).expect("an edited file is valid");
        assert_eq!(doc.value("/session/ttl").and_then(|v| v.as_str()), Some("2d"));
        return;
    };
    assert!(!errors.is_empty());
    for error in errors {
        assert!(!error.render(Language::Zh, false).is_empty() && !error.render(Language::En, true).is_empty());
    }
}

/// No error contains the secret of the request, even if WeChat's response does. Input: a byte that selects status and media
/// type, then the body of the response.
pub fn platform_response(data: &[u8]) {
    const SECRET: &str = "hunter2-the-secret";
    let Some((selector, body)) = data.split_first() else { return };
    let response = || {
        let status = [200, 201, 302, 404, 429, 503][usize::from(selector >> 4) % 6];
        let media_type = ["application/json", "image/jpeg", "text/plain", ""][usize::from(selector & 3)];
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
        Ok(HttpResponse { status, headers, body: Bytes::copy_from_slice(body) })
    };
    let errors = [parse_json(response(), &[SECRET]).err(), parse_json_or_file(response(), &[SECRET]).err()];
    for failure in errors.into_iter().flatten() {
        assert!(!format!("{:?}", failure.error).contains(SECRET));
        assert!(!failure.error.cause().unwrap_or_default().contains(SECRET));
    }
}

/// Validation of parameters is idempotent. Input: the JSON Schema of a plugin's parameters, NUL, the parameters of a request
/// as JSON.
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

/// The check of a plugin file, which runs before any of its code, does not panic.
pub fn plugin_file(data: &[u8]) {
    let _ = check_file(data);
}

/// hyper reads what the guard lets pass as the same requests: it takes no incomplete request for a complete one, and sees
/// nothing behind a violation. Input: what a client sends over HTTP/1.
pub fn http_guard(data: &[u8]) {
    let (sent, passed) = requests_by_guard(data);
    let served = requests_by_hyper(&data[..passed]);
    assert!(served.len() <= sent.len(), "{served:?} of {sent:?}");
    for ((line, body), (sent_line, sent_body)) in served.iter().zip(&sent) {
        assert_eq!(line, sent_line);
        assert!(body.is_none() || body == sent_body, "{body:?} of {sent_body:?}");
    }
}

/// Method and target of a request, and its body if that is complete.
type FramedRequest = (String, Option<Vec<u8>>);

/// The requests that begin in `data`, and the number of bytes before the first violation.
fn requests_by_guard(data: &[u8]) -> (Vec<FramedRequest>, usize) {
    let (mut framing, mut read, mut start, mut chunked) =
        (Framing::new(16 * 1024), Vec::<FramedRequest>::new(), 0, false);
    for (at, byte) in data.iter().enumerate() {
        let heads = framing.heads();
        if framing.check(std::slice::from_ref(byte)).is_err() {
            return (read, at);
        }
        if framing.heads() > heads {
            let head = String::from_utf8_lossy(&data[start..=at]);
            let mut parts = head.trim_start().split(' ');
            let (method, target) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            read.push((request_line(method, target), None));
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

/// Method and target. Targets other than paths count as equal, since hyper normalises them.
fn request_line(method: &str, target: &str) -> String {
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

/// The requests that hyper hands to its service.
fn requests_by_hyper(data: &[u8]) -> Vec<FramedRequest> {
    let read = RefCell::new(Vec::new());
    let service = service_fn(async |request: Request<Incoming>| {
        let target = request.uri().path_and_query().filter(|_| request.uri().scheme().is_none());
        let line = request_line(request.method().as_str(), target.map_or("", |target| target.as_str()));
        let body = request.into_body().collect().await.ok().map(|body| body.to_bytes().to_vec());
        read.borrow_mut().push((line, body));
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut http = http1::Builder::new();
    http.header_read_timeout(None).max_buf_size(32 * 1024);
    let connection = http.serve_connection(TokioIo::new(tokio::io::join(data, tokio::io::sink())), service);
    // An error means that hyper rejected input, which is allowed.
    drop(runtime().block_on(connection));
    read.into_inner()
}

/// A session that is decoded and encoded again is the same. An error shows nothing of the content. Input: the bytes of a store.
pub fn session(data: &[u8]) {
    let bytes = |session| session_record::encode(session).expect("every session can be encoded");
    match session_record::decode(data) {
        Ok(session) => {
            let encoded = bytes(&session);
            assert_eq!(bytes(&session_record::decode(&encoded).expect("an encoded session can be decoded")), encoded);
        }
        Err(error) => {
            let text = error.to_string().replace(|c: char| c.is_ascii_digit(), "");
            assert!(text.ends_with("of  bytes, malformed at byte ") || text.ends_with("of version , not "), "{error}");
        }
    }
}

/// The output of a future that never waits.
fn ready_output<T>(future: impl Future<Output = T>) -> T {
    let runtime = runtime();
    let _entered = runtime.enter();
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the future waits"),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}
