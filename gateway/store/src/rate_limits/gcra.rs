//! The generic cell rate algorithm (GCRA), and what it is asked and returns.

use menlou_config::rate::Rate;
use std::time::Duration;

/// The unit of times: short enough for any rate, and long enough that the doubles of Redis hold the time of day exactly.
pub(super) const TICK: Duration = Duration::from_nanos(100);

/// One limit that a request has to pass.
#[derive(Clone, Copy, Debug)]
pub struct RateLimitCheck<'a> {
    /// Name of the limit; unique within the tenant.
    pub limit: &'a str,
    /// The address or openid whose requests are counted; `None`: all requests together.
    pub subject: Option<&'a str>,
    /// The permitted rate.
    pub rate: &'a Rate,
}

/// The outcome of a request's checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimitOutcome {
    /// Whether all limits allow the request. Only then it is counted, against each limit.
    pub allowed: bool,
    /// For each check the backlog: time until the complete burst is available again. It includes this request if allowed.
    pub backlogs: Vec<Duration>,
    /// Time of the decision, by the clock of the process or server that counts.
    pub at: Duration,
}

/// The state of one limit after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitLevel {
    /// Number of further requests that would be allowed now.
    pub remaining: u32,
    /// Time until the complete burst is available again.
    pub reset: Duration,
    /// Time until the next request is allowed; zero if it is allowed now.
    pub wait: Duration,
}

impl RateLimitLevel {
    /// The state of a limit of this rate with this backlog.
    pub fn new(rate: &Rate, backlog: Duration) -> Self {
        let (gcra, backlog) = (Gcra::new(rate), ticks(backlog));
        let remaining = u32::try_from(gcra.capacity.saturating_sub(backlog) / gcra.interval).unwrap_or(u32::MAX);
        let wait = (backlog + gcra.interval).saturating_sub(gcra.capacity);
        Self { remaining, reset: duration(backlog), wait: duration(wait) }
    }
}

/// A rate in ticks.
#[derive(Clone, Copy)]
pub(crate) struct Gcra {
    /// Emission interval: time between two requests at the permitted rate.
    pub interval: u64,
    /// Maximum backlog.
    pub capacity: u64,
}

impl Gcra {
    /// The parameters of a rate.
    pub fn new(rate: &Rate) -> Self {
        let nanos = rate.interval().as_nanos().div_ceil(TICK.as_nanos());
        let interval = u64::try_from(nanos).unwrap_or(u64::MAX);
        Self { interval, capacity: interval.saturating_mul(rate.burst().into()) }
    }

    /// The backlog at `now` for this TAT.
    pub fn backlog(&self, tat: u64, now: u64) -> u64 {
        tat.saturating_sub(now).min(self.capacity)
    }

    /// Whether the TAT lies further ahead than this rate allows: it was stored under another rate, or the clock was set
    /// back. The backlog is then the capacity, counted from now, and that is stored.
    pub fn is_beyond(&self, tat: u64, now: u64) -> bool {
        tat > now.saturating_add(self.capacity)
    }

    /// Whether a request is allowed at this backlog.
    pub fn is_allowed(&self, backlog: u64) -> bool {
        backlog + self.interval <= self.capacity
    }
}

/// A duration in ticks.
pub(super) fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
}

/// Ticks as a duration.
pub(crate) fn duration(ticks: u64) -> Duration {
    Duration::from_nanos(ticks.saturating_mul(100))
}
