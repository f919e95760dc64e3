//! CORS: preflights are answered here, and every response says which pages may read it.
//!
//! Credentials of the browser (cookies) are never allowed: the session token is sent in `Authorization`.

use crate::{encode, layers::request_context::RequestContext, response_body::ResponseBody};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
    request::Parts,
};
use menlou_error::{Error, Result, codes};
use menlou_policy::cors::Cors;

/// How long a browser keeps the response to a preflight, in seconds. An origin that was removed may send requests for as long.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");
/// Response headers that a page may read in addition to those that browsers always expose.
const EXPOSED: HeaderValue = HeaderValue::from_static("X-Request-Id, Retry-After, RateLimit, RateLimit-Policy");

/// The response to a preflight; `None` if the request is not a preflight, or the tenant has no rules for web pages. Plugins do not see
/// preflights. One for an unknown action succeeds, so that the page can read the response to its request.
///
/// # Errors
/// Pages of this origin may not send requests.
pub fn preflight<'a>(
    context: &RequestContext,
    head: &Parts,
    cors: Option<&Cors>,
    methods: impl FnOnce() -> &'a [Method],
) -> Result<Option<Response<ResponseBody>>> {
    let is_preflight = head.method == Method::OPTIONS && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let (Some(cors), Some(origin), true) = (cors, head.headers.get(ORIGIN), is_preflight) else { return Ok(None) };
    if !allowed(cors, origin) {
        return Err(Error::new(&codes::ORIGIN_REFUSED));
    }
    let mut response = encode::no_content(context);
    let headers = response.headers_mut();
    let methods = methods().iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    // Names of methods and headers are valid header values, so none is skipped.
    for (name, value) in
        [(ACCESS_CONTROL_ALLOW_METHODS, methods.as_str()), (ACCESS_CONTROL_ALLOW_HEADERS, cors.headers())]
    {
        HeaderValue::from_str(value).into_iter().for_each(|value| drop(headers.insert(name.clone(), value)));
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    Ok(Some(response))
}

/// Removes all CORS headers that an upstream has set: the tenant's file decides.
pub fn remove_headers(headers: &mut HeaderMap) {
    let of_upstream: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("access-control-")).cloned().collect();
    for name in of_upstream {
        headers.remove(name);
    }
}

/// Sets the headers that say which pages may read a response.
pub fn set_headers(headers: &mut HeaderMap, cors: &Cors, origin: Option<HeaderValue>) {
    // Caches must not serve the response to pages of another origin.
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|origin| allowed(cors, origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

fn allowed(cors: &Cors, origin: &HeaderValue) -> bool {
    origin.to_str().is_ok_and(|origin| cors.allows(origin))
}
