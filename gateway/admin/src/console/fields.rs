//! Settings as the fields of a form, made from their JSON Schema; and a filled-in form as changes of a file.

pub use super::field_kind::Kind;
use super::{
    console_request::Fields,
    field_kind::{described, is_of_addresses, kind, plain},
    layout::Layout,
};
use crate::validation::{ConfigErrorBody, SettingsTree};
use menlou_config::{
    edit::{self, ConfigChange},
    redacted::MASK,
    schema::{escape, is_secret},
};
use serde_json::{Map, Value};

/// How far objects within objects are followed.
const DEEPEST: usize = 4;

/// What few tenants set stands last.
const RARE: [&str; 2] = ["/cors", "/limits"];

/// Fields that belong together: those of one table.
#[derive(Default)]
pub struct Group {
    pub title: String,
    pub about: String,
    pub fields: Vec<Field>,
    /// What is wrong with the table itself: something that it lacks, say.
    pub flaws: Vec<String>,
    pointer: String,
}

/// One setting.
pub struct Field {
    /// Its name in the form.
    pub key: String,
    /// Its `id` in the page.
    pub id: String,
    pub label: String,
    pub about: String,
    pub kind: Kind,
    /// What stands in the file, as the field shows it.
    pub value: String,
    /// The same of a field with several values.
    pub chosen: Vec<String>,
    /// What holds where nothing is written.
    pub default: String,
    /// What an empty field shows: the default, or an example.
    pub placeholder: String,
    pub required: bool,
    /// Shown, and not to be changed.
    pub locked: bool,
    /// Whether it is for an operator to change.
    pub reserved: bool,
    /// But for addresses of these hosts.
    pub hosts: String,
    pub flaws: Vec<String>,
    path: Vec<String>,
    pointer: String,
}

/// The form of a table of settings.
pub struct Form {
    pub groups: Vec<Group>,
}

impl Form {
    /// The fields of a schema, filled in with what an outline says at `path`; `leave` tells pointers that it leaves out.
    pub fn of(schema: &Value, outline: &SettingsTree, path: &[&str], layout: &Layout, leave: &[&str]) -> Self {
        let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
        let mut form = Self { groups: Vec::new() };
        let maker = Maker { root: schema, outline, layout, leave };
        maker.table(schema, &path, String::new(), &mut form.groups);
        form.groups.retain(|group| !group.fields.is_empty());
        form
    }

    /// Puts what is wrong at its field; gives what belongs to none of them.
    pub fn place(&mut self, flaws: &[ConfigErrorBody], layout: &Layout) -> Vec<ConfigErrorBody> {
        let mut rest = Vec::new();
        for flaw in flaws {
            let at = flaw.pointer.as_deref().unwrap_or("-");
            let text = flaw.text(layout.language).to_owned();
            let within = |pointer: &str| at == pointer || at.starts_with(&format!("{pointer}/"));
            let mut fields = self.groups.iter_mut().flat_map(|group| &mut group.fields);
            if let Some(field) = fields.find(|field| within(&field.pointer)) {
                field.flaws.push(text);
            } else if let Some(group) = self.groups.iter_mut().find(|group| group.pointer == at && !at.is_empty()) {
                group.flaws.push(text);
            } else {
                rest.push(flaw.clone());
            }
        }
        rest
    }

    /// Shows what was typed, where something was; a secret has to be typed again.
    pub fn refill(&mut self, filled: &Fields) {
        for field in self.groups.iter_mut().flat_map(|group| &mut group.fields) {
            if filled.find(&format!("has-{}", field.key)).is_some() {
                field.value = filled.lines(&field.key).to_string();
                field.chosen = filled.all(&field.key).map(str::to_owned).collect();
            }
        }
    }

    /// What a filled-in form would change of what stands in the file.
    pub fn changes(&self, filled: &Fields) -> Vec<ConfigChange> {
        let fields = self.groups.iter().flat_map(|group| &group.fields);
        fields.filter(|field| !field.locked).filter_map(|field| field.change(filled)).collect()
    }
}

impl Field {
    fn change(&self, filled: &Fields) -> Option<ConfigChange> {
        let set = |value: Value| Some(ConfigChange::Set(self.path.clone(), value));
        let unset = || Some(ConfigChange::Unset(self.path.clone()));
        if self.kind == Kind::Secret {
            return match filled.get(&self.key).trim() {
                "" if filled.get(&format!("{}-clear", self.key)).is_empty() => None,
                "" => unset(),
                secret => set(secret.into()),
            };
        }
        // A field that was not on the page says nothing.
        filled.find(&format!("has-{}", self.key))?;
        if let Kind::Several(_) = self.kind {
            let chosen: Vec<&str> = filled.all(&self.key).collect();
            return match chosen.is_empty() {
                _ if chosen == self.chosen => None,
                true if !self.required => unset(),
                _ => set(chosen.into()),
            };
        }
        let given = filled.lines(&self.key);
        let given = given.trim_end_matches('\n');
        if given == self.value {
            return None;
        }
        if given.trim().is_empty() {
            return unset();
        }
        let mut lines = given.lines().map(str::trim).filter(|line| !line.is_empty());
        set(match self.kind {
            Kind::Flag => Value::Bool(given == "true"),
            Kind::Number => edit::parse_value(given.trim()),
            Kind::Toml => edit::parse_value(given),
            Kind::OneOrLines if lines.clone().count() == 1 => lines.next().into(),
            Kind::Lines | Kind::OneOrLines => lines.collect(),
            _ => given.trim().into(),
        })
    }
}

