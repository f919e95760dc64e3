//! The counters of attempts that are known to be used up, so that a flood of rejected attempts writes nothing to the store.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a counter is known to be used up. It is short, because another replica may reset it.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// Maximum number of counters in the table.
const MAX_COUNTERS: usize = 10_000;

/// Tenants and keys of counters, and until when each is known to be used up.
#[derive(Default)]
pub(super) struct ExhaustedCounters(Mutex<HashMap<(String, String), Instant>>);

impl ExhaustedCounters {
    /// Whether this counter is known to be used up.
    pub fn contains(&self, tenant: &str, key: &str, now: Instant) -> bool {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // An empty table, which is usual, costs no allocation.
        !table.is_empty() && table.get(&(tenant.to_owned(), key.to_owned())).is_some_and(|until| *until > now)
    }

    /// Adds a counter. A table that is full forgets those that have expired, or all.
    pub fn insert(&self, tenant: &str, key: String, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MAX_COUNTERS {
            table.retain(|_, until| *until > now);
        }
        if table.len() >= MAX_COUNTERS {
            table.clear();
        }
        table.insert((tenant.to_owned(), key), now + KNOWN_FOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_known_for_a_moment_in_its_tenant_only() {
        let (table, now) = (ExhaustedCounters::default(), Instant::now());
        table.insert("acme", "k".into(), now);
        assert!(table.contains("acme", "k", now) && !table.contains("acme", "l", now));
        assert!(!table.contains("beta", "k", now) && !table.contains("acme", "k", now + KNOWN_FOR));
    }

    #[test]
    fn the_table_is_bounded() {
        let (table, now) = (ExhaustedCounters::default(), Instant::now());
        for key in 0..3 * MAX_COUNTERS {
            table.insert("acme", key.to_string(), now);
        }
        assert!(table.0.lock().unwrap().len() <= MAX_COUNTERS);
        assert!(table.contains("acme", &(3 * MAX_COUNTERS - 1).to_string(), now));
    }
}
