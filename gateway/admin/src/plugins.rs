//! Listing the loaded plugins, the rejected plugin files and the latest reloads.

use super::{
    bilingual::BilingualText,
    caller::{Caller, Permission},
    state::AdminState,
    timestamp::Timestamp,
};
use menlou_action::Descriptor;
use menlou_error::Result;
use menlou_policy::Access;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The plugins of the gateway.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Plugins {
    /// The loaded plugins.
    pub plugins: Vec<PluginInfo>,
    /// The number of plugin versions that this process has loaded; the maximum is 2,000. Null for tenant admins.
    pub generations: Option<u64>,
    /// Plugin files that were rejected; an earlier version may still be serving. Empty for tenant admins.
    pub rejected: Vec<RejectedFile>,
    /// The latest reloads, newest first. Empty for tenant admins.
    pub reloads: Vec<PluginReload>,
}

/// A loaded plugin.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PluginInfo {
    /// The plugin's name.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// 1-based index of this version among all versions that this process has loaded.
    pub generation: u64,
    /// The version of the plugin ABI.
    pub abi: String,
    /// The actions that the plugin offers.
    pub actions: Vec<ActionInfo>,
}

/// An action that a plugin offers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActionInfo {
    /// The action's name.
    pub name: String,
    /// A title of a few words.
    pub title: BilingualText,
    /// What the action does.
    pub description: BilingualText,
    /// What a request needs: anyone, optional, session or user.
    pub access: &'static str,
    /// The JSON Schema of the action's settings in a tenant file; null if it has no settings.
    pub settings: Value,
}

/// A plugin file that was rejected.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RejectedFile {
    /// The file name.
    pub file: String,
    /// Why the file was rejected.
    pub why: BilingualText,
}

/// A change of the plugin folder and its result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PluginReload {
    /// When the change was processed.
    pub at: Timestamp,
    /// The plugin's name.
    pub plugin: String,
    /// The version that is serving since then; null if none is.
    pub version: Option<String>,
    /// The generation of this version.
    pub generation: Option<u64>,
    /// The number of tenants that were rebuilt.
    pub tenants: usize,
    /// Why the new file was rejected; null if it was loaded. After a rejection the previous version keeps serving.
    pub rejected: Option<BilingualText>,
}

/// The plugins, as far as the caller may see them. Every caller sees the loaded plugins and their actions.
///
/// # Errors
/// `forbidden`.
pub fn list(state: &AdminState, caller: &Caller) -> Result<Plugins> {
    caller.require_everywhere(Permission::Authenticated)?;
    let library = state.library.load();
    let plugins = library.plugins().iter().map(|plugin| PluginInfo {
        name: plugin.name.to_owned(),
        version: plugin.version.clone(),
        generation: plugin.generation,
        abi: format!("{}.{}", plugin.abi.0, plugin.abi.1),
        actions: plugin.actions.iter().map(ActionInfo::from).collect(),
    });
    let mut list = Plugins { plugins: plugins.collect(), generations: None, rejected: Vec::new(), reloads: Vec::new() };
    if caller.require_everywhere(Permission::Read).is_ok() {
        list.generations = Some(menlou_action::loaded_generations());
        let rejected = library.rejected().iter().map(|rejected| RejectedFile {
            file: rejected.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            why: (&rejected.why.text()).into(),
        });
        list.rejected = rejected.collect();
        list.reloads = state.reload_history.latest().into_iter().map(PluginReload::from).collect();
    }
    Ok(list)
}

impl From<&Descriptor> for ActionInfo {
    fn from(action: &Descriptor) -> Self {
        let access = match action.access {
            Access::Anyone => "anyone",
            Access::Optional => "optional",
            Access::Session => "session",
            Access::User => "user",
        };
        Self {
            name: action.name.clone(),
            title: (&action.title).into(),
            description: (&action.description).into(),
            access,
            settings: action.settings.as_json().clone(),
        }
    }
}

impl From<menlou_tenant::PluginReload> for PluginReload {
    fn from(reload: menlou_tenant::PluginReload) -> Self {
        let (version, generation) = reload.serving.unzip();
        Self {
            at: reload.at.into(),
            plugin: reload.plugin,
            version,
            generation,
            tenants: reload.tenants,
            rejected: reload.rejection.as_ref().map(BilingualText::from),
        }
    }
}
