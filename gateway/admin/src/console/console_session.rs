//! Sessions of signed-in browsers. A cookie identifies the session, and the session stores the id of the admin token. It
//! ends by signing out, by its lifetime, by idling, or when the token becomes invalid.

use super::cookies::session_cookie;
use crate::{caller::Caller, state::AdminState, tokens};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use axum::http::HeaderMap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_error::{Error, Result, admin_codes, codes};
use moka::sync::Cache;
use std::time::Duration;

/// Maximum number of sessions. More evict the least recently used ones.
const MAX_SESSIONS: u64 = 1000;
/// The lifetime of a session.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// How long a session may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

/// The sessions by the SHA-256 of the cookie value.
pub struct ConsoleSessions(Cache<[u8; 32], ConsoleSession>);

/// The session of a signed-in browser.
#[derive(Clone)]
pub struct ConsoleSession {
    token_id: String,
    /// The token that every form of this session must contain.
    pub csrf_token: String,
}

impl ConsoleSessions {
    /// Without any sessions.
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(MAX_SESSIONS).time_to_live(LIFETIME).time_to_idle(IDLE_TIMEOUT).build())
    }

    /// Creates a session for the owner of a token. Returns the cookie value.
    ///
    /// # Errors
    /// `internal_error` if the operating system returns no random numbers.
    pub fn create(&self, caller: &Caller) -> Result<String> {
        let (value, csrf_token) = (random()?, random()?);
        self.0.insert(key(&value), ConsoleSession { token_id: caller.id.clone(), csrf_token });
        Ok(value)
    }

    /// The session that the request's cookie identifies, and its owner.
    ///
    /// # Errors
    /// `admin_token_required` if there is none, `admin_token_invalid` if the token has become invalid,
    /// `store_unavailable`.
    pub async fn find(
        &self,
        state: &AdminState,
        headers: &HeaderMap,
        is_secure: bool,
    ) -> Result<(Caller, ConsoleSession)> {
        let not_signed_in = || Error::new(&admin_codes::ADMIN_TOKEN_REQUIRED);
        let value = session_cookie(headers, is_secure).ok_or_else(not_signed_in)?;
        let session = self.0.get(&key(value)).ok_or_else(not_signed_in)?;
        let caller = tokens::find_caller(&*state.stores.admins, &session.token_id).await;
        if caller.as_ref().is_err_and(|error| error.is(&admin_codes::ADMIN_TOKEN_INVALID)) {
            self.0.invalidate(&key(value));
        }
        Ok((caller?, session))
    }

    /// Ends the session that the request's cookie identifies.
    pub fn end(&self, headers: &HeaderMap, is_secure: bool) {
        if let Some(value) = session_cookie(headers, is_secure) {
            self.0.invalidate(&key(value));
        }
    }
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
