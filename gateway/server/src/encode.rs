//! From a reply or an error to an HTTP response: the only place where a status and the envelope are written.

use super::{Answer, body::Outgoing, decode::RequestContext, request_id::X_REQUEST_ID};
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use hyper::body::Bytes;
use menlou_call::Reply;
use menlou_error::Error;
use menlou_error::text::{Language, Text};
use menlou_policy::limits::RateLimitHeaders;
use std::time::Duration;

const SUCCESS: Text = Text::fixed("成功", "OK");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// draft-ietf-httpapi-ratelimit-headers-10: which limits there are, and how the one stands that is nearest to its end.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// Answers hold tokens.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The answer to a call that succeeded: an envelope, or a file or stream as it is.
pub fn reply(reply: Reply, asked: &RequestContext) -> Answer {
    let (body, content_type) = match reply {
        Reply::Data(data) | Reply::Secret(data) => return response(200, enveloped(&data, asked).into(), asked),
        Reply::File { content_type, body } => (body.into(), content_type),
        Reply::Written { content_type, pieces } => (Outgoing::pieces(pieces, &asked.id), content_type),
        Reply::Forwarded(answer) => {
            let mut answer = answer.map(|pieces| Outgoing::pieces(pieces, &asked.id));
            if let Ok(id) = HeaderValue::from_str(&asked.id) {
                answer.headers_mut().insert(X_REQUEST_ID, id);
            }
            return answer;
        }
    };
    let mut response = response(200, body, asked);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn enveloped(data: &[u8], asked: &RequestContext) -> Bytes {
    let mut body = Vec::with_capacity(data.len() + 48);
    body.extend_from_slice(b"{\"code\":1,\"msg\":");
    string(&mut body, SUCCESS.get(asked.language));
    body.extend_from_slice(b",\"data\":");
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}

/// The envelope of a call that failed, by itself.
pub fn refusal(error: &Error, asked: &RequestContext) -> Bytes {
    let mut body = Vec::with_capacity(160);
    body.extend_from_slice(b"{\"code\":0,\"error\":");
    string(&mut body, error.code());
    body.extend_from_slice(b",\"msg\":");
    string(&mut body, error.text().get(asked.language));
    body.extend_from_slice(b",\"data\":");
    match error.data() {
        Some(data) => body.extend_from_slice(data.to_string().as_bytes()),
        None => body.extend_from_slice(b"{}"),
    }
    body.push(b'}');
    body.into()
}

/// The answer to a call that failed.
pub fn error(error: &Error, asked: &RequestContext) -> Answer {
    let mut response = response(error.status(), refusal(error, asked).into(), asked);
    let headers = response.headers_mut();
    if let Some(wait) = error.wait() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds(wait).max(1)));
    }
    if let Some(methods) = error.allow().and_then(|m| HeaderValue::from_str(m).ok()) {
        headers.insert(ALLOW, methods);
    }
    if error.status() == 401 {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if matches!(error.status(), 408 | 413) {
        // What is left of the body is not waited for.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Tells the caller how its limits stand.
pub fn quota(answer: &mut Answer, quota: &RateLimitHeaders<'_>) {
    let RateLimitHeaders { policy, tightest, level } = quota;
    let standing = format!("\"{tightest}\";r={};t={}", level.remaining, seconds(level.reset));
    // Names of limits and numbers: nothing that a header can't hold.
    if let (Ok(policy), Ok(standing)) = (HeaderValue::from_str(policy), HeaderValue::from_str(&standing)) {
        answer.headers_mut().insert(RATELIMIT_POLICY, policy);
        answer.headers_mut().insert(RATELIMIT, standing);
    }
}

/// Whole seconds, rounded up: who waits as long as that is served.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// An answer that says nothing but what its headers will.
pub fn nothing(asked: &RequestContext) -> Answer {
    let mut answer = response(204, Bytes::new().into(), asked);
    answer.headers_mut().remove(CONTENT_TYPE);
    answer.headers_mut().remove(CONTENT_LANGUAGE);
    answer
}

fn response(status: u16, body: Outgoing, asked: &RequestContext) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if let Ok(id) = HeaderValue::from_str(&asked.id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(CONTENT_LANGUAGE, language(asked.language));
    response
}

fn language(language: Language) -> HeaderValue {
    match language {
        Language::Zh => HeaderValue::from_static("zh-CN"),
        Language::En => HeaderValue::from_static("en"),
    }
}

/// Writes a JSON string.
fn string(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec can't fail.
    let _ = serde_json::to_writer(out, text);
}
