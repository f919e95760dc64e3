//! An action's own schemas, as they hold at the gateway's door and within a larger document.

use super::answers;
use http::Method;
use menlou_action::Descriptor;
use menlou_call::{MAX_FORM, MAX_NAME};
use serde_json::{Map, Value, json};

/// A text without NUL, which the gateway refuses.
const NO_NUL: &str = "^[^\\u0000]*$";

/// How parameters come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// As a JSON object.
    AsJson,
    /// As a form or query: texts, of which none is null.
    AsText,
}

/// The schemas of an action: what it takes in a body, if it takes one, what it gives, its success.
pub fn of(descriptor: &Descriptor, prefix: &str) -> Vec<(String, Value)> {
    let [params, form, data, success] = ["Params", "Form", "Data", "Success"].map(|part| format!("{prefix}{part}"));
    let mut schemas = Vec::new();
    if !descriptor.has_any_media_type() {
        schemas.push((success, answers::success(&data)));
        schemas.push((data.clone(), within(descriptor.data.clone(), &data)));
    }
    if !descriptor.flags.raw_body && descriptor.methods.iter().any(has_body) {
        let door = |written| at_the_door(descriptor.params.as_json(), written);
        schemas.push((form.clone(), within(door(Written::AsText), &form)));
        schemas.push((params.clone(), within(door(Written::AsJson), &params)));
    }
    schemas
}

/// Whether requests of this method bring their parameters in a body.
pub fn has_body(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::DELETE)
}

/// The request's body: JSON, or the same as a form.
pub fn body(schema: &Value, prefix: &str) -> Value {
    let of = |part: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{prefix}{part}") } });
    let mut form = of("Form");
    // In a form an array or object is written as JSON.
    let written: Map<String, Value> = properties(schema)
        .filter(|(_, property)| is_structure(property))
        .map(|(name, _)| (name.clone(), json!({ "contentType": "application/json" })))
        .collect();
    if !written.is_empty() {
        form["encoding"] = Value::Object(written);
    }
    json!({
        "required": needs_something(schema),
        "content": { "application/json": of("Params"), "application/x-www-form-urlencoded": form },
    })
}

/// The parameters of a query, for methods owner requests have no body.
pub fn query(schema: &Value) -> Vec<Value> {
    let parameter = |(name, property): (&String, &Value)| {
        let required = required(schema).any(|r| r == name);
        let mut parameter = json!({ "name": name, "in": "query", "required": required });
        if let Some(description) = property.get("description") {
            parameter["description"] = description.clone();
        }
        let schema = taken(property, required, Written::AsText);
        match is_structure(property) {
            true => parameter["content"] = json!({ "application/json": { "schema": schema } }),
            false => parameter["schema"] = schema,
        }
        parameter
    };
    properties(schema).map(parameter).collect()
}

/// The schema of parameters with what the gateway does before the action's own schema is asked: what is empty or null
/// counts as absent, texts are read as what is wanted, NUL is refused.
fn at_the_door(schema: &Value, written: Written) -> Value {
    let mut door = schema.clone();
    let names: Vec<String> = required(schema).map(str::to_owned).collect();
    for (name, property) in properties(schema) {
        door["properties"][name] = taken(property, names.contains(name), written);
    }
    for keyword in ["anyOf", "oneOf", "allOf"] {
        for part in door.get_mut(keyword).and_then(Value::as_array_mut).into_iter().flatten() {
            need(part, schema, written);
            for branch in ["then", "else"] {
                part.get_mut(branch).into_iter().for_each(|part| need(part, schema, written));
            }
        }
    }
    let Some(object) = door.as_object_mut() else { return door };
    match (object.get("additionalProperties"), written) {
        (None | Some(Value::Bool(true)), Written::AsJson) => {
            object.insert("additionalProperties".into(), json!({ "pattern": NO_NUL }));
        }
        (None | Some(Value::Bool(true)), Written::AsText) => {
            object.insert("additionalProperties".into(), json!({ "type": "string", "pattern": NO_NUL }));
        }
        (Some(Value::Bool(false)), written) => {
            object.insert("additionalProperties".into(), json!({ "enum": written.absent() }));
        }
        _ => {}
    }
    object.entry("propertyNames").or_insert_with(|| json!({ "minLength": 1, "maxLength": MAX_NAME }));
    if written == Written::AsText {
        object.insert("maxProperties".into(), MAX_FORM.into());
    }
    door
}

