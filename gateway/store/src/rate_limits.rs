//! How often callers come: counted by GCRA, in memory or where all replicas count together.
//!
//! Of each limit and caller one number is kept: when the burst will be whole again. How far that lies ahead is the debt;
//! a call passes where the debt, with its own interval, stays within the burst. So from any moment on, no more than
//! burst + rate · time pass.

mod local;

use super::Result;
use async_trait::async_trait;
pub use local::LocalRateLimiter;
use menlou_config::rate::Rate;
use std::time::Duration;

/// What times are counted in: short enough for any rate, and so that Redis' numbers, which are doubles, hold the time of
/// day exactly.
const TICK: Duration = Duration::from_nanos(100);

/// One limit that a call has to pass.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitCheck<'a> {
    /// The limit's name, of which a tenant has one only.
    pub limit: &'a str,
    /// Whose calls are counted; `None`: everyone's together.
    pub subject: Option<&'a str>,
    /// How often.
    pub rate: &'a Rate,
}

/// What came of a call's demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitOutcome {
    /// Whether it passes all limits. Only then is it counted, in each.
    pub allowed: bool,
    /// For each demand how long its burst takes to be whole again, this call included where it passes.
    pub backlogs: Vec<Duration>,
    /// When, by the clock that counts.
    pub at: Duration,
}

/// How one limit stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitLevel {
    /// How many more calls pass at once.
    pub remaining: u32,
    /// How long until the burst is whole.
    pub reset: Duration,
    /// How long until the next call passes; zero where it passes at once.
    pub wait: Duration,
}

impl RateLimitLevel {
    /// How a limit of this rate stands with this debt.
    pub fn new(rate: &Rate, backlog: Duration) -> Self {
        let (pace, backlog) = (Gcra::new(rate), ticks(backlog));
        let remaining = u32::try_from(pace.capacity.saturating_sub(backlog) / pace.interval).unwrap_or(u32::MAX);
        let wait = (backlog + pace.interval).saturating_sub(pace.capacity);
        Self { remaining, reset: duration(backlog), wait: duration(wait) }
    }
}

/// Counts for several replicas.
#[async_trait]
pub trait SharedRateLimiter: Send + Sync {
    /// Counts a call in all of these limits of a tenant, in one step, if it passes them all.
    async fn acquire(&self, tenant: &str, checks: &[RateLimitCheck<'_>]) -> Result<RateLimitOutcome>;
}

/// A rate in ticks.
#[derive(Clone, Copy)]
pub(super) struct Gcra {
    /// Between two calls.
    pub interval: u64,
    /// The largest debt.
    pub capacity: u64,
}

impl Gcra {
    pub fn new(rate: &Rate) -> Self {
        let nanos = rate.interval().as_nanos().div_ceil(TICK.as_nanos());
        let interval = u64::try_from(nanos).unwrap_or(u64::MAX);
        Self { interval, capacity: interval.saturating_mul(rate.burst().into()) }
    }

    /// The debt at `now` of what is whole again at `tat`.
    fn backlog(&self, tat: u64, now: u64) -> u64 {
        tat.saturating_sub(now).min(self.capacity)
    }

    /// Whether more is owed than can be: the limit was another when that was kept, or the clock was set back. Then the
    /// whole capacity is owed from now on, and that is kept.
    fn is_beyond(&self, tat: u64, now: u64) -> bool {
        tat > now.saturating_add(self.capacity)
    }

    fn allowed(&self, backlog: u64) -> bool {
        backlog + self.interval <= self.capacity
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(100))
}
