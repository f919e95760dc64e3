//! Renders a JSON Schema as Markdown tables: one row for each property, including those of nested objects.

use super::super::describe::names_all;
use serde_json::{Map, Value};
use std::ptr;

/// Maximum depth of nested objects.
const MAX_DEPTH: usize = 8;

/// The part of an action that a schema describes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The parameters that a client sends.
    Params,
    /// The `data` of the response.
    Response,
    /// The action's table in a tenant file.
    Settings,
}

impl Part {
    fn heading(self) -> &'static str {
        match self {
            Self::Params => "### 参数 · Parameters",
            Self::Response => "### 响应 · Response (`data`)",
            Self::Settings => "### 设置 · Settings",
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Self::Params => "| 名称 · name | 类型 · type | 必填 · required | 说明 · meaning |\n|---|---|---|---|\n",
            Self::Response => "| 名称 · name | 类型 · type | 说明 · meaning |\n|---|---|---|\n",
            Self::Settings => "| 名称 · name | 类型 · type | 默认 · default | 说明 · meaning |\n|---|---|---|---|\n",
        }
    }

    /// The text for a schema without properties.
    fn nothing(self, closed: bool) -> &'static str {
        match (self, closed) {
            (_, true) => "无。None.\n",
            (Self::Params, false) => "任意：由动作自行检查。Any: the action checks them itself.\n",
            (Self::Response, false) => "任意 JSON 对象。Any JSON object.\n",
            (Self::Settings, false) => "任意。Any.\n",
        }
    }
}

/// A heading, the schema's description, a table, and the constraints that concern several properties.
pub fn section(part: Part, schema: &Value) -> String {
    let mut section = format!("{}\n\n", part.heading());
    let mut table = Table { part, root: schema, rows: Vec::new(), open: Vec::new() };
    table.properties(schema, "");
    let rows = table.rows;
    let about = schema.get("description").and_then(Value::as_str).map(cell);
    if rows.is_empty() {
        if let Some(about) = about {
            return format!("{section}{about}\n");
        }
        return section + part.nothing(names_all(schema));
    }
    section += &about.map(|about| format!("{about}\n\n")).unwrap_or_default();
    section += part.columns();
    section += &rows.concat();
    let together = together(schema);
    if !together.is_empty() {
        section += &format!("\n{}", together.concat());
    }
    section
}

/// Escapes text for a table cell and joins it to one line. A line break within Chinese text is removed without a space.
pub fn cell(text: &str) -> String {
    let wide = |c: char| c >= '\u{2e80}';
    let mut joined = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let within_chinese = joined.ends_with(wide) && line.starts_with(wide);
        if !joined.is_empty() && !within_chinese {
            joined.push(' ');
        }
        joined += line;
    }
    let mut escaped = String::new();
    let mut within_code = false;
    for c in joined.chars() {
        within_code ^= c == '`';
        match c {
            '|' => escaped += "\\|",
            '<' if !within_code => escaped += "&lt;",
            c => escaped.push(c),
        }
    }
    escaped
}

struct Table<'a> {
    part: Part,
    root: &'a Value,
    rows: Vec<String>,
    /// The objects that contain the current one. A recursive schema is not followed again.
    open: Vec<*const Value>,
}

impl<'a> Table<'a> {
    fn properties(&mut self, schema: &'a Value, within: &str) {
        let schema = self.resolved(schema);
        if self.open.contains(&ptr::from_ref(schema)) || self.open.len() >= MAX_DEPTH {
            return;
        }
        self.open.push(schema);
        let is_required = |name: &str| required(schema).any(|r| r == name);
        let mut properties: Vec<_> =
            schema.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
        // Required properties come first.
        properties.sort_by_key(|(name, _)| self.part != Part::Response && !is_required(name));
        for (name, property) in properties {
            let path = format!("{within}{name}");
            self.rows.push(self.row(&path, property, is_required(name)));
            let property = self.resolved(property);
            self.properties(property, &format!("{path}."));
            if let Some(items) = property.get("items") {
                self.properties(items, &format!("{path}[]."));
            }
        }
        self.open.pop();
    }

