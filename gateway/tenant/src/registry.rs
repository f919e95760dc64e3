//! The tenants in service, found by one atomic load, and the status of each tenant file.

use super::{Tenant, TenantAction};
use arc_swap::ArcSwap;
use menlou_config::config_error::ConfigError;
use smol_str::SmolStr;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hint::black_box,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Number of a tenant's actions that are prefetched for the look-up of one.
const MAX_PREFETCHED: usize = 8;

/// The tenants in service by name, and the status of their files.
#[derive(Default)]
pub struct TenantRegistry {
    tenants: ArcSwap<HashMap<SmolStr, Entry>>,
    statuses: Mutex<BTreeMap<String, TenantStatus>>,
}

/// A tenant and its actions side by side, so that the CPU loads both in parallel.
#[derive(Clone)]
struct Entry {
    tenant: Arc<Tenant>,
    actions: Arc<[TenantAction]>,
}

/// The status of a tenant file.
#[derive(Clone, Debug, Default)]
pub struct TenantStatus {
    /// Whether a version of it is in service.
    pub serving: bool,
    /// The errors of the current file.
    pub errors: Vec<ConfigError>,
}

impl TenantRegistry {
    /// The tenant of this name. It stays valid if the tenant is reloaded meanwhile.
    pub fn find(&self, name: &str) -> Option<Arc<Tenant>> {
        let tenants = self.tenants.load();
        let Entry { tenant, actions } = tenants.get(name)?;
        // Before the reference count is incremented: the CPU would wait for that before it loads the actions.
        black_box(actions.iter().take(MAX_PREFETCHED).fold(tenant.name.len(), |sum, action| sum + action.name.len()));
        Some(tenant.clone())
    }

    /// Adds the requests since the last flush to the metrics.
    pub fn flush_metrics(&self) {
        self.tenants.load().values().for_each(|entry| entry.tenant.flush_metrics());
    }

    /// The names of all actions of all tenants in service.
    pub fn action_names(&self) -> HashSet<SmolStr> {
        self.tenants.load().values().flat_map(|entry| entry.actions.iter().map(|action| action.name.clone())).collect()
    }

    /// Whether a tenant is in service and has this action, if one is given.
    pub fn has_action(&self, tenant: &str, action: Option<&str>) -> bool {
        let tenants = self.tenants.load();
        let tenant = tenants.get(tenant).map(|entry| &entry.tenant);
        tenant.is_some_and(|tenant| action.is_none_or(|action| tenant.find(action).is_some()))
    }

    /// Number of tenants in service.
    pub fn len(&self) -> usize {
        self.tenants.load().len()
    }

    /// Whether no tenant is in service.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of files with errors.
    pub fn invalid_count(&self) -> usize {
        self.statuses().values().filter(|status| !status.errors.is_empty()).count()
    }

    /// The status of one tenant file.
    pub fn status(&self, name: &str) -> Option<TenantStatus> {
        self.statuses().get(name).cloned()
    }

    /// The status of the first `max` files after `name` that `filter` accepts, sorted by the tenant's name, or by the file's
    /// path if its name is not a valid one. `filter` gets the tenant in service too, if there is one.
    pub fn statuses_after(
        &self,
        name: &str,
        max: usize,
        filter: impl Fn(&str, &TenantStatus, Option<&Tenant>) -> bool,
    ) -> Vec<(String, TenantStatus)> {
        let (tenants, statuses) = (self.tenants.load(), self.statuses());
        let tenant = |name: &str| tenants.get(name).map(|entry| &*entry.tenant);
        let after = statuses.range::<str, _>((Bound::Excluded(name), Bound::Unbounded));
        let accepted = after.filter(|(name, status)| filter(name, status, tenant(name)));
        accepted.take(max).map(|(name, status)| (name.clone(), status.clone())).collect()
    }

    /// Applies changes atomically: `Some` adds or replaces a tenant, `None` removes it.
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

    pub(super) fn set_statuses(&self, statuses: BTreeMap<String, TenantStatus>) {
        // The old map is dropped after the lock is released.
        let _old = std::mem::replace(&mut *self.statuses(), statuses);
    }

    fn statuses(&self) -> MutexGuard<'_, BTreeMap<String, TenantStatus>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