/// What a part of `whole` requires must be there indeed: neither empty nor null.
fn need(part: &mut Value, whole: &Value, written: Written) {
    let names: Vec<String> = required(part).map(str::to_owned).collect();
    for name in names {
        if let Some(property) = whole.pointer("/properties").and_then(|p| p.get(&name))
            && part.pointer("/properties").and_then(|p| p.get(&name)).is_none()
        {
            let mut property = taken(property, true, written);
            property.as_object_mut().into_iter().for_each(|p| drop(p.remove("description")));
            part["properties"][&name] = property;
        }
    }
}

/// A parameter's schema as the gateway takes it.
fn taken(property: &Value, required: bool, written: Written) -> Value {
    let mut taken = property.clone();
    let Some(object) = taken.as_object_mut() else { return taken };
    let types: Vec<String> = types(property).filter(|t| *t != "null").map(str::to_owned).collect();
    let is_text = types == ["string"];
    if is_text && !["pattern", "enum", "const", "format"].iter().any(|k| object.contains_key(*k)) {
        object.insert("pattern".into(), NO_NUL.into());
    }
    let least = object.get("minLength").and_then(Value::as_u64).unwrap_or(0);
    // None is the default of what is absent: it says nothing, and is no text.
    if required || object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    match (required, types.as_slice()) {
        (true, [one]) => {
            object.insert("type".into(), one.as_str().into());
            if is_text && !object.contains_key("enum") {
                object.insert("minLength".into(), least.max(1).into());
            }
            taken
        }
        (true, _) => taken,
        (false, _) if is_text && least <= 1 && object.get("pattern").is_some_and(|p| p == NO_NUL) => {
            object.remove("minLength");
            let types = if written == Written::AsText { json!("string") } else { json!(["string", "null"]) };
            object.insert("type".into(), types);
            taken
        }
        (false, types) => {
            let mut outer = Map::new();
            for keyword in ["description", "default"] {
                object.remove(keyword).into_iter().for_each(|v| drop(outer.insert(keyword.into(), v)));
            }
            if let [one] = types {
                object.insert("type".into(), one.as_str().into());
            }
            let mut texts = written.absent();
            if types == ["boolean"] {
                texts.extend(["1", "true", "0", "false"].map(Value::from));
            }
            outer.insert("anyOf".into(), json!([taken, { "enum": texts }]));
            Value::Object(outer)
        }
    }
}

impl Written {
    /// What counts as absent.
    fn absent(self) -> Vec<Value> {
        match self {
            Self::AsJson => vec!["".into(), Value::Null],
            Self::AsText => vec!["".into()],
        }
    }
}

/// A schema as the component `name` of the document: its references into itself are made to lead there.
fn within(mut schema: Value, name: &str) -> Value {
    if let Some(object) = schema.as_object_mut() {
        for keyword in ["$schema", "$id", "title", "x-file"] {
            object.remove(keyword);
        }
    }
    lead(&mut schema, &format!("#/components/schemas/{name}"));
    schema
}

fn lead(value: &mut Value, to: &str) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(reference) if key == "$ref" && (reference == "#" || reference.starts_with("#/")) => {
                        reference.replace_range(..1, to);
                    }
                    value => lead(value, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead(item, to)),
        _ => {}
    }
}

/// Whether a request without any parameter would be refused.
fn needs_something(schema: &Value) -> bool {
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
    fn what_counts_as_absent_may_stand_for_an_optional_parameter_only() {
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
        let door = at_the_door(&schema, Written::AsJson);
        assert_eq!(door["properties"]["id"], json!({ "type": "string", "minLength": 1, "pattern": NO_NUL }));
        assert_eq!(door["properties"]["kind"], json!({ "type": "integer" }));
        assert_eq!(
            door["properties"]["code"],
            json!({ "type": ["string", "null"], "maxLength": 9, "pattern": NO_NUL })
        );
        assert_eq!(door["properties"]["unbind"]["anyOf"][0], json!({ "type": "boolean" }));
        assert_eq!(door["anyOf"][0]["properties"]["code"]["minLength"], 1);
        let form = at_the_door(&schema, Written::AsText);
        assert_eq!(form["properties"]["code"]["type"], "string", "a form has no null");
        assert!(needs_something(&schema) && !needs_something(&json!({ "type": "object" })));
    }

    #[test]
    fn references_lead_into_the_component() {
        let schema =
            json!({ "$schema": "x", "$defs": { "n": { "items": { "$ref": "#/$defs/n" } } }, "not": { "$ref": "#" } });
        let component = within(schema, "TreeData");
        assert_eq!(component["$defs"]["n"]["items"]["$ref"], "#/components/schemas/TreeData/$defs/n");
        assert_eq!(component["not"]["$ref"], "#/components/schemas/TreeData");
        assert_eq!(component.get("$schema"), None);
    }
}
