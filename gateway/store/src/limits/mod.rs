//! How often callers come: counted by GCRA, in memory or where all replicas count together.
//!
//! Of each limit and caller one number is kept: when the burst will be whole again. How far that lies ahead is the debt;
//! a call passes where the debt, with its own interval, stays within the burst. So from any moment on, no more than
//! burst + rate · time pass.

mod memory;

use super::Result;
use async_trait::async_trait;
pub use memory::Memory;
use menlou_config::rate::Rate;
use std::time::Duration;

/// What times are counted in: short enough for any rate, and so that Redis' numbers, which are doubles, hold the time of
/// day exactly.
const TICK: Duration = Duration::from_nanos(100);

/// One limit that a call has to pass.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The limit's name, of which a tenant has one only.
    pub limit: &'a str,
    /// Whose calls are counted; `None`: everyone's together.
    pub who: Option<&'a str>,
    /// How often.
    pub rate: &'a Rate,
}

/// What came of a call's demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether it passes all limits. Only then is it counted, in each.
    pub passes: bool,
    /// For each demand how long its burst takes to be whole again, this call included where it passes.
    pub debts: Vec<Duration>,
    /// When, by the clock that counts.
    pub at: Duration,
}

/// How one limit stands after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How many more calls pass at once.
    pub remaining: u32,
    /// How long until the burst is whole.
    pub reset: Duration,
    /// How long until the next call passes; zero where it passes at once.
    pub wait: Duration,
}

impl Level {
    /// How a limit of this rate stands with this debt.
    pub fn of(rate: &Rate, debt: Duration) -> Self {
        let (pace, debt) = (Pace::of(rate), ticks(debt));
        let remaining = u32::try_from(pace.capacity.saturating_sub(debt) / pace.interval).unwrap_or(u32::MAX);
        let wait = (debt + pace.interval).saturating_sub(pace.capacity);
        Self { remaining, reset: duration(debt), wait: duration(wait) }
    }
}

/// Counts for several replicas.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Counts a call in all of these limits of a tenant, in one step, if it passes them all.
    async fn take(&self, tenant: &str, demands: &[Demand<'_>]) -> Result<Taken>;
}

/// A rate in ticks.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// Between two calls.
    pub interval: u64,
    /// The largest debt.
    pub capacity: u64,
}

impl Pace {
    pub fn of(rate: &Rate) -> Self {
        let nanos = rate.interval().as_nanos().div_ceil(TICK.as_nanos());
        let interval = u64::try_from(nanos).unwrap_or(u64::MAX);
        Self { interval, capacity: interval.saturating_mul(rate.burst().into()) }
    }

    /// The debt at `now` of what is whole again at `whole`.
    fn debt(&self, whole: u64, now: u64) -> u64 {
        whole.saturating_sub(now).min(self.capacity)
    }

    /// Whether more is owed than can be: the limit was another when that was kept, or the clock was set back. Then the
    /// whole capacity is owed from now on, and that is kept.
    fn is_beyond(&self, whole: u64, now: u64) -> bool {
        whole > now.saturating_add(self.capacity)
    }

    fn passes(&self, debt: u64) -> bool {
        debt + self.interval <= self.capacity
    }
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(100))
}