/// What all fields of a form are made with.
struct Maker<'a> {
    root: &'a Value,
    outline: &'a SettingsTree,
    layout: &'a Layout,
    leave: &'a [&'a str],
}

impl Maker<'_> {
    fn table(&self, schema: &Value, path: &[String], title: String, groups: &mut Vec<Group>) {
        let pointer = pointer(path);
        let about = described(schema, self.layout);
        let own = groups.len();
        groups.push(Group { title, about, pointer: pointer.clone(), ..Group::default() });
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let required: Vec<&str> =
            schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut keys: Vec<&String> = properties.keys().collect();
        // What is needed stands first, also where only something within is.
        let needs = |key: &String| {
            let needed = plain(&properties[key.as_str()], self.root).get("required");
            required.contains(&key.as_str()) || needed.and_then(Value::as_array).is_some_and(|of| !of.is_empty())
        };
        keys.sort_by_key(|key| (!needs(key), RARE.contains(&format!("{pointer}/{key}").as_str())));
        for key in keys {
            let at = format!("{pointer}/{}", escape(key));
            if self.leave.contains(&at.as_str()) {
                continue;
            }
            let whole = &properties[key.as_str()];
            let property = plain(whole, self.root);
            let path = [path, std::slice::from_ref(key)].concat();
            let nested = property.get("properties").is_some() && path.len() < DEEPEST + 2;
            if nested && !is_secret(property) {
                self.table(property, &path, key.clone(), groups);
                continue;
            }
            let field = self.field(whole, property, path, required.contains(&key.as_str()));
            groups[own].fields.push(field);
        }
    }

    fn field(&self, whole: &Value, property: &Value, path: Vec<String>, required: bool) -> Field {
        let pointer = pointer(&path);
        let kind = kind(property, self.root, self.layout);
        let address = is_of_addresses(property, self.root);
        let reserved = self.layout.changes && !self.layout.operator && (pointer == "/wechat/base_url" || address);
        let hosts = if reserved && address { self.layout.hosts.clone() } else { String::new() };
        let written = self.written(&pointer);
        let chosen = match written {
            Some(Value::Array(items)) => items.iter().map(|item| shown(item, &Kind::Text)).collect(),
            _ => Vec::new(),
        };
        let default = whole.get("default").or_else(|| property.get("default")).filter(|default| !default.is_null());
        let about =
            [whole, property].iter().map(|schema| described(schema, self.layout)).find(|about| !about.is_empty());
        let default = default.map(|default| shown(default, &kind)).unwrap_or_default();
        let example = [whole, property].iter().find_map(|schema| schema.get("examples")?.get(0));
        let placeholder = match example.filter(|_| default.is_empty() && kind != Kind::Toml) {
            Some(example) => format!("{} {}", self.layout.t("例如", "such as"), shown(example, &kind)),
            None => default.clone(),
        };
        Field {
            key: path.join("."),
            id: path.join("-"),
            label: self.label(&pointer).unwrap_or_else(|| path.last().cloned().unwrap_or_default()),
            about: about.unwrap_or_default(),
            value: written.map(|value| shown(value, &kind)).unwrap_or_default(),
            chosen,
            default,
            placeholder,
            required,
            locked: !self.layout.changes || reserved && hosts.is_empty(),
            reserved,
            hosts,
            flaws: Vec::new(),
            kind,
            path,
            pointer,
        }
    }

    /// What the file itself says; a default is not written.
    fn written(&self, pointer: &str) -> Option<&Value> {
        let SettingsTree { settings, defaults, .. } = self.outline;
        let default = defaults.iter().any(|at| pointer == at || pointer.starts_with(&format!("{at}/")));
        settings.pointer(pointer).filter(|_| !default)
    }

    /// The gateway's own settings have names for people.
    fn label(&self, pointer: &str) -> Option<String> {
        let (zh, en) = match pointer {
            "/name" => ("显示名称", "Name"),
            "/wechat/appid" => ("AppID", "AppID"),
            "/wechat/secret" => ("AppSecret", "AppSecret"),
            "/wechat/base_url" => ("平台接口地址", "Platform's address"),
            "/session/ttl" => ("会话有效期", "Life of a session"),
            _ => return None,
        };
        Some(self.layout.t(zh, en).to_owned())
    }
}

