//! Rate limits: which limits apply to a request, and what happens when one is exceeded. The counters are in
//! `menlou_store::rate_limits`.

mod exhausted_counters;
mod known_clients;
mod limiter;
pub mod login_attempts;
mod named_limit;
mod request_limits;

pub use limiter::RateLimiter;
pub use login_attempts::{AttemptLimits, LoginAttempts};
pub use request_limits::{RateLimitHeaders, RateLimitPermit, RequestLimits};
