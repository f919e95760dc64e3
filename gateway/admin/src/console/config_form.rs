//! A form generated from the JSON Schema of settings, and the changes to the file that a submitted form describes.

use super::{
    field_kind::{FieldKind, description, is_upstream_address, resolve},
    form_data::FormData,
    layout::Layout,
};
use crate::{config_errors::ConfigErrorBody, settings_tree::SettingsTree};
use menlou_config::{
    edit::{self, ConfigChange},
    redacted::MASK,
    schema::{escape, is_secret},
};
use serde_json::{Map, Value};

/// Maximum depth of nested tables that get fields of their own.
const MAX_DEPTH: usize = 4;

/// Tables that few tenants set; they are shown last.
const RARELY_SET: [&str; 2] = ["/cors", "/limits"];

/// The form of a table of settings.
pub struct ConfigForm {
    pub groups: Vec<FieldGroup>,
}

/// The fields of one table.
#[derive(Default)]
pub struct FieldGroup {
    pub title: String,
    pub description: String,
    pub fields: Vec<ConfigField>,
    /// Errors that concern the table itself, such as a missing key.
    pub errors: Vec<String>,
    pointer: String,
}

/// The field of one setting.
pub struct ConfigField {
    /// The field's name in the form.
    pub key: String,
    /// The HTML `id`.
    pub id: String,
    pub label: String,
    pub description: String,
    pub kind: FieldKind,
    /// The value in the file, as the field shows it; empty if the setting is not in the file.
    pub value: String,
    /// The values of a field with several values.
    pub selected: Vec<String>,
    /// The default value, as text.
    pub default: String,
    /// The text in an empty field: the default or an example.
    pub placeholder: String,
    pub is_required: bool,
    /// Whether the field is read-only.
    pub is_locked: bool,
    /// Whether only operators may change the setting freely.
    pub is_reserved: bool,
    /// The hosts that tenant admins may set nevertheless.
    pub allowed_hosts: String,
    pub errors: Vec<String>,
    path: Vec<String>,
    pointer: String,
}

impl ConfigForm {
    /// The form of a schema, with the values that `tree` has at `path`. The settings at the pointers in `excluded` get no
    /// field.
    pub fn new(schema: &Value, tree: &SettingsTree, path: &[&str], layout: &Layout, excluded: &[&str]) -> Self {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let mut form = Self { groups: Vec::new() };
        let builder = FormBuilder { root: schema, tree, layout, excluded };
        builder.add_table(schema, &path, String::new(), &mut form.groups);
        form.groups.retain(|group| !group.fields.is_empty());
        form
    }

    /// Assigns errors to their fields and groups. Returns the errors that belong to none.
    pub fn assign_errors(&mut self, errors: &[ConfigErrorBody], layout: &Layout) -> Vec<ConfigErrorBody> {
        let mut unassigned = Vec::new();
        for error in errors {
            let at = error.pointer.as_deref().unwrap_or("-");
            let text = layout.config_error(error).to_owned();
            let is_within = |pointer: &str| at == pointer || at.starts_with(&format!("{pointer}/"));
            let mut fields = self.groups.iter_mut().flat_map(|group| &mut group.fields);
            if let Some(field) = fields.find(|field| is_within(&field.pointer)) {
                field.errors.push(text);
            } else if let Some(group) = self.groups.iter_mut().find(|group| group.pointer == at && !at.is_empty()) {
                group.errors.push(text);
            } else {
                unassigned.push(error.clone());
            }
        }
        unassigned
    }

    /// Shows the submitted values. Secrets are not shown and have to be entered again.
    pub fn refill(&mut self, submitted: &FormData) {
        for field in self.groups.iter_mut().flat_map(|group| &mut group.fields) {
            if submitted.find(&format!("has-{}", field.key)).is_some() {
                field.value = submitted.lines(&field.key).to_string();
                field.selected = submitted.all(&field.key).map(str::to_owned).collect();
            }
        }
    }

    /// The changes to the file that a submitted form describes.
    pub fn changes(&self, submitted: &FormData) -> Vec<ConfigChange> {
        let fields = self.groups.iter().flat_map(|group| &group.fields);
        fields.filter(|field| !field.is_locked).filter_map(|field| field.change(submitted)).collect()
    }
}

