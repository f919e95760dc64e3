//! Rate limits: counted by GCRA, in this process or in a store that all replicas share.
//!
//! For each limit and subject one number is kept: the theoretical arrival time (TAT), at which the complete burst is
//! available again. Its distance from now is the backlog. A request is allowed if the backlog plus its own interval stays
//! within the burst. Within any span of time at most burst + rate · time requests are allowed.

mod gcra;
mod local;

use crate::error::Result;
use async_trait::async_trait;
pub(crate) use gcra::{Gcra, duration};
pub use gcra::{RateLimitCheck, RateLimitLevel, RateLimitOutcome};
pub use local::LocalRateLimiter;

/// Rate limits that several replicas share.
#[async_trait]
pub trait SharedRateLimiter: Send + Sync {
    /// Counts a request against all of these limits of a tenant, in one step, if all of them allow it.
    async fn acquire(&self, tenant: &str, checks: &[RateLimitCheck<'_>]) -> Result<RateLimitOutcome>;
}
