//! The tenants that serve: found by one atomic load, swapped as a whole; beside them how each stands.

use super::{Tenant, TenantAction};
use arc_swap::ArcSwap;
use menlou_config::config_error::ConfigError;
use smol_str::SmolStr;
use std::{
    collections::{BTreeMap, HashMap},
    hint::black_box,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many of a tenant's actions are fetched at once, to find the one that is called.
const LOOKED_AT: usize = 8;

/// Who serves, by name.
#[derive(Default)]
pub struct TenantRegistry {
    tenants: ArcSwap<HashMap<SmolStr, Entry>>,
    standing: Mutex<BTreeMap<String, TenantStatus>>,
}

/// A tenant, and its actions beside it: the processor fetches both at once, from afar where there are many tenants.
#[derive(Clone)]
struct Entry {
    tenant: Arc<Tenant>,
    actions: Arc<[TenantAction]>,
}

/// How a tenant's file stands.
#[derive(Clone, Debug, Default)]
pub struct TenantStatus {
    /// Whether some version of it serves.
    pub serving: bool,
    /// What is wrong with the file as it is now.
    pub faults: Vec<ConfigError>,
}

impl TenantRegistry {
    /// The tenant of this name. The caller keeps it through a reload.
    pub fn find(&self, name: &str) -> Option<Arc<Tenant>> {
        let tenants = self.tenants.load();
        let Entry { tenant, actions } = tenants.get(name)?;
        // Before its owners are counted: the processor would wait for that, and only then go for the actions.
        black_box(actions.iter().take(LOOKED_AT).fold(tenant.name.len(), |sum, action| sum + action.name.len()));
        Some(tenant.clone())
    }

    /// Tells the metrics of the calls that came since they were told last.
    pub fn flush_metrics(&self) {
        self.tenants.load().values().for_each(|entry| entry.tenant.flush_metrics());
    }

    /// How many serve.
    pub fn len(&self) -> usize {
        self.tenants.load().len()
    }

    /// Whether none serves.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many files have faults.
    pub fn invalid_count(&self) -> usize {
        self.standing().values().filter(|standing| !standing.faults.is_empty()).count()
    }

    /// How one file stands.
    pub fn status(&self, name: &str) -> Option<TenantStatus> {
        self.standing().get(name).cloned()
    }

    /// The first `most` wanted files behind this name, by the tenant's name (or the file's, where that is no tenant's name)
    /// and in the order of it, and how each stands. Who wants them sees the version that serves, if one does.
    pub fn statuses_after(
        &self,
        name: &str,
        most: usize,
        wanted: impl Fn(&str, &TenantStatus, Option<&Tenant>) -> bool,
    ) -> Vec<(String, TenantStatus)> {
        let (tenants, standing) = (self.tenants.load(), self.standing());
        let behind = standing.range::<str, _>((Bound::Excluded(name), Bound::Unbounded));
        let wanted = behind
            .filter(|(name, standing)| wanted(name, standing, tenants.get(name.as_str()).map(|entry| &*entry.tenant)));
        wanted.take(most).map(|(name, standing)| (name.clone(), standing.clone())).collect()
    }

    /// Takes changes up, all at once: `Some` replaces a tenant, `None` takes it away.
    pub(super) fn swap(&self, changes: Vec<(String, Option<Arc<Tenant>>)>) {
        if changes.is_empty() {
            return;
        }
        let mut tenants = HashMap::clone(&self.tenants.load());
        for (name, tenant) in changes {
            match tenant {
                Some(tenant) => tenants.insert(name.into(), Entry { actions: tenant.actions.clone(), tenant }),
                None => tenants.remove(name.as_str()),
            };
        }
        self.tenants.store(Arc::new(tenants));
    }

    pub(super) fn set_standing(&self, standing: BTreeMap<String, TenantStatus>) {
        // The old is dropped when others can look again.
        let _old = std::mem::replace(&mut *self.standing(), standing);
    }

    fn standing(&self) -> MutexGuard<'_, BTreeMap<String, TenantStatus>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
