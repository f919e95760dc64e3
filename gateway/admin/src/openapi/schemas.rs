//! The schemas of an action's parameters and data, adapted to what the gateway accepts and to their place in the document.

use super::responses;
use http::Method;
use menlou_action::Descriptor;
use menlou_call::{MAX_PARAM_NAME, MAX_PARAMS};
use serde_json::{Map, Value, json};

/// The pattern of a text without NUL, which the gateway rejects.
const NO_NUL: &str = "^[^\\u0000]*$";

/// The encoding of parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    /// A JSON object.
    Json,
    /// A form or a query: all values are texts, none is null.
    Text,
}

/// The schemas of an action with their names: parameters in a body, data, and success.
pub fn for_action(descriptor: &Descriptor, prefix: &str) -> Vec<(String, Value)> {
    let [params, form, data, success] = ["Params", "Form", "Data", "Success"].map(|part| format!("{prefix}{part}"));
    let mut schemas = Vec::new();
    if !descriptor.has_any_media_type() {
        schemas.push((success, responses::success(&data)));
        schemas.push((data.clone(), as_component(descriptor.data.clone(), &data)));
    }
    if !descriptor.flags.raw_body && descriptor.methods.iter().any(has_body) {
        let accepted = |encoding| accepted_params(descriptor.params.as_json(), encoding);
        schemas.push((form.clone(), as_component(accepted(Encoding::Text), &form)));
        schemas.push((params.clone(), as_component(accepted(Encoding::Json), &params)));
    }
    schemas
}

/// Whether requests with this method have a body.
pub fn has_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
}

/// The request body: JSON or a form.
pub fn body(schema: &Value, prefix: &str) -> Value {
    let of = |part: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{prefix}{part}") } });
    let mut form = of("Form");
    // In a form, arrays and objects are encoded as JSON.
    let encoding: Map<String, Value> = properties(schema)
        .filter(|(_, property)| is_structure(property))
        .map(|(name, _)| (name.clone(), json!({ "contentType": "application/json" })))
        .collect();
    if !encoding.is_empty() {
        form["encoding"] = Value::Object(encoding);
    }
    json!({
        "required": requires_params(schema),
        "content": { "application/json": of("Params"), "application/x-www-form-urlencoded": form },
    })
}

/// The query parameters, for methods without a body.
pub fn query(schema: &Value) -> Vec<Value> {
    let parameter = |(name, property): (&String, &Value)| {
        let required = required(schema).any(|r| r == name);
        let mut parameter = json!({ "name": name, "in": "query", "required": required });
        if let Some(description) = property.get("description") {
            parameter["description"] = description.clone();
        }
        let schema = accepted_values(property, required, Encoding::Text);
        match is_structure(property) {
            true => parameter["content"] = json!({ "application/json": { "schema": schema } }),
            false => parameter["schema"] = schema,
        }
        parameter
    };
    properties(schema).map(parameter).collect()
}

/// The schema of the parameters that the gateway accepts. Before it applies the action's own schema, the gateway treats
/// empty and null values as absent, converts texts to the declared types, and rejects NUL.
fn accepted_params(schema: &Value, encoding: Encoding) -> Value {
    let mut accepted = schema.clone();
    let names: Vec<String> = required(schema).map(str::to_owned).collect();
    for (name, property) in properties(schema) {
        accepted["properties"][name] = accepted_values(property, names.contains(name), encoding);
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for part in accepted.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten() {
            require_present(part, schema, encoding);
            for branch in ["then", "else"] {
                part.get_mut(branch).into_iter().for_each(|part| require_present(part, schema, encoding));
            }
        }
    }
    let Some(object) = accepted.as_object_mut() else { return accepted };
    match (object.get("additionalProperties"), encoding) {
        (None | Some(Value::Bool(true)), Encoding::Json) => {
            object.insert("additionalProperties".into(), json!({ "pattern": NO_NUL }));
        }
        (None | Some(Value::Bool(true)), Encoding::Text) => {
            object.insert("additionalProperties".into(), json!({ "type": "string", "pattern": NO_NUL }));
        }
        (Some(Value::Bool(false)), encoding) => {
            object.insert("additionalProperties".into(), json!({ "enum": encoding.absent() }));
        }
        _ => {}
    }
    object.entry("propertyNames").or_insert_with(|| json!({ "minLength": 1, "maxLength": MAX_PARAM_NAME }));
    if encoding == Encoding::Text {
        object.insert("maxProperties".into(), MAX_PARAMS.into());
    }
    accepted
}

/// Makes the parameters that `part` requires neither empty nor null. `schema` contains their declarations.
fn require_present(part: &mut Value, schema: &Value, encoding: Encoding) {
    let names: Vec<String> = required(part).map(str::to_owned).collect();
    for name in names {
        if let Some(property) = schema.pointer("/properties").and_then(|p| p.get(&name))
            && part.pointer("/properties").and_then(|p| p.get(&name)).is_none()
        {
            let mut property = accepted_values(property, true, encoding);
            property.as_object_mut().into_iter().for_each(|p| drop(p.remove("description")));
            part["properties"][&name] = property;
        }
    }
}

