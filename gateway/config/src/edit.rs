//! Edits values in a TOML text and leaves everything else unchanged: comments, order and layout.

use super::config_error::quoted;
use menlou_error::text::Text;
use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Key, Table, TableLike, Value};

/// One change to a config file. Values are plain JSON; TOML has no null.
#[derive(Clone)]
pub enum ConfigChange {
    /// Sets the value at this path. An existing table is changed key by key, so that its remaining keys keep their
    /// comments.
    Set(Vec<String>, Json),
    /// Removes the value or table at this path, if it exists.
    Unset(Vec<String>),
}

/// Splits a key as TOML writes it: `session.ttl`, `actions."a.b".plugin`.
///
/// # Errors
/// The text is not a TOML key.
pub fn parse_key(written: &str) -> Result<Vec<String>, Text> {
    match Key::parse(written) {
        Ok(keys) if !keys.is_empty() => Ok(keys.iter().map(|key| key.get().to_owned()).collect()),
        _ => {
            let shown = quoted(written);
            Err(Text::new(
                format!("{shown} 不是键：写法如 session.ttl"),
                format!("{shown} is not a key; keys look like session.ttl"),
            ))
        }
    }
}

/// Reads a value from a command line: as TOML if it is valid TOML, otherwise as a string.
pub fn parse_value(written: &str) -> Json {
    let doc = format!("x = {written}");
    let parsed: Option<toml::Table> = toml::from_str(&doc).ok();
    let only = parsed.filter(|table| table.len() == 1).and_then(|mut table| table.remove("x"));
    match only.map(serde_json::to_value) {
        Some(Ok(value)) if !value.is_null() => value,
        _ => Json::String(written.to_owned()),
    }
}

