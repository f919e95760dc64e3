//! AdmissionController for calls: so many at once in all, for no tenant more than its share, and no more than can be kept up with.

use super::cpu_load::CpuLoad;
use metrics::{Counter, counter};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many calls of an action are served however long they take.
const MIN_CONCURRENCY: usize = 256;
/// Calls that usually take longer than this take long, until they take a quarter of it: where fewer are let in they take
/// less, and are not to be let in all at once for that.
const LONG: Duration = Duration::from_millis(50);
/// Calls that take less of the processors than this are served: to refuse one takes a third of it.
const DEAR: Duration = Duration::from_micros(50);
/// Over so long it is measured what a call takes.
const SPAN: Duration = Duration::from_millis(100);

/// The room of the whole gateway.
pub struct AdmissionController {
    places: Arc<Semaphore>,
    per_tenant: Option<usize>,
    pressure: CpuLoad,
    /// Requests rejected because `max_concurrent_requests` was reached.
    shed_at_limit: Counter,
    /// Requests rejected because the CPU was saturated.
    shed_by_cpu: Counter,
}

/// Calls under way: of a tenant, of an action. A place counts in it until it is dropped.
#[derive(Default)]
pub(super) struct InFlightStats {
    calls: AtomicUsize,
    /// How long they usually take, in microseconds: the later ones count for more.
    usual: AtomicU32,
    long: AtomicBool,
    /// How many have been done.
    done: AtomicU64,
    worth: Mutex<Worth>,
}

/// What is known of how much of the processors a call takes.
struct Worth {
    dear: bool,
    /// When it was found out, and how many had been done by then.
    since: (Instant, u64),
}

impl Default for Worth {
    fn default() -> Self {
        Self { dear: false, since: (Instant::now(), 0) }
    }
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The tenant or the action has all that it may have.
    Share,
    /// More come than the processors can serve: one more would only have all of them take longer.
    CpuLoad,
}

/// One call under way.
pub struct Permit {
    of_tenant: Arc<InFlightStats>,
    of_action: Arc<InFlightStats>,
}

impl AdmissionController {
    /// So many calls at once, `per_tenant` of them at most of one tenant. Where that is not given, a tenant may take as
    /// many places as it leaves free: one busy tenant gets half, each of two a third, so there is always room for one
    /// more.
    pub fn new(places: usize, per_tenant: Option<usize>) -> Self {
        let shed = |reason| counter!("menlou_requests_shed_total", "reason" => reason, "tenant" => "");
        Self {
            places: Arc::new(Semaphore::new(places)),
            per_tenant,
            pressure: CpuLoad::new(),
            shed_at_limit: shed("max_concurrent_requests"),
            shed_by_cpu: shed("cpu_saturated"),
        }
    }

    /// A place for a call of whomever; `None` where there is no room.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().try_acquire_owned().ok();
        if place.is_none() {
            self.shed_at_limit.increment(1);
        }
        place
    }

    /// A place for a call of this tenant, which has entered; none where it is beyond the tenant's share of the room, or
    /// beyond what its file says of itself (first) or of the action.
    ///
    /// And none where the gateway can't keep up: where the action's calls take long, many of them are under way, and the
    /// processors are busy. Calls that wait for a slow platform are not meant by that, nor is a rush of short ones, nor
    /// those that are served nearly as fast as they are refused.
    pub(super) fn place(
        &self,
        of_tenant: &Arc<InFlightStats>,
        of_action: &Arc<InFlightStats>,
        most: (Option<usize>, Option<usize>),
    ) -> Result<Permit, Full> {
        let count = |under_way: &InFlightStats| under_way.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let (tenants, actions) = (count(of_tenant), count(of_action));
        // Counted until it is dropped, also where that is at once.
        let place = Permit { of_tenant: of_tenant.clone(), of_action: of_action.clone() };
        let share = self.per_tenant.unwrap_or_else(|| self.places.available_permits() + 1);
        let within =
            tenants <= share && most.0.is_none_or(|most| tenants <= most) && most.1.is_none_or(|most| actions <= most);
        match within {
            true if actions > MIN_CONCURRENCY
                && of_action.takes_long()
                && self.pressure.is_saturated()
                && of_action.is_dear(self.pressure.processors()) =>
            {
                self.shed_by_cpu.increment(1);
                Err(Full::CpuLoad)
            }
            true => Ok(place),
            false => Err(Full::Share),
        }
    }
}

