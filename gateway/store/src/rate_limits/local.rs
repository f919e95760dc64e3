//! Limits counted in this process: those of one tenant, in a table that does not grow without bound.

use super::{Gcra, RateLimitCheck, RateLimitOutcome, duration, ticks};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many callers are remembered. Beyond it, those go first who would be forgotten soonest anyway.
const MOST: usize = 1 << 16;

/// How often one tenant's callers came.
pub struct LocalRateLimiter {
    start: Instant,
    hasher: RandomState,
    cells: Mutex<HashMap<u64, Cell>>,
}

#[derive(Clone, Copy)]
struct Cell {
    /// When the burst is whole again, in ticks since `start`.
    tat: u64,
    /// Of all callers together: few, and never forgotten for others' sake.
    of_all: bool,
}

impl LocalRateLimiter {
    /// Nobody came yet. Nothing is allocated until somebody does.
    pub fn new() -> Self {
        Self { start: Instant::now(), hasher: RandomState::new(), cells: Mutex::default() }
    }

    /// As [`SharedRateLimiter::acquire`](super::Limiter::take).
    pub fn acquire(&self, checks: &[RateLimitCheck<'_>]) -> RateLimitOutcome {
        self.acquire_at(self.start.elapsed(), checks)
    }

    /// As [`LocalRateLimiter::acquire`], at a time of the caller's own, which is counted from any moment and doesn't go back.
    pub fn acquire_at(&self, at: Duration, checks: &[RateLimitCheck<'_>]) -> RateLimitOutcome {
        let now = ticks(at);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = checks.iter().map(|check| {
            let key = self.key(check);
            (key, Gcra::new(check.rate), cells.get(&key).map_or(0, |cell| cell.tat), check.subject.is_none())
        });
        let looked: Vec<_> = looked.collect();
        let allowed = looked.iter().all(|(_, pace, tat, _)| pace.allowed(pace.backlog(*tat, now)));
        let backlogs = looked.into_iter().map(|(key, pace, tat, of_all)| {
            let backlog = pace.backlog(tat, now) + if allowed { pace.interval } else { 0 };
            if allowed || pace.is_beyond(tat, now) {
                make_room(&mut cells, now);
                cells.insert(key, Cell { tat: now + backlog, of_all });
            }
            duration(backlog)
        });
        RateLimitOutcome { allowed, backlogs: backlogs.collect(), at }
    }

    /// What [`LocalRateLimiter::acquire`] would refuse: the call is counted nowhere either way.
    pub fn known_rejection(&self, checks: &[RateLimitCheck<'_>]) -> Option<RateLimitOutcome> {
        let at = self.start.elapsed();
        let now = ticks(at);
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let known = checks.iter().map(|check| {
            let tat = cells.get(&self.key(check)).map_or(0, |cell| cell.tat);
            let pace = Gcra::new(check.rate);
            // What is owed beyond measure tells nothing of the limit as it is now.
            (pace, if pace.is_beyond(tat, now) { 0 } else { pace.backlog(tat, now) })
        });
        let known: Vec<_> = known.collect();
        let refused = !known.iter().all(|(pace, backlog)| pace.allowed(*backlog));
        let backlogs = || known.iter().map(|(_, backlog)| duration(*backlog)).collect();
        refused.then(|| RateLimitOutcome { allowed: false, backlogs: backlogs(), at })
    }

    /// Remembers debts that someone else has counted.
    pub fn learn_backlogs(&self, checks: &[RateLimitCheck<'_>], backlogs: &[Duration]) {
        let now = ticks(self.start.elapsed());
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for (check, backlog) in checks.iter().zip(backlogs) {
            let (key, told) = (self.key(check), now + ticks(*backlog));
            let known = cells.get(&key).map_or(0, |cell| cell.tat);
            // Answers may come out of turn: the latest debt is the largest, unless the limit was another before.
            let tat = if Gcra::new(check.rate).is_beyond(known, now) { told } else { told.max(known) };
            make_room(&mut cells, now);
            cells.insert(key, Cell { tat, of_all: check.subject.is_none() });
        }
    }

    fn key(&self, check: &RateLimitCheck<'_>) -> u64 {
        // A collision would make two callers share a limit; the keys are random, so none can be brought about.
        self.hasher.hash_one((check.limit, check.subject))
    }

    /// How many callers are remembered.
    pub fn len(&self) -> usize {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether nobody is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for LocalRateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

/// Forgets who owes nothing, and where that is not enough the half that owes least: seldom enough to cost nothing.
fn make_room(cells: &mut HashMap<u64, Cell>, now: u64) {
    if cells.len() < MOST {
        return;
    }
    cells.retain(|_, cell| cell.tat > now);
    if cells.len() < MOST / 2 {
        return;
    }
    let mut owing: Vec<u64> = cells.values().filter(|cell| !cell.of_all).map(|cell| cell.tat).collect();
    let half = owing.len() / 2;
    let (_, middle, _) = owing.select_nth_unstable(half);
    let middle = *middle;
    cells.retain(|_, cell| cell.of_all || cell.tat > middle);
}

#[cfg(test)]
mod tests {
    use super::{super::RateLimitLevel, *};
    use menlou_config::rate::Rate;
    use proptest::prelude::*;

    fn rates() -> impl Strategy<Value = Rate> {
        let written = prop_oneof![
            (1..50_000u32, 1..300u32).prop_map(|(n, burst)| format!("{n}/s burst {burst}")),
            (1..9000u32).prop_map(|n| format!("{n}/m")),
            (1..50u32, 1..5u32).prop_map(|(n, burst)| format!("{n}/h burst {burst}")),
        ];
        written.prop_map(|written| written.parse().unwrap())
    }

    proptest! {
        /// The definition, in any span between two calls, not from the start only.
        #[test]
        fn never_more_than_burst_and_rate_pass_and_what_waits_as_told_passes(
            rate in rates(),
            steps in prop::collection::vec((0..5u64, 0..2_000_000_000u64), 1..120),
        ) {
            let memory = LocalRateLimiter::new();
            let check = [RateLimitCheck { limit: "calls", subject: None, rate: &rate }];
            let (mut at, mut passed, mut waits) = (Duration::ZERO, Vec::new(), None);
            for (often, pause) in steps {
                for _ in 0..often * u64::from(rate.burst()).min(40) {
                    let taken = memory.acquire_at(at, &check);
                    let level = RateLimitLevel::new(&rate, taken.backlogs[0]);
                    if taken.allowed {
                        passed.push(at);
                    } else {
                        prop_assert!(level.wait > Duration::ZERO && level.remaining == 0);
                        waits = Some(at + level.wait);
                    }
                }
                match waits.take() {
                    // No call has passed since: as long as was told, to the tick, and not shorter.
                    Some(until) => {
                        let short = until - super::super::TICK;
                        prop_assert!(!memory.acquire_at(short.max(at), &check).allowed);
                        prop_assert!(memory.acquire_at(until, &check).allowed);
                        passed.push(until);
                        at = until;
                    }
                    None => at += Duration::from_nanos(pause),
                }
            }
            // Between any two of them, both counted, and to the tick.
            let mut least = f64::INFINITY;
            for (number, at) in passed.iter().enumerate() {
                let ahead = number as f64 - at.as_secs_f64() / rate.interval().as_secs_f64();
                least = least.min(ahead);
                let tick = super::super::TICK.as_secs_f64() / rate.interval().as_secs_f64();
                prop_assert!(ahead - least + 1.0 <= f64::from(rate.burst()) + tick + 1e-6);
            }
        }
    }

    #[test]
    fn a_call_that_fails_one_limit_is_counted_in_none() {
        let (wide, narrow): (Rate, Rate) = ("10/h".parse().unwrap(), "1/h".parse().unwrap());
        let memory = LocalRateLimiter::new();
        let take = |subject: &str| {
            memory.acquire_at(
                Duration::ZERO,
                &[
                    RateLimitCheck { limit: "calls", subject: None, rate: &wide },
                    RateLimitCheck { limit: "per_address", subject: Some(subject), rate: &narrow },
                ],
            )
        };
        assert!(take("a").allowed);
        for _ in 0..50 {
            assert!(!take("a").allowed);
        }
        let passed = ('b'..='z').filter(|subject| take(&subject.to_string()).allowed).count();
        assert_eq!(passed, 9);
    }

    #[test]
    fn what_others_counted_is_known_and_refused_without_them() {
        let (rate, other): (Rate, Rate) = ("10/h".parse().unwrap(), "1000/s".parse().unwrap());
        let memory = LocalRateLimiter::new();
        let check = |rate| [RateLimitCheck { limit: "calls", subject: None, rate }];
        assert_eq!(memory.known_rejection(&check(&rate)), None);
        memory.learn_backlogs(&check(&rate), &[rate.window()]);
        // An older answer that comes late changes nothing.
        memory.learn_backlogs(&check(&rate), &[rate.interval()]);
        assert!(
            memory
                .known_rejection(&check(&rate))
                .is_some_and(|taken| !taken.allowed && taken.backlogs[0] > rate.window() / 2)
        );
        // A limit that is another now: whoever counts says what is owed, and that is believed.
        assert_eq!(memory.known_rejection(&check(&other)), None);
        memory.learn_backlogs(&check(&other), &[other.interval()]);
        assert_eq!(memory.known_rejection(&check(&rate)), None);
    }

    #[test]
    fn a_flood_of_callers_is_remembered_within_bounds_and_loosens_no_limit_of_all() {
        let (all, each): (Rate, Rate) = ("100/m".parse().unwrap(), "5/d".parse().unwrap());
        let memory = LocalRateLimiter::new();
        let of_all = [RateLimitCheck { limit: "calls", subject: None, rate: &all }];
        while memory.acquire_at(Duration::ZERO, &of_all).allowed {}
        for caller in 0..3 * MOST {
            let subject = caller.to_string();
            assert!(
                memory
                    .acquire_at(Duration::ZERO, &[RateLimitCheck { limit: "x", subject: Some(&subject), rate: &each }])
                    .allowed
            );
            assert!(memory.len() <= MOST);
        }
        assert!(!memory.acquire_at(Duration::ZERO, &of_all).allowed);
    }
}
