//! A compiled JSON Schema. The gateway's own files and the plugins' settings are checked by the same code.

use super::{hosts::HostPattern, network::Network};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::Value;
use std::{
    collections::{BTreeSet, HashSet},
    net::SocketAddr,
};

/// The schema keyword that describes the expected value in words: `{"zh": …, "en": …}`.
pub const EXPECTED: &str = "x-expected";

/// Maximum depth of references that are followed.
const DEEPEST: usize = 256;

/// A JSON Schema with its validator.
#[derive(Debug)]
pub struct Schema {
    value: Value,
    validator: jsonschema::Validator,
    /// Whether any part of the schema marks a secret.
    has_secrets: bool,
}

impl Schema {
    /// Compiles a schema (draft 2020-12 unless it declares another). Only references within the schema are allowed.
    ///
    /// # Errors
    /// The schema is invalid; the message is in English.
    pub fn compile(value: &Value) -> Result<Self, String> {
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .with_format("socket-address", |s: &str| s.parse::<SocketAddr>().is_ok())
            .with_format("network", |s: &str| s.parse::<Network>().is_ok())
            .with_format("hosts", |s: &str| s.parse::<HostPattern>().is_ok())
            .with_format("base-url", is_base_url)
            .build(value)
            .map_err(|e| format!("{e} (at {:?} of the schema)", e.instance_path().as_str()))?;
        Ok(Self { value: value.clone(), validator, has_secrets: marks_secret(value) })
    }

    /// The schema as JSON.
    pub fn as_json(&self) -> &Value {
        &self.value
    }

    /// Whether a value is valid. [`check::violations`](super::check::violations) reports why it is not.
    pub fn fits(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// The first required property that an object lacks, including those required by `anyOf`, `oneOf` or `if`.
    /// Properties of nested objects are not checked.
    pub fn missing_property(&self, value: &Value) -> Option<String> {
        self.validator.iter_errors(value).find_map(|error| lacking(&error))
    }

    /// Whether the schema declares a property of this name.
    pub fn has_property(&self, key: &str) -> bool {
        self.known_keys(&self.value).contains(key)
    }

    pub(super) fn validator(&self) -> &jsonschema::Validator {
        &self.validator
    }

    /// Follows the local references of `schema` to the schema that they point at.
    pub(super) fn resolve<'a>(&'a self, mut schema: &'a Value) -> &'a Value {
        for _ in 0..DEEPEST {
            match self.target(schema) {
                Some(target) => schema = target,
                None => break,
            }
        }
        schema
    }

    fn target(&self, schema: &Value) -> Option<&Value> {
        let reference = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        let decoded = percent_encoding::percent_decode_str(reference).decode_utf8().ok()?;
        self.value.pointer(&decoded)
    }

    /// All property names that `schema` or any of its subschemas declares.
    pub(super) fn known_keys<'a>(&'a self, schema: &'a Value) -> BTreeSet<&'a str> {
        let mut keys = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut open = vec![schema];
        while let Some(schema) = open.pop() {
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            open.extend(self.target(schema));
            open.extend(parts(schema));
            if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
                keys.extend(properties.keys().map(String::as_str));
            }
        }
        keys
    }

    /// JSON pointers, relative to `instance`, of all strings that the schema marks as secrets.
    pub fn secrets(&self, instance: &Value) -> BTreeSet<String> {
        if !self.has_secrets {
            return BTreeSet::new();
        }
        self.marked(instance, is_secret)
    }

    /// JSON pointers of all strings that the schema marks as addresses.
    pub fn addresses(&self, instance: &Value) -> BTreeSet<String> {
        self.marked(instance, is_address)
    }

    fn marked(&self, instance: &Value, is: fn(&Value) -> bool) -> BTreeSet<String> {
        let mut search = Search { schema: self, is, seen: HashSet::new(), found: BTreeSet::new() };
        search.visit(&self.value, instance, &mut String::new(), 0);
        search.found
    }
}

fn lacking(error: &ValidationError<'_>) -> Option<String> {
    match error.kind() {
        ValidationErrorKind::Required { property } if error.instance_path().as_str().is_empty() => {
            property.as_str().map(str::to_owned)
        }
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.iter().flatten().find_map(lacking)
        }
        _ => None,
    }
}

/// Whether a property's schema marks a secret: `"format": "secret"`.
pub fn is_secret(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("secret")
}

/// Whether a property's schema marks an address that the gateway connects to: `"format": "address"`.
pub fn is_address(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("address")
}

