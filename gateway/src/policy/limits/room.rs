//! Room for calls: so many at once in all, and for no tenant more than its share.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// For how long calls are turned away at the door, once one was further in: as long as it takes to get there.
const SHUT: Duration = Duration::from_millis(10);
/// What times are counted from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The room of the whole gateway.
pub struct Room {
    places: Arc<Semaphore>,
    per_tenant: Option<usize>,
}

/// Calls under way: of a tenant, of an action. A place counts in it until it is dropped.
#[derive(Default)]
pub(super) struct UnderWay {
    calls: AtomicUsize,
    /// Until when further ones are turned away; in milliseconds after [`START`], 0 where they are not.
    shut_ms: AtomicU64,
}

/// One call under way.
pub struct Place {
    of_tenant: Arc<UnderWay>,
    of_action: Arc<UnderWay>,
}

impl Room {
    /// So many calls at once, `per_tenant` of them at most of one tenant. Where that is not given, a tenant may take as
    /// many places as it leaves free: one busy tenant gets half, each of two a third, so there is always room for one
    /// more.
    pub fn new(places: usize, per_tenant: Option<usize>) -> Self {
        Self { places: Arc::new(Semaphore::new(places)), per_tenant }
    }

    /// A place for a call of whomever; `None` where there is no room.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// A place for a call of this tenant, which has entered; `None` where it is beyond the tenant's share of the room, or
    /// beyond what its file says of itself (first) or of the action.
    pub(super) fn place(
        &self,
        of_tenant: &Arc<UnderWay>,
        of_action: &Arc<UnderWay>,
        most: (Option<usize>, Option<usize>),
    ) -> Option<Place> {
        let count = |under_way: &UnderWay| under_way.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let (tenants, actions) = (count(of_tenant), count(of_action));
        // Counted until it is dropped, also where that is at once.
        let place = Place { of_tenant: of_tenant.clone(), of_action: of_action.clone() };
        let share = self.per_tenant.unwrap_or_else(|| self.places.available_permits() + 1);
        let within =
            tenants <= share && most.0.is_none_or(|most| tenants <= most) && most.1.is_none_or(|most| actions <= most);
        within.then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of_tenant.calls.fetch_sub(1, Ordering::Relaxed);
        self.of_action.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl UnderWay {
    /// Turns further calls away for a moment.
    pub fn shut(&self) {
        self.shut_ms.store(millis(START.elapsed() + SHUT), Ordering::Relaxed);
    }

    /// Whether they are turned away.
    pub fn is_shut(&self) -> bool {
        let until = self.shut_ms.load(Ordering::Relaxed);
        if until == 0 {
            return false;
        }
        let shut = millis(START.elapsed()) < until;
        if !shut {
            // Not a moment that was set meanwhile.
            let _ = self.shut_ms.compare_exchange(until, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
        shut
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One tenant after the other takes as many places as it gets; how many each got.
    fn taken(room: &Room, tenants: usize) -> Vec<usize> {
        let mut held = Vec::new();
        let mut take = |_| {
            let (of_tenant, of_action) = (Arc::default(), Arc::default());
            let places = (0..10_000).map_while(|_| {
                let entered = room.enter()?;
                room.place(&of_tenant, &of_action, (None, None)).map(|place| (entered, place))
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
        assert_eq!(taken(&Room::new(1000, None), 5), [500, 250, 125, 63, 31]);
        assert_eq!(taken(&Room::new(1, None), 2), [1, 0]);
        assert_eq!(taken(&Room::new(1000, Some(400)), 4), [400, 400, 200, 0]);
        assert_eq!(taken(&Room::new(10, Some(10)), 2), [10, 0]);
    }

    #[test]
    fn a_door_is_shut_for_a_moment() {
        let under_way = UnderWay::default();
        assert!(!under_way.is_shut());
        under_way.shut();
        assert!(under_way.is_shut());
        std::thread::sleep(2 * SHUT);
        assert!(!under_way.is_shut() && !under_way.is_shut());
    }

    #[test]
    fn a_place_is_given_back_also_by_who_got_none() {
        let room = Room::new(10, None);
        let (of_tenant, of_action) = (Arc::default(), Arc::default());
        let place = |most| room.place(&of_tenant, &of_action, most);
        let held = place((Some(1), None));
        assert!(held.is_some());
        for most in [(Some(1), None), (None, Some(1))] {
            assert!((0..100).all(|_| place(most).is_none()));
        }
        drop(held);
        assert!(place((Some(1), Some(1))).is_some());
    }
}
