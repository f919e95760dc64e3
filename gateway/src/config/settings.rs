//! A plugin's settings in a tenant's file, ready to be handed over: the secrets that its schema marks are resolved.

use super::{
    fault::Fault,
    load::{self, Document},
    schema::Schema,
    secret::{Env, SecretRef},
};
use secrecy::ExposeSecret;
use serde_json::Value;
use std::path::Path;

/// The settings at `pointer` with each secret that the schema marks (`"format": "secret"`) resolved.
///
/// # Errors
/// Each secret that can't be resolved, at its place.
pub fn resolve(doc: &Document, pointer: &str, schema: &Schema, base: &Path, env: Env<'_>) -> Result<Value, Vec<Fault>> {
    let mut value = doc.value(pointer).cloned().unwrap_or_else(|| Value::Object(serde_json::Map::new()));
    let mut faults = Vec::new();
    for secret in schema.secrets(&value) {
        let Some(Value::String(written)) = value.pointer_mut(&secret) else { continue };
        match SecretRef::parse(written).and_then(|s| s.resolve(base, env)) {
            Ok(secret) => *written = secret.expose_secret().to_owned(),
            Err(text) => faults.push(doc.fault_at(&format!("{pointer}{secret}"), text)),
        }
    }
    load::sort(&mut faults);
    if faults.is_empty() { Ok(value) } else { Err(faults) }
}
