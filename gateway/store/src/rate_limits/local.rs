//! Rate limits of one tenant, counted in this process, in a table of bounded size.

use super::gcra::{Gcra, RateLimitCheck, RateLimitOutcome, duration, ticks};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Maximum number of limits and subjects in the table. Beyond it, the entries that would expire first are evicted.
const MAX_CELLS: usize = 1 << 16;

/// Counts the requests of one tenant.
pub struct LocalRateLimiter {
    start: Instant,
    hasher: RandomState,
    cells: Mutex<HashMap<u64, Cell>>,
}

#[derive(Clone, Copy)]
struct Cell {
    /// Theoretical arrival time, in ticks since `start`.
    tat: u64,
    /// Whether the limit counts all subjects together. Such cells are few, and never evicted.
    is_total: bool,
}

impl LocalRateLimiter {
    /// An empty table. Memory is allocated with the first request.
    pub fn new() -> Self {
        Self { start: Instant::now(), hasher: RandomState::new(), cells: Mutex::default() }
    }

    /// As [`SharedRateLimiter::acquire`](super::SharedRateLimiter::acquire).
    pub fn acquire(&self, checks: &[RateLimitCheck<'_>]) -> RateLimitOutcome {
        self.acquire_at(self.start.elapsed(), checks)
    }

    /// As [`LocalRateLimiter::acquire`], at a time from the caller's own monotonic clock.
    pub fn acquire_at(&self, at: Duration, checks: &[RateLimitCheck<'_>]) -> RateLimitOutcome {
        let now = ticks(at);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let found = checks.iter().map(|check| {
            let key = self.key(check);
            (key, Gcra::new(check.rate), cells.get(&key).map_or(0, |cell| cell.tat), check.subject.is_none())
        });
        let found: Vec<_> = found.collect();
        let allowed = found.iter().all(|(_, gcra, tat, _)| gcra.is_allowed(gcra.backlog(*tat, now)));
        let backlogs = found.into_iter().map(|(key, gcra, tat, is_total)| {
            let backlog = gcra.backlog(tat, now) + if allowed { gcra.interval } else { 0 };
            if allowed || gcra.is_beyond(tat, now) {
                evict(&mut cells, now);
                cells.insert(key, Cell { tat: now + backlog, is_total });
            }
            duration(backlog)
        });
        RateLimitOutcome { allowed, backlogs: backlogs.collect(), at }
    }

    /// The rejection that [`LocalRateLimiter::acquire`] would return; `None` if it would allow the request. The request is
    /// not counted.
    pub fn known_rejection(&self, checks: &[RateLimitCheck<'_>]) -> Option<RateLimitOutcome> {
        let at = self.start.elapsed();
        let now = ticks(at);
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let known = checks.iter().map(|check| {
            let tat = cells.get(&self.key(check)).map_or(0, |cell| cell.tat);
            let gcra = Gcra::new(check.rate);
            // A TAT that was stored under another rate says nothing about the current one.
            (gcra, if gcra.is_beyond(tat, now) { 0 } else { gcra.backlog(tat, now) })
        });
        let known: Vec<_> = known.collect();
        let is_rejected = !known.iter().all(|(gcra, backlog)| gcra.is_allowed(*backlog));
        let backlogs = || known.iter().map(|(_, backlog)| duration(*backlog)).collect();
        is_rejected.then(|| RateLimitOutcome { allowed: false, backlogs: backlogs(), at })
    }

    /// Stores backlogs that a shared rate limiter has counted.
    pub fn learn_backlogs(&self, checks: &[RateLimitCheck<'_>], backlogs: &[Duration]) {
        let now = ticks(self.start.elapsed());
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for (check, backlog) in checks.iter().zip(backlogs) {
            let (key, learned) = (self.key(check), now + ticks(*backlog));
            let known = cells.get(&key).map_or(0, |cell| cell.tat);
            // Responses may arrive out of order: the latest backlog is the largest, unless the rate has changed.
            let tat = if Gcra::new(check.rate).is_beyond(known, now) { learned } else { learned.max(known) };
            evict(&mut cells, now);
            cells.insert(key, Cell { tat, is_total: check.subject.is_none() });
        }
    }

    fn key(&self, check: &RateLimitCheck<'_>) -> u64 {
        // Two subjects with the same hash share a limit. The hasher's keys are random, so nobody can provoke it.
        self.hasher.hash_one((check.limit, check.subject))
    }

    /// Number of entries in the table.
    pub fn len(&self) -> usize {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for LocalRateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

/// Removes the cells without a backlog from a full table; if more than half remain, also the half with the smallest
/// backlogs. It runs too rarely to matter.
fn evict(cells: &mut HashMap<u64, Cell>, now: u64) {
    if cells.len() < MAX_CELLS {
        return;
    }
    cells.retain(|_, cell| cell.tat > now);
    if cells.len() < MAX_CELLS / 2 {
        return;
    }
    let mut tats: Vec<u64> = cells.values().filter(|cell| !cell.is_total).map(|cell| cell.tat).collect();
    let half = tats.len() / 2;
    let (_, median, _) = tats.select_nth_unstable(half);
    let median = *median;
    cells.retain(|_, cell| cell.is_total || cell.tat > median);
}

#[cfg(test)]
mod tests {
    use super::{
        super::gcra::{RateLimitLevel, TICK},
        *,
    };
    use menlou_config::rate::Rate;
    use proptest::prelude::*;

    fn rates() -> impl Strategy<Value = Rate> {
        let text = prop_oneof![
            (1..50_000u32, 1..300u32).prop_map(|(n, burst)| format!("{n}/s burst {burst}")),
            (1..9000u32).prop_map(|n| format!("{n}/m")),
            (1..50u32, 1..5u32).prop_map(|(n, burst)| format!("{n}/h burst {burst}")),
        ];
        text.prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        /// The definition of a rate limit, checked for any span between two requests, not only from the start.
        #[test]
        fn at_most_burst_and_rate_are_allowed_and_the_announced_wait_is_exact(
            rate in rates(),
            steps in prop::collection::vec((0..5u64, 0..2_000_000_000u64), 1..120),
        ) {
            let limiter = LocalRateLimiter::new();
            let check = [RateLimitCheck { limit: "calls", subject: None, rate: &rate }];
            let (mut at, mut allowed, mut waits) = (Duration::ZERO, Vec::new(), None);
            for (count, pause) in steps {
                for _ in 0..count * u64::from(rate.burst()).min(40) {
                    let outcome = limiter.acquire_at(at, &check);
                    let level = RateLimitLevel::new(&rate, outcome.backlogs[0]);
                    if outcome.allowed {
                        allowed.push(at);
                    } else {
                        prop_assert!(level.wait > Duration::ZERO && level.remaining == 0);
                        waits = Some(at + level.wait);
                    }
                }
                match waits.take() {
                    // No request was allowed since: one tick less than the announced wait is too early.
                    Some(until) => {
                        let too_early = until - TICK;
                        prop_assert!(!limiter.acquire_at(too_early.max(at), &check).allowed);
                        prop_assert!(limiter.acquire_at(until, &check).allowed);
                        allowed.push(until);
                        at = until;
                    }
                    None => at += Duration::from_nanos(pause),
                }
            }
            // Between any two allowed requests, both included, with a tolerance of one tick.
            let mut least = f64::INFINITY;
            for (number, at) in allowed.iter().enumerate() {
                let ahead = number as f64 - at.as_secs_f64() / rate.interval().as_secs_f64();
                least = least.min(ahead);
                let tick = TICK.as_secs_f64() / rate.interval().as_secs_f64();
                prop_assert!(ahead - least + 1.0 <= f64::from(rate.burst()) + tick + 1e-6);
            }
        }
    }

    #[test]
    fn request_that_exceeds_one_limit_is_counted_against_none() {
        let (wide, narrow): (Rate, Rate) = ("10/h".parse().unwrap(), "1/h".parse().unwrap());
        let limiter = LocalRateLimiter::new();
        let acquire = |subject: &str| {
            limiter.acquire_at(
                Duration::ZERO,
                &[
                    RateLimitCheck { limit: "calls", subject: None, rate: &wide },
                    RateLimitCheck { limit: "per_address", subject: Some(subject), rate: &narrow },
                ],
            )
        };
        assert!(acquire("a").allowed);
        for _ in 0..50 {
            assert!(!acquire("a").allowed);
        }
        let allowed = ('b'..='z').filter(|subject| acquire(&subject.to_string()).allowed).count();
        assert_eq!(allowed, 9);
    }

    #[test]
    fn learned_backlog_rejects_until_the_rate_changes() {
        let (rate, other): (Rate, Rate) = ("10/h".parse().unwrap(), "1000/s".parse().unwrap());
        let limiter = LocalRateLimiter::new();
        let check = |rate| [RateLimitCheck { limit: "calls", subject: None, rate }];
        assert_eq!(limiter.known_rejection(&check(&rate)), None);
        limiter.learn_backlogs(&check(&rate), &[rate.window()]);
        // An older response that arrives late changes nothing.
        limiter.learn_backlogs(&check(&rate), &[rate.interval()]);
        let rejection = limiter.known_rejection(&check(&rate));
        assert!(rejection.is_some_and(|outcome| !outcome.allowed && outcome.backlogs[0] > rate.window() / 2));
        // Under another rate the stored backlog is unknown, and the next one that is learned replaces it.
        assert_eq!(limiter.known_rejection(&check(&other)), None);
        limiter.learn_backlogs(&check(&other), &[other.interval()]);
        assert_eq!(limiter.known_rejection(&check(&rate)), None);
    }

    #[test]
    fn flood_of_subjects_stays_within_the_table_and_keeps_total_limits() {
        let (total, each): (Rate, Rate) = ("100/m".parse().unwrap(), "5/d".parse().unwrap());
        let limiter = LocalRateLimiter::new();
        let total = [RateLimitCheck { limit: "calls", subject: None, rate: &total }];
        while limiter.acquire_at(Duration::ZERO, &total).allowed {}
        for number in 0..3 * MAX_CELLS {
            let subject = number.to_string();
            let check = [RateLimitCheck { limit: "x", subject: Some(&subject), rate: &each }];
            assert!(limiter.acquire_at(Duration::ZERO, &check).allowed);
            assert!(limiter.len() <= MAX_CELLS);
        }
        assert!(!limiter.acquire_at(Duration::ZERO, &total).allowed);
    }
}