    fn row(&self, name: &str, property: &'a Value, is_required: bool) -> String {
        let shape = self.resolved(property);
        let (kind, about) = (self.kind(shape, MAX_DEPTH), about(property, shape));
        let name = code(name);
        match self.part {
            Part::Params => {
                let is_required = if is_required { "是 · yes" } else { "" };
                format!("| {name} | {kind} | {is_required} | {about} |\n")
            }
            Part::Response => format!("| {name} | {kind} | {about} |\n"),
            Part::Settings => {
                let default = property.get("default").filter(|d| !d.is_null());
                let default = match (default, is_required) {
                    (_, true) => "（必填 · required）".to_owned(),
                    (Some(default), _) => code(&default.to_string()),
                    (None, _) => String::new(),
                };
                format!("| {name} | {kind} | {default} | {about} |\n")
            }
        }
    }

    /// The type of a property with its limits.
    fn kind(&self, property: &'a Value, depth: usize) -> String {
        let Some(depth) = depth.checked_sub(1) else { return "any".into() };
        let text = |key: &str| property.get(key).and_then(Value::as_str);
        if let Some(choices) = choices(property) {
            let values = choices.iter().map(|(value, _)| code(value));
            return values.collect::<Vec<_>>().join(" \\| ");
        }
        let mut types: Vec<String> = match property.get("type") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(many)) => many.iter().filter_map(|t| t.as_str().map(str::to_owned)).collect(),
            _ => vec!["any".into()],
        };
        // In parameters and settings, null means absent; in a response it is a value.
        if self.part != Part::Response {
            types.retain(|t| t != "null");
        }
        for kind in types.iter_mut().filter(|t| *t == "array") {
            let items = property.get("items").map_or("any".into(), |items| self.kind(self.resolved(items), depth));
            *kind = if items.contains(' ') { format!("({items})[]") } else { format!("{items}[]") };
        }
        let mut kind = types.join(" \\| ");
        for (least, most) in [("minLength", "maxLength"), ("minimum", "maximum"), ("minItems", "maxItems")] {
            kind += &match (property.get(least), property.get(most)) {
                (Some(least), Some(most)) => format!(", {least}–{most}"),
                (Some(least), None) => format!(", ≥ {least}"),
                (None, Some(most)) => format!(", ≤ {most}"),
                (None, None) => String::new(),
            };
        }
        match (text("format"), text("pattern")) {
            (Some(mark @ ("secret" | "address")), _) => format!("{kind}, {mark}"),
            (_, Some(pattern)) if property.get("examples").is_none() => format!("{kind}, {}", code(pattern)),
            _ => kind,
        }
    }

    /// Follows references within the schema and unwraps optional types.
    fn resolved(&self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..MAX_DEPTH {
            let pointer = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix('#'));
            let target = pointer.and_then(|pointer| self.root.pointer(pointer));
            match target.or_else(|| only_branch(schema)) {
                Some(inner) => schema = inner,
                None => break,
            }
        }
        schema
    }
}

/// The only branch of an `anyOf` besides null: the notation for an optional type.
fn only_branch(schema: &Value) -> Option<&Value> {
    let branches = schema.get("anyOf").filter(|_| schema.get("type").is_none())?.as_array()?;
    let mut others = branches.iter().filter(|b| b.get("type").is_none_or(|t| t != "null"));
    others.next().filter(|_| others.next().is_none())
}

/// The description of a property, the meaning of its choices, and examples.
fn about(property: &Value, shape: &Value) -> String {
    let description = [property, shape].into_iter().find_map(|s| s.get("description")?.as_str());
    let mut about = cell(description.unwrap_or_default());
    for (value, meaning) in choices(shape).into_iter().flatten() {
        if let Some(meaning) = meaning {
            about += &format!("<br>{}: {}", code(&value), cell(&meaning));
        }
    }
    if shape.get("format").is_some_and(|f| f == "secret") {
        about += "<br>可写作 · may be written as `env:NAME`, `file:PATH`";
    }
    let examples: Vec<String> =
        shape.get("examples").and_then(Value::as_array).into_iter().flatten().map(|e| code(&plain(e))).collect();
    if !examples.is_empty() {
        about += &format!("<br>例如 · for example {}", examples.join(", "));
    }
    about
}

/// The values of an enum. Each may have its own description.
fn choices(property: &Value) -> Option<Vec<(String, Option<String>)>> {
    let list = |key: &str| property.get(key).and_then(Value::as_array);
    if let Some(values) = list("enum") {
        return Some(values.iter().filter(|v| !v.is_null()).map(|v| (plain(v), None)).collect());
    }
    let branches = list("oneOf")?.iter().map(|branch| {
        let meaning = branch.get("description").and_then(Value::as_str).map(str::to_owned);
        Some((plain(branch.get("const")?), meaning))
    });
    branches.collect()
}

