//! TypeScript types of the actions for clients that use `wx.request`, generated from the schemas of the actions.

use super::{bilingual::on_one_line, openapi::schema_names::with_prefixes};
use menlou_action::NamedAction;
use menlou_error::codes;
use menlou_policy::Access;
use serde_json::{Map, Value};
use std::fmt::Write;

/// The part that does not depend on the actions.
const ENVELOPE: &str = "\
/** 成功。Success. */
export interface Success<Data> { code: 1; msg: string; data: Data }

/** 失败，error 为稳定的错误码。Failure; error is a stable error code. */
export interface Failure { code: 0; error: ErrorCode; msg: string; data: Record<string, unknown> }

/** 响应。A response. */
export type Envelope<Data> = Success<Data> | Failure;

export type ActionName = keyof Actions;
export type Params<Name extends ActionName> = Actions[Name]['params'];
export type Data<Name extends ActionName> = Actions[Name]['data'];

/** 没有必填参数时可以省略。Can be left out if no parameter is required. */
export type Given<Name extends ActionName> = {} extends Params<Name> ? [params?: Params<Name>] : [params: Params<Name>];

/** 调用动作：成功时返回 data，失败时以 Failure 拒绝。Calls an action: resolves to its data or rejects with a Failure. */
export type Call = <Name extends ActionName>(action: Name, ...params: Given<Name>) => Promise<Data<Name>>;
";

/// Generates the types of one tenant's actions or of all actions. The same actions always result in the same text.
pub fn types<'a>(tenant: Option<&str>, actions: impl IntoIterator<Item = NamedAction<'a>>) -> String {
    let of = tenant.map(|tenant| format!(" --tenant {tenant}")).unwrap_or_default();
    let mut out = format!("// menlou typescript{of}\n\n");
    let (mut table, mut sessions) = (String::new(), Vec::new());
    for (NamedAction { name, access, descriptor }, prefix) in with_prefixes(actions) {
        if descriptor.has_any_media_type() {
            push(
                &mut table,
                format_args!(
                    "  // {name}：响应来自其他服务，不带信封。The response of another service, without an envelope.\n"
                ),
            );
            continue;
        }
        for (part, schema) in [("Params", descriptor.params.as_json()), ("Data", &descriptor.data)] {
            let comment = comment(schema, "");
            let shape = TypeWriter { root: schema, open: Vec::new() }.convert(schema, "");
            // A file is received with `responseType: 'arraybuffer'`.
            let or_file = if part == "Data" && !descriptor.files.is_empty() { " | ArrayBuffer" } else { "" };
            push(&mut out, format_args!("{comment}export type {prefix}{part} = {shape}{or_file};\n\n"));
        }
        let title = on_one_line(&descriptor.title).replace("*/", "* /");
        push(
            &mut table,
            format_args!("  /** {title} */\n  {}: {{ params: {prefix}Params; data: {prefix}Data }};\n", quoted(name)),
        );
        if matches!(access, Access::Session | Access::User) {
            sessions.push(Value::from(name).to_string());
        }
    }
    let sessions = if sessions.is_empty() { "never".to_owned() } else { sessions.join(" | ") };
    let known: String = codes::ALL.iter().map(|w| format!("\n  | {}", Value::from(w.name))).collect();
    push(
        &mut out,
        format_args!(
            "/** 每个动作的参数与数据。Parameters and data of each action. */\nexport interface Actions {{\n{table}}}\n\n"
        ),
    );
    push(
        &mut out,
        format_args!(
            "/** 需要 Authorization: Bearer 令牌的动作。The actions that require a token. */\nexport type NeedsSession = {sessions};\n\n"
        ),
    );
    push(
        &mut out,
        format_args!(
            "/** 已知的错误码；插件可以定义自己的错误码。The known error codes; plugins can define their own. */\nexport type ErrorCode ={known}\n  | (string & {{}});\n\n"
        ),
    );
    out + ENVELOPE
}

/// Converts schemas to types.
struct TypeWriter<'a> {
    root: &'a Value,
    /// The references that are being followed. A recursive reference becomes `unknown`.
    open: Vec<&'a str>,
}

impl<'a> TypeWriter<'a> {
    fn convert(&mut self, schema: &'a Value, indent: &str) -> String {
        let Some(object) = schema.as_object() else { return "unknown".into() };
        if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
            let target = reference.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            let Some(target) = target.filter(|_| !self.open.contains(&reference)) else { return "unknown".into() };
            self.open.push(reference);
            let shape = self.convert(target, indent);
            self.open.pop();
            return shape;
        }
        if let Some(value) = object.get("const") {
            return literal(value);
        }
        if let Some(values) = object.get("enum").and_then(Value::as_array) {
            return union(values.iter().map(literal));
        }
        let properties = object.contains_key("properties");
        for keyword in ["anyOf", "oneOf"] {
            // Beside properties, such a list only says which properties go together.
            if let Some(parts) = object.get(keyword).and_then(Value::as_array).filter(|_| !properties) {
                return union(parts.iter().map(|part| self.convert(part, indent)));
            }
        }
        let types = match object.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ if properties => vec!["object"],
            _ => return "unknown".into(),
        };
        union(types.into_iter().map(|name| match name {
            "string" => "string".to_owned(),
            "integer" | "number" => "number".to_owned(),
            "boolean" => "boolean".to_owned(),
            "null" => "null".to_owned(),
            "array" => match object.get("items") {
                Some(items) => format!("Array<{}>", self.convert(items, indent)),
                None => "unknown[]".to_owned(),
            },
            _ => self.object(object, indent),
        }))
    }

    fn object(&mut self, object: &'a Map<String, Value>, indent: &str) -> String {
        let inner = format!("{indent}  ");
        let required: Vec<&str> =
            object.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = String::new();
        let properties = object.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let optional = if required.contains(&name.as_str()) { "" } else { "?" };
            let (comment, shape) = (comment(property, &inner), self.convert(property, &inner));
            push(&mut fields, format_args!("{comment}{inner}{}{optional}: {shape};\n", quoted(name)));
        }
        match (fields.is_empty(), object.get("additionalProperties")) {
            (true, Some(values @ Value::Object(_))) => format!("Record<string, {}>", self.convert(values, indent)),
            (true, Some(Value::Bool(false))) => "Record<string, never>".into(),
            (true, _) if properties.is_none() => "Record<string, unknown>".into(),
            (true, _) => "{}".into(),
            (false, _) => format!("{{\n{fields}{indent}}}"),
        }
    }
}

fn comment(schema: &Value, indent: &str) -> String {
    match schema.get("description").and_then(Value::as_str) {
        Some(text) => {
            format!("{indent}/** {} */\n", text.replace("*/", "* /").replace('\n', &format!("\n{indent} * ")))
        }
        None => String::new(),
    }
}

fn union(parts: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for part in parts {
        if !seen.contains(&part) {
            seen.push(part);
        }
    }
    if seen.is_empty() { "never".into() } else { seen.join(" | ") }
}

/// A literal type. JSON texts, numbers, booleans and null are valid TypeScript.
fn literal(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => "unknown".into(),
        value => value.to_string(),
    }
}

fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain && !name.is_empty() { name.to_owned() } else { Value::from(name).to_string() }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}
