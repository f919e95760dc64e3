//! Calls from web pages: the browser's question before a call is answered here, and each answer says who may read it.
//!
//! Credentials of the browser's own (cookies) are never allowed: a session's token comes in `Authorization`.

use super::{Answer, decode::RequestContext, encode};
use http::{
    HeaderMap, HeaderValue, Method,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
    request::Parts,
};
use menlou_error::{Error, Result, codes};
use menlou_policy::cors::Cors;

/// How long a browser keeps the answer to its question. Within it, an origin that was taken away may still ask.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// What a page may read of an answer, besides what every page may.
const EXPOSED: HeaderValue = HeaderValue::from_static("X-Request-Id, Retry-After, RateLimit, RateLimit-Policy");

/// The answer to a browser's question, where this is one and the tenant says which pages may call; plugins don't see it.
/// Of an action that isn't there, the call itself is answered.
///
/// # Errors
/// Where pages of this origin may not call.
pub fn preflight<'a>(
    asked: &RequestContext,
    head: &Parts,
    cors: Option<&Cors>,
    methods: impl FnOnce() -> &'a [Method],
) -> Result<Option<Answer>> {
    let asks = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let (Some(cors), Some(origin), true) = (cors, head.headers.get(ORIGIN), asks) else { return Ok(None) };
    if !allowed(cors, origin) {
        return Err(Error::new(&codes::ORIGIN_REFUSED));
    }
    let mut answer = encode::nothing(asked);
    let headers = answer.headers_mut();
    let methods = methods().iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    // Names of methods and headers: nothing that a header can't hold.
    for (name, value) in
        [(ACCESS_CONTROL_ALLOW_METHODS, methods.as_str()), (ACCESS_CONTROL_ALLOW_HEADERS, cors.headers())]
    {
        HeaderValue::from_str(value).into_iter().for_each(|value| drop(headers.insert(name.clone(), value)));
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Ok(Some(answer))
}

/// Says who may read the answer. What an upstream says of it does not hold: the tenant's file does.
pub fn mark(headers: &mut HeaderMap, cors: &Cors, origin: Option<HeaderValue>) {
    for name in ["allow-origin", "allow-credentials", "expose-headers"] {
        headers.remove(format!("access-control-{name}"));
    }
    // Caches must not give one page's answer to another, nor to who is no page.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| allowed(cors, origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn allowed(cors: &Cors, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| cors.allows(origin))
}
