//! Generates values from a JSON Schema: a valid one, and unusual ones.

use serde_json::{Map, Value, json};

/// Maximum depth of a schema.
const DEEPEST: usize = 16;

/// Generates a simple value that probably matches the schema. The caller validates it.
pub fn fitting(schema: &Value) -> Value {
    sample(schema, DEEPEST)
}

fn sample(schema: &Value, depth: usize) -> Value {
    let list = |key: &str| schema.get(key).and_then(Value::as_array).and_then(|l| l.first());
    let number = |key: &str| schema.get(key).and_then(Value::as_u64);
    if let Some(given) = schema.get("const").or_else(|| list("examples")).or_else(|| list("enum")) {
        return given.clone();
    }
    if depth == 0 {
        return Value::Null;
    }
    if let Some(branch) = list("oneOf").or_else(|| list("anyOf")) {
        return sample(branch, depth - 1);
    }
    let kind = schema.get("type").and_then(|t| t.as_str().or_else(|| t.get(0)?.as_str()));
    match kind {
        Some("string") => match schema.get("format").and_then(Value::as_str) {
            Some("uri" | "base-url") => "http://127.0.0.1:9".into(),
            _ => {
                let (least, most) = (number("minLength").unwrap_or(1), number("maxLength").unwrap_or(u64::MAX));
                "1".repeat(least.max(16).min(most).min(1 << 16) as usize).into()
            }
        },
        Some("integer") => schema.get("minimum").cloned().unwrap_or_else(|| 1.into()),
        Some("number") => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
        Some("boolean") => false.into(),
        Some("array") => {
            let item = schema.get("items").map_or(Value::Null, |items| sample(items, depth - 1));
            vec![item; number("minItems").unwrap_or_default().min(64) as usize].into()
        }
        Some("null") => Value::Null,
        _ => object(schema, depth),
    }
}

fn object(schema: &Value, depth: usize) -> Value {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let property = |name: &str| schema.get("properties").and_then(|p| p.get(name)).unwrap_or(&Value::Null);
    required.map(|name| (name.to_owned(), sample(property(name), depth - 1))).collect::<Map<_, _>>().into()
}

/// Generates unusual parameters: each declared parameter with a wrong value in turn, and some undeclared ones.
pub fn odd(schema: &Value) -> Vec<Value> {
    let good = fitting(schema);
    let named = schema.get("properties").and_then(Value::as_object);
    let names = named.into_iter().flatten().map(|(name, _)| name.as_str()).chain(["nobody_asked", "\u{1F600}"]);
    let mut made = vec![json!({}), good.clone()];
    for name in names {
        for value in values() {
            let mut params = good.as_object().cloned().unwrap_or_default();
            params.insert(name.to_owned(), value);
            made.push(params.into());
        }
    }
    made
}

fn values() -> Vec<Value> {
    let texts =
        ["x", "0", "-1", "1e999", "null", "\"\\", "{\"a\":[", "\u{0}", "%00%s%n", "../../etc", "门\u{202e}楼🏯"];
    let deep = (0..64).fold(json!(1), |inner, _| json!([inner]));
    let others = [json!(-1), json!(i64::MAX), json!(1.0e300), json!(true), json!([]), json!({ "a": null }), deep];
    let long = Value::from("门".repeat(1 << 16));
    texts.into_iter().map(Value::from).chain(others).chain([long]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use menlou_config::schema::Schema;

    #[test]
    fn what_is_made_up_fits() {
        let schema = json!({
            "type": "object",
            "required": ["text", "short", "kind", "many", "period", "inner", "count"],
            "properties": {
                "text": { "type": "string" },
                "short": { "type": "string", "maxLength": 2 },
                "kind": { "oneOf": [{ "const": "red", "type": "string" }, { "const": "green" }] },
                "many": { "type": "array", "minItems": 2, "items": { "enum": ["a"] } },
                "period": { "type": "string", "pattern": "^[0-9]+s$", "examples": ["10s"] },
                "inner": { "type": ["object", "null"], "required": ["x"], "properties": { "x": { "type": "boolean" } } },
                "count": { "type": "integer", "minimum": 3 },
                "more": { "type": "string" },
            },
        });
        let made = fitting(&schema);
        assert!(Schema::compile(&schema).unwrap().fits(&made), "{made}");
        assert!(odd(&schema).len() > 100);
    }
}
