//! Where the secrets and the addresses of a tenant file are, as RFC 6901 pointers.

use super::build;
use menlou_action::PluginRegistry;
use menlou_config::{load::Document, schema::Schema, tenant};
use serde_json::Value;
use std::collections::{BTreeSet, HashSet};

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

/// The strings of a tenant file that count as secrets. Where the schema is unknown (an action without a plugin, a table
/// with errors), every string counts as one.
pub(super) struct PossibleSecrets {
    known: BTreeSet<String>,
    /// Whether the gateway's own settings have errors, so that every string counts as a secret.
    is_file_unknown: bool,
    /// Pointers of the actions whose settings no schema describes.
    unknown: HashSet<String>,
}

impl PossibleSecrets {
    /// The secrets of a document.
    pub fn for_document(doc: &Document, plugins: &PluginRegistry) -> Self {
        let (known, is_file_unknown) = (secret_pointers(doc, plugins), !tenant::fits(doc));
        let mut secrets = Self { known, is_file_unknown, unknown: HashSet::new() };
        for (action, plugin) in build::tables(doc) {
            let (pointer, own) = tenant::plugin_settings(doc, action);
            let schema = plugins.find(action, plugin).map(|(found, index)| &found.actions[index].settings);
            if schema.is_none_or(|schema| !own.check(&pointer, schema).is_empty()) {
                secrets.unknown.insert(pointer);
            }
        }
        secrets
    }

    /// Whether the string at this pointer counts as a secret.
    pub fn has(&self, pointer: &str) -> bool {
        let is_plugin_name =
            pointer.starts_with("/actions/") && pointer.ends_with("/plugin") && pointer.matches('/').count() == 3;
        self.known.contains(pointer)
            || !is_plugin_name
                && !NEVER_SECRET.contains(&pointer)
                && (self.is_file_unknown || action_pointer(pointer).is_some_and(|action| self.unknown.contains(action)))
    }
}

/// The pointer of the action that a setting below `/actions/NAME/` belongs to.
fn action_pointer(pointer: &str) -> Option<&str> {
    let name = pointer.strip_prefix("/actions/")?.find('/')?;
    Some(&pointer[.."/actions/".len() + name])
}