impl InFlightStats {
    /// One of them took this long.
    pub fn took(&self, time: Duration) {
        self.done.fetch_add(1, Ordering::Relaxed);
        let time = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let usual = self.usual.load(Ordering::Relaxed);
        // Of several at once, one may not count: this is no sum.
        let usual = usual - usual / 16 + time / 16;
        self.usual.store(usual, Ordering::Relaxed);
        let (long, usual) = (self.takes_long(), Duration::from_micros(usual.into()));
        if long && usual < LONG / 4 || !long && usual > LONG {
            self.long.store(!long, Ordering::Relaxed);
        }
    }

    /// Whether each takes much of the processors, if they have had nothing else to do lately.
    fn is_dear(&self, processors: f64) -> bool {
        let mut worth = self.worth.lock().unwrap_or_else(PoisonError::into_inner);
        let (done, span) = (self.done.load(Ordering::Relaxed), worth.since.0.elapsed());
        if span >= SPAN {
            let each = span.as_secs_f64() * processors / done.saturating_sub(worth.since.1) as f64;
            // What was begun long ago tells of another time.
            worth.dear = span < 10 * SPAN && each > DEAR.as_secs_f64();
            worth.since = (Instant::now(), done);
        }
        worth.dear
    }

    fn takes_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of_tenant.calls.fetch_sub(1, Ordering::Relaxed);
        self.of_action.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tenant after the other takes as many places as it gets; how many each got.
    fn taken(room: &AdmissionController, tenants: usize) -> Vec<usize> {
        let mut held = Vec::new();
        let mut take = |_| {
            let (of_tenant, of_action) = (Arc::default(), Arc::default());
            let places = (0..10_000).map_while(|_| {
                let entered = room.enter()?;
                room.place(&of_tenant, &of_action, (None, None)).ok().map(|place| (entered, place))
            });
            let places: Vec<_> = places.collect();
            let count = places.len();
            held.push(places);
            count
        };
        (0..tenants).map(&mut take).collect()
    }

    #[test]
    fn a_greedy_tenant_leaves_as_many_places_as_it_takes() {
        assert_eq!(taken(&AdmissionController::new(1000, None), 5), [500, 250, 125, 63, 31]);
        assert_eq!(taken(&AdmissionController::new(1, None), 2), [1, 0]);
        assert_eq!(taken(&AdmissionController::new(1000, Some(400)), 4), [400, 400, 200, 0]);
        assert_eq!(taken(&AdmissionController::new(10, Some(10)), 2), [10, 0]);
    }

    #[test]
    fn a_place_is_given_back_also_by_who_got_none() {
        let room = AdmissionController::new(10, None);
        let (of_tenant, of_action) = (Arc::default(), Arc::default());
        let place = |most| room.place(&of_tenant, &of_action, most);
        let held = place((Some(1), None));
        assert!(held.is_ok());
        for most in [(Some(1), None), (None, Some(1))] {
            assert!((0..100).all(|_| matches!(place(most), Err(Full::Share))));
        }
        drop(held);
        assert!(place((Some(1), Some(1))).is_ok());
    }

    /// How many calls of an action that takes this long get places where the processors are busy or aren't, and so many
    /// of it were done in the last span.
    fn placed(takes: Duration, busy: bool, done: u64) -> usize {
        let room = AdmissionController { pressure: CpuLoad::fixed(busy), ..AdmissionController::new(10_000, None) };
        let (of_tenant, of_action) = (Arc::default(), Arc::<InFlightStats>::default());
        (0..100).for_each(|_| of_action.took(takes));
        let begun = Instant::now().checked_sub(SPAN).unwrap();
        of_action.done.store(done, Ordering::Relaxed);
        of_action.worth.lock().unwrap().since = (begun, 0);
        let places = (0..2 * MIN_CONCURRENCY).map(|_| room.place(&of_tenant, &of_action, (None, None)));
        let places: Vec<_> = places.collect();
        assert!(places.iter().all(|place| !matches!(place, Err(Full::Share))));
        places.iter().filter(|place| place.is_ok()).count()
    }

    #[test]
    fn where_the_processors_are_busy_an_action_that_takes_long_gets_no_more_places_than_it_can_use() {
        let (long, short) = (2 * LONG, LONG / 2);
        assert_eq!(
            (placed(long, false, 10), placed(short, true, 10), placed(long, true, 10)),
            (2 * MIN_CONCURRENCY, 2 * MIN_CONCURRENCY, MIN_CONCURRENCY)
        );
    }

    #[test]
    fn where_the_processors_are_busy_calls_that_take_little_of_them_are_served_however_long_they_wait() {
        // With so many done in a tenth of a second, each took 1 µs of one processor at most.
        assert_eq!(placed(2 * LONG, true, 100_000), 2 * MIN_CONCURRENCY);
    }
}
