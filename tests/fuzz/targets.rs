//! What is fuzzed: each parser of what strangers, tenants, platforms and plugins send, with what must hold of it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, header::CONTENT_TYPE};
use http_body_util::Full;
use menlou::{
    action::{ParamsSchema, look},
    call::{MAX_NAME, Params},
    config::{
        edit::{self, Change},
        load::Document,
        server::Server,
        tenant::{TenantFile, is_name},
    },
    platform::{
        http::Answer,
        wechat::answer::{read, read_any},
    },
    server::decode::{self, Address},
    text::Language,
};
use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

/// A request: its target in the first line, its media type in the second, then its body.
pub fn request(data: &[u8]) {
    let mut parts = data.splitn(3, |b| *b == b'\n');
    let [target, media_type, body] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let Ok(uri) = std::str::from_utf8(target).unwrap_or_default().parse() else { return };
    let address = match Address::of(&uri) {
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
        let Ok(changed) = edit::apply(text, &[Change::Set(path, "2d".into())]) else { return };
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
        Ok(Answer { status, headers, body: Bytes::copy_from_slice(body) })
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
    match schema.fit(&mut params) {
        Ok(()) => assert!(schema.fit(&mut params).is_ok()),
        Err(error) => assert_eq!(error.status(), 400, "{error:?}"),
    }
}

/// A plugin's file, before any of its code runs.
pub fn plugin_file(data: &[u8]) {
    let _ = look(data);
}

/// Nothing here waits for anything.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits"),
    }
}
