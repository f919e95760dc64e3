//! From a reply or an error to an HTTP response: the only place where a status and the envelope are written.

use crate::{layers::request_context::RequestContext, request_id::X_REQUEST_ID, response_body::ResponseBody};
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER,
        WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};
use hyper::body::Bytes;
use menlou_call::Reply;
use menlou_error::Error;
use menlou_error::text::{Language, Text};
use menlou_policy::rate_limits::RateLimitHeaders;
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;

const SUCCESS: Text = Text::fixed("成功", "OK");
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
/// draft-ietf-httpapi-ratelimit-headers-10: all limits, and what is left of the one that is nearest to its end.
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
/// The media types that a 415 asks for.
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// Responses may hold tokens.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The response to a call that succeeded: an envelope, or a file or stream without one. A stream has to end by `deadline`.
pub fn reply(reply: Reply, context: &RequestContext, deadline: Instant) -> Response<ResponseBody> {
    let streamed = |pieces| ResponseBody::streamed(pieces, context.id.clone(), deadline);
    let (body, content_type) = match reply {
        Reply::Data(data) | Reply::SecretData(data) => {
            return response(200, success_envelope(&data, context).into(), context);
        }
        Reply::File { content_type, body } => (body.into(), content_type),
        Reply::Streamed { content_type, pieces } => (streamed(pieces), content_type),
        Reply::Forwarded(response) => {
            let mut response = response.map(streamed);
            if let Ok(id) = HeaderValue::from_str(&context.id) {
                response.headers_mut().insert(X_REQUEST_ID, id);
            }
            return response;
        }
    };
    let mut response = response(200, body, context);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn success_envelope(data: &[u8], context: &RequestContext) -> Bytes {
    let mut body = Vec::with_capacity(data.len() + 48);
    body.extend_from_slice(b"{\"code\":1,\"msg\":");
    write_string(&mut body, SUCCESS.get(context.language));
    body.extend_from_slice(b",\"data\":");
    body.extend_from_slice(data);
    body.push(b'}');
    body.into()
}

fn error_envelope(error: &Error, context: &RequestContext) -> Bytes {
    let mut body = Vec::with_capacity(160);
    body.extend_from_slice(b"{\"code\":0,\"error\":");
    write_string(&mut body, error.code());
    body.extend_from_slice(b",\"msg\":");
    write_string(&mut body, error.text().get(context.language));
    body.extend_from_slice(b",\"data\":");
    let detail = error.detail().map(|detail| detail.get(context.language));
    match (error.data(), detail) {
        (Some(Value::Object(data)), Some(detail)) => {
            let mut data = data.clone();
            data.entry("detail").or_insert_with(|| detail.into());
            // Writing to a Vec cannot fail.
            let _ = serde_json::to_writer(&mut body, &data);
        }
        (Some(data), _) => body.extend_from_slice(data.to_string().as_bytes()),
        (None, Some(detail)) => {
            body.extend_from_slice(b"{\"detail\":");
            write_string(&mut body, detail);
            body.push(b'}');
        }
        (None, None) => body.extend_from_slice(b"{}"),
    }
    body.push(b'}');
    body.into()
}

/// The response to a request that failed.
pub fn error(error: &Error, context: &RequestContext) -> Response<ResponseBody> {
    let mut response = response(error.status(), error_envelope(error, context).into(), context);
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
    if error.status() == 415 {
        headers.insert(ACCEPT_POST, HeaderValue::from_static("application/json, application/x-www-form-urlencoded"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if matches!(error.status(), 408 | 413) {
        // The rest of the body is not read.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Adds `RateLimit-Policy` and `RateLimit`.
pub fn rate_limit_headers(response: &mut Response<ResponseBody>, limits: &RateLimitHeaders<'_>) {
    let RateLimitHeaders { policy, tightest, level } = limits;
    let rest = format!("\"{tightest}\";r={};t={}", level.remaining, seconds(level.reset));
    // Names of limits and numbers are valid in a header.
    if let (Ok(policy), Ok(rest)) = (HeaderValue::from_str(policy), HeaderValue::from_str(&rest)) {
        response.headers_mut().insert(RATELIMIT_POLICY, policy);
        response.headers_mut().insert(RATELIMIT, rest);
    }
}

/// Seconds, rounded up, so that a client that waits as long is served.
fn seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// A response without a body: 204.
pub fn no_content(context: &RequestContext) -> Response<ResponseBody> {
    let mut response = response(204, Bytes::new().into(), context);
    response.headers_mut().remove(CONTENT_TYPE);
    response.headers_mut().remove(CONTENT_LANGUAGE);
    response
}

fn response(status: u16, body: ResponseBody, context: &RequestContext) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.insert(CONTENT_LANGUAGE, language(context.language));
    response
}

fn language(language: Language) -> HeaderValue {
    match language {
        Language::Zh => HeaderValue::from_static("zh-CN"),
        Language::En => HeaderValue::from_static("en"),
    }
}

/// Writes a JSON string.
fn write_string(out: &mut Vec<u8>, text: &str) {
    // Writing to a Vec cannot fail.
    let _ = serde_json::to_writer(out, text);
}
