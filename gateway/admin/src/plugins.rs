//! The plugins as admins see them: what they offer, which version serves, what came of new ones.

use super::{
    caller::{Caller, Permission},
    state::AdminState,
    timestamp::Timestamp,
};
use menlou_action::Descriptor;
use menlou_error::Result;
use menlou_error::text::Text;
use menlou_policy::Access;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The plugins.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Plugins {
    /// Those that serve.
    pub plugins: Vec<PluginInfo>,
    /// How many versions this process has loaded; 2,000 is the most. Null for tenants' admins.
    pub generations: Option<u64>,
    /// Files that were refused; an earlier version may serve. Empty for tenants' admins.
    pub rejected: Vec<RejectedFile>,
    /// The latest changes, the newest first. Empty for tenants' admins.
    pub reloads: Vec<PluginReload>,
}

/// A plugin that serves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Which of all versions that this process has loaded.
    pub generation: u64,
    /// The version of the border that it was built for.
    pub abi: String,
    /// Its actions.
    pub actions: Vec<ActionInfo>,
}

/// What a plugin offers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ActionInfo {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub title: BilingualText,
    /// What it does.
    pub description: BilingualText,
    /// Who is served: anyone, session or user.
    pub access: &'static str,
    /// The JSON Schema of its settings in a tenant's file; null where it has none.
    pub settings: Value,
}

/// A sentence in Chinese and English.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BilingualText {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// A file that was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RejectedFile {
    /// The file's name.
    pub file: String,
    /// Why.
    pub why: BilingualText,
}

/// A change of the plugin folder, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PluginReload {
    /// When.
    pub at: Timestamp,
    /// The plugin.
    pub plugin: String,
    /// The version that serves from then on; null where none does.
    pub version: Option<String>,
    /// Its generation.
    pub generation: Option<u64>,
    /// How many tenants were built anew.
    pub tenants: usize,
    /// Why the new file was refused, and the version before serves on; null where it was taken up.
    pub rejected: Option<BilingualText>,
}

/// The plugins, with what the caller may know of them: what a plugin offers is for everyone to use.
///
/// # Errors
/// None that the caller could mend.
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
    let mut told = Plugins { plugins: plugins.collect(), generations: None, rejected: Vec::new(), reloads: Vec::new() };
    if caller.require_everywhere(Permission::Read).is_ok() {
        told.generations = Some(menlou_action::loaded_generations());
        let refused = library.rejected().iter().map(|refused| RejectedFile {
            file: refused.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            why: (&refused.why.text()).into(),
        });
        told.rejected = refused.collect();
        told.reloads = state.reload_history.latest().into_iter().map(PluginReload::from).collect();
    }
    Ok(told)
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

impl From<menlou_tenant::Swap> for PluginReload {
    fn from(swap: menlou_tenant::Swap) -> Self {
        let (version, generation) = swap.serving.unzip();
        Self {
            at: swap.at.into(),
            plugin: swap.plugin,
            version,
            generation,
            tenants: swap.tenants,
            rejected: swap.refused.as_ref().map(BilingualText::from),
        }
    }
}

impl From<&Text> for BilingualText {
    fn from(text: &Text) -> Self {
        Self { zh: text.zh.clone().into_owned(), en: text.en.clone().into_owned() }
    }
}