/// Applies all changes to a text.
///
/// # Errors
/// The text is not valid TOML, a path leads through a value that is not a table, or a value is null.
pub fn apply(text: &str, changes: &[ConfigChange]) -> Result<String, Text> {
    let (mark, body) = match text.strip_prefix('\u{feff}') {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    let mut doc: DocumentMut = body.parse().map_err(|e: toml_edit::TomlError| {
        Text::new(format!("不是有效的 TOML：{}", e.message()), format!("not valid TOML: {}", e.message()))
    })?;
    for change in changes {
        match change {
            ConfigChange::Set(path, value) => set(doc.as_item_mut(), path, value, false)?,
            ConfigChange::Unset(path) => unset(&mut doc, path),
        }
    }
    let mut edited = doc.to_string();
    // Keep CRLF line ends if the file uses them throughout.
    if body.contains("\r\n") && body.matches('\n').count() == body.matches("\r\n").count() {
        edited = edited.replace("\r\n", "\n").replace('\n', "\r\n");
    }
    Ok(format!("{mark}{edited}"))
}

/// `inline`: whether a new table has to be inline because it cannot have a header.
fn set(item: &mut Item, path: &[String], value: &Json, inline: bool) -> Result<(), Text> {
    let Some((key, rest)) = path.split_first() else { return put(item, value, inline) };
    if item.is_none() {
        let mut new = Table::new();
        // `[actions.pay]` does not need a header `[actions]` above it.
        new.set_implicit(true);
        *item = if inline { Item::Value(InlineTable::new().into()) } else { Item::Table(new) };
    }
    let inline = !matches!(item, Item::Table(table) if !table.is_dotted());
    let Some(table) = item.as_table_like_mut() else {
        let key = quoted(key);
        return Err(Text::new(
            format!("{key} 的上一级不是表，不能包含键"),
            format!("the value above {key} is not a table and cannot have keys"),
        ));
    };
    set(table.entry(key).or_insert(Item::None), rest, value, inline)
}

fn put(item: &mut Item, value: &Json, inline: bool) -> Result<(), Text> {
    if let Json::Object(wanted) = value {
        if item.is_none() && !inline {
            *item = Item::Table(Table::new());
        }
        let inline = !matches!(item, Item::Table(table) if !table.is_dotted());
        if let Some(table) = item.as_table_like_mut() {
            let gone: Vec<String> =
                table.iter().map(|(key, _)| key.to_owned()).filter(|key| !wanted.contains_key(key)).collect();
            for key in gone {
                table.remove(&key);
            }
            for (key, value) in wanted {
                put(table.entry(key).or_insert(Item::None), value, inline)?;
            }
            return Ok(());
        }
    }
    let mut new = toml_value(value)?;
    if let Some(old) = item.as_value() {
        if same(old, &new) {
            return Ok(());
        }
        if let (Some(old), Some(new)) = (old.as_array(), new.as_array_mut()) {
            lay_out_alike(new, old);
        }
        *new.decor_mut() = old.decor().clone();
    }
    *item = Item::Value(new);
    Ok(())
}

/// Elements that remain keep their whitespace and comments; new elements are laid out like the last old one.
fn lay_out_alike(new: &mut Array, old: &Array) {
    new.set_trailing(old.trailing().clone());
    new.set_trailing_comma(old.trailing_comma() && !new.is_empty());
    let indent = old.iter().last().and_then(|last| last.decor().prefix()?.as_str()).unwrap_or_default();
    let indent = indent.rfind('\n').map_or(" ", |at| &indent[at..]);
    for (i, element) in new.iter_mut().enumerate() {
        match old.iter().find(|kept| same(kept, element)) {
            Some(kept) => *element = kept.clone(),
            None if i > 0 || indent.starts_with('\n') => element.decor_mut().set_prefix(indent),
            None => {}
        }
    }
}

/// Whether two values are equal, regardless of notation.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        (Value::Float(a), Value::Float(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b)),
        (Value::InlineTable(a), Value::InlineTable(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

/// Converts a value to TOML, with tables inline.
///
/// # Errors
/// The value is null, or an integer that does not fit into 64 bits.
pub fn toml_value(value: &Json) -> Result<Value, Text> {
    Ok(match value {
        Json::Null => return Err(Text::fixed("TOML 中没有 null", "TOML has no null")),
        Json::Bool(b) => (*b).into(),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(integer), _) => integer.into(),
            (None, Some(float)) if n.is_f64() => float.into(),
            _ => return Err(Text::fixed("整数超出 64 位范围", "the integer does not fit into 64 bits")),
        },
        Json::String(s) => s.as_str().into(),
        Json::Array(items) => Value::Array(items.iter().map(toml_value).collect::<Result<Array, Text>>()?),
        Json::Object(fields) => {
            let mut table = InlineTable::new();
            for (key, value) in fields {
                table.insert(key, toml_value(value)?);
            }
            Value::InlineTable(table)
        }
    })
}

/// Removes a value or table with the comment directly above it. Comments above a blank line concern more than this
/// item: they move to the next item. `toml_edit` attaches all comments to the item below, so removing the item alone
/// would silently delete a tenant admin's notes; that is why this code exists.
fn unset(doc: &mut DocumentMut, path: &[String]) {
    let Some((key, above)) = path.split_last() else { return };
    let mut table: &mut dyn TableLike = doc.as_table_mut();
    for part in above {
        match table.get_mut(part).and_then(Item::as_table_like_mut) {
            Some(below) => table = below,
            None => return,
        }
    }
    let next = table.iter().map(|(key, _)| key.to_owned()).skip_while(|k| k != key).nth(1);
    let Some((removed_key, removed)) = table.get_key_value(key).map(|(k, item)| (k.clone(), item.clone())) else {
        return;
    };
    table.remove(key);
    let mut positions = Vec::new();
    tables(&removed, &mut positions);
    let first = positions.iter().min_by_key(|(position, _)| *position).map(|(_, comment)| comment.clone());
    let comment = match (&removed, first) {
        (Item::Table(_), Some(comment)) => comment,
        _ => prefix(removed_key.leaf_decor()),
    };
    let Some(kept) = paragraphs_above(&comment) else { return };
    if !removed.is_table()
        && let Some(next) = next
        && table.get(&next).is_some_and(Item::is_value)
        && let Some(mut key) = table.key_mut(&next)
    {
        let below = prefix(key.leaf_decor());
        key.leaf_decor_mut().set_prefix(format!("{kept}{below}"));
        return;
    }
    let behind = match positions.iter().map(|(position, _)| *position).max() {
        Some(last) => last,
        None => position_of(doc.as_table(), above),
    };
    if !prepend_behind(doc.as_table_mut(), behind, &kept) {
        let trailing = format!("{kept}{}", doc.trailing().as_str().unwrap_or_default());
        doc.set_trailing(trailing);
    }
}

/// The part of a comment up to and including its last blank line.
fn paragraphs_above(comment: &str) -> Option<String> {
    let mut end = None;
    let mut at = 0;
    for line in comment.split_inclusive('\n') {
        at += line.len();
        if line.trim().is_empty() && comment[..at].contains('#') && line.ends_with('\n') {
            end = Some(at);
        }
    }
    end.map(|end| comment[..end].to_owned())
}

fn prefix(decor: &toml_edit::Decor) -> String {
    decor.prefix().and_then(|p| p.as_str()).unwrap_or_default().to_owned()
}

/// Collects the tables that have a header, each with its position and the comment above it.
fn tables(item: &Item, into: &mut Vec<(isize, String)>) {
    if let Item::ArrayOfTables(list) = item {
        list.iter().for_each(|table| tables(&Item::Table(table.clone()), into));
    }
    if let Item::Table(table) = item {
        if let Some(position) = table.position().filter(|_| !table.is_implicit() && !table.is_dotted()) {
            into.push((position, prefix(table.decor())));
        }
        table.iter().for_each(|(_, below)| tables(below, into));
    }
}

/// The position of the nearest table header on the way to `path`.
fn position_of(root: &Table, path: &[String]) -> isize {
    let (mut table, mut position) = (root, root.position().unwrap_or(0));
    for part in path {
        match table.get(part).and_then(Item::as_table) {
            Some(below) => table = below,
            None => break,
        }
        position = table.position().unwrap_or(position);
    }
    position
}

/// Prepends a comment to the first table after a position; returns false if there is none.
fn prepend_behind(root: &mut Table, position: isize, comment: &str) -> bool {
    let mut all = Vec::new();
    tables(&Item::Table(root.clone()), &mut all);
    match all.iter().map(|(at, _)| *at).filter(|at| *at > position).min() {
        Some(at) => prepend_at(root, at, comment),
        None => false,
    }
}

fn prepend_at(table: &mut Table, position: isize, comment: &str) -> bool {
    if table.position() == Some(position) && !table.is_implicit() && !table.is_dotted() {
        let below = prefix(table.decor());
        table.decor_mut().set_prefix(format!("{comment}{}", below.trim_start_matches(['\r', '\n'])));
        return true;
    }
    table.iter_mut().any(|(_, item)| match item {
        Item::Table(below) => prepend_at(below, position, comment),
        Item::ArrayOfTables(list) => list.iter_mut().any(|below| prepend_at(below, position, comment)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const FILE: &str = "# One tenant.\n\n# The name.\nname = \"Acme\" # for people\n\n[wechat]\nappid  = \"wx1\" # ours\nsecret = \"env:S\"\n\n# The actions.\n\n# Logs in.\n[actions.openid]\n[actions.login]\nmethods = [\n    \"phone\", # a number\n    \"password\",\n]\n# the end\n";

    fn keys(written: &str) -> Vec<String> {
        parse_key(written).unwrap()
    }

    fn set(written: &str, value: Json) -> ConfigChange {
        ConfigChange::Set(keys(written), value)
    }

    fn edited(changes: &[ConfigChange]) -> String {
        apply(FILE, changes).unwrap()
    }

    #[test]
    fn editing_without_changes_keeps_every_byte() {
        let bom = format!("\u{feff}{FILE}");
        let windows = FILE.replace('\n', "\r\n");
        for text in [FILE, &bom, &windows, ""] {
            assert_eq!(apply(text, &[]).unwrap(), text);
        }
        assert_eq!(
            edited(&[set("name", json!("Acme")), set("actions.login.methods", json!(["phone", "password"]))]),
            FILE
        );
    }

    #[test]
    fn a_changed_value_keeps_its_line_and_its_comment() {
        assert_eq!(edited(&[set("name", json!("Zeta"))]), FILE.replace("\"Acme\"", "\"Zeta\""));
        assert_eq!(edited(&[set("wechat.appid", json!("wx2"))]), FILE.replace("wx1", "wx2"));
        let windows = apply(&FILE.replace('\n', "\r\n"), &[set("name", json!("Zeta"))]).unwrap();
        assert_eq!(windows, FILE.replace("\"Acme\"", "\"Zeta\"").replace('\n', "\r\n"));
    }

    #[test]
    fn list_elements_that_remain_keep_their_lines() {
        let one_more = FILE.replace("    \"password\",\n", "    \"password\",\n    \"profile\",\n");
        assert_eq!(edited(&[set("actions.login.methods", json!(["phone", "password", "profile"]))]), one_more);
    }

    #[test]
    fn new_values_are_added_to_their_table() {
        let with = edited(&[set("wechat.base_url", json!("http://x"))]);
        assert_eq!(with, FILE.replace("\"env:S\"\n", "\"env:S\"\nbase_url = \"http://x\"\n"));
        let with = edited(&[set("session.ttl", json!("1d"))]);
        assert!(with.contains("\n\n[session]\nttl = \"1d\"\n"), "{with}");
        let with = edited(&[set("actions.pay", json!({ "plugin": "hello", "deep": { "n": 1 } }))]);
        assert!(with.contains("\n[actions.pay]\n") && with.contains("\n[actions.pay.deep]\nn = 1\n"), "{with}");
        assert!(!with.contains("[actions]"), "{with}");
        assert_eq!(
            apply("a = { b = 1 }\n", &[set("a.c", json!({ "d": 2 }))]).unwrap(),
            "a = { b = 1 , c = { d = 2 } }\n"
        );
        assert_eq!(apply("a.b = 1\n", &[set("a.c", json!(true))]).unwrap(), "a.b = 1\na.c = true\n");
    }

    #[test]
    fn a_table_is_changed_key_by_key() {
        let with = edited(&[set("wechat", json!({ "appid": "wx2", "secret": "env:S" }))]);
        assert_eq!(with, FILE.replace("wx1", "wx2"));
        let with = edited(&[set("wechat", json!({ "appid": "wx1" }))]);
        assert_eq!(with, FILE.replace("secret = \"env:S\"\n", ""));
    }

    #[test]
    fn removing_an_item_removes_its_own_comment_only() {
        let without = edited(&[ConfigChange::Unset(keys("actions.openid"))]);
        assert_eq!(without, FILE.replace("# Logs in.\n[actions.openid]\n", ""));
        let without = edited(&[ConfigChange::Unset(keys("name"))]);
        assert_eq!(without, FILE.replace("# The name.\nname = \"Acme\" # for people\n\n", ""));
        let without = edited(&[ConfigChange::Unset(keys("actions"))]);
        assert!(without.contains("# The actions.") && without.ends_with("# the end\n"), "{without}");
        assert_eq!(edited(&[ConfigChange::Unset(keys("none.such")), ConfigChange::Unset(keys("name.below"))]), FILE);
    }

    #[test]
    fn impossible_changes_are_errors() {
        for (change, message) in [
            (set("name.x", json!(1)), "not a table"),
            (set("name", Json::Null), "no null"),
            (set("name", json!(u64::MAX)), "64 bits"),
        ] {
            assert!(apply(FILE, &[change]).unwrap_err().en.contains(message), "{message}");
        }
        assert!(apply("a = ", &[]).unwrap_err().en.contains("not valid TOML"));
        for bad in ["", ".", "a.", "a b", "a = 1", "[a]", "a\n"] {
            assert!(parse_key(bad).is_err(), "{bad:?}");
        }
        assert_eq!(parse_key(r#"actions."a.b".plugin"#).unwrap(), ["actions", "a.b", "plugin"]);
    }

    #[test]
    fn a_value_on_the_command_line_is_toml_or_else_a_string() {
        for (written, read) in [
            ("7d", json!("7d")),
            ("\"7d\"", json!("7d")),
            ("7", json!(7)),
            ("true", json!(true)),
            ("[\"a\", 1]", json!(["a", 1])),
            ("{ a = 1 }", json!({ "a": 1 })),
            ("1\ny = 2", json!("1\ny = 2")),
            ("wx4f4bc4dec97d474b", json!("wx4f4bc4dec97d474b")),
            ("", json!("")),
            ("门楼", json!("门楼")),
        ] {
            assert_eq!(parse_value(written), read, "{written}");
        }
    }

    proptest! {
        #[test]
        fn an_edit_changes_only_the_named_values(key in "[a-d](\\.[a-d]){0,2}", n in 0i64..9, gone in "[a-d](\\.[a-d]){0,2}") {
            const TEXT: &str = "a = 1\nb.c = 2\n[c]\na = { b = 1 }\n\n# x\n\n[c.d]\n[d.a.b]\nc = [1]\n";
            let mut expected: Json = toml::from_str::<Json>(TEXT).unwrap();
            let at = |path: &str| format!("/{}", path.replace('.', "/"));
            if let Ok(text) = apply(TEXT, &[set(&key, json!(n)), ConfigChange::Unset(keys(&gone))]) {
                let mut here = &mut expected;
                for part in keys(&key) {
                    here = here.as_object_mut().unwrap().entry(part).or_insert(json!({}));
                }
                *here = json!(n);
                if let Some((above, last)) = at(&gone).rsplit_once('/') && let Some(Json::Object(table)) = expected.pointer_mut(above) {
                    table.remove(last);
                }
                prop_assert_eq!(bare(toml::from_str::<Json>(&text).unwrap()), bare(expected), "{}", text);
            }
        }
    }

    /// Removes empty tables: TOML does not need to write them.
    fn bare(value: Json) -> Json {
        match value {
            Json::Object(table) => {
                table.into_iter().map(|(k, v)| (k, bare(v))).filter(|(_, v)| *v != json!({})).collect()
            }
            other => other,
        }
    }
}
