//! Shows what a plugin provides, for people at a terminal.

use http::Method;
use menlou_action::{ActionFlags, Descriptor, Plugin};
use menlou_error::text::{Language, Text};
use menlou_policy::Access;
use serde_json::Value;
use std::fmt::{self, Display, Write};

/// Describes a plugin and its actions, each with parameters, response and settings.
pub fn describe(plugin: &Plugin, language: Language) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, plugin, language);
    page
}

fn write(page: &mut String, plugin: &Plugin, language: Language) -> fmt::Result {
    let (major, minor) = plugin.abi;
    writeln!(page, "{} {} (ABI {major}.{minor})", plugin.name, plugin.version)?;
    for action in &plugin.actions {
        head(page, action, language)?;
        for (title, schema) in [
            (Text::fixed("参数", "parameters"), action.params.as_json()),
            (Text::fixed("响应", "response"), &action.data),
            (Text::fixed("设置", "settings"), action.settings.as_json()),
        ] {
            properties(page, title.get(language), schema, language)?;
        }
        if !action.files.is_empty() {
            let title = Text::fixed("或返回文件", "or a file");
            writeln!(page, "  {}: {}", title.get(language), action.files.join(", "))?;
        }
    }
    Ok(())
}

fn head(page: &mut String, action: &Descriptor, language: Language) -> fmt::Result {
    let access = match action.access {
        _ if action.access_by_setting => Text::fixed("由租户设置 auth 决定", "depends on the tenant's setting auth"),
        Access::Anyone | Access::Optional => Text::fixed("任何人可调用", "anyone"),
        Access::Session => Text::fixed("需要会话", "requires a session"),
        Access::User => Text::fixed("需要登录", "requires login"),
    };
    let methods = action.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    writeln!(page, "\na={}  {} · {}", action.name, OrNone(&action.title.zh), OrNone(&action.title.en))?;
    writeln!(page, "  {methods}  {}", access.get(language))?;
    let taken: Vec<Text> = taken(action.flags).collect();
    if !taken.is_empty() {
        let title = Text::fixed("原样传给动作", "passed unprocessed");
        let taken = taken.iter().map(|text| text.get(language)).collect::<Vec<_>>().join(", ");
        writeln!(page, "  {}: {taken}", title.get(language))?;
    }
    Ok(())
}

/// The parts of a request that an action receives unprocessed.
pub fn taken(takes: ActionFlags) -> impl Iterator<Item = Text> {
    let all = [
        (takes.raw_body, Text::fixed("任意请求体", "any body")),
        (takes.raw_query, Text::fixed("任意查询串", "any query")),
        (takes.subpaths, Text::fixed("任意子路径", "any subpath")),
    ];
    all.into_iter().filter_map(|(holds, text)| holds.then_some(text))
}

/// Writes one line for each property of an object's schema.
fn properties(page: &mut String, title: &str, schema: &Value, language: Language) -> fmt::Result {
    let none = if names_all(schema) { Text::fixed("无", "none") } else { Text::fixed("任意", "any") };
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|p| !p.is_empty()) else {
        return writeln!(page, "  {title}: {}", none.get(language));
    };
    writeln!(page, "  {title}:")?;
    let required = schema.get("required").and_then(Value::as_array);
    let width = properties.keys().map(|name| name.chars().count()).max().unwrap_or_default();
    for (name, property) in properties {
        let needed = required.is_some_and(|r| r.iter().any(|n| n == name));
        let needed = if needed { Text::fixed("，必填", ", required") } else { Text::fixed("", "") };
        let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = format!("    {name:width$}  {}{}  {about}", Kind(property), needed.get(language));
        writeln!(page, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Whether an object's schema lists all allowed properties, or allows none.
pub fn names_all(schema: &Value) -> bool {
    let is = |key: &str, value: Value| schema.get(key) == Some(&value);
    is("additionalProperties", false.into()) || is("maxProperties", 0.into()) || schema.get("properties").is_some()
}

struct OrNone<'a>(&'a str);

impl Display for OrNone<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "–" } else { self.0 })
    }
}

/// The type of a property and its default.
struct Kind<'a>(&'a Value);

impl Display for Kind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get("type") {
            Some(Value::String(one)) => f.write_str(one)?,
            Some(Value::Array(many)) => {
                let many = many.iter().filter_map(Value::as_str).collect::<Vec<_>>();
                f.write_str(&many.join("|"))?;
            }
            _ => f.write_str(&self.choices().unwrap_or_else(|| "…".into()))?,
        }
        match self.0.get("default").filter(|d| !d.is_null()) {
            Some(default) => write!(f, " = {default}"),
            None => Ok(()),
        }
    }
}

impl Kind<'_> {
    /// The values of an enum. Each may have its own description.
    fn choices(&self) -> Option<String> {
        let named = |list: &str| self.0.get(list).and_then(Value::as_array);
        let values: Vec<&Value> = match (named("enum"), named("oneOf")) {
            (Some(values), _) => values.iter().collect(),
            (None, Some(branches)) => branches.iter().filter_map(|b| b.get("const")).collect(),
            (None, None) => return None,
        };
        let values = values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        Some(values.collect::<Vec<_>>().join("|"))
    }
}
