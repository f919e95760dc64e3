//! Protection against cross-site request forgery: a form must come from a page of this console and contain the token of
//! the session.

use super::form_data::FormData;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{
    HeaderMap, HeaderValue,
    header::{HOST, ORIGIN},
};
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes};

/// Checks that a form was sent by a page of this origin.
///
/// # Errors
/// `forbidden`.
pub fn check_same_origin(headers: &HeaderMap) -> Result<()> {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_same_origin = match (site, headers.get(ORIGIN).map(HeaderValue::as_bytes)) {
        (Some(site), _) => site == b"same-origin",
        // Browsers do not send Sec-Fetch-Site over plain HTTP.
        (None, Some(origin)) => host.is_some_and(|host| {
            let has_host = |scheme: &[u8]| origin.strip_prefix(scheme).is_some_and(|rest| rest == host);
            has_host(b"http://") || has_host(b"https://")
        }),
        (None, None) => false,
    };
    if is_same_origin { Ok(()) } else { Err(forgery()) }
}

/// Checks that a form contains the CSRF token of the session.
///
/// # Errors
/// `forbidden`.
pub fn check_token(form: &FormData, expected: &str) -> Result<()> {
    verify_slices_are_equal(form.get("csrf").as_bytes(), expected.as_bytes()).map_err(|_| forgery())
}

fn forgery() -> Error {
    let text = Text::fixed(
        "此请求不是从本控制台的页面发出的，或页面已过期；请重新打开页面再试",
        "This request did not come from a page of this console, or the page is out of date. Open the page again.",
    );
    Error::new(&admin_codes::FORBIDDEN).with_message(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_same_origin_forms_are_accepted() {
        let host = ("host", "127.0.0.1:8081");
        for (is_accepted, pairs) in [
            (true, &[host, ("sec-fetch-site", "same-origin")][..]),
            (true, &[host, ("origin", "http://127.0.0.1:8081")]),
            (true, &[host, ("sec-fetch-site", "same-origin"), ("origin", "https://admin.example")]),
            (false, &[host]),
            (false, &[host, ("sec-fetch-site", "same-site")]),
            (false, &[host, ("sec-fetch-site", "none")]),
            (false, &[host, ("sec-fetch-site", "cross-site"), ("origin", "http://127.0.0.1:8081")]),
            (false, &[host, ("origin", "http://127.0.0.1:8082")]),
            (false, &[host, ("origin", "null")]),
            (false, &[("origin", "http://")]),
        ] {
            assert_eq!(check_same_origin(&headers(pairs)).is_ok(), is_accepted, "{pairs:?}");
        }
    }

    #[test]
    fn only_the_token_of_the_session_is_accepted() {
        assert!(check_token(&FormData::parse(b"csrf=abc"), "abc").is_ok());
        for form in [&b""[..], b"csrf=", b"csrf=abd", b"csrf=abcd"] {
            assert!(check_token(&FormData::parse(form), "abc").is_err());
        }
    }
}