impl ConfigField {
    fn change(&self, submitted: &FormData) -> Option<ConfigChange> {
        let set = |value: Value| Some(ConfigChange::Set(self.path.clone(), value));
        let unset = || Some(ConfigChange::Unset(self.path.clone()));
        if self.kind == FieldKind::Secret {
            return match submitted.get(&self.key).trim() {
                "" if submitted.get(&format!("{}-clear", self.key)).is_empty() => None,
                "" => unset(),
                secret => set(secret.into()),
            };
        }
        // The page contains a hidden input for every field, so that an unticked checkbox differs from a missing field.
        submitted.find(&format!("has-{}", self.key))?;
        if let FieldKind::MultiChoice(_) = self.kind {
            let selected: Vec<&str> = submitted.all(&self.key).collect();
            return match selected.is_empty() {
                _ if selected == self.selected => None,
                true if !self.is_required => unset(),
                _ => set(selected.into()),
            };
        }
        let text = submitted.lines(&self.key);
        let text = text.trim_end_matches('\n');
        if text == self.value {
            return None;
        }
        if text.trim().is_empty() {
            return unset();
        }
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        set(match self.kind {
            FieldKind::Flag => Value::Bool(text == "true"),
            FieldKind::Number => edit::parse_value(text.trim()),
            FieldKind::Toml => edit::parse_value(text),
            FieldKind::TextOrLines if lines.clone().count() == 1 => lines.next().into(),
            FieldKind::Lines | FieldKind::TextOrLines => lines.collect(),
            _ => text.trim().into(),
        })
    }
}

/// Builds the groups of a form.
struct FormBuilder<'a> {
    root: &'a Value,
    tree: &'a SettingsTree,
    layout: &'a Layout,
    excluded: &'a [&'a str],
}

