//! Where the secrets and the addresses of a tenant file are, as RFC 6901 pointers.

use super::build;
use menlou_action::PluginRegistry;
use menlou_config::{load::Document, schema::Schema, tenant, unknown_settings::UnknownSettings};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};

/// Strings that are never secrets, even in a file with errors. The appid is not among them, because a secret may have been
/// entered there by mistake.
const NEVER_SECRET: [&str; 2] = ["/name", "/session/ttl"];

/// Where the secrets of a tenant file are, by the file's own schema and the schemas of its plugins.
pub fn secret_pointers(doc: &Document, plugins: &PluginRegistry) -> BTreeSet<String> {
    let mut found = doc.value("").map(tenant::secrets_in).unwrap_or_default();
    found.extend(marked(doc, plugins, Schema::secrets));
    found
}

/// Where the addresses are that the gateway connects to for a plugin, by the schemas of the plugins.
pub(super) fn address_pointers(doc: &Document, plugins: &PluginRegistry) -> BTreeSet<String> {
    marked(doc, plugins, Schema::addresses)
}

fn marked(
    doc: &Document,
    plugins: &PluginRegistry,
    marks: fn(&Schema, &Value) -> BTreeSet<String>,
) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (action, plugin) in build::tables(doc) {
        let (pointer, own) = tenant::plugin_settings(doc, action);
        if let (Some((plugin, index)), Some(table)) = (plugins.find(action, plugin), own.value(&pointer)) {
            let below = marks(&plugin.actions[index].settings, table);
            found.extend(below.into_iter().map(|at| format!("{pointer}{at}")));
        }
    }
    found
}

/// Where the secrets of actions were by the schemas of earlier versions of their plugins.
pub(super) fn former_secret_pointers(doc: &Document, plugins: &PluginRegistry) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (action, plugin) in build::tables(doc) {
        let (pointer, own) = tenant::plugin_settings(doc, action);
        let Some(table) = own.value(&pointer) else { continue };
        for schema in plugins.former_settings(action, plugin) {
            found.extend(schema.secrets(table).into_iter().map(|at| format!("{pointer}{at}")));
        }
    }
    found
}

/// The strings of a tenant file that count as secrets. What no schema explains (an action without a plugin, the parts that
/// have errors) may be one.
pub(super) struct PossibleSecrets {
    known: BTreeSet<String>,
    /// What is unknown by the schemas of the file and of the plugins.
    unknown: UnknownSettings,
    /// By pointer of the action: what is unknown by the schema of its plugin, `None` without a schema.
    actions: HashMap<String, Option<UnknownSettings>>,
}

impl PossibleSecrets {
    /// The secrets of a document.
    pub fn for_document(doc: &Document, plugins: &PluginRegistry) -> Self {
        let actions = build::tables(doc).map(|(action, plugin)| {
            let (pointer, own) = tenant::plugin_settings(doc, action);
            let schema = plugins.find(action, plugin).map(|(found, index)| &found.actions[index].settings);
            let unknown = schema.map(|schema| UnknownSettings::find(&own, &pointer, schema));
            (pointer, unknown)
        });
        let actions = actions.collect();
        Self { known: secret_pointers(doc, plugins), unknown: tenant::unknown_settings(doc), actions }
    }

    /// Whether a schema declares the value at this pointer a secret.
    pub fn is_known(&self, pointer: &str) -> bool {
        self.known.contains(pointer)
    }

    /// Whether the string at this pointer counts as a secret.
    pub fn has(&self, pointer: &str) -> bool {
        self.is_known(pointer) || !NEVER_SECRET.contains(&pointer) && self.is_unknown(pointer)
    }

    fn is_unknown(&self, pointer: &str) -> bool {
        if self.unknown.has(pointer) {
            return true;
        }
        let Some(action) = action_pointer(pointer) else { return false };
        match (self.actions.get(action), &pointer[action.len()..]) {
            (_, "/plugin") => false,
            (Some(Some(unknown)), _) => unknown.has(pointer),
            // An action without a plugin, or a name that no action can have.
            (Some(None) | None, _) => true,
        }
    }
}

/// The pointer of the action that a setting below `/actions/NAME/` belongs to.
fn action_pointer(pointer: &str) -> Option<&str> {
    let name = pointer.strip_prefix("/actions/")?.find('/')?;
    Some(&pointer[.."/actions/".len() + name])
}
