//! Rate limits: which limits apply to a request, and what happens when one is exceeded. The counters are in
//! `menlou_store::rate_limits`.

mod limiter;
mod named_limit;
pub mod password_attempts;
mod request_limits;

pub use limiter::RateLimiter;
pub use password_attempts::AttemptLimits;
pub use request_limits::{RateLimitHeaders, RateLimitPermit, RequestLimits};
