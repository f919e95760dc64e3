//! Which kind of field a setting has, as its JSON Schema says.

use super::layout::Layout;
use menlou_config::schema::{is_address, is_secret};
use serde_json::Value;

/// How a setting is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    Flag,
    /// What stands there already is not shown.
    Secret,
    /// One of these: the value, and what it means.
    Choice(Vec<(String, String)>),
    /// Some of these.
    Several(Vec<(String, String)>),
    /// Texts, one a line.
    Lines,
    /// A text, or several, one a line.
    OneOrLines,
    /// Whatever TOML can say.
    Toml,
}

/// The schema itself where another is referred to, or where null is allowed beside it.
pub fn plain<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..8 {
        let alternatives = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(key)?.as_array());
        let referred = schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(at.strip_prefix('#')?));
        let only = alternatives.and_then(|of| {
            let mut real = of.iter().filter(|one| one.get("type").is_none_or(|kind| kind != "null"));
            real.next().filter(|_| real.next().is_none())
        });
        match referred.or(only) {
            Some(next) => schema = next,
            None => break,
        }
    }
    schema
}

pub fn kind(schema: &Value, root: &Value, layout: &Layout) -> Kind {
    if is_secret(schema) {
        return Kind::Secret;
    }
    if let Some(choices) = choices(schema, layout) {
        return Kind::Choice(choices);
    }
    if let Some([one, several]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        let text = |schema: &Value| schema.get("type").is_some_and(|of| of == "string") && !is_secret(schema);
        if text(one) && several.get("items").is_some_and(text) {
            return Kind::OneOrLines;
        }
    }
    let named = match schema.get("type") {
        Some(Value::Array(types)) => types.iter().find(|of| **of != "null"),
        other => other,
    };
    match named.and_then(Value::as_str) {
        Some("string") => Kind::Text,
        Some("integer" | "number") => Kind::Number,
        Some("boolean") => Kind::Flag,
        Some("array") => {
            let item = schema.get("items").map(|items| plain(items, root)).unwrap_or(&Value::Null);
            match (choices(item, layout), item.get("type").and_then(Value::as_str)) {
                (Some(choices), _) => Kind::Several(choices),
                (None, Some("string")) if !is_secret(item) => Kind::Lines,
                _ => Kind::Toml,
            }
        }
        _ => Kind::Toml,
    }
}

/// Whether a setting is an address, or some: an operator's to set.
pub fn is_of_addresses(schema: &Value, root: &Value) -> bool {
    let schema = plain(schema, root);
    let either = ["anyOf", "oneOf"].iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
    let mut each = std::iter::once(schema).chain(either);
    each.any(|one| is_address(one) || one.get("items").is_some_and(|items| is_address(plain(items, root))))
}

fn choices(schema: &Value, layout: &Layout) -> Option<Vec<(String, String)>> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(|value| Some((value.as_str()?.to_owned(), String::new()))).collect();
    }
    let alternatives = ["oneOf", "anyOf"].iter().find_map(|key| schema.get(key)?.as_array())?;
    let mut choices = Vec::new();
    for one in alternatives {
        let about = described(one, layout);
        match (one.get("const"), one.get("enum").and_then(Value::as_array)) {
            (Some(value), _) => choices.push((value.as_str()?.to_owned(), about)),
            (None, Some(values)) => {
                for value in values {
                    choices.push((value.as_str()?.to_owned(), about.clone()));
                }
            }
            _ => return None,
        }
    }
    Some(choices)
}

/// What a schema says of itself, in the page's language.
pub fn described(schema: &Value, layout: &Layout) -> String {
    let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let (zh, en) = languages(text);
    let told = layout.t(&zh, &en).to_owned();
    if told.is_empty() { text.to_owned() } else { told }
}

/// The two halves of a description in Chinese and English, whichever comes first.
fn languages(text: &str) -> (String, String) {
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
    // A first line without any Chinese: English stands first, line by line.
    if let Some(first) = lines.iter().position(|line| line.contains(wide)).filter(|first| *first > 0) {
        return (join(&lines[first..]), join(&lines[..first]));
    }
    let whole = join(&lines);
    let end = whole.char_indices().rev().find(|(_, c)| wide(*c)).map_or(0, |(at, c)| at + c.len_utf8());
    (whole[..end].trim().to_owned(), whole[end..].trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_told_in_one_language() {
        let halves = |text: &str| languages(text);
        assert_eq!(halves("The name.\n名称。"), ("名称。".into(), "The name.".into()));
        assert_eq!(
            halves("methods 含 x 时必填。Needed\nwhere it is."),
            ("methods 含 x 时必填。".into(), "Needed where it is.".into())
        );
        assert_eq!(halves("Only English."), (String::new(), "Only English.".into()));
    }
}
