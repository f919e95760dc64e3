//! May this call pass: who is calling, and how often it may be tried.

pub mod attempts;
pub mod cors;
pub mod limits;
pub mod password;

use aws_lc_rs::digest;
use limits::{RateLimitPermit, RequestLimits};
use menlou_call::{Call, Token};
use menlou_error::{Error, Result, codes};
use menlou_store::{Session, Stores, TokenHash, User};
use std::{net::IpAddr, sync::Arc};

/// Who is served by an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever calls. No session is looked up: a call with an old token is as good as one without.
    Anyone,
    /// Whoever calls, by whom it is where a token came along. One that is no good is told to its client, which would
    /// else take itself for known.
    Optional,
    /// Who has a session.
    Session,
    /// Who has a session whose openid is bound to an account.
    User,
}

/// Who is calling.
#[derive(Debug)]
pub struct Caller {
    /// Under which hash the session is stored.
    pub token: TokenHash,
    /// The session.
    pub session: Arc<Session>,
    /// The account, where the action needs one.
    pub user: Option<Arc<User>>,
}

/// Gives the caller, or the reason why the call may not pass. Asks the stores only for what `access` needs; a store
/// that doesn't answer is never taken for a missing session. Where limits are given, they are told the openid as soon as
/// it is known.
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
        (_, Some(token)) => hash(token),
    };
    let session = stores.sessions.find(tenant, &token).await?.ok_or_else(|| Error::new(&codes::SESSION_EXPIRED))?;
    if let Some((limits, passage)) = limits {
        passage.known(limits, &session.openid).await?;
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

/// The form in which a token is stored and looked up.
pub fn hash(token: &Token) -> TokenHash {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest::digest(&digest::SHA256, token.expose().as_bytes()).as_ref());
    TokenHash(bytes)
}

/// Where a caller is, as far as one customer of a provider can be told from another: an address, of IPv6 a /64.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 => v4,
    }
}
