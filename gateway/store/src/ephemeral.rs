//! The trait of stores for short-lived values.

use crate::error::Result;
use async_trait::async_trait;
use std::time::Duration;

/// Short-lived values that replicas share: exchanged codes, access tokens, counters of login attempts.
///
/// Keys belong to a tenant and are made by the gateway; input of clients is hashed before it becomes part of a key. Every
/// value has a time to live between 1 ms and 30 days; a shorter or longer one is clamped.
#[async_trait]
pub trait EphemeralKv: Send + Sync {
    /// Sets the value if the key has none. Returns whether it was set: of concurrent callers, one gets true.
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], ttl: Duration) -> Result<bool>;
    /// Sets the value, whatever was there.
    async fn put(&self, tenant: &str, key: &str, value: &[u8], ttl: Duration) -> Result<()>;
    /// Reads the value; it is never cached.
    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>>;
    /// Removes the value.
    async fn remove(&self, tenant: &str, key: &str) -> Result<()>;
    /// Adds one to a counter and returns the sum. The counter restarts `window` after its first increment. Its value is the
    /// sum in decimal digits. A key is used either for counters or for values.
    async fn increment(&self, tenant: &str, key: &str, window: Duration) -> Result<u64>;
    /// Checks that the store can be written, for readiness.
    async fn ping(&self) -> Result<()>;
}
