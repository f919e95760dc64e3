//! Limits of attempts to log in with credentials, per account, per openid and per client address. They fail closed.

use crate::client_network;
use aws_lc_rs::digest;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use std::{fmt::Write, net::IpAddr, time::Duration};

/// How many attempts are allowed.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// Attempts per account of a tenant within the window.
    pub per_account: u64,
    /// Attempts per openid within the window, for all accounts together.
    pub per_openid: u64,
    /// Attempts per client address within the window, for all accounts together.
    pub per_address: u64,
    /// Length of the window; it starts with the first attempt.
    pub window: Duration,
}

/// Who checks the credentials. Accounts of the same name are different accounts, and are counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// The gateway, by a password of its own accounts.
    Password,
    /// An action, for example with the tenant's login service.
    Action,
}

/// One attempt to log in.
#[derive(Clone, Copy)]
pub struct LoginAttempt<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// Who checks the credentials.
    pub kind: CredentialKind,
    /// The account that the client names; empty if it names none. Then only openid and address are counted.
    pub account: &'a str,
    /// The platform of the client's session.
    pub platform: &'a str,
    /// The openid of the client's session.
    pub openid: &'a str,
    /// The client's address.
    pub address: IpAddr,
}

impl LoginAttempt<'_> {
    fn account_key(&self) -> String {
        let kind = match self.kind {
            CredentialKind::Password => "password",
            CredentialKind::Action => "action",
        };
        format!("attempts:account:{}", hashed(&[kind, self.account]))
    }

    fn openid_key(&self) -> String {
        format!("attempts:openid:{}", hashed(&[self.platform, self.openid]))
    }

    fn address_key(&self) -> String {
        format!("attempts:address:{}", client_network(self.address))
    }
}

/// Counts an attempt. Call this before the credentials are checked, so that concurrent attempts cannot exceed the limits.
///
/// # Errors
/// `too_many_attempts`; errors of the store: without it the attempt is rejected.
pub async fn record(store: &dyn EphemeralKv, limits: &AttemptLimits, attempt: &LoginAttempt<'_>) -> Result<()> {
    let mut counters = vec![(attempt.address_key(), limits.per_address), (attempt.openid_key(), limits.per_openid)];
    if !attempt.account.is_empty() {
        counters.push((attempt.account_key(), limits.per_account));
    }
    let mut is_allowed = true;
    for (key, limit) in counters {
        is_allowed &= store.increment(attempt.tenant, &key, limits.window).await? <= limit;
    }
    if is_allowed { Ok(()) } else { Err(Error::new(&codes::TOO_MANY_ATTEMPTS).retry_after(limits.window)) }
}

/// Resets the counter of the account after a successful attempt. Those of openid and address stay, because a client could
/// otherwise reset them with an account of its own.
///
/// # Errors
/// Errors of the store.
pub async fn record_success(store: &dyn EphemeralKv, attempt: &LoginAttempt<'_>) -> Result<()> {
    if attempt.account.is_empty() {
        return Ok(());
    }
    Ok(store.remove(attempt.tenant, &attempt.account_key()).await?)
}

/// The parts as one hash, because input of clients must not become part of a key in the store.
fn hashed(parts: &[&str]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