fn pointer(path: &[String]) -> String {
    path.iter().map(|part| format!("/{}", escape(part))).collect()
}

/// A value as its field shows it.
fn shown(value: &Value, kind: &Kind) -> String {
    match (value, kind) {
        (Value::String(text), Kind::Toml) if text == MASK => MASK.to_owned(),
        (value, Kind::Toml) => {
            edit::toml_value(value).map(|value| value.to_string().trim().to_owned()).unwrap_or_default()
        }
        (Value::String(text), _) => text.clone(),
        (Value::Array(items), Kind::Lines | Kind::OneOrLines) => {
            items.iter().map(|item| shown(item, &Kind::Text)).collect::<Vec<_>>().join("\n")
        }
        (Value::Array(items), _) => items.iter().map(|item| shown(item, &Kind::Text)).collect::<Vec<_>>().join(", "),
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
                "login": { "oneOf": [{ "const": "none", "description": "任何人。Anyone." }, { "const": "required" }], "default": "none" },
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

    fn form() -> Form {
        let settings = json!({ "a": {
            "methods": ["phone"], "retries": 2, "list": ["x", "y"], "key": "masked:", "deep": { "ttl": "7d" },
        } });
        let outline = SettingsTree { settings, defaults: ["/a/deep".to_owned()].into(), secrets: Default::default() };
        let layout = Layout { language: Language::En, changes: true, ..Layout::default() };
        Form::of(&schema(), &outline, &["a"], &layout, &[])
    }

    fn filled(pairs: &[(&str, &str)]) -> Vec<String> {
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let changes = form().changes(&Fields::of(encoded.as_bytes()));
        let told = |change: &ConfigChange| match change {
            ConfigChange::Set(path, value) => format!("{}={value}", path.join(".")),
            ConfigChange::Unset(path) => format!("{}-", path.join(".")),
        };
        changes.iter().map(told).collect()
    }

    #[test]
    fn each_setting_has_a_field_of_its_kind() {
        let form = form();
        let field = |key: &str| form.groups.iter().flat_map(|group| &group.fields).find(|f| f.key == key).unwrap();
        assert!(matches!(&field("a.methods").kind, Kind::Several(of) if of.len() == 2) && field("a.methods").required);
        assert!(matches!(&field("a.login").kind, Kind::Choice(of) if of[0].1 == "Anyone."));
        for (key, kind) in [
            ("a.key", Kind::Secret),
            ("a.retries", Kind::Number),
            ("a.strip", Kind::Flag),
            ("a.list", Kind::Lines),
            ("a.fixed", Kind::Toml),
            ("a.upstream", Kind::OneOrLines),
            ("a.deep.ttl", Kind::Text),
        ] {
            assert_eq!(field(key).kind, kind, "{key}");
        }
        assert_eq!((field("a.list").value.as_str(), field("a.deep.ttl").value.as_str()), ("x\ny", ""));
        assert_eq!(field("a.deep.ttl").default, "7d");
    }

    #[test]
    fn what_was_changed_is_changed_and_the_rest_left_alone() {
        assert!(filled(&[]).is_empty());
        let same =
            [("has-a.retries", ""), ("a.retries", "2"), ("has-a.list", ""), ("a.list", "x\r\ny\r\n"), ("a.key", "")];
        assert!(filled(&same).is_empty());
        let more = [("has-a.retries", ""), ("a.retries", "x"), ("has-a.list", ""), ("a.list", ""), ("a.key", "k")];
        assert_eq!(filled(&more), ["a.key=\"k\"", "a.list-", "a.retries=\"x\""]);
        assert_eq!(filled(&[("has-a.methods", "")]), ["a.methods=[]"]);
        assert_eq!(filled(&[("has-a.fixed", ""), ("a.fixed", "{ x = 1 }")]), ["a.fixed={\"x\":1}"]);
        assert_eq!(filled(&[("a.key-clear", "on")]), ["a.key-"]);
        for (typed, value) in [("x\r\n", "\"x\""), ("x\r\ny", "[\"x\",\"y\"]")] {
            let upstream = filled(&[("has-a.upstream", ""), ("a.upstream", typed)]);
            assert_eq!(upstream, [format!("a.upstream={value}")]);
        }
    }

    #[test]
    fn what_is_wrong_stands_at_its_field() {
        let mut form = form();
        let flaw = |pointer: &str| ConfigErrorBody {
            line: Some(1),
            column: Some(1),
            pointer: Some(pointer.to_owned()),
            zh: "错".into(),
            en: pointer.to_owned(),
        };
        let rest = form.place(
            &[flaw("/a/list/1"), flaw("/a"), flaw("/b")],
            &Layout { language: Language::En, ..Layout::default() },
        );
        assert_eq!((rest.len(), rest[0].en.as_str(), form.groups[0].flaws.len()), (1, "/b", 1));
        let list = form.groups[0].fields.iter().find(|field| field.key == "a.list").unwrap();
        assert_eq!(list.flaws, ["/a/list/1"]);
    }
}
