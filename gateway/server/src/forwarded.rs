//! The scheme and host that the client used, for actions that forward requests.
//!
//! Like the client's address, both are taken from a trusted proxy, else from the connection and the request. They replace the
//! client's own `X-Forwarded-Proto` and `X-Forwarded-Host`, so that plugins find values that can be relied on.

use crate::{layers::request_context::RequestContext, traffic::TrafficState};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{FORWARDED, HOST},
};
use menlou_config::server::ProxyHeader;

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Sets `X-Forwarded-Proto` and `X-Forwarded-Host`. The latter is removed where the request has no valid host.
pub fn set_origin(headers: &mut HeaderMap, uri: &Uri, context: &RequestContext, traffic: &TrafficState) {
    let source = traffic.proxies.header().filter(|_| context.is_from_proxy);
    let by_proxy = |name: HeaderName, parameter| match source {
        Some(ProxyHeader::XForwardedFor) => last_of(headers, name),
        Some(ProxyHeader::Forwarded) => parameter_of(headers, parameter),
        _ => None,
    };
    let proto = by_proxy(X_FORWARDED_PROTO, "proto").filter(|proto| matches!(proto.as_str(), "http" | "https"));
    let proto = proto.as_deref().unwrap_or(if traffic.tls.is_some() { "https" } else { "http" });
    let host = by_proxy(X_FORWARDED_HOST, "host").filter(|host| http_guard::is_valid_host(host.as_bytes()));
    let own = || match uri.authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => Some(headers.get(HOST)?.to_str().ok()?.to_owned()),
    };
    let (proto, host) = (HeaderValue::from_str(proto), host.or_else(own).map(|host| HeaderValue::from_str(&host)));
    if let Ok(proto) = proto {
        headers.insert(X_FORWARDED_PROTO, proto);
    }
    match host {
        Some(Ok(host)) => drop(headers.insert(X_FORWARDED_HOST, host)),
        _ => drop(headers.remove(X_FORWARDED_HOST)),
    }
}

/// The last value: that of the nearest proxy. Anyone may have written those before it.
fn last_of(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    Some(line.rsplit(',').next()?.trim().to_ascii_lowercase())
}

/// A parameter of the last element of `Forwarded` (RFC 7239).
fn parameter_of(headers: &HeaderMap, parameter: &str) -> Option<String> {
    let element = last_of(headers, FORWARDED)?;
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == parameter)?;
    Some(value.trim_matches('"').to_owned())
}
