//! Plugins' settings are checked and resolved with the plugin's own schema.

use super::*;
use crate::{keyring::Keyring, schema::Schema, settings, sources::Sources, tenant, zeroize::Zeroized};
use serde_json::json;
use std::path::Path;

/// A schema with references, as schemars derives it.
fn schema() -> Schema {
    Schema::compile(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": "#/$defs/Settings",
        "$defs": {
            "Settings": {
                "type": "object",
                "additionalProperties": false,
                "required": ["methods"],
                "properties": {
                    "methods": { "type": "array", "items": { "$ref": "#/$defs/Method" }, "minItems": 1 },
                    "delegate": { "anyOf": [{ "$ref": "#/$defs/Delegate" }, { "type": "null" }] },
                    "attempts": { "type": ["integer", "null"], "minimum": 1 },
                },
            },
            "Method": { "oneOf": [{ "const": "phone", "description": "…" }, { "type": "string", "enum": ["password", "profile"] }] },
            "Delegate": {
                "type": "object",
                "additionalProperties": false,
                "required": ["url"],
                "properties": {
                    "url": { "type": "string", "format": "uri" },
                    "key": { "$ref": "#/$defs/Secret" },
                },
            },
            "Secret": { "type": ["string", "null"], "format": "secret", "minLength": 3 },
        },
    }))
    .unwrap()
}

fn env(name: &str) -> Option<String> {
    (name == "KEY").then(|| "hunter2".to_owned())
}

fn resolve(doc: &Document, pointer: &str) -> Result<Zeroized, Vec<ConfigError>> {
    let keyring = Keyring::default();
    settings::resolve(doc, pointer, &schema(), &Sources::new(Path::new(""), &env, &keyring, Some("x")))
}

fn check(settings: &str) -> String {
    let doc = Document::parse("tenants/x.toml", settings.as_bytes()).unwrap();
    let (pointer, doc) = tenant::plugin_settings(&doc, "login");
    let mut errors = doc.check(&pointer, &schema());
    if errors.is_empty() {
        errors = resolve(&doc, &pointer).err().unwrap_or_default();
    }
    errors.iter().map(|f| format!("{f}\n")).collect()
}

