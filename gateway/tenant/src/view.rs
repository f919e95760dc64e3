//! The settings of a tenant file for display: secrets masked, defaults filled in.

use super::{
    redaction::{Audience, Redaction},
    secret_pointers::secret_pointers,
};
use menlou_action::PluginRegistry;
use menlou_config::{
    load::Document,
    schema::escape,
    tenant::{self, GATEWAY_KEYS},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, ops::Bound};

/// Replacement for values that are not shown.
pub const MASK: &str = "***";

/// The effective settings of a tenant. Keys that neither the file's schema nor a plugin's schema knows are masked, because a
/// misspelt `secret` is still a secret.
pub struct SettingsView {
    /// The settings. A secret is shown as `env:NAME` or `file:PATH`, any other as [`MASK`].
    pub settings: Value,
    /// RFC 6901 pointers to the defaults in `settings`.
    pub defaults: BTreeSet<String>,
    /// RFC 6901 pointers to the secrets in `settings`.
    pub secrets: BTreeSet<String>,
    redaction: Redaction,
}

/// The view of a file that can be parsed, whether it is valid or not.
pub fn view(doc: &Document, library: &PluginRegistry, audience: Audience) -> SettingsView {
    let mut view = SettingsView {
        settings: json!({}),
        defaults: BTreeSet::new(),
        secrets: secret_pointers(doc, library),
        redaction: Redaction::new(doc, library, audience),
    };
    let schema = tenant::schema();
    let written = doc.value("").and_then(Value::as_object).cloned().unwrap_or_default();
    let mut settings = view.table(&schema, &written, "");
    let own = &schema["properties"]["actions"]["additionalProperties"]["properties"];
    let mut actions = Map::new();
    for (action, table) in written.get("actions").and_then(Value::as_object).into_iter().flatten() {
        let pointer = format!("/actions/{}", escape(action));
        let plugin = table.get("plugin").and_then(Value::as_str);
        let Some(table) = table.as_object() else {
            actions.insert(action.clone(), json!(MASK));
            continue;
        };
        let is_plugin_key = |(key, _): &(&String, &Value)| !GATEWAY_KEYS.contains(&key.as_str());
        let settings = table.iter().filter(is_plugin_key).map(|(key, value)| (key.clone(), value.clone())).collect();
        let mut shown = match library.find(action, plugin) {
            Some((found, index)) => view.table(found.actions[index].settings.as_json(), &settings, &pointer),
            None => view.table(&json!({}), &settings, &pointer),
        };
        for (key, value) in GATEWAY_KEYS.iter().filter_map(|key| table.get_key_value(*key)) {
            let at = format!("{pointer}/{}", escape(key));
            shown.insert(key.clone(), view.value(own.get(key), value, &at));
        }
        actions.insert(action.clone(), Value::Object(shown));
    }
    if written.contains_key("actions") {
        settings.insert("actions".into(), Value::Object(actions));
    }
    view.settings = Value::Object(settings);
    view
}

impl SettingsView {
    fn table(&mut self, schema: &Value, written: &Map<String, Value>, pointer: &str) -> Map<String, Value> {
        let empty = Map::new();
        let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let mut shown = Map::new();
        for (key, value) in written {
            let at = format!("{pointer}/{}", escape(key));
            shown.insert(key.clone(), self.value(known.get(key), value, &at));
        }
        for (key, property) in known {
            let at = format!("{pointer}/{}", escape(key));
            // An empty table is not shown.
            let default =
                property.get("default").filter(|d| !shown.contains_key(key) && **d != json!({}) && !d.is_null());
            if let Some(default) = default {
                shown.insert(key.clone(), default.clone());
                self.defaults.insert(at);
            }
        }
        shown
    }

    /// Whether a secret is at this pointer or below it. The pointers are sorted, so that the first one not before `at`
    /// decides.
    fn has_secret_below(&self, at: &str) -> bool {
        self.secrets
            .range::<str, _>((Bound::Included(at), Bound::Unbounded))
            .next()
            .is_some_and(|secret| secret.starts_with(at))
    }

    fn value(&mut self, schema: Option<&Value>, value: &Value, at: &str) -> Value {
        let is_secret = self.secrets.contains(at);
        match (schema, value) {
            (_, Value::String(written)) if is_secret => json!(masked_secret(written)),
            (Some(schema), Value::Object(table)) if !is_secret && schema.get("properties").is_some() => {
                Value::Object(self.table(schema, table, at))
            }
            // A value where the schema has a table, or one that contains a secret, is masked.
            (Some(schema), value) if schema.get("properties").is_none() && !self.has_secret_below(at) => {
                self.redaction.masked(at, value, MASK)
            }
            _ => json!(MASK),
        }
    }
}

/// A secret for display: its reference, or a mask.
fn masked_secret(written: &str) -> String {
    match written.split_once(':') {
        Some(("env" | "file", _)) => written.to_owned(),
        Some(("sealed", _)) => format!("sealed:{MASK}"),
        _ => MASK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewed(text: &str) -> SettingsView {
        let folder = tempfile::tempdir().unwrap();
        let library = PluginRegistry::load(folder.path()).unwrap();
        view(&Document::parse("acme.toml", text.as_bytes()).unwrap(), &library, Audience::Editor)
    }

    #[test]
    fn defaults_are_filled_in_and_listed() {
        let view = viewed("name = \"A\"\n[wechat]\nappid = \"wx1\"\nsecret = \"env:S\"\n");
        assert_eq!(view.settings["wechat"]["secret"], "env:S");
        assert_eq!(view.settings["wechat"]["base_url"], "https://api.weixin.qq.com");
        assert_eq!(view.settings["session"]["ttl"], "7d");
        assert_eq!(view.defaults.iter().collect::<Vec<_>>(), ["/session", "/wechat/base_url"]);
    }

    #[test]
    fn nothing_that_may_be_a_secret_is_shown() {
        for text in [
            "[wechat]\nsecret = \"hunter2\"",
            "[wechat]\nsceret = \"hunter2\"",
            "[wechat]\nsecret = [\"hunter2\"]",
            "[wechat]\nsecret = { x = \"hunter2\" }",
            "[wechat]\nsecret = \"sealed:hunter2\"",
            "[wechat]\nbase_url = \"http://u:hunter2@h\"",
            "wechat = \"hunter2\"",
            "[wehcat]\nsecret = \"hunter2\"",
            "actions = \"hunter2\"",
            "[actions]\nlogin = \"hunter2\"",
            "[actions.unknown]\nkey = \"hunter2\"",
        ] {
            let view = viewed(text);
            assert!(!view.settings.to_string().contains("hunter2"), "{text}: {}", view.settings);
        }
    }
}