/// Constraints that concern several properties: one of these, or these if that one has a certain value.
fn together(schema: &Value) -> Vec<String> {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
    let names = |part: &Value| required(part).map(code).collect::<Vec<_>>().join(" + ");
    let mut said = Vec::new();
    for (key, zh, en) in
        [("anyOf", "至少给出其一", "at least one of these"), ("oneOf", "只给出其一", "exactly one of these")]
    {
        let alternatives: Vec<String> = list(key).map(names).filter(|names| !names.is_empty()).collect();
        if !alternatives.is_empty() {
            said.push(format!("- {zh} · {en}: {}\n", alternatives.join(", ")));
        }
    }
    for part in list("allOf").chain([schema]) {
        let condition = part.pointer("/if/properties").and_then(Value::as_object).filter(|c| c.len() == 1);
        let (Some(condition), Some(then)) = (condition.and_then(first), part.get("then")) else { continue };
        let ((name, value), required_names) = (condition, names(then));
        if !required_names.is_empty() {
            let (name, value) = (code(name), code(&plain(value)));
            said.push(format!("- {name} = {value}: 必须提供 · requires {required_names}\n"));
        }
    }
    said
}

fn first(condition: &Map<String, Value>) -> Option<(&String, &Value)> {
    let (name, property) = condition.iter().next()?;
    Some((name, property.get("const")?))
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// A string as it is, any other value as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Formats text as code within a table cell.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|").replace('\n', " ");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_property_has_its_row() {
        let schema = json!({
            "description": "Two\nlines 中文\n中文。",
            "type": "object",
            "required": ["who"],
            "anyOf": [{ "required": ["a"] }, { "required": ["b", "c"] }],
            "if": { "properties": { "kind": { "const": "x" } } },
            "then": { "required": ["a"] },
            "properties": {
                "a": { "type": ["integer", "null"], "minimum": 1, "maximum": 4, "description": "`<p>` <q> | r" },
                "key": { "type": "string", "format": "secret" },
                "kind": { "anyOf": [{ "oneOf": [{ "const": "x", "description": "X" }, { "const": "y" }] }, { "type": "null" }] },
                "list": { "type": "array", "items": { "$ref": "#/$defs/item" } },
                "nest": { "$ref": "#/$defs/nest" },
                "span": { "type": "string", "pattern": "^a|b$", "default": "10s" },
                "who": { "type": "string", "minLength": 1 },
            },
            "$defs": {
                "nest": { "type": "array", "items": { "$ref": "#/$defs/nest" } }, "item": { "type": "object", "properties": { "more": { "$ref": "#/$defs/item" }, "n": { "enum": [1, null] } } } },
        });
        let section = section(Part::Settings, &schema);
        for row in [
            "Two lines 中文中文。\n",
            "默认 · default | 说明 · meaning |\n|---|---|---|---|\n| `who` | string, ≥ 1 | （必填 · required） |  |\n",
            "| `a` | integer, 1–4 |  | `<p>` &lt;q> \\| r |\n",
            "| `key` | string, secret |  | <br>可写作 · may be written as `env:NAME`, `file:PATH` |\n",
            "| `kind` | `x` \\| `y` |  | <br>`x`: X |\n",
            "| `list` | object[] |  |  |\n| `list[].more` | object |  |  |\n| `list[].n` | `1` |",
            "| `nest` | any[][]",
            "| `span` | string, `^a\\|b$` | `\"10s\"` |",
            "\n- 至少给出其一 · at least one of these: `a`, `b` + `c`\n",
            "\n- `kind` = `x`: 必须提供 · requires `a`\n",
        ] {
            assert!(section.contains(row), "{row}\n{section}");
        }
    }

    #[test]
    fn nothing_to_list_is_told() {
        for (part, schema, said) in [
            (Part::Params, json!({ "type": "object" }), "任意"),
            (Part::Params, json!({ "type": "object", "properties": {}, "additionalProperties": false }), "无。None."),
            (Part::Settings, json!({ "maxProperties": 0 }), "无。None."),
            (Part::Response, json!({ "type": "object", "description": "Nothing at all." }), "Nothing at all."),
        ] {
            assert!(section(part, &schema).contains(said), "{schema}");
        }
    }
}
