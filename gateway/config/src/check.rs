//! Translates JSON Schema validation errors into sentences: where the error is, what is expected, and what was found.

use super::{
    config_error::{MAX_ERRORS, nearest, quoted},
    renamed,
    schema::{EXPECTED, Schema, escape},
    secret::SecretRef,
};
use jsonschema::{
    ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use menlou_error::text::Text;
use serde_json::Value;
use std::collections::BTreeSet;

/// One violation of a schema.
#[derive(Debug)]
pub struct SchemaViolation {
    /// JSON pointer to the value, relative to the value that was checked.
    pub pointer: String,
    /// Whether the error concerns the key rather than its value.
    pub key: bool,
    /// What is wrong, and what is expected.
    pub text: Text,
    /// Whether the value may be shown: the schema declares it, and it is not a secret.
    pub may_be_shown: bool,
}

/// Returns the violations of `schema` in `value`, at most [`MAX_ERRORS`] of them.
pub fn violations(value: &Value, schema: &Schema) -> Vec<SchemaViolation> {
    let secrets = schema.secrets(value);
    let mut check = Check { root: value, schema, secrets: &secrets, found: Vec::new() };
    for error in schema.validator().iter_errors(value) {
        check.error(&error);
        if check.found.len() >= MAX_ERRORS {
            break;
        }
    }
    for pointer in &secrets {
        if let Some(Value::String(written)) = value.pointer(pointer)
            && let Err(text) = SecretRef::parse(written)
        {
            check.add(pointer.clone(), false, about(pointer, &text));
        }
    }
    check.found.truncate(MAX_ERRORS);
    check.found
}

/// Prefixes a text with the name of the value, if the pointer has a name.
fn about(pointer: &str, text: &Text) -> Text {
    let (zh, en) = subject(pointer);
    Text::new(format!("{zh}：{}", text.zh), format!("{en}: {}", text.en))
}

struct Check<'a> {
    root: &'a Value,
    schema: &'a Schema,
    secrets: &'a BTreeSet<String>,
    found: Vec<SchemaViolation>,
}

impl Check<'_> {
    fn add(&mut self, pointer: String, key: bool, text: Text) {
        if self.found.len() < MAX_ERRORS {
            let may_be_shown = !key && self.may_be_shown(&pointer);
            self.found.push(SchemaViolation { pointer, key, text, may_be_shown });
        }
    }

    /// Whether the value may be shown. Secrets, values within secrets and values that contain keys may not.
    fn may_be_shown(&self, pointer: &str) -> bool {
        let scalar = |v: &Value| !v.is_object() && !v.is_array();
        let plain = match self.root.pointer(pointer) {
            Some(Value::Array(items)) => items.iter().all(|v| scalar(v) && !v.as_str().is_some_and(may_hold_secret)),
            Some(Value::String(s)) => !may_hold_secret(s),
            Some(value) => scalar(value),
            None => false,
        };
        plain && !self.secrets.iter().any(|s| s.starts_with(pointer) || pointer.starts_with(s.as_str()))
    }

    fn error(&mut self, error: &ValidationError<'_>) {
        let pointer = error.instance_path().as_str().to_owned();
        let parent = error.schema_path().as_str().rsplit_once('/').map_or("", |(parent, _)| parent);
        let found = self.schema.as_json();
        let schema = self.schema.resolve(found.pointer(parent).unwrap_or(found));
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let known = self.schema.known_keys(schema);
                for key in unexpected.iter().take(MAX_ERRORS) {
                    let at = format!("{pointer}/{}", escape(key));
                    let text = unknown_key(key, self.root.pointer(&at), &known);
                    self.add(at, true, text);
                }
            }
            Kind::Required { property } => {
                let name = quoted(property.as_str().unwrap_or_default());
                self.add(pointer, true, Text::new(format!("缺少 {name}"), format!("{name} is missing")));
            }
            Kind::PropertyNames { error } => {
                let key = error.instance().as_str().unwrap_or_default().to_owned();
                let text = expectation(schema.get("propertyNames").unwrap_or(schema)).unwrap_or_else(|| reason(error));
                let name = quoted(&key);
                let text = Text::new(
                    format!("{name} 不能用作名称：{}", text.zh),
                    format!("{name} is not a valid name: {}", text.en),
                );
                self.add(format!("{pointer}/{}", escape(&key)), true, text);
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => self.alternatives(&pointer, schema, context),
            _ => self.value(pointer, schema, error),
        }
    }

    /// Reports the errors of the alternative (`anyOf`, `oneOf`) that was probably intended.
    fn alternatives(&mut self, pointer: &str, schema: &Value, context: &[Vec<ValidationError<'static>>]) {
        let options = options_of(context);
        if let Some(text) = expectation(schema) {
            let (zh, en) = subject(pointer);
            let text = Text::new(format!("{zh} 应为{}", text.zh), format!("{en} must be {}", text.en));
            return self.add(pointer.to_owned(), false, text);
        }
        if !options.is_empty() {
            let text = self.not_among(pointer, &options);
            return self.add(pointer.to_owned(), false, text);
        }
        let fits = |e: &ValidationError<'_>| {
            e.instance_path().as_str() != pointer || !matches!(e.kind(), Kind::Type { .. } | Kind::Constant { .. })
        };
        match context.iter().filter(|errors| errors.iter().all(fits)).min_by_key(|errors| errors.len()) {
            Some(errors) => errors.iter().for_each(|e| self.error(e)),
            None => {
                let types = context.iter().flatten().flat_map(|e| match e.kind() {
                    Kind::Type { kind } => names(kind),
                    _ => Vec::new(),
                });
                self.wrong_type(pointer.to_owned(), &types.collect());
            }
        }
    }

    fn value(&mut self, pointer: String, schema: &Value, error: &ValidationError<'_>) {
        let (zh, en) = subject(&pointer);
        let text = match error.kind() {
            Kind::Type { kind } => return self.wrong_type(pointer, &names(kind).into_iter().collect()),
            Kind::Enum { options } => {
                let options: Vec<_> = options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                self.not_among(&pointer, &options)
            }
            _ => {
                let text = expectation(schema).unwrap_or_else(|| reason(error));
                Text::new(format!("{zh} 应为{}", text.zh), format!("{en} must be {}", text.en))
            }
        };
        self.add(pointer, false, text);
    }

    fn wrong_type(&mut self, pointer: String, expected: &BTreeSet<&'static str>) {
        let text = wrong_type(&pointer, expected, self.root.pointer(&pointer));
        // A value where a table is expected may be a secret of that table.
        let scalar = expected.iter().any(|t| !matches!(*t, "object" | "array"));
        let may_be_shown = scalar && self.may_be_shown(&pointer);
        self.found.push(SchemaViolation { pointer, key: false, text, may_be_shown });
    }

    fn not_among(&self, pointer: &str, options: &[&str]) -> Text {
        let (zh, en) = subject(pointer);
        let list = |between| options.iter().map(|o| quoted(o)).collect::<Vec<_>>().join(between);
        let written = self.root.pointer(pointer).and_then(Value::as_str).filter(|_| self.may_be_shown(pointer));
        let near = written.and_then(|w| nearest(w, options.iter().copied())).map(quoted);
        let (near_zh, near_en) =
            near.map(|n| (format!("；是否想写 {n}？"), format!("; did you mean {n}?"))).unwrap_or_default();
        let one_of = if options.len() == 1 { "" } else { "one of " };
        Text::new(
            format!("{zh} 只能是 {}{near_zh}", list("、")),
            format!("{en} must be {one_of}{}{near_en}", list(", ")),
        )
    }
}

