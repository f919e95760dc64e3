//! The files shipped with the gateway are complete, show the real defaults, and have no errors.

use super::*;
use crate::{server, tenant};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path};

const MENLOU: &str = include_str!("../../../menlou.toml");
const MANULIFE: &str = include_str!("../../../../tenants/manulife.toml");

/// Section and key of each setting in `menlou.toml`, with the comment above it and the value shown.
fn shown() -> BTreeMap<(String, String), (String, Value)> {
    let (mut section, mut comment, mut settings) = (String::new(), Vec::new(), BTreeMap::new());
    for line in MENLOU.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.to_owned();
            comment.clear();
        } else if let Some(text) = line.strip_prefix("# ") {
            comment.push(text);
        } else if let Some(setting) = line.strip_prefix('#').filter(|l| l.contains(" = ")) {
            let doc = Document::parse("menlou.toml", setting.as_bytes()).unwrap();
            let (key, value) = doc.value("").and_then(Value::as_object).unwrap().iter().next().unwrap();
            let stood = settings.insert((section.clone(), key.clone()), (comment.join("\n"), value.clone()));
            assert!(stood.is_none(), "{section}.{key} stands twice");
            comment.clear();
        }
    }
    settings
}

#[test]
fn menlou_toml_shows_exactly_the_settings_of_the_schema_with_description_and_default() {
    let schema = server::schema();
    let mut shown = shown();
    for (section, table) in schema["properties"].as_object().unwrap() {
        assert!(MENLOU.contains(&format!("\n[{section}]\n")), "[{section}]");
        for (key, property) in table["properties"].as_object().unwrap() {
            let (comment, value) = shown.remove(&(section.clone(), key.clone())).expect(key);
            assert_eq!(Some(comment.as_str()), property["description"].as_str(), "{section}.{key}");
            assert!(comment.chars().any(|c| c as u32 > 0x2e80), "{section}.{key} has no Chinese");
            if let Some(default) = property.get("default") {
                assert_eq!(&value, default, "{section}.{key}");
            }
        }
    }
    assert!(shown.is_empty(), "not in the schema: {shown:?}");
}

#[test]
fn menlou_toml_has_no_errors_as_shipped_and_with_every_setting_uncommented() {
    let open: String = MENLOU
        .lines()
        .map(|l| l.strip_prefix('#').filter(|l| !l.starts_with(' ')).unwrap_or(l).to_owned() + "\n")
        .collect();
    for text in [MENLOU, &open] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.toml");
        std::fs::write(&path, text).unwrap();
        let config = server::Config::load(Some(&path), std::iter::empty())
            .unwrap_or_else(|f| panic!("{}", render(&f, Language::En)));
        assert_eq!(config.tenants.dir, folder.path().join("tenants"));
        assert_eq!(config.store.path, folder.path().join("menlou.db"));
        assert_eq!(config.server.call_timeout.as_secs(), 10);
    }
}

#[test]
fn the_example_tenant_has_no_errors() {
    let doc = Document::parse("tenants/manulife.toml", MANULIFE.as_bytes()).unwrap();
    let file = TenantFile::read(&doc).unwrap_or_else(|f| panic!("{}", render(&f, Language::En)));
    assert_eq!(file.actions.keys().collect::<Vec<_>>(), ["login", "logout", "openid", "user"]);
    assert_eq!(file.session.ttl.to_string(), "7d");
    assert_eq!(
        tenant::TenantName::from_path(Path::new("tenants/manulife.toml")).unwrap().unwrap().as_str(),
        "manulife"
    );
}

#[test]
fn the_name_of_a_tenant_comes_from_its_file() {
    for ignored in ["x.toml~", "README.md", ".x.toml", "toml", "x.toml.swp"] {
        assert!(tenant::TenantName::from_path(Path::new(ignored)).is_none(), "{ignored}");
    }
    for bad in ["X.toml", "-x.toml", "a b.toml", "保险.toml", &format!("{}.toml", "a".repeat(65))] {
        let error = tenant::TenantName::from_path(Path::new(bad)).unwrap().unwrap_err();
        assert_eq!(error.file(), Some(Path::new(bad)));
    }
}

#[test]
fn the_schemas_describe_each_property_in_both_languages_and_allow_no_null() {
    fn visit(at: &str, schema: &Value) {
        for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.chars().any(|c| c as u32 > 0x2e80), "{at}/{key}: {description}");
            assert!(description.chars().any(|c| c.is_ascii_alphabetic()), "{at}/{key}: {description}");
            visit(&format!("{at}/{key}"), property);
        }
        if let Some(more) = schema.get("additionalProperties").filter(|m| m.is_object()) {
            visit(at, more);
        }
    }
    for schema in [server::schema(), tenant::schema()] {
        assert!(schema["$id"].is_string() && schema["title"].is_string() && schema["description"].is_string());
        assert!(!schema.to_string().contains("null") && !schema.to_string().contains("$ref"));
        visit("", &schema);
    }
}