#[test]
fn settings_are_checked_through_references_and_alternatives() {
    assert_eq!(check("[actions.login]\nplugin = 'account'\nmethods = ['phone', 'profile']\n"), "");
    for (settings, says) in [
        ("[actions.login]\nplugin = 'account'\n", "tenants/x.toml:1:10: `methods` is missing\n"),
        ("[actions.login]\nmethods = ['fone', 3]\nattempts = 0\n", "\
tenants/x.toml:2:12: item 1 of `methods` must be one of `phone`, `password`, `profile`; did you mean `phone`?
tenants/x.toml:2:20: item 2 of `methods` must be one of `phone`, `password`, `profile`
tenants/x.toml:3:12: `attempts` must be at least 1
"),
        ("[actions.login]\nmethods = ['phone']\nattempts = 'x'\nmethod = 1", "\
tenants/x.toml:3:12: `attempts` must be an integer, but is a string (in quotes)
tenants/x.toml:4:1: unknown key `method`; did you mean `methods`?
"),
        ("[actions.login]\nmethods = ['phone']\ndelegate = { uri = 'https://x' }", "\
tenants/x.toml:3:1: `url` is missing
tenants/x.toml:3:14: unknown key `uri`; did you mean `url`?
"),
        ("[actions.login]\nmethods = ['phone']\n[actions.login.delegate]\nurl = 'x y'\nkey = 'hu'", "\
tenants/x.toml:4:7: `url` must be a string in the format `uri`
tenants/x.toml:5:7: `key` must be at least 3 characters long
"),
        (
            "[actions.login]\nmethods = ['phone']\n[actions.login.delegate]\nurl = 'http://x'\nkey = 'vault:hunter2'",
            "\
tenants/x.toml:5:7: `key`: unknown kind of secret; write \"env:NAME\", \"file:PATH\", \"sealed:…\" (made by menlou secret seal), or the secret itself (which must not look like \"scheme:…\" or \"$…\")
",
        ),
        ("[actions.login]\nmethods = ['phone']\n[actions.login.delegate]\nurl = 'http://x'\nkey = 'env:NONE'", "tenants/x.toml:5:7: the environment variable NONE is not set\n"),
        (
            "[actions.login]\nmethods = ['phone']\n[actions.login.delegate]\nurl = 'http://x'\nkey = 'sealed:hunter2'",
            "tenants/x.toml:5:7: `key`: the text after \"sealed:\" is incomplete or damaged; seal the secret again with menlou secret seal\n",
        ),
        ("[actions.login]\nmethods = ['phone']\ndelegate = 5", "tenants/x.toml:3:12: `delegate` must be a table, but is an integer\n"),
    ] {
        assert_eq!(check(settings), says);
    }
}

#[test]
fn only_marked_secrets_are_resolved() {
    let text =
        "[actions.login]\nplugin = 'env:KEY'\nmethods = ['phone']\ndelegate = { url = 'env:KEY', key = 'env:KEY' }\n";
    let doc = Document::parse("tenants/x.toml", text.as_bytes()).unwrap();
    let (pointer, doc) = tenant::plugin_settings(&doc, "login");
    let value = resolve(&doc, &pointer).unwrap();
    assert_eq!(*value, json!({ "methods": ["phone"], "delegate": { "url": "env:KEY", "key": "hunter2" } }));
}

#[test]
fn invalid_schemas_are_errors_and_recursive_schemas_terminate() {
    assert!(Schema::compile(&json!({ "type": "nonsense" })).is_err());
    assert!(Schema::compile(&json!({ "$ref": "https://example.com/x.json" })).is_err());
    let tree = json!({
        "type": "object",
        "additionalProperties": { "$ref": "#" },
        "properties": { "key": { "format": "secret" } },
        "allOf": [{ "$ref": "#/$defs/again" }, { "$ref": "#/$defs/again" }],
        "$defs": { "again": { "properties": { "next": { "$ref": "#" } } } },
    });
    let schema = Schema::compile(&tree).unwrap();
    let secrets =
        schema.secrets(&json!({ "a": { "next": { "key": "x" } }, "key": "y", "other": { "k~/y": { "key": "z" } } }));
    assert_eq!(secrets.into_iter().collect::<Vec<_>>(), ["/a/next/key", "/key", "/other/k~0~1y/key"]);
    for looped in [json!({ "$ref": "#" }), json!({ "allOf": [{ "$ref": "#" }, { "required": ["b"] }] })] {
        let doc = Document::parse("x.toml", b"a = 1").unwrap();
        assert!(doc.check("", &Schema::compile(&looped).unwrap()).len() <= 1);
    }
}

#[test]
fn a_secret_in_plain_text_causes_a_warning() {
    let text =
        "[actions.login]\nmethods = ['phone']\n[actions.login.delegate]\nurl = 'http://x'\nkey = 'hunter2-itself'\n";
    let warnings_of = |text: &str| {
        let doc = Document::parse("tenants/x.toml", text.as_bytes()).unwrap();
        let (pointer, doc) = tenant::plugin_settings(&doc, "login");
        let warnings = settings::literals(&doc, &pointer, &schema());
        warnings.iter().map(|w| w.render_warning(Language::En, false)).collect::<String>()
    };
    let warned = warnings_of(text);
    assert!(warned.starts_with("warning: the secret is in plain text"), "{warned}");
    assert!(warned.contains("tenants/x.toml:5:7") && !warned.contains("hunter2"), "{warned}");
    assert_eq!(warnings_of(&text.replace("hunter2-itself", "env:KEY")), "");
}
