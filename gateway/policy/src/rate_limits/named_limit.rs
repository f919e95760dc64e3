//! One rate limit of a tenant or action.

use menlou_config::rate::Rate;
use metrics::Counter;
use std::sync::OnceLock;

/// One rate limit of a tenant or action.
pub(super) struct NamedLimit {
    /// `calls`, `per_address` or `per_openid`; for a limit of an action with its name before it, such as `login.calls`.
    pub name: String,
    /// Whether each address or openid is counted separately.
    pub is_per_subject: bool,
    /// The permitted rate.
    pub rate: Rate,
    /// Requests that exceeded the limit. The counter is registered when the first one does.
    pub exceeded: OnceLock<Counter>,
}

impl NamedLimit {
    /// The limit in the syntax of `RateLimit-Policy`: the burst as quota, and the time until it is completely available
    /// again, in seconds, as window.
    pub fn policy(&self) -> String {
        format!("\"{}\";q={};w={}", self.name, self.rate.burst(), self.rate.window().as_secs_f64().ceil())
    }
}
