//! Who is signed in at the console: a cookie names a session, which names the admin's token. It ends by signing out, after
//! a while, and with the token.

use super::console_request::Fields;
use crate::AdminState;
use crate::Caller;
use crate::tokens;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
    rand,
};
use axum::http::{
    HeaderMap, HeaderValue,
    header::{COOKIE, HOST, ORIGIN},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use moka::sync::Cache;
use std::time::Duration;

/// How many sessions there are at once; more push those out that were used least.
const MOST: u64 = 1000;
/// How long a session lasts, and how long without use.
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
const IDLE: Duration = Duration::from_secs(2 * 60 * 60);

/// Those who are signed in, by the SHA-256 of what their cookie holds.
pub struct ConsoleSessions(Cache<[u8; 32], ConsoleSession>);

/// Someone who is signed in.
#[derive(Clone)]
pub struct ConsoleSession {
    token: String,
    /// What this session's forms hold, which nobody else knows.
    pub csrf: String,
}

impl ConsoleSessions {
    /// Nobody is signed in.
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_live(LIFE).time_to_idle(IDLE).build())
    }

    /// Signs someone in who showed a token; gives what their cookie holds.
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn begin(&self, caller: &Caller) -> Result<String> {
        let (value, csrf) = (random()?, random()?);
        self.0.insert(key(&value), ConsoleSession { token: caller.id.clone(), csrf });
        Ok(value)
    }

    /// SessionOwner session a request's cookie names.
    ///
    /// # Errors
    /// `admin_token_required` where it names none, `admin_token_invalid` where the token is over, `store_unavailable`.
    pub async fn find(
        &self,
        state: &AdminState,
        headers: &HeaderMap,
        secure: bool,
    ) -> Result<(Caller, ConsoleSession)> {
        let nobody = || Error::new(&admin_codes::ADMIN_TOKEN_REQUIRED);
        let value = cookie(headers, name(secure)).ok_or_else(nobody)?;
        let session = self.0.get(&key(value)).ok_or_else(nobody)?;
        let caller = tokens::find_caller(&*state.stores.admins, &session.token).await;
        if caller.as_ref().is_err_and(|error| error.is(&admin_codes::ADMIN_TOKEN_INVALID)) {
            self.0.invalidate(&key(value));
        }
        Ok((caller?, session))
    }

    /// Ends the session that a request's cookie names.
    pub fn end(&self, headers: &HeaderMap, secure: bool) {
        if let Some(value) = cookie(headers, name(secure)) {
            self.0.invalidate(&key(value));
        }
    }
}

/// The name of the cookie. With TLS it is one that no other host and no plain connection can set.
pub fn name(secure: bool) -> &'static str {
    if secure { "__Host-menlou" } else { "menlou" }
}

/// The cookie that a browser is to keep until it is closed, or to forget.
pub fn set(value: Option<&str>, secure: bool) -> String {
    let (name, only) = (name(secure), if secure { "; Secure" } else { "" });
    let over = if value.is_none() { "; Max-Age=0" } else { "" };
    format!("{name}={}; Path=/; HttpOnly; SameSite=Strict{only}{over}", value.unwrap_or_default())
}

/// What a request's cookie of this name holds.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    cookies.flat_map(|header| header.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

/// That a form was sent by a page of this console.
///
/// # Errors
/// `forbidden`.
pub fn of_our_own(headers: &HeaderMap) -> Result<()> {
    let text = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    let ours = match (text("sec-fetch-site"), headers.get(ORIGIN).map(HeaderValue::as_bytes)) {
        (Some(site), _) => site == b"same-origin",
        // Browsers leave Sec-Fetch-Site out where the connection is plain.
        (None, Some(origin)) => host.is_some_and(|host| {
            let of = |scheme: &[u8]| origin.strip_prefix(scheme).is_some_and(|of| of == host);
            of(b"http://") || of(b"https://")
        }),
        (None, None) => false,
    };
    if ours { Ok(()) } else { Err(foreign()) }
}

impl ConsoleSession {
    /// That a form was made for this session.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn made(&self, form: &Fields) -> Result<()> {
        let told = form.get("csrf").as_bytes();
        verify_slices_are_equal(told, self.csrf.as_bytes()).map_err(|_| foreign())
    }
}

fn foreign() -> Error {
    let text = Text::fixed(
        "此请求不是从本控制台的页面发出的，或页面已过期；请重新打开页面再试",
        "This did not come from a page of this console, or the page is out of date. Open the page again.",
    );
    Error::new(&admin_codes::FORBIDDEN).with_message(text)
}

fn key(value: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, value.as_bytes()).as_ref());
    key
}

fn random() -> Result<String> {
    let mut bits = [0; 32];
    rand::fill(&mut bits).map_err(|_| Error::new(&codes::INTERNAL_ERROR).with_cause("no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn only_what_a_page_of_ours_sent_passes() {
        let host = ("host", "127.0.0.1:8081");
        for (ours, pairs) in [
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
            assert_eq!(of_our_own(&headers(pairs)).is_ok(), ours, "{pairs:?}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let sent = headers(&[("cookie", "menlou2=no; xmenlou=no"), ("cookie", "a=b; menlou=yes")]);
        assert_eq!(cookie(&sent, "menlou"), Some("yes"));
        assert_eq!(cookie(&sent, "none"), None);
    }
}
