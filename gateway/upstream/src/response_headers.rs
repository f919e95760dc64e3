//! Response headers of an upstream that never reach the client.
//!
//! All tenants share the host of the traffic port, and often a proxy in front of it. A header that acts on more than its own
//! response would let one upstream decide for the others.

use http::{HeaderMap, HeaderName};

/// Headers that never pass. The table in plugins/proxy/README.md explains them to tenants.
const NEVER: [&str; 45] = [
    // For the whole host or origin in a browser: storage, transport, service workers, processes, reports, hints.
    "accept-ch",
    "accept-ch-lifetime",
    "alt-svc",
    "clear-site-data",
    "critical-ch",
    "critical-origin-trial",
    "expect-ct",
    "nel",
    "origin-agent-cluster",
    "public-key-pins",
    "public-key-pins-report-only",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-login",
    "strict-transport-security",
    // A browser reuses such a response as a dictionary for other paths of the origin.
    "use-as-dictionary",
    // Advertising interfaces register and decide for the whole origin.
    "ad-auction-allowed",
    "attribution-reporting-register-os-source",
    "attribution-reporting-register-os-trigger",
    "attribution-reporting-register-source",
    "attribution-reporting-register-trigger",
    "observe-browsing-topics",
    "supports-fledge",
    "x-allow-fledge",
    // Sessions that are bound to the device, for the whole origin; also `sec-…`.
    "secure-session-challenge",
    "secure-session-registration",
    "secure-session-skipped",
    // Cookies of RFC 2965, whose paths are not rewritten.
    "set-cookie2",
    // A browser would ask for a password of the gateway's host and send it in `Authorization`, which is the gateway's.
    "www-authenticate",
    "authentication-info",
    // Of one connection: upgrades, and authentication by the proxy.
    "capsule-protocol",
    "http2-settings",
    "proxy-authentication-info",
    // Proxies in front of the gateway obey these: they send files and internal locations.
    "x-accel-charset",
    "x-accel-expires",
    "x-accel-limit-rate",
    "x-accel-redirect",
    "x-lighttpd-send-file",
    "x-lighttpd-send-tempfile",
    "x-reproxy-file",
    "x-reproxy-url",
    "x-sendfile",
    "x-sendfile2",
    "surrogate-control",
];
/// Prefixes of headers that never pass: names that browsers reserve, and names of the gateway.
const NEVER_WITH_PREFIX: [&str; 2] = ["sec-", "x-menlou-"];

/// Removes the headers that never reach the client.
pub(super) fn retain_allowed(headers: &mut HeaderMap) {
    let removed: Vec<HeaderName> = headers.keys().filter(|name| !is_allowed(name.as_str())).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

fn is_allowed(name: &str) -> bool {
    !NEVER.contains(&name) && !NEVER_WITH_PREFIX.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn headers_beyond_the_response_are_removed_and_others_stay() {
        let map = |names: &[&'static str]| -> HeaderMap {
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect()
        };
        let kept = [
            "cache-control",
            "content-security-policy",
            "content-type",
            "cross-origin-opener-policy",
            "etag",
            "link",
            "location",
            "permissions-policy",
            "set-cookie",
            "vary",
            "x-accel-buffering",
            "x-frame-options",
            "x-second",
        ];
        let mut headers = map(&[&NEVER[..], &["sec-session-registration", "x-menlou-openid"], &kept].concat());
        headers.append("clear-site-data", HeaderValue::from_static("again"));
        retain_allowed(&mut headers);
        assert_eq!(headers, map(&kept));
    }
}