impl FormBuilder<'_> {
    /// Adds the group of a table, and the groups of the tables within it.
    fn add_table(&self, schema: &Value, path: &[String], title: String, groups: &mut Vec<FieldGroup>) {
        let pointer = pointer(path);
        let description = description(schema, self.layout);
        let index = groups.len();
        groups.push(FieldGroup { title, description, pointer: pointer.clone(), ..FieldGroup::default() });
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut keys: Vec<&String> = properties.keys().collect();
        // Required settings come first, and so do tables that contain required settings.
        let is_needed = |key: &String| {
            let within = resolve(&properties[key.as_str()], self.root).get("required");
            required.contains(&key.as_str()) || within.and_then(Value::as_array).is_some_and(|keys| !keys.is_empty())
        };
        keys.sort_by_key(|key| (!is_needed(key), RARELY_SET.contains(&format!("{pointer}/{key}").as_str())));
        for key in keys {
            let at = format!("{pointer}/{}", escape(key));
            if self.excluded.contains(&at.as_str()) {
                continue;
            }
            let declared = &properties[key.as_str()];
            let resolved = resolve(declared, self.root);
            let path = [path, std::slice::from_ref(key)].concat();
            let is_table = resolved.get("properties").is_some() && path.len() < MAX_DEPTH + 2;
            if is_table && !is_secret(resolved) {
                self.add_table(resolved, &path, key.clone(), groups);
                continue;
            }
            let field = self.field(declared, resolved, path, required.contains(&key.as_str()));
            groups[index].fields.push(field);
        }
    }

    /// The field of a setting. `declared` is its schema in the table, `resolved` the schema that this refers to.
    fn field(&self, declared: &Value, resolved: &Value, path: Vec<String>, is_required: bool) -> ConfigField {
        let pointer = pointer(&path);
        let kind = FieldKind::for_schema(resolved, self.root, self.layout);
        let is_address = is_upstream_address(resolved, self.root);
        let is_tenant_admin = self.layout.can_write && !self.layout.is_operator;
        let is_reserved = is_tenant_admin && (pointer == "/wechat/base_url" || is_address);
        let allowed_hosts = if is_reserved && is_address { self.layout.allowed_hosts.clone() } else { String::new() };
        let value = self.value_in_file(&pointer);
        let selected = match value {
            Some(Value::Array(items)) => items.iter().map(|item| display(item, &FieldKind::Text)).collect(),
            _ => Vec::new(),
        };
        let default = declared.get("default").or_else(|| resolved.get("default")).filter(|default| !default.is_null());
        let descriptions = [declared, resolved].map(|schema| description(schema, self.layout));
        let description = descriptions.into_iter().find(|description| !description.is_empty());
        let default = default.map(|default| display(default, &kind)).unwrap_or_default();
        let example = [declared, resolved].iter().find_map(|schema| schema.get("examples")?.get(0));
        let placeholder = match example.filter(|_| default.is_empty() && kind != FieldKind::Toml) {
            Some(example) => format!("{} {}", self.layout.t("例如", "for example"), display(example, &kind)),
            None => default.clone(),
        };
        ConfigField {
            key: path.join("."),
            id: path.join("-"),
            label: self.label(&pointer).unwrap_or_else(|| path.last().cloned().unwrap_or_default()),
            description: description.unwrap_or_default(),
            value: value.map(|value| display(value, &kind)).unwrap_or_default(),
            selected,
            default,
            placeholder,
            is_required,
            is_locked: !self.layout.can_write || is_reserved && allowed_hosts.is_empty(),
            is_reserved,
            allowed_hosts,
            errors: Vec::new(),
            kind,
            path,
            pointer,
        }
    }

    /// The value of a setting, unless it is the default.
    fn value_in_file(&self, pointer: &str) -> Option<&Value> {
        let SettingsTree { settings, defaults, .. } = self.tree;
        let is_default = defaults.iter().any(|at| pointer == at || pointer.starts_with(&format!("{at}/")));
        settings.pointer(pointer).filter(|_| !is_default)
    }

    /// The label of one of the gateway's own settings.
    fn label(&self, pointer: &str) -> Option<String> {
        let (zh, en) = match pointer {
            "/name" => ("显示名称", "Name"),
            "/wechat/appid" => ("AppID", "AppID"),
            "/wechat/secret" => ("AppSecret", "AppSecret"),
            "/wechat/base_url" => ("平台接口地址", "Platform URL"),
            "/session/ttl" => ("会话有效期", "Session lifetime"),
            _ => return None,
        };
        Some(self.layout.t(zh, en).to_owned())
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|part| format!("/{}", escape(part))).collect()
}

