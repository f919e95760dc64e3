//! The settings of a tenant file as a JSON tree, with defaults filled in and secrets masked.

use menlou_action::PluginRegistry;
use menlou_config::{load::Document, redacted::MASK};
use menlou_tenant::{Audience, view};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// The settings of a tenant file.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct SettingsTree {
    /// The settings with defaults filled in and secrets as "masked:"; null if the file is not valid TOML.
    pub settings: Value,
    /// The settings that have their default value, as RFC 6901 pointers.
    pub defaults: BTreeSet<String>,
    /// The settings that are secrets, as RFC 6901 pointers.
    pub secrets: BTreeSet<String>,
}

impl SettingsTree {
    /// The settings of a parsed file.
    pub(crate) fn from_document(document: &Document, plugins: &PluginRegistry, audience: Audience) -> Self {
        let view = view(document, plugins, audience);
        Self { settings: with_one_mask(view.settings), defaults: view.defaults, secrets: view.secrets }
    }
}

/// Replaces every masked text by [`MASK`], so that a client can send the value back unchanged.
fn with_one_mask(settings: Value) -> Value {
    match settings {
        Value::String(text) if text.contains(menlou_tenant::MASK) => MASK.into(),
        Value::Array(items) => items.into_iter().map(with_one_mask).collect(),
        Value::Object(table) => table.into_iter().map(|(key, value)| (key, with_one_mask(value))).collect(),
        other => other,
    }
}
