//! Cookies of the console: the session and the language.

use super::paths::BASE;
use axum::http::{
    HeaderMap,
    header::{ACCEPT_LANGUAGE, COOKIE},
};
use menlou_call::GATEWAY_COOKIE;
use menlou_error::text::Language;

const LANGUAGE_COOKIE: &str = "menlou-language";

/// The name of the session cookie. With TLS it has the prefix `__Secure-`, so that a plain connection cannot set it. The
/// stricter `__Host-` requires `Path=/`, with which browsers would send the session to the traffic port of the same host.
fn session_cookie_name(is_secure: bool) -> String {
    format!("{}{GATEWAY_COOKIE}", if is_secure { "__Secure-" } else { "" })
}

/// The value of the session cookie.
pub fn session_cookie(headers: &HeaderMap, is_secure: bool) -> Option<&str> {
    cookie(headers, &session_cookie_name(is_secure))
}

/// The `Set-Cookie` value of the session cookie, which the browser keeps until it is closed. `None` deletes the cookie.
pub fn set_session_cookie(value: Option<&str>, is_secure: bool) -> String {
    let (name, secure) = (session_cookie_name(is_secure), if is_secure { "; Secure" } else { "" });
    let max_age = if value.is_none() { "; Max-Age=0" } else { "" };
    format!("{name}={}; Path={BASE}; HttpOnly; SameSite=Strict{secure}{max_age}", value.unwrap_or_default())
}

/// The language in the language cookie, otherwise the one that the browser prefers.
pub fn language(headers: &HeaderMap) -> Language {
    match cookie(headers, LANGUAGE_COOKIE) {
        Some("zh") => Language::Zh,
        Some("en") => Language::En,
        _ => {
            let header = headers.get(ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok());
            Language::from_accept_language(header.unwrap_or_default())
        }
    }
}

/// The `Set-Cookie` value of the language cookie, which is kept for a year. Every value except `en` selects Chinese.
pub fn set_language_cookie(language: &str, is_secure: bool) -> String {
    let language = if language == "en" { "en" } else { "zh" };
    let secure = if is_secure { "; Secure" } else { "" };
    format!("{LANGUAGE_COOKIE}={language}; Path={BASE}; Max-Age=31536000; HttpOnly; SameSite=Lax{secure}")
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    cookies.flat_map(|header| header.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn cookies_are_sent_to_the_console_only_and_known_to_the_traffic_port() {
        for is_secure in [true, false] {
            for cookie in [set_session_cookie(Some("x"), is_secure), set_language_cookie("en", is_secure)] {
                assert!(cookie.contains("; Path=/console/;"), "{cookie}");
                assert!(menlou_call::is_gateway_cookie(cookie.split_once('=').unwrap().0), "{cookie}");
            }
        }
    }

    #[test]
    fn cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        for value in ["menlou2=no; xmenlou=no", "a=b; menlou=yes"] {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        assert_eq!(cookie(&headers, "menlou"), Some("yes"));
        assert_eq!(cookie(&headers, "none"), None);
    }
}
