//! Limits of password attempts, per account and per client address. They fail closed.

use crate::client_network;
use aws_lc_rs::digest;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use std::{net::IpAddr, time::Duration};

/// How many passwords may be tried.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// Attempts per account of a tenant within the window.
    pub per_account: u64,
    /// Attempts per client address within the window, for all accounts together.
    pub per_address: u64,
    /// Length of the window; it starts with the first attempt.
    pub window: Duration,
}

/// Counts an attempt. Call this before the password is verified, so that concurrent attempts cannot exceed the limits.
///
/// # Errors
/// `too_many_attempts`; errors of the store: without it the attempt is rejected.
pub async fn record(
    store: &dyn EphemeralKv,
    limits: &AttemptLimits,
    tenant: &str,
    account: &str,
    address: IpAddr,
) -> Result<()> {
    let by_address = store.increment(tenant, &address_key(address), limits.window).await?;
    let by_account = store.increment(tenant, &account_key(account), limits.window).await?;
    if by_account > limits.per_account || by_address > limits.per_address {
        return Err(Error::new(&codes::TOO_MANY_ATTEMPTS).retry_after(limits.window));
    }
    Ok(())
}

/// Resets the counter of an account after a successful attempt.
///
/// # Errors
/// Errors of the store.
pub async fn reset(store: &dyn EphemeralKv, tenant: &str, account: &str) -> Result<()> {
    Ok(store.remove(tenant, &account_key(account)).await?)
}

fn account_key(account: &str) -> String {
    // Hashed, because input of clients must not become part of a key in the store.
    let hash = digest::digest(&digest::SHA256, account.as_bytes());
    hash.as_ref().iter().fold("attempts:account:".to_owned(), |key, byte| key + &format!("{byte:02x}"))
}

fn address_key(address: IpAddr) -> String {
    format!("attempts:address:{}", client_network(address))
}
