//! One action of one tenant: the plugin's prepared settings, and the tenant's services.

use super::{
    configure::{ConfigureContext, SettingsErrors},
    descriptor::Descriptor,
    plugin::Plugin,
    plugin_thread::NotReturned,
    services::TenantScope,
};
use ::menlou_upstream::Upstream;
use menlou_abi::{MENLOU_READY, menlou_str, menlou_upstream};
use menlou_config::zeroize::{self, Zeroized};
use menlou_policy::Access;
use serde_json::Value;
use std::{ffi::c_void, ptr, sync::Arc, time::Duration};

/// Time for one `configure` or `release` of a plugin.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(5);

/// An action with one tenant's settings, as prepared by the plugin. It does not serve yet.
pub struct ConfiguredAction {
    plugin: Arc<Plugin>,
    index: usize,
    access: Access,
    /// The plugin's own value, from `configure`. May be NULL.
    settings: *mut c_void,
    /// The upstreams that the plugin created. Its settings point to them.
    upstreams: Vec<Arc<Upstream>>,
}

/// An action that serves a tenant's requests.
pub struct Action {
    configured: ConfiguredAction,
    pub(super) scope: TenantScope,
}

/// An action and the name that clients use for it.
#[derive(Clone, Copy)]
pub struct NamedAction<'a> {
    /// The value of `a` in requests.
    pub name: &'a str,
    /// Which callers are served.
    pub access: Access,
    /// The plugin's description of the action.
    pub descriptor: &'a Descriptor,
}

// SAFETY: the ABI requires that a plugin's settings may be shared between threads, and its functions called on any.
unsafe impl Send for ConfiguredAction {}
// SAFETY: as above.
unsafe impl Sync for ConfiguredAction {}

impl ConfiguredAction {
    /// Lets the plugin prepare settings for its action number `index`, which the tenant calls `action`. The settings must
    /// match the action's schema.
    ///
    /// # Errors
    /// The errors that the plugin reports.
    pub fn new(
        plugin: Arc<Plugin>,
        index: usize,
        (tenant, action): (&str, &str),
        settings: &Value,
    ) -> Result<Self, SettingsErrors> {
        let access = access(&plugin.actions[index], settings);
        let mut configured = Self { plugin, index, access, settings: ptr::null_mut(), upstreams: Vec::new() };
        if let Some(configure) = configured.descriptor().raw.configure {
            let settings = Zeroized::from(settings.clone());
            let (tenant, action) = (tenant.to_owned(), action.to_owned());
            let abandoned = configured.plugin.abandoned.clone();
            let run = move || {
                let mut context = ConfigureContext::new(&tenant, &action, &settings);
                let (host, json) = (configured.plugin.host(), zeroize::to_json(&settings));
                let (tenant, json) = (menlou_str::new(tenant.as_bytes()), menlou_str::new(&json));
                let mut prepared = ptr::null_mut();
                // SAFETY: the arguments are what the ABI requires. Host functions use `context` only while `configure` runs.
                let code = unsafe { configure(host, (&raw mut context).cast(), tenant, json, &mut prepared) };
                let ConfigureContext { mut errors, upstreams, .. } = context;
                if code != MENLOU_READY {
                    if errors.is_empty() {
                        let (zh, en) = ("插件拒绝了这些设置", "the plugin rejects these settings");
                        errors.push((String::new(), format!("{zh}（{code}）"), format!("{en} ({code})")));
                    }
                    return Err(errors);
                }
                (configured.settings, configured.upstreams) = (prepared, upstreams);
                Ok(configured)
            };
            return abandoned.run(SETTINGS_TIMEOUT, run).unwrap_or_else(|NotReturned| {
                let seconds = SETTINGS_TIMEOUT.as_secs();
                let zh = format!("插件的 configure 在 {seconds} 秒内没有返回：请修复插件，然后重启网关");
                let en = format!("configure of the plugin did not return within {seconds} s: fix the plugin, then restart the gateway");
                Err(vec![(String::new(), zh, en)])
            });
        }
        Ok(configured)
    }

    /// Adds the tenant's services and starts the health checks of the upstreams. Must run inside the Tokio runtime.
    pub fn serve(self, scope: TenantScope) -> Action {
        self.upstreams.iter().for_each(|upstream| upstream.start(&scope.services.http));
        Action { configured: self, scope }
    }

    /// Which callers the tenant serves.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The plugin's description of the action.
    pub fn descriptor(&self) -> &Descriptor {
        &self.plugin.actions[self.index]
    }
}

impl Action {
    /// The plugin's description of the action.
    pub fn descriptor(&self) -> &Descriptor {
        self.configured.descriptor()
    }

    /// Which callers the tenant serves.
    pub fn access(&self) -> Access {
        self.configured.access
    }

    /// The plugin of the action.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.configured.plugin
    }

    /// Reads a value from each allocation that a call uses, to bring it into the processor's cache. The result has no
    /// meaning; it keeps the compiler from removing the reads.
    pub fn prefetch(self: &Arc<Self>) -> usize {
        let plugin = Arc::strong_count(self.plugin()) + self.configured.index;
        Arc::strong_count(self) + plugin + self.settings().addr() + self.scope.tenant.len()
    }

    pub(super) fn settings(&self) -> *const c_void {
        self.configured.settings
    }

    /// The upstream of a handle, or `None` if the handle is not one of this action's upstreams.
    pub(super) fn upstream(&self, handle: *const menlou_upstream) -> Option<&Arc<Upstream>> {
        self.configured.upstreams.iter().find(|upstream| Arc::as_ptr(upstream).cast() == handle)
    }
}

impl<'a> NamedAction<'a> {
    /// An action under its own name.
    pub fn new(descriptor: &'a Descriptor) -> Self {
        Self { name: &descriptor.name, access: descriptor.access, descriptor }
    }

    /// An action under a tenant's name for it. The settings need not be validated yet.
    pub fn for_tenant(name: &'a str, descriptor: &'a Descriptor, settings: &Value) -> Self {
        Self { name, access: access(descriptor, settings), descriptor }
    }
}

/// Which callers are served: as the descriptor says, or the tenant's setting if the descriptor leaves the choice to it. The
/// action's schema rejects other values.
fn access(descriptor: &Descriptor, settings: &Value) -> Access {
    match settings.get("auth").and_then(Value::as_str).filter(|_| descriptor.access_by_setting) {
        Some("optional") => Access::Optional,
        Some("required") => Access::User,
        _ => descriptor.access,
    }
}

impl Drop for ConfiguredAction {
    fn drop(&mut self) {
        if let Some(release) = self.descriptor().raw.release.filter(|_| !self.settings.is_null()) {
            let settings = self.settings.expose_provenance();
            // SAFETY: `settings` is from `configure` and is released here only. Running calls own the action, so there are
            // none. The pointer crosses to the thread with its provenance exposed.
            let run = move || unsafe { release(ptr::with_exposed_provenance_mut(settings)) };
            if self.plugin.abandoned.run(SETTINGS_TIMEOUT, run).is_err() {
                let (plugin, action) = (self.plugin.name, &self.descriptor().name);
                tracing::error!(
                    plugin,
                    action,
                    "release of the plugin did not return: only a restart frees the thread that it keeps"
                );
            }
        }
    }
}