/// Whether a value may contain a secret although the schema expects none here: two swapped lines, a missing quote that
/// makes the value include the next line, or a URL with a password.
fn may_hold_secret(value: &str) -> bool {
    value.contains(['"', '\'', '=', '\n'])
        || (value.contains("://") && value.contains('@'))
        || value.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| run.len() >= 16)
}

fn unknown_key(key: &str, value: Option<&Value>, known: &BTreeSet<&str>) -> Text {
    let name = quoted(key);
    if let Some(new) = renamed::new_name(key, |new| known.contains(new)).map(quoted) {
        let (zh, en) = (format!("键 {name} 已改名为 {new}"), format!("the key {name} is called {new} now"));
        let Some((from, to)) = value.and_then(Value::as_str).and_then(|value| renamed::new_value(key, value)) else {
            return Text::new(zh, en);
        };
        let (from, to) = (quoted(from), quoted(to));
        return Text::new(
            format!("{zh}，其值 {from} 已改名为 {to}"),
            format!("{en}, and its value {from} is called {to}"),
        );
    }
    if let Some(near) = nearest(key, known.iter().copied()).map(quoted) {
        return Text::new(
            format!("未知的键 {name}；是否想写 {near}？"),
            format!("unknown key {name}; did you mean {near}?"),
        );
    }
    if known.is_empty() {
        return Text::new(
            format!("未知的键 {name}：这里不接受任何键"),
            format!("unknown key {name}: no keys are allowed here"),
        );
    }
    let list = |between| known.iter().map(|k| quoted(k)).collect::<Vec<_>>().join(between);
    Text::new(
        format!("未知的键 {name}；可用的键：{}", list("、")),
        format!("unknown key {name}; known keys: {}", list(", ")),
    )
}

/// The expectation that the schema's author has written: keyword `x-expected`.
fn expectation(schema: &Value) -> Option<Text> {
    let words = schema.get(EXPECTED)?;
    let get = |language| Some(words.get(language)?.as_str()?.to_owned());
    Some(Text::new(get("zh")?, get("en")?))
}