/// The text of a value in its field.
fn display(value: &Value, kind: &FieldKind) -> String {
    match (value, kind) {
        (Value::String(text), FieldKind::Toml) if text == MASK => MASK.to_owned(),
        (value, FieldKind::Toml) => {
            edit::toml_value(value).map(|value| value.to_string().trim().to_owned()).unwrap_or_default()
        }
        (Value::String(text), _) => text.clone(),
        (Value::Array(items), FieldKind::Lines | FieldKind::TextOrLines) => {
            items.iter().map(|item| display(item, &FieldKind::Text)).collect::<Vec<_>>().join("\n")
        }
        (Value::Array(items), _) => {
            items.iter().map(|item| display(item, &FieldKind::Text)).collect::<Vec<_>>().join(", ")
        }
        (value, _) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use menlou_error::text::Language;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "required": ["methods"],
            "properties": {
                "methods": { "type": "array", "items": { "$ref": "#/$defs/Method" } },
                "auth": { "oneOf": [{ "const": "optional", "description": "任何人。Anyone." }, { "const": "required" }], "default": "optional" },
                "key": { "anyOf": [{ "type": "string", "format": "secret" }, { "type": "null" }] },
                "retries": { "type": ["integer", "null"] },
                "strip": { "type": ["boolean", "null"] },
                "list": { "type": "array", "items": { "type": "string" } },
                "upstream": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
                "fixed": { "type": "object", "additionalProperties": true },
                "deep": { "type": "object", "properties": { "ttl": { "type": "string", "default": "7d" } } },
            },
            "$defs": { "Method": { "oneOf": [{ "const": "phone" }, { "const": "password" }] } },
        })
    }

    fn form() -> ConfigForm {
        let settings = json!({ "a": {
            "methods": ["phone"], "retries": 2, "list": ["x", "y"], "key": "masked:", "deep": { "ttl": "7d" },
        } });
        let tree = SettingsTree { settings, defaults: ["/a/deep".to_owned()].into(), secrets: Default::default() };
        let layout = Layout { language: Language::En, can_write: true, ..Layout::default() };
        ConfigForm::new(&schema(), &tree, &["a"], &layout, &[])
    }

    fn changes(pairs: &[(&str, &str)]) -> Vec<String> {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let changes = form().changes(&FormData::parse(encoded.as_bytes()));
        let shown = |change: &ConfigChange| match change {
            ConfigChange::Set(path, value) => format!("{}={value}", path.join(".")),
            ConfigChange::Unset(path) => format!("{}-", path.join(".")),
        };
        changes.iter().map(shown).collect()
    }

    #[test]
    fn field_kind_follows_the_schema() {
        let form = form();
        let field = |key: &str| form.groups.iter().flat_map(|group| &group.fields).find(|f| f.key == key).unwrap();
        assert!(
            matches!(&field("a.methods").kind, FieldKind::MultiChoice(of) if of.len() == 2)
                && field("a.methods").is_required
        );
        assert!(matches!(&field("a.auth").kind, FieldKind::Choice(of) if of[0].1 == "Anyone."));
        for (key, kind) in [
            ("a.key", FieldKind::Secret),
            ("a.retries", FieldKind::Number),
            ("a.strip", FieldKind::Flag),
            ("a.list", FieldKind::Lines),
            ("a.fixed", FieldKind::Toml),
            ("a.upstream", FieldKind::TextOrLines),
            ("a.deep.ttl", FieldKind::Text),
        ] {
            assert_eq!(field(key).kind, kind, "{key}");
        }
        assert_eq!((field("a.list").value.as_str(), field("a.deep.ttl").value.as_str()), ("x\ny", ""));
        assert_eq!(field("a.deep.ttl").default, "7d");
    }

    #[test]
    fn only_changed_fields_become_changes() {
        assert!(changes(&[]).is_empty());
        let unchanged =
            [("has-a.retries", ""), ("a.retries", "2"), ("has-a.list", ""), ("a.list", "x\r\ny\r\n"), ("a.key", "")];
        assert!(changes(&unchanged).is_empty());
        let changed = [("has-a.retries", ""), ("a.retries", "x"), ("has-a.list", ""), ("a.list", ""), ("a.key", "k")];
        assert_eq!(changes(&changed), ["a.key=\"k\"", "a.list-", "a.retries=\"x\""]);
        assert_eq!(changes(&[("has-a.methods", "")]), ["a.methods=[]"]);
        assert_eq!(changes(&[("has-a.fixed", ""), ("a.fixed", "{ x = 1 }")]), ["a.fixed={\"x\":1}"]);
        assert_eq!(changes(&[("a.key-clear", "on")]), ["a.key-"]);
        for (typed, value) in [("x\r\n", "\"x\""), ("x\r\ny", "[\"x\",\"y\"]")] {
            let upstream = changes(&[("has-a.upstream", ""), ("a.upstream", typed)]);
            assert_eq!(upstream, [format!("a.upstream={value}")]);
        }
    }

    #[test]
    fn errors_are_assigned_to_their_fields() {
        let mut form = form();
        let error = |pointer: &str| ConfigErrorBody {
            line: Some(1),
            column: Some(1),
            pointer: Some(pointer.to_owned()),
            zh: "错".into(),
            en: pointer.to_owned(),
        };
        let unassigned = form.assign_errors(
            &[error("/a/list/1"), error("/a"), error("/b")],
            &Layout { language: Language::En, ..Layout::default() },
        );
        assert_eq!((unassigned.len(), unassigned[0].en.as_str(), form.groups[0].errors.len()), (1, "/b", 1));
        let list = form.groups[0].fields.iter().find(|field| field.key == "a.list").unwrap();
        assert_eq!(list.errors, ["/a/list/1"]);
    }
}
