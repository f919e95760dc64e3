//! How often a password may be tried: limited per account and per address, failing closed.

use super::network;
use aws_lc_rs::digest;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use std::{net::IpAddr, time::Duration};

/// The limits.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// Attempts on one account of a tenant within the window.
    pub per_account: u64,
    /// Attempts from one address within the window, whatever the account.
    pub per_address: u64,
    /// When counting starts anew.
    pub window: Duration,
}

/// Counts an attempt before it is made, so that attempts side by side can't slip through. Where the store doesn't
/// answer, the attempt is refused.
pub async fn count(
    shared: &dyn EphemeralKv,
    limits: &AttemptLimits,
    tenant: &str,
    account: &str,
    address: IpAddr,
) -> Result<()> {
    let by_address = shared.increment(tenant, &address_key(address), limits.window).await?;
    let by_account = shared.increment(tenant, &account_key(account), limits.window).await?;
    if by_account > limits.per_account || by_address > limits.per_address {
        return Err(Error::new(&codes::TOO_MANY_ATTEMPTS).retry_after(limits.window));
    }
    Ok(())
}

/// Forgets the attempts on an account after a good one.
pub async fn forget(shared: &dyn EphemeralKv, tenant: &str, account: &str) -> Result<()> {
    Ok(shared.remove(tenant, &account_key(account)).await?)
}

fn account_key(account: &str) -> String {
    // Hashed: whatever a client types must not become part of a store's key.
    let hash = digest::digest(&digest::SHA256, account.as_bytes());
    format!("attempts:account:{}", hex::encode(hash))
}

fn address_key(address: IpAddr) -> String {
    format!("attempts:address:{}", network(address))
}
