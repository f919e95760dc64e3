//! Cookies of an upstream. All tenants share the host of the traffic port, so a cookie is confined to the path of its action.
//!
//! - `Set-Cookie` of the upstream: `Path` becomes `/srv/tenant/action`, and `Domain` is removed.
//! - `Cookie` of a client is passed on only below that path. Clients send no cookie of an upstream with `/srv/?f=&a=`, which
//!   is not below it; no wider path is used instead, because every tenant's requests would carry such cookies.
//! - A browser accepts a cookie named `__Host-…` only with `Path=/`. It is renamed to `__Secure-menlou.__Host-…` on its way
//!   to the client, and renamed back on its way to the upstream. A cookie that arrives as `__Host-…` is of another
//!   application on the same host.

use http::{HeaderMap, HeaderValue, header::COOKIE, header::SET_COOKIE};
use menlou_call::{edit_cookies, is_gateway_cookie};

/// Precedes the name of a cookie that begins with [`HOST_PREFIX`].
const RENAMED: &str = "__Secure-menlou.";
/// Also covers `__Host-Http-`.
const HOST_PREFIX: &str = "__host-";

/// Removes the cookies that the upstream at `path` cannot have set, and restores the names of the others.
pub(super) fn filter_request(headers: &mut HeaderMap, path: &str, request_path: &str) {
    let rest = request_path.strip_prefix(path);
    if rest.is_none_or(|rest| !rest.is_empty() && !rest.starts_with('/')) {
        headers.remove(COOKIE);
        return;
    }
    edit_cookies(headers, |name, value| {
        let original = name.strip_prefix(RENAMED).filter(|original| has_host_prefix(original));
        let is_foreign = original.is_none() && (is_reserved(name) || has_host_prefix(name));
        (!is_foreign).then(|| [original.unwrap_or(name).as_bytes(), value].concat())
    });
}

/// Confines the cookies that an upstream sets to `path`.
pub(super) fn confine_response(headers: &mut HeaderMap, path: &str) {
    let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().filter_map(|line| confined(line, path)).collect();
    headers.remove(SET_COOKIE);
    for line in lines {
        headers.append(SET_COOKIE, line);
    }
}

/// The line with this path. `None` if the cookie has no name, or the name of a cookie of the gateway. As in browsers, `;`
/// ends the value even within quotes (RFC 6265, 5.2).
fn confined(line: &HeaderValue, path: &str) -> Option<HeaderValue> {
    let mut parts = line.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let pair = parts.next()?;
    let (name, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
    let name = str::from_utf8(name.trim_ascii_end()).ok().filter(|name| !name.is_empty() && !is_reserved(name))?;
    let prefix = if has_host_prefix(name) { RENAMED } else { "" };
    let mut confined = [prefix.as_bytes(), name.as_bytes(), value].concat();
    for attribute in parts {
        let name = attribute.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        if !attribute.is_empty() && !name.eq_ignore_ascii_case(b"path") && !name.eq_ignore_ascii_case(b"domain") {
            confined.extend_from_slice(b"; ");
            confined.extend_from_slice(attribute);
        }
    }
    confined.extend_from_slice(b"; Path=");
    confined.extend_from_slice(path.as_bytes());
    HeaderValue::from_bytes(&confined).ok()
}

/// Whether the gateway uses this name, for a cookie of its own or a renamed one.
fn is_reserved(name: &str) -> bool {
    let is_renamed = name.get(..RENAMED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RENAMED));
    is_renamed || is_gateway_cookie(name)
}

fn has_host_prefix(name: &str) -> bool {
    name.get(..HOST_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(HOST_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(lines: &[&'static str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(SET_COOKIE, HeaderValue::from_static(line));
        }
        confine_response(&mut headers, "/srv/shop/page");
        headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
    }

    fn sent(cookie: &'static str, request_path: &str) -> Option<String> {
        let mut headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static(cookie))]);
        filter_request(&mut headers, "/srv/shop/page", request_path);
        Some(headers.get(COOKIE)?.to_str().unwrap().to_owned())
    }

    #[test]
    fn path_of_a_cookie_is_that_of_its_action_however_the_upstream_wrote_it() {
        for (written, expected) in [
            ("sid=1", "sid=1"),
            ("sid=1; Path=/; HttpOnly", "sid=1; HttpOnly"),
            ("sid=1;path=/srv;PATH=/;pAtH=\"/\"; Secure", "sid=1; Secure"),
            ("sid=1; Path = / ; Max-Age=60", "sid=1; Max-Age=60"),
            ("sid=1;\tPath\t=/;Domain=example.com; domain=.com", "sid=1"),
            ("sid=\"a; Path=/\"; SameSite=Lax", "sid=\"a; SameSite=Lax"),
            (" sid = a=b ;; Path", "sid= a=b"),
            ("sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/", "sid=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
            ("__Secure-sid=1; Secure; Path=/", "__Secure-sid=1; Secure"),
            ("__Host-sid=1; Secure; Path=/", "__Secure-menlou.__Host-sid=1; Secure"),
            ("__hOST-Http-sid=1; Secure; Path=/", "__Secure-menlou.__hOST-Http-sid=1; Secure"),
        ] {
            assert_eq!(set(&[written]), [format!("{expected}; Path=/srv/shop/page")], "{written}");
        }
        assert_eq!(set(&["a=1; Path=/", "b=2; Path=/"]), ["a=1; Path=/srv/shop/page", "b=2; Path=/srv/shop/page"]);
    }

    #[test]
    fn cookies_without_a_name_or_with_one_of_the_gateway_are_not_set() {
        for line in [
            "sid",
            "=sid",
            "; Path=/",
            "menlou=x",
            "__Host-menlou=x",
            "__Secure-menlou.__Host-a=1",
            "Menlou-Language=x",
        ] {
            assert_eq!(set(&[line]), [""; 0], "{line}");
        }
    }

    #[test]
    fn cookies_are_passed_on_below_their_own_path_only() {
        for path in ["/srv/shop/page", "/srv/shop/page/", "/srv/shop/page/a/b"] {
            assert_eq!(sent("sid=1; b=\"2\"", path).as_deref(), Some("sid=1; b=\"2\""), "{path}");
        }
        for path in ["/srv/", "/srv", "/srv/shop/page2", "/srv/shop/other", "/srv/other/page"] {
            assert_eq!(sent("sid=1", path), None, "{path}");
        }
        let mixed = "a=1; __Host-foreign=2; menlou=3; __Secure-menlou.__Host-own=4; __Secure-menlou.x=5; __Secure-b=6";
        assert_eq!(sent(mixed, "/srv/shop/page").as_deref(), Some("a=1; __Host-own=4; __Secure-b=6"));
    }
}
