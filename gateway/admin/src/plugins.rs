//! The plugins as admins see them: what they offer, which version serves, what came of new ones.

use super::{
    caller::{Caller, Right},
    state::AdminState,
    time::Time,
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
    pub plugins: Vec<Plugin>,
    /// How many versions this process has loaded; 2,000 is the most. Null for tenants' admins.
    pub generations: Option<u64>,
    /// Files that were refused; an earlier version may serve. Empty for tenants' admins.
    pub refused: Vec<Refused>,
    /// The latest changes, the newest first. Empty for tenants' admins.
    pub swaps: Vec<Swap>,
}

/// A plugin that serves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Plugin {
    /// Its name.
    pub name: String,
    /// Its own version.
    pub version: String,
    /// Which of all versions that this process has loaded.
    pub generation: u64,
    /// The version of the border that it was built for.
    pub abi: String,
    /// Its actions.
    pub actions: Vec<Action>,
}

/// What a plugin offers.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// What it is, in a few words.
    pub title: Both,
    /// What it does.
    pub description: Both,
    /// Who is served: anyone, session or user.
    pub access: &'static str,
    /// The JSON Schema of its settings in a tenant's file; null where it has none.
    pub settings: Value,
}

/// A sentence in Chinese and English.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Both {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

/// A file that was refused.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Refused {
    /// The file's name.
    pub file: String,
    /// Why.
    pub why: Both,
}

/// A change of the plugin folder, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Swap {
    /// When.
    pub at: Time,
    /// The plugin.
    pub plugin: String,
    /// The version that serves from then on; null where none does.
    pub version: Option<String>,
    /// Its generation.
    pub generation: Option<u64>,
    /// How many tenants were built anew.
    pub tenants: usize,
    /// Why the new file was refused, and the version before serves on; null where it was taken up.
    pub refused: Option<Both>,
}

/// The plugins, with what the caller may know of them: what a plugin offers is for everyone to use.
///
/// # Errors
/// None that the caller could mend.
pub fn list(state: &AdminState, caller: &Caller) -> Result<Plugins> {
    caller.may_everywhere(Right::Know)?;
    let library = state.library.load();
    let plugins = library.plugins().iter().map(|plugin| Plugin {
        name: plugin.name.to_owned(),
        version: plugin.version.clone(),
        generation: plugin.generation,
        abi: format!("{}.{}", plugin.abi.0, plugin.abi.1),
        actions: plugin.actions.iter().map(Action::from).collect(),
    });
    let mut told = Plugins { plugins: plugins.collect(), generations: None, refused: Vec::new(), swaps: Vec::new() };
    if caller.may_everywhere(Right::See).is_ok() {
        told.generations = Some(menlou_action::loaded_generations());
        let refused = library.rejected().iter().map(|refused| Refused {
            file: refused.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            why: (&refused.why.text()).into(),
        });
        told.refused = refused.collect();
        told.swaps = state.swaps.latest().into_iter().map(Swap::from).collect();
    }
    Ok(told)
}

impl From<&Descriptor> for Action {
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

impl From<menlou_tenant::Swap> for Swap {
    fn from(swap: menlou_tenant::Swap) -> Self {
        let (version, generation) = swap.serving.unzip();
        Self {
            at: swap.at.into(),
            plugin: swap.plugin,
            version,
            generation,
            tenants: swap.tenants,
            refused: swap.refused.as_ref().map(Both::from),
        }
    }
}

impl From<&Text> for Both {
    fn from(text: &Text) -> Self {
        Self { zh: text.zh.clone().into_owned(), en: text.en.clone().into_owned() }
    }
}
