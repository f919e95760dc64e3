//! Settings from environment variables: `MENLOU_SERVER__LISTEN` sets `listen` in `[server]`.

use super::{
    check,
    config_error::{ConfigError, nearest, quoted},
    renamed,
    schema::Schema,
};
use menlou_error::text::Text;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const PREFIX: &str = "MENLOU_";

/// The settings that environment variables override.
pub struct Overrides {
    /// Name of the variable, by the setting's JSON pointer.
    pub variables: BTreeMap<String, String>,
    /// Errors in the variables.
    pub errors: Vec<ConfigError>,
}

/// Applies the variables in `env` to `value`. A variable without `__`, such as `MENLOU_LANG`, is not a setting.
pub fn apply(value: &mut Value, schema: &Schema, env: impl Iterator<Item = (String, String)>) -> Overrides {
    let known = settings(schema);
    let mut done = Overrides { variables: BTreeMap::new(), errors: Vec::new() };
    let mut set: Vec<_> = env.filter(|(name, _)| name.starts_with(PREFIX) && name.contains("__")).collect();
    set.sort();
    for (variable, written) in set {
        let Some((section, key)) = known.get(&variable) else {
            done.errors.push(unknown(variable, &known));
            continue;
        };
        let property = schema.resolve(
            schema.as_json().pointer(&format!("/properties/{section}/properties/{key}")).unwrap_or(&Value::Null),
        );
        let typed = match typed(&written, property) {
            Ok(typed) => typed,
            Err(text) => {
                done.errors.push(ConfigError::in_variable(variable, text));
                continue;
            }
        };
        let violations = check::violations(&json!({ section: { key: &typed } }), schema);
        done.errors.extend(violations.into_iter().map(|f| ConfigError::in_variable(&variable, f.text)));
        if let Some(config) = value.as_object_mut() {
            // A section of the wrong type is an error in the file. It must not hide errors in variables.
            let table = config.entry(section).or_insert_with(|| Value::Object(Map::new()));
            if let Some(table) = table.as_object_mut() {
                table.insert(key.clone(), typed);
                done.variables.insert(format!("/{section}/{key}"), variable);
            }
        }
    }
    done
}

/// Section and key of each setting, by the name of its variable.
fn settings(schema: &Schema) -> BTreeMap<String, (String, String)> {
    let mut settings = BTreeMap::new();
    for section in schema.known_keys(schema.as_json()) {
        let table = schema.as_json().pointer(&format!("/properties/{section}")).unwrap_or(&Value::Null);
        for key in schema.known_keys(table) {
            let name = format!("{PREFIX}{}__{}", section.to_uppercase(), key.to_uppercase());
            settings.insert(name, (section.to_owned(), key.to_owned()));
        }
    }
    settings
}

/// Converts the text of a variable to the type that the schema requires.
fn typed(written: &str, property: &Value) -> Result<Value, Text> {
    match property.get("type").and_then(Value::as_str) {
        Some("integer") => {
            written.trim().parse::<i64>().map(Value::from).map_err(|_| Text::fixed("应为整数", "must be an integer"))
        }
        Some("boolean") => written
            .trim()
            .parse::<bool>()
            .map(Value::from)
            .map_err(|_| Text::fixed("应为 true 或 false", "must be true or false")),
        Some("array") => toml::from_str::<BTreeMap<String, Value>>(&format!("list = {written}"))
            .ok()
            .and_then(|mut table| table.remove("list"))
            .ok_or_else(|| Text::fixed("应为 TOML 数组", "must be an array as in TOML")),
        _ => Ok(Value::from(written)),
    }
}

fn unknown(variable: String, known: &BTreeMap<String, (String, String)>) -> ConfigError {
    if let Some(new) = renamed(&variable, known).map(|new| quoted(&new)) {
        let text = Text::new(format!("此设置已改名为 {new}"), format!("this setting is called {new} now"));
        return ConfigError::in_variable(variable, text);
    }
    let text = match nearest(&variable, known.keys().map(String::as_str)).map(quoted) {
        Some(near) => Text::new(
            format!("没有这个设置；是否想写 {near}？"),
            format!("there is no such setting; did you mean {near}?"),
        ),
        None => Text::fixed(
            "没有这个设置；名称形如 MENLOU_SERVER__LISTEN，各项见 menlou.toml",
            "there is no such setting; names look like MENLOU_SERVER__LISTEN, and menlou.toml lists the settings",
        ),
    };
    ConfigError::in_variable(variable, text)
}

/// The variable of the setting that `variable` named before its key was renamed.
fn renamed(variable: &str, known: &BTreeMap<String, (String, String)>) -> Option<String> {
    let (section, key) = variable.strip_prefix(PREFIX)?.split_once("__")?;
    let name = |key: &str| format!("{PREFIX}{section}__{}", key.to_uppercase());
    renamed::new_name(&key.to_lowercase(), |new| known.contains_key(&name(new))).map(name)
}