/// Whether any part of a schema marks a secret.
fn marks_secret(schema: &Value) -> bool {
    match schema {
        Value::Object(parts) => is_secret(schema) || parts.values().any(marks_secret),
        Value::Array(parts) => parts.iter().any(marks_secret),
        _ => false,
    }
}

/// JSON pointers of the properties that one of the gateway's own schemas marks as secrets.
pub(super) fn secret_properties(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    properties
        .flat_map(|(key, property)| {
            let below = secret_properties(property);
            let own = is_secret(property).then(String::new);
            let key = escape(key);
            own.into_iter().chain(below).map(move |pointer| format!("/{key}{pointer}"))
        })
        .collect()
}

/// Escapes a token of a JSON pointer (RFC 6901): `~` and `/`.
pub fn escape(token: &str) -> String {
    // Most tokens need no escaping.
    if token.contains(['~', '/']) { token.replace('~', "~0").replace('/', "~1") } else { token.to_owned() }
}

fn is_base_url(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|u| {
        matches!(u.scheme(), "http" | "https")
            && u.has_host()
            && u.query().is_none()
            && u.fragment().is_none()
            && u.username().is_empty()
            && u.password().is_none()
    })
}

/// The subschemas that apply to the same instance.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["allOf", "anyOf", "oneOf"];
    let single = ["if", "then", "else"];
    lists
        .into_iter()
        .filter_map(|k| schema.get(k)?.as_array())
        .flatten()
        .chain(single.into_iter().filter_map(|k| schema.get(k)))
}

struct Search<'a> {
    schema: &'a Schema,
    is: fn(&Value) -> bool,
    seen: HashSet<(*const Value, *const Value)>,
    found: BTreeSet<String>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, schema: &'a Value, instance: &'a Value, pointer: &mut String, depth: usize) {
        if depth > DEEPEST || !self.seen.insert((schema, instance)) {
            return;
        }
        if (self.is)(schema) {
            self.found.insert(pointer.clone());
        }
        for part in self.schema.target(schema).into_iter().chain(parts(schema)) {
            self.visit(part, instance, pointer, depth + 1);
        }
        let length = pointer.len();
        match instance {
            Value::Object(table) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                let patterns = schema.get("patternProperties").and_then(Value::as_object);
                for (key, value) in table {
                    pointer.push('/');
                    pointer.push_str(&escape(key));
                    let own = properties.and_then(|p| p.get(key));
                    let other = if own.is_none() { schema.get("additionalProperties") } else { None };
                    // The patterns are not matched: if any of them marks a secret, the value counts as a secret.
                    let matching = patterns.into_iter().flat_map(|p| p.values());
                    for property in own.into_iter().chain(other).chain(matching) {
                        self.visit(property, value, pointer, depth + 1);
                    }
                    pointer.truncate(length);
                }
            }
            Value::Array(items) => {
                let first = schema.get("prefixItems").and_then(Value::as_array);
                for (i, item) in items.iter().enumerate() {
                    let apply = first.and_then(|f| f.get(i)).or_else(|| schema.get("items"));
                    if let Some(apply) = apply {
                        pointer.push_str(&format!("/{i}"));
                        self.visit(apply, item, pointer, depth + 1);
                        pointer.truncate(length);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Generates the schema of one of the gateway's own types, without references and without `null`, which TOML does not
/// have.
pub(super) fn generate<T: schemars::JsonSchema>(id: &str) -> Value {
    let generator =
        schemars::generate::SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).into_generator();
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("$id".into(), id.into());
    let mut schema = schema.to_value();
    strip_null(&mut schema);
    schema
}

fn strip_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|t| t != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(options)) = map.get_mut("enum") {
                options.retain(|o| !o.is_null());
            }
            if map.get("default").is_some_and(Value::is_null) {
                map.remove("default");
            }
            if let Some(Value::Object(defaults)) = map.get_mut("default") {
                defaults.retain(|_, value| !value.is_null());
            }
            if let Some(Value::Array(options)) = map.get_mut("anyOf") {
                options.retain(|o| o.get("type").and_then(Value::as_str) != Some("null"));
                if options.len() == 1
                    && let Some(Value::Object(only)) = options.pop()
                {
                    map.remove("anyOf");
                    for (key, value) in only {
                        map.entry(key).or_insert(value);
                    }
                }
            }
            map.values_mut().for_each(strip_null);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_null),
        _ => {}
    }
}
