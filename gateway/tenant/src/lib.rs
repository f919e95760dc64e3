//! Tenants: built from the files of a folder, found by name, and reloaded while requests are served.

mod activity;
mod added_errors;
mod build;
mod encrypt_secrets;
mod files;
mod folder;
mod fs_watch;
mod plugin_reload;
mod redaction;
mod registry;
mod reload;
mod reload_trigger;
mod secret_pointers;
mod template;
mod tenant_action;
mod tenant_admin_policy;
mod verify;
mod view;

pub use activity::{ActionUsage, Activity, MINUTES, MinuteStats, RecentFailure};
pub use build::{ValidatedTenant, check, check_folder, enabled_actions};
pub use encrypt_secrets::{encrypt_secrets, rotate_secret};
pub use files::{Revision, SavedTenantFile, StoredTenantFile, TenantFileError, TenantFiles, list_names, lock_folder};
pub use folder::read_bytes;
use menlou_action::{ConfiguredAction, Plugin, Services, TenantScope};
use menlou_policy::{
    Access,
    cors::Cors,
    rate_limits::{RateLimiter, RequestLimits},
};
pub use plugin_reload::{PluginReload, PluginReloader, ReloadHistory};
pub use redaction::{Audience, redact};
pub use registry::{TenantRegistry, TenantStatus};
pub use reload::TenantWatcher;
pub use reload_trigger::{ReloadRequests, ReloadTrigger};
pub use secret_pointers::secret_pointers;
use smol_str::SmolStr;
use std::sync::Arc;
pub use template::{NewTenant, new_tenant_file};
pub use tenant_action::TenantAction;
pub use tenant_admin_policy::tenant_admin_violations;
pub use verify::logs_in_by_phone;
pub use view::{MASK, SettingsView, view};

/// A tenant in service. A request keeps its tenant until it ends, even if the tenant is reloaded meanwhile.
pub struct Tenant {
    /// The `f` of its requests.
    pub name: String,
    /// Its display name.
    pub title: String,
    /// Recent requests and failures.
    pub activity: Arc<Activity>,
    /// Which web pages may send requests, if any.
    pub cors: Option<Box<Cors>>,
    /// In the order of their names.
    actions: Arc<[TenantAction]>,
}

impl Tenant {
    /// Builds a tenant from its validated file. It continues the activity of its predecessor.
    pub fn new(
        validated: ValidatedTenant,
        services: &Arc<Services>,
        limiter: &Arc<RateLimiter>,
        activity: Arc<Activity>,
    ) -> Self {
        let ValidatedTenant { name, title, credentials, session_ttl, actions, cors, limits, mut action_limits, .. } =
            validated;
        activity.retain_actions(|action| actions.contains_key(action));
        let (http, store) = (services.http.clone(), services.stores.ephemeral.clone());
        let platform = menlou_platform::build(credentials, &name, http, store);
        let tenant = SmolStr::new(&name);
        let enable = |(action, configured): (String, Option<ConfiguredAction>)| {
            let own = action_limits.remove(&action).unwrap_or_default();
            let needs_session = configured.as_ref().is_some_and(|c| c.access() != Access::Anyone);
            let limits = RequestLimits::new((&name, &action), (&limits, &own), needs_session, limiter.clone());
            let usage = activity.for_action(&action);
            let serving = configured.map(|configured| {
                let (tenant, platform, services) = (tenant.clone(), platform.clone(), services.clone());
                let scope = TenantScope { tenant, session_ttl, platform, services, session_counter: usage.clone() };
                Arc::new(configured.serve(scope))
            });
            TenantAction::new(&action, serving, limits, usage)
        };
        let actions = actions.into_iter().map(enable).collect();
        Self { actions, cors: Cors::new(&cors).map(Box::new), name: name.clone(), title, activity: activity.clone() }
    }

    /// The plugins that it uses.
    fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.actions().filter_map(|tenant_action| Some(tenant_action.action.as_ref()?.plugin().clone())).collect()
    }

    /// The action of this name, if it is enabled.
    pub fn action(&self, name: &str) -> Option<&TenantAction> {
        self.find(name).map(|(_, tenant_action)| tenant_action)
    }

    /// As [`Tenant::action`], with the action's index. The index is valid for this tenant only, not after a reload.
    pub fn find(&self, name: &str) -> Option<(usize, &TenantAction)> {
        let at = self.actions.binary_search_by(|tenant_action| tenant_action.name.as_str().cmp(name)).ok()?;
        Some((at, self.action_at(at)?))
    }

    /// The action at an index from [`Tenant::find`].
    pub fn action_at(&self, at: usize) -> Option<&TenantAction> {
        self.actions.get(at)
    }

    /// Adds the requests since the last flush to the metrics.
    fn flush_metrics(&self) {
        self.actions.iter().for_each(|tenant_action| tenant_action.flush_metrics(&self.name));
    }

    /// Every action that is enabled, in the order of their names.
    pub fn actions(&self) -> impl Iterator<Item = &TenantAction> {
        self.actions.iter()
    }
}

impl Drop for Tenant {
    /// Flushes the last requests. After a reload the next tenant counts the following ones.
    fn drop(&mut self) {
        self.flush_metrics();
    }
}