/// The schema of the values that the gateway accepts for a parameter.
fn accepted_values(property: &Value, required: bool, encoding: Encoding) -> Value {
    let mut accepted = property.clone();
    let Some(object) = accepted.as_object_mut() else { return accepted };
    let types: Vec<String> = types(property).filter(|t| *t != "null").map(str::to_owned).collect();
    let is_text = types == ["string"];
    if is_text && !["pattern", "enum", "const", "format"].iter().any(|k| object.contains_key(*k)) {
        object.insert("pattern".into(), NO_NUL.into());
    }
    let least = object.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    // The default null means absent. It is not a text and documents nothing.
    if required || object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    match (required, types.as_slice()) {
        (true, [one]) => {
            object.insert("type".into(), one.as_str().into());
            if is_text && !object.contains_key("enum") {
                object.insert("minLength".into(), least.max(1).into());
            }
            accepted
        }
        (true, _) => accepted,
        (false, _) if is_text && least <= 1 && object.get("pattern").is_some_and(|p| p == NO_NUL) => {
            object.remove("minLength");
            let types = if encoding == Encoding::Text { json!("string") } else { json!(["string", "null"]) };
            object.insert("type".into(), types);
            accepted
        }
        (false, types) => {
            let mut outer = Map::new();
            for keyword in ["description", "default"] {
                object.remove(keyword).into_iter().for_each(|v| drop(outer.insert(keyword.into(), v)));
            }
            if let [one] = types {
                object.insert("type".into(), one.as_str().into());
            }
            let mut texts = encoding.absent();
            if types == ["boolean"] {
                texts.extend(["1", "true", "0", "false"].map(Value::from));
            }
            outer.insert("anyOf".into(), json!([accepted, { "enum": texts }]));
            Value::Object(outer)
        }
    }
}

impl Encoding {
    /// The values that count as absent.
    fn absent(self) -> Vec<Value> {
        match self {
            Self::Json => vec!["".into(), Value::Null],
            Self::Text => vec!["".into()],
        }
    }
}

/// A schema as the component `name` of the document, with its references adapted.
fn as_component(mut schema: Value, name: &str) -> Value {
    if let Some(object) = schema.as_object_mut() {
        for keyword in ["$schema", "$id", "title", "x-file"] {
            object.remove(keyword);
        }
    }
    rebase_references(&mut schema, &format!("#/components/schemas/{name}"));
    schema
}

fn rebase_references(value: &mut Value, to: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(reference) if key == "$ref" && (reference == "#" || reference.starts_with("#/")) => {
                        reference.replace_range(..1, to);
                    }
                    value => rebase_references(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rebase_references(item, to)),
        _ => {}
    }
}

/// Whether a request without parameters is invalid.
fn requires_params(schema: &Value) -> bool {
    let alternatives = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
    required(schema).next().is_some()
        || alternatives.is_some_and(|parts| parts.iter().all(|part| required(part).next().is_some()))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let one = schema.get("type").and_then(Value::as_str);
    let many = schema.get("type").and_then(Value::as_array);
    one.into_iter().chain(many.into_iter().flatten().filter_map(Value::as_str))
}

fn is_structure(property: &Value) -> bool {
    types(property).any(|t| matches!(t, "array" | "object"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_optional_parameters_accept_absent_values() {
        let schema = json!({
            "type": "object",
            "required": ["id", "kind"],
            "properties": {
                "id": { "type": "string" },
                "kind": { "type": ["integer", "null"] },
                "code": { "type": ["string", "null"], "minLength": 1, "maxLength": 9 },
                "unbind": { "type": "boolean", "default": false },
            },
            "anyOf": [{ "required": ["code"] }],
        });
        let accepted = accepted_params(&schema, Encoding::Json);
        assert_eq!(accepted["properties"]["id"], json!({ "type": "string", "minLength": 1, "pattern": NO_NUL }));
        assert_eq!(accepted["properties"]["kind"], json!({ "type": "integer" }));
        assert_eq!(
            accepted["properties"]["code"],
            json!({ "type": ["string", "null"], "maxLength": 9, "pattern": NO_NUL })
        );
        assert_eq!(accepted["properties"]["unbind"]["anyOf"][0], json!({ "type": "boolean" }));
        assert_eq!(accepted["anyOf"][0]["properties"]["code"]["minLength"], 1);
        let form = accepted_params(&schema, Encoding::Text);
        assert_eq!(form["properties"]["code"]["type"], "string", "a form has no null");
        assert!(requires_params(&schema) && !requires_params(&json!({ "type": "object" })));
    }

    #[test]
    fn references_point_into_the_component() {
        let schema =
            json!({ "$schema": "x", "$defs": { "n": { "items": { "$ref": "#/$defs/n" } } }, "not": { "$ref": "#" } });
        let component = as_component(schema, "TreeData");
        assert_eq!(component["$defs"]["n"]["items"]["$ref"], "#/components/schemas/TreeData/$defs/n");
        assert_eq!(component["not"]["$ref"], "#/components/schemas/TreeData");
        assert_eq!(component.get("$schema"), None);
    }
}
