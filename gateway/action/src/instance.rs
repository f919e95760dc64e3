//! One tenant's use of an action: its settings made ready, its services at hand.

use super::{
    configure::{SettingsFaults, Setup},
    descriptor::Descriptor,
    plugin::Plugin,
    services::TenantScope,
};
use ::menlou_upstream::Upstream;
use menlou_abi::{MENLOU_READY, menlou_str, menlou_upstream};
use menlou_config::zeroize;
use menlou_policy::Access;
use serde_json::Value;
use std::{ffi::c_void, ptr, sync::Arc};

/// An action with one tenant's settings made ready, not yet serving.
pub struct ConfiguredAction {
    plugin: Arc<Plugin>,
    index: usize,
    access: Access,
    settings: *mut c_void,
    /// What the settings point to.
    upstreams: Vec<Arc<Upstream>>,
}

/// An action as one tenant has it, serving.
pub struct Action {
    configured: ConfiguredAction,
    pub(super) scope: TenantScope,
}

/// An action under the name by which clients call it.
#[derive(Clone, Copy)]
pub struct NamedAction<'a> {
    /// The `a` of its requests.
    pub name: &'a str,
    /// Who is served.
    pub access: Access,
    /// What the plugin says of it.
    pub descriptor: &'a Descriptor,
}

// SAFETY: the border makes a plugin's settings and functions fit for any thread.
unsafe impl Send for ConfiguredAction {}
// SAFETY: as above.
unsafe impl Sync for ConfiguredAction {}

impl ConfiguredAction {
    /// Makes ready the action `index` of a plugin, which the tenant calls `action`, with settings that fit its schema.
    ///
    /// # Errors
    /// The faults that the plugin tells.
    pub fn new(
        plugin: Arc<Plugin>,
        index: usize,
        (tenant, action): (&str, &str),
        settings: &Value,
    ) -> Result<Self, SettingsFaults> {
        let access = access(&plugin.actions[index], settings);
        let mut configured = Self { plugin, index, access, settings: ptr::null_mut(), upstreams: Vec::new() };
        if let Some(configure) = configured.descriptor().raw.configure {
            let mut setup = Setup { tenant, action, settings, faults: Vec::new(), upstreams: Vec::new() };
            let (host, json) = (configured.plugin.host(), zeroize::to_json(settings));
            let (tenant, json) = (menlou_str::new(tenant.as_bytes()), menlou_str::new(&json));
            let mut made = ptr::null_mut();
            // SAFETY: as the border says; `setup` is what the host's functions take it for, and lives during the call.
            let code = unsafe { configure(host, (&raw mut setup).cast(), tenant, json, &mut made) };
            let Setup { mut faults, upstreams, .. } = setup;
            if code != MENLOU_READY {
                if faults.is_empty() {
                    let (zh, en) = ("插件拒绝了这些设置", "the plugin refuses these settings");
                    faults.push((String::new(), format!("{zh}（{code}）"), format!("{en} ({code})")));
                }
                return Err(faults);
            }
            (configured.settings, configured.upstreams) = (made, upstreams);
        }
        Ok(configured)
    }

    /// Puts it to work with the tenant's services. Inside the runtime: health checks of its upstreams begin.
    pub fn serve(self, scope: TenantScope) -> Action {
        self.upstreams.iter().for_each(|upstream| upstream.start(&scope.services.http));
        Action { configured: self, scope }
    }

    /// Who is served in this tenant.
    pub fn access(&self) -> Access {
        self.access
    }

    /// What the plugin says of it.
    pub fn descriptor(&self) -> &Descriptor {
        &self.plugin.actions[self.index]
    }
}

impl Action {
    /// What the plugin says of it.
    pub fn descriptor(&self) -> &Descriptor {
        self.configured.descriptor()
    }

    /// Who is served in this tenant.
    pub fn access(&self) -> Access {
        self.configured.access
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.configured.plugin
    }

    /// Reads a word of all that a call touches, for the processor to have it near; the number says nothing.
    pub fn near(self: &Arc<Self>) -> usize {
        let plugin = Arc::strong_count(self.plugin()) + self.configured.index;
        Arc::strong_count(self) + plugin + self.settings().addr() + self.scope.tenant.len()
    }

    pub(super) fn settings(&self) -> *const c_void {
        self.configured.settings
    }

    /// The upstream behind a pointer, if it is one of this action's.
    pub(super) fn upstream(&self, handle: *const menlou_upstream) -> Option<&Arc<Upstream>> {
        self.configured.upstreams.iter().find(|upstream| Arc::as_ptr(upstream).cast() == handle)
    }
}

impl<'a> NamedAction<'a> {
    /// An action under the plugin's own name for it.
    pub fn new(descriptor: &'a Descriptor) -> Self {
        Self { name: &descriptor.name, access: descriptor.access, descriptor }
    }

    /// An action as a tenant's file has it; the settings need not be checked.
    pub fn for_tenant(name: &'a str, descriptor: &'a Descriptor, settings: &Value) -> Self {
        Self { name, access: access(descriptor, settings), descriptor }
    }
}

/// Who is served, as the descriptor or the tenant's setting says. What the setting can't be, the plugin's schema refused.
fn access(descriptor: &Descriptor, settings: &Value) -> Access {
    match settings.get("login").and_then(Value::as_str).filter(|_| descriptor.access_by_setting) {
        Some("none") => Access::Optional,
        Some("required") => Access::User,
        _ => descriptor.access,
    }
}

impl Drop for ConfiguredAction {
    fn drop(&mut self) {
        if let Some(release) = self.descriptor().raw.release.filter(|_| !self.settings.is_null()) {
            // SAFETY: from `configure`; calls in flight keep the action, so none uses it any more.
            unsafe { release(self.settings) }
        }
    }
}
