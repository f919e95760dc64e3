//! Limits counted in this process: those of one tenant, in a table that does not grow without bound.

use super::{Demand, Pace, Taken, duration, ticks};
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How many callers are remembered. Beyond it, those go first who would be forgotten soonest anyway.
const MOST: usize = 1 << 16;

/// How often one tenant's callers came.
pub struct Memory {
    start: Instant,
    hasher: RandomState,
    cells: Mutex<HashMap<u64, Cell>>,
}

#[derive(Clone, Copy)]
struct Cell {
    /// When the burst is whole again, in ticks since `start`.
    whole: u64,
    /// Of all callers together: few, and never forgotten for others' sake.
    of_all: bool,
}

impl Memory {
    /// Nobody came yet. Nothing is allocated until somebody does.
    pub fn new() -> Self {
        Self { start: Instant::now(), hasher: RandomState::new(), cells: Mutex::default() }
    }

    /// As [`Limiter::take`](super::Limiter::take).
    pub fn take(&self, demands: &[Demand<'_>]) -> Taken {
        self.take_at(self.start.elapsed(), demands)
    }

    /// As [`Memory::take`], at a time of the caller's own, which is counted from any moment and doesn't go back.
    pub fn take_at(&self, at: Duration, demands: &[Demand<'_>]) -> Taken {
        let now = ticks(at);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let looked = demands.iter().map(|demand| {
            let key = self.key(demand);
            (key, Pace::of(demand.rate), cells.get(&key).map_or(0, |cell| cell.whole), demand.who.is_none())
        });
        let looked: Vec<_> = looked.collect();
        let passes = looked.iter().all(|(_, pace, whole, _)| pace.passes(pace.debt(*whole, now)));
        let debts = looked.into_iter().map(|(key, pace, whole, of_all)| {
            let debt = pace.debt(whole, now) + if passes { pace.interval } else { 0 };
            if passes || pace.is_beyond(whole, now) {
                make_room(&mut cells, now);
                cells.insert(key, Cell { whole: now + debt, of_all });
            }
            duration(debt)
        });
        Taken { passes, debts: debts.collect(), at }
    }

    /// What [`Memory::take`] would refuse: the call is counted nowhere either way.
    pub fn refuses(&self, demands: &[Demand<'_>]) -> Option<Taken> {
        let at = self.start.elapsed();
        let now = ticks(at);
        let cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let known = demands.iter().map(|demand| {
            let whole = cells.get(&self.key(demand)).map_or(0, |cell| cell.whole);
            let pace = Pace::of(demand.rate);
            // What is owed beyond measure tells nothing of the limit as it is now.
            (pace, if pace.is_beyond(whole, now) { 0 } else { pace.debt(whole, now) })
        });
        let known: Vec<_> = known.collect();
        let refused = !known.iter().all(|(pace, debt)| pace.passes(*debt));
        let debts = || known.iter().map(|(_, debt)| duration(*debt)).collect();
        refused.then(|| Taken { passes: false, debts: debts(), at })
    }

    /// Remembers debts that someone else has counted.
    pub fn learn(&self, demands: &[Demand<'_>], debts: &[Duration]) {
        let now = ticks(self.start.elapsed());
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        for (demand, debt) in demands.iter().zip(debts) {
            let (key, told) = (self.key(demand), now + ticks(*debt));
            let known = cells.get(&key).map_or(0, |cell| cell.whole);
            // Answers may come out of turn: the latest debt is the largest, unless the limit was another before.
            let whole = if Pace::of(demand.rate).is_beyond(known, now) { told } else { told.max(known) };
            make_room(&mut cells, now);
            cells.insert(key, Cell { whole, of_all: demand.who.is_none() });
        }
    }

    fn key(&self, demand: &Demand<'_>) -> u64 {
        // A collision would make two callers share a limit; the keys are random, so none can be brought about.
        self.hasher.hash_one((demand.limit, demand.who))
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

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Forgets who owes nothing, and where that is not enough the half that owes least: seldom enough to cost nothing.
fn make_room(cells: &mut HashMap<u64, Cell>, now: u64) {
    if cells.len() < MOST {
        return;
    }
    cells.retain(|_, cell| cell.whole > now);
    if cells.len() < MOST / 2 {
        return;
    }
    let mut owing: Vec<u64> = cells.values().filter(|cell| !cell.of_all).map(|cell| cell.whole).collect();
    let half = owing.len() / 2;
    let (_, middle, _) = owing.select_nth_unstable(half);
    let middle = *middle;
    cells.retain(|_, cell| cell.of_all || cell.whole > middle);
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};
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
            let memory = Memory::new();
            let demand = [Demand { limit: "calls", who: None, rate: &rate }];
            let (mut at, mut passed, mut waits) = (Duration::ZERO, Vec::new(), None);
            for (often, pause) in steps {
                for _ in 0..often * u64::from(rate.burst()).min(40) {
                    let taken = memory.take_at(at, &demand);
                    let level = Level::of(&rate, taken.debts[0]);
                    if taken.passes {
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
                        prop_assert!(!memory.take_at(short.max(at), &demand).passes);
                        prop_assert!(memory.take_at(until, &demand).passes);
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
        let memory = Memory::new();
        let take = |who: &str| {
            memory.take_at(
                Duration::ZERO,
                &[
                    Demand { limit: "calls", who: None, rate: &wide },
                    Demand { limit: "per_address", who: Some(who), rate: &narrow },
                ],
            )
        };
        assert!(take("a").passes);
        for _ in 0..50 {
            assert!(!take("a").passes);
        }
        let passed = ('b'..='z').filter(|who| take(&who.to_string()).passes).count();
        assert_eq!(passed, 9);
    }

    #[test]
    fn what_others_counted_is_known_and_refused_without_them() {
        let (rate, other): (Rate, Rate) = ("10/h".parse().unwrap(), "1000/s".parse().unwrap());
        let memory = Memory::new();
        let demand = |rate| [Demand { limit: "calls", who: None, rate }];
        assert_eq!(memory.refuses(&demand(&rate)), None);
        memory.learn(&demand(&rate), &[rate.window()]);
        // An older answer that comes late changes nothing.
        memory.learn(&demand(&rate), &[rate.interval()]);
        assert!(
            memory.refuses(&demand(&rate)).is_some_and(|taken| !taken.passes && taken.debts[0] > rate.window() / 2)
        );
        // A limit that is another now: whoever counts says what is owed, and that is believed.
        assert_eq!(memory.refuses(&demand(&other)), None);
        memory.learn(&demand(&other), &[other.interval()]);
        assert_eq!(memory.refuses(&demand(&rate)), None);
    }

    #[test]
    fn a_flood_of_callers_is_remembered_within_bounds_and_loosens_no_limit_of_all() {
        let (all, each): (Rate, Rate) = ("100/m".parse().unwrap(), "5/d".parse().unwrap());
        let memory = Memory::new();
        let of_all = [Demand { limit: "calls", who: None, rate: &all }];
        while memory.take_at(Duration::ZERO, &of_all).passes {}
        for caller in 0..3 * MOST {
            let who = caller.to_string();
            assert!(memory.take_at(Duration::ZERO, &[Demand { limit: "x", who: Some(&who), rate: &each }]).passes);
            assert!(memory.len() <= MOST);
        }
        assert!(!memory.take_at(Duration::ZERO, &of_all).passes);
    }
}
