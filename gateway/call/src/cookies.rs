//! The `Cookie` header of a request: joined into one line, without the cookies of the gateway itself.

use http::{HeaderMap, HeaderValue, header::COOKIE};

/// Name of the console's session cookie, without a prefix such as `__Secure-`. The console's other cookies begin with it
/// and a hyphen.
pub const GATEWAY_COOKIE: &str = "menlou";

/// Prefixes by which a cookie demands attributes. Browsers match them without regard to case.
const PREFIXES: [&str; 4] = ["__host-http-", "__secure-", "__host-", "__http-"];

/// Whether this is the name of one of the gateway's own cookies.
///
/// Cookies are not isolated by port: a browser that is signed in to the console may send that session to the traffic port of
/// the same host.
pub fn is_gateway_cookie(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(&name);
    name.strip_prefix(GATEWAY_COOKIE).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Joins the lines of `Cookie`, of which HTTP/2 allows several (RFC 9113, 8.2.3) but HTTP/1 only one, and removes the
/// gateway's own cookies.
pub fn normalize_cookies(headers: &mut HeaderMap) {
    edit_cookies(headers, |name, value| (!is_gateway_cookie(name)).then(|| [name.as_bytes(), value].concat()));
}

/// Rewrites each cookie of a request: `edit` gets the name, and the rest from `=` on. `None` removes the cookie.
pub fn edit_cookies(headers: &mut HeaderMap, mut edit: impl FnMut(&str, &[u8]) -> Option<Vec<u8>>) {
    if !headers.contains_key(COOKIE) {
        return;
    }
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let kept = pairs.filter(|pair| !pair.is_empty()).filter_map(|pair| {
        let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len()));
        edit(&String::from_utf8_lossy(name.trim_ascii()), value)
    });
    let line = kept.collect::<Vec<_>>().join(&b"; "[..]);
    headers.remove(COOKIE);
    if let Some(line) = HeaderValue::from_bytes(&line).ok().filter(|line| !line.is_empty()) {
        headers.insert(COOKIE, line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(lines: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_static(line));
        }
        normalize_cookies(&mut headers);
        assert!(headers.get_all(COOKIE).iter().count() <= 1);
        Some(headers.get(COOKIE)?.to_str().unwrap().to_owned())
    }

    #[test]
    fn lines_are_joined_and_cookies_of_the_gateway_are_removed() {
        assert_eq!(normalized(&["a=1", "b=2; c=\"3\"", ";; d"]).as_deref(), Some("a=1; b=2; c=\"3\"; d"));
        assert_eq!(normalized(&["a=1;menlou=secret;menlous=2"]).as_deref(), Some("a=1; menlous=2"));
        assert_eq!(normalized(&["a=\"x; menlou=secret"]).as_deref(), Some("a=\"x"));
        for name in [
            "menlou",
            "MENLOU",
            "menlou-language",
            "__Host-menlou",
            "__Secure-menlou",
            "__secure-Menlou",
            "__Http-menlou",
            "__Host-Http-menlou-x",
        ] {
            let line = format!("{name}=secret").leak();
            assert_eq!(normalized(&[line]), None, "{name}");
        }
    }
}
