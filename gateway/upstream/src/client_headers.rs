//! Request headers of a client that a server could take for headers of the gateway.
//!
//! Servers with a CGI-like interface (WSGI, Rack, PHP) turn `x_menlou_openid` and `x-menlou-openid` into the same variable
//! `HTTP_X_MENLOU_OPENID`; some replace every character that is neither a letter nor a digit.

use http::{HeaderMap, HeaderName};

/// Names that only the gateway sets, besides those that begin with [`GATEWAY_PREFIX`].
const RESERVED: [&str; 17] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    // `HTTP_PROXY` configures HTTP clients of a CGI program (httpoxy).
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-menlou",
    "x-request-id",
];
const GATEWAY_PREFIX: &str = "x-menlou-";

/// Removes the client's headers that a server could take for one of the gateway, or for one of `others`. `X-Forwarded-For` and
/// `X-Request-Id` are among them: their values come from the gateway.
pub(super) fn remove_impostors(headers: &mut HeaderMap, others: &[&str]) {
    let others: Vec<String> = others.iter().map(|name| folded(name)).collect();
    let is_impostor = |name: &str| {
        let name = folded(name);
        name.starts_with(GATEWAY_PREFIX) || RESERVED.contains(&name.as_str()) || others.contains(&name)
    };
    let removed: Vec<HeaderName> = headers.keys().filter(|name| is_impostor(name.as_str())).cloned().collect();
    for name in removed {
        headers.remove(name);
    }
}

/// The name as CGI-like servers see it.
fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn names_that_fold_to_one_of_the_gateway_are_removed() {
        let map = |names: &[&'static str]| -> HeaderMap {
            names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x"))).collect()
        };
        let mut headers = map(&[
            "x_menlou_openid",
            "x-menlou_openid",
            "x.menlou.openid",
            "x-menlou-user-id",
            "x~menlou!signature",
            "transfer_encoding",
            "content_length",
            "x_request_id",
            "x_forwarded-for",
            "proxy",
            "x_tenant_key",
            "x-app_version",
            "accept",
        ]);
        remove_impostors(&mut headers, &["x-tenant-key"]);
        assert_eq!(headers, map(&["x-app_version", "accept"]));
    }
}
