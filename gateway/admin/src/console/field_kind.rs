//! The kind of form field for a setting, derived from its JSON Schema.

use super::layout::Layout;
use menlou_config::schema::{is_address, is_secret};
use serde_json::Value;

/// Maximum length of a chain of `$ref`s.
const MAX_REFERENCES: usize = 8;

/// The kind of a form field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Text,
    Number,
    Flag,
    /// The current value is not shown.
    Secret,
    /// One of these values, each with a description.
    Choice(Vec<(String, String)>),
    /// Any of these values, each with a description.
    MultiChoice(Vec<(String, String)>),
    /// A list of texts, one per line.
    Lines,
    /// One text, or a list of texts, one per line.
    TextOrLines,
    /// Any TOML value.
    Toml,
}

impl FieldKind {
    /// The kind of field for a resolved schema. `root` is the document that contains the schema.
    pub fn for_schema(schema: &Value, root: &Value, layout: &Layout) -> Self {
        if is_secret(schema) {
            return Self::Secret;
        }
        if let Some(choices) = choices(schema, layout) {
            return Self::Choice(choices);
        }
        if let Some([one, list]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
            let is_text = |schema: &Value| schema.get("type").is_some_and(|of| of == "string") && !is_secret(schema);
            if is_text(one) && list.get("items").is_some_and(is_text) {
                return Self::TextOrLines;
            }
        }
        let type_name = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().find(|name| **name != "null"),
            other => other,
        };
        match type_name.and_then(Value::as_str) {
            Some("string") => Self::Text,
            Some("integer" | "number") => Self::Number,
            Some("boolean") => Self::Flag,
            Some("array") => {
                let item = schema.get("items").map(|items| resolve(items, root)).unwrap_or(&Value::Null);
                match (choices(item, layout), item.get("type").and_then(Value::as_str)) {
                    (Some(choices), _) => Self::MultiChoice(choices),
                    (None, Some("string")) if !is_secret(item) => Self::Lines,
                    _ => Self::Toml,
                }
            }
            _ => Self::Toml,
        }
    }
}

/// Follows references, and alternatives of which all but one are null.
pub fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..MAX_REFERENCES {
        let alternatives = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.strip_prefix('#')?));
        let only = alternatives.and_then(|alternatives| {
            let mut not_null = alternatives.iter().filter(|one| one.get("type").is_none_or(|kind| kind != "null"));
            not_null.next().filter(|_| not_null.next().is_none())
        });
        match reference.or(only) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

/// Whether a setting is an address that the gateway connects to, or a list of such addresses.
pub fn is_upstream_address(schema: &Value, root: &Value) -> bool {
    let schema = resolve(schema, root);
    let alternatives = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let mut all = std::iter::once(schema).chain(alternatives);
    all.any(|one| is_address(one) || one.get("items").is_some_and(|items| is_address(resolve(items, root))))
}

/// The values that a schema permits, each with its description; `None` if it does not list text values.
fn choices(schema: &Value, layout: &Layout) -> Option<Vec<(String, String)>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(|value| Some((value.as_str()?.to_owned(), String::new()))).collect();
    }
    let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array())?;
    let mut choices = Vec::new();
    for one in alternatives {
        let description = description(one, layout);
        match (one.get("const"), one.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => choices.push((value.as_str()?.to_owned(), description)),
            (None, Some(values)) => {
                for value in values {
                    choices.push((value.as_str()?.to_owned(), description.clone()));
                }
            }
            _ => return None,
        }
    }
    Some(choices)
}

/// The description of a schema in the page's language. If it has only one language, that one.
pub fn description(schema: &Value, layout: &Layout) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let (zh, en) = split_languages(text);
    let selected = layout.t(&zh, &en).to_owned();
    if selected.is_empty() { text.to_owned() } else { selected }
}

/// Splits a description into its Chinese and its English part, in either order.
fn split_languages(text: &str) -> (String, String) {
    let wide = |c: char| c >= '\u{2e80}';
    let join = |lines: &[&str]| {
        let mut joined = String::new();
        for line in lines.iter().map(|line| line.trim()) {
            if !(joined.is_empty() || joined.ends_with(wide) && line.starts_with(wide)) {
                joined.push(' ');
            }
            joined.push_str(line);
        }
        joined
    };
    let lines: Vec<&str> = text.lines().collect();
    // If the first line contains no Chinese, the English lines come first.
    if let Some(first) = lines.iter().position(|line| line.contains(wide)).filter(|first| *first > 0) {
        return (join(&lines[first..]), join(&lines[..first]));
    }
    let joined = join(&lines);
    let end = joined.char_indices().rev().find(|(_, c)| wide(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    (joined[..end].trim().to_owned(), joined[end..].trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_is_split_into_its_languages() {
        let halves = |text: &str| split_languages(text);
        assert_eq!(halves("The name.\n名称。"), ("名称。".into(), "The name.".into()));
        assert_eq!(
            halves("methods 含 x 时必填。Needed\nwhere it is."),
            ("methods 含 x 时必填。".into(), "Needed where it is.".into())
        );
        assert_eq!(halves("Only English."), (String::new(), "Only English.".into()));
    }
}