/// The expectation derived from the keyword, for schemas without `x-expected`.
fn reason(error: &ValidationError<'_>) -> Text {
    match error.kind() {
        Kind::Minimum { limit } => Text::new(format!("不小于 {limit} 的数"), format!("at least {limit}")),
        Kind::Maximum { limit } => Text::new(format!("不大于 {limit} 的数"), format!("at most {limit}")),
        Kind::ExclusiveMinimum { limit } => Text::new(format!("大于 {limit} 的数"), format!("more than {limit}")),
        Kind::ExclusiveMaximum { limit } => Text::new(format!("小于 {limit} 的数"), format!("less than {limit}")),
        Kind::MultipleOf { multiple_of } => {
            Text::new(format!("{multiple_of} 的倍数"), format!("a multiple of {multiple_of}"))
        }
        Kind::MinLength { limit: 1 } => Text::fixed("非空的字符串", "a string that is not empty"),
        Kind::MinLength { limit } => {
            Text::new(format!("至少 {limit} 个字符"), format!("at least {limit} characters long"))
        }
        Kind::MaxLength { limit } => {
            Text::new(format!("至多 {limit} 个字符"), format!("at most {limit} characters long"))
        }
        Kind::MinItems { limit } => {
            Text::new(format!("至少有 {limit} 项的列表"), format!("a list of at least {limit}"))
        }
        Kind::MaxItems { limit } => Text::new(format!("至多有 {limit} 项的列表"), format!("a list of at most {limit}")),
        Kind::MinProperties { limit } => {
            Text::new(format!("至少有 {limit} 个键的表"), format!("a table of at least {limit} keys"))
        }
        Kind::MaxProperties { limit } => {
            Text::new(format!("至多有 {limit} 个键的表"), format!("a table of at most {limit} keys"))
        }
        Kind::UniqueItems => Text::fixed("没有重复项的列表", "a list without duplicates"),
        Kind::Pattern { pattern } => {
            let pattern = quoted(pattern);
            Text::new(format!("符合 {pattern} 的字符串"), format!("a string that matches {pattern}"))
        }
        Kind::Format { format } => {
            let format = quoted(format);
            Text::new(format!("{format} 格式的字符串"), format!("a string in the format {format}"))
        }
        Kind::Constant { expected_value } => Text::new(expected_value.to_string(), expected_value.to_string()),
        other => {
            let keyword = quoted(other.keyword());
            Text::new(
                format!("符合插件 schema 中 {keyword} 的值"),
                format!("a value that satisfies {keyword} of the schema"),
            )
        }
    }
}

fn wrong_type(pointer: &str, expected: &BTreeSet<&'static str>, found: Option<&Value>) -> Text {
    let (zh, en) = subject(pointer);
    let expected: Vec<_> = expected.iter().map(|t| type_name(t)).collect();
    let found = type_name(found.map_or("null", type_of));
    Text::new(
        format!("{zh} 应为{}，现为{}", expected.iter().map(|t| t.0).collect::<Vec<_>>().join("或"), found.0),
        format!("{en} must be {}, but is {}", expected.iter().map(|t| t.1).collect::<Vec<_>>().join(" or "), found.1),
    )
}

/// The expected types. `null` is left out because TOML has no null: an optional value has only its own type.
fn names(kind: &TypeKind) -> Vec<&'static str> {
    let names: Vec<&'static str> = match kind {
        TypeKind::Single(one) => vec![one.as_str()],
        TypeKind::Multiple(set) => set.iter().map(|t| t.as_str()).collect(),
    };
    names.into_iter().filter(|n| *n != "null").collect()
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn type_name(name: &str) -> (&'static str, &'static str) {
    match name {
        "boolean" => ("布尔值（true 或 false）", "a boolean (true or false)"),
        "integer" => ("整数", "an integer"),
        "number" => ("数", "a number"),
        "string" => ("字符串（带引号）", "a string (in quotes)"),
        "array" => ("列表（[…]）", "a list ([…])"),
        "object" => ("表", "a table"),
        _ => ("空", "nothing"),
    }
}

/// The name of the value at a pointer, in Chinese and English.
fn subject(pointer: &str) -> (String, String) {
    let mut tokens = pointer.rsplit('/');
    let last = tokens.next().unwrap_or_default();
    let name = |t: &str| quoted(&t.replace("~1", "/").replace("~0", "~"));
    match last.parse::<usize>() {
        _ if pointer.is_empty() => ("这里".into(), "this".into()),
        Ok(index) => {
            let list = name(tokens.next().unwrap_or_default());
            (format!("{list} 的第 {} 项", index + 1), format!("item {} of {list}", index + 1))
        }
        Err(_) => (name(last), name(last)),
    }
}

/// The strings that the alternatives allow, if every alternative is a plain choice.
fn options_of<'a>(context: &'a [Vec<ValidationError<'static>>]) -> Vec<&'a str> {
    let mut options = Vec::new();
    for errors in context {
        for error in errors {
            match error.kind() {
                Kind::Constant { expected_value } => match expected_value.as_str() {
                    Some(s) => options.push(s),
                    None => return Vec::new(),
                },
                Kind::Enum { options: o } => {
                    options.extend(o.as_array().into_iter().flatten().filter_map(Value::as_str))
                }
                Kind::Type { kind } if names(kind).iter().all(|n| *n == "string") => {}
                _ => return Vec::new(),
            }
        }
    }
    options
}
