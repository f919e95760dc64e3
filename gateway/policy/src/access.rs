//! The access check of a request: looks up session and user, as far as the action needs them.

use crate::rate_limits::{RateLimitPermit, RequestLimits};
use aws_lc_rs::digest;
use menlou_call::{Call, Token};
use menlou_error::{Error, Result, codes};
use menlou_store::{Session, Stores, TokenHash, User};
use std::sync::Arc;

/// The access requirement of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Public. No session is looked up; a token is ignored, even an expired one.
    Anyone,
    /// Public, with the session where the request has a token. An invalid token is rejected, because its client would
    /// otherwise assume that it is logged in.
    Optional,
    /// A valid session is required.
    Session,
    /// A valid session is required whose openid is bound to an account.
    User,
}

/// The session, and possibly the user, of a request.
#[derive(Debug)]
pub struct Caller {
    /// Hash under which the session is stored.
    pub token: TokenHash,
    /// The session.
    pub session: Arc<Session>,
    /// The account; `Some` only if the action requires [`Access::User`].
    pub user: Option<Arc<User>>,
}

/// Checks the access of a request and returns its caller; `None` for public access without a token. The stores are queried
/// only for what `access` needs. If `limits` are given, the limits per openid are checked as soon as the openid is known.
///
/// # Errors
/// `login_required`, `session_expired`, `rate_limited`, and errors of the store: an unavailable store never counts as a
/// missing session.
pub async fn admit(
    call: &Call,
    tenant: &str,
    access: Access,
    stores: &Stores,
    limits: Option<(&RequestLimits, &mut RateLimitPermit)>,
) -> Result<Option<Caller>> {
    let token = match (access, &call.token) {
        (Access::Anyone, _) | (Access::Optional, None) => return Ok(None),
        (_, None) => return Err(Error::new(&codes::LOGIN_REQUIRED)),
        (_, Some(token)) => hash_token(token),
    };
    let session = stores.sessions.find(tenant, &token).await?.ok_or_else(|| Error::new(&codes::SESSION_EXPIRED))?;
    if let Some((limits, permit)) = limits {
        permit.check_openid(limits, &session.openid).await?;
    }
    let user = match access {
        Access::User => {
            let found = stores.users.find(tenant, &session.platform, &session.openid).await?;
            Some(found.ok_or_else(|| Error::new(&codes::LOGIN_REQUIRED))?)
        }
        _ => None,
    };
    Ok(Some(Caller { token, session, user }))
}

/// The SHA-256 of a session token: the form in which tokens are stored and looked up.
pub fn hash_token(token: &Token) -> TokenHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.expose().as_bytes()).as_ref());
    TokenHash(bytes)
}
