//! A plugin's settings in a tenant's file, with the secrets that the plugin's schema marks resolved.

use super::{
    config_error::ConfigError,
    load::{self, Document},
    schema::Schema,
    secret::SecretRef,
    sources::Sources,
    zeroize::Zeroized,
};
use secrecy::{ExposeSecret, zeroize::Zeroize};
use serde_json::Value;

/// Returns the settings at `pointer`, with every secret that the schema marks (`"format": "secret"`) resolved.
///
/// # Errors
/// One error for each secret that cannot be resolved.
pub fn resolve(
    doc: &Document,
    pointer: &str,
    schema: &Schema,
    sources: &Sources<'_>,
) -> Result<Zeroized, Vec<ConfigError>> {
    let empty = || Value::Object(serde_json::Map::new());
    let mut value = Zeroized::from(doc.value(pointer).cloned().unwrap_or_else(empty));
    let mut errors = Vec::new();
    for secret in schema.secrets(&value) {
        let Some(Value::String(written)) = value.pointer_mut(&secret) else { continue };
        let at = format!("{pointer}{secret}");
        match SecretRef::parse(written).and_then(|reference| sources.resolve(&reference, &at)) {
            Ok(secret) => {
                written.zeroize();
                *written = secret.expose_secret().to_owned();
            }
            Err(text) => errors.push(doc.error_at(&at, text)),
        }
    }
    load::sort(&mut errors);
    if errors.is_empty() { Ok(value) } else { Err(errors) }
}

/// A warning for each secret in plain text among the settings at `pointer`.
pub fn literals(doc: &Document, pointer: &str, schema: &Schema) -> Vec<ConfigError> {
    let Some(value) = doc.value(pointer) else { return Vec::new() };
    let secrets = schema.secrets(value).into_iter();
    secrets.filter_map(|secret| literal(doc, &format!("{pointer}{secret}"))).collect()
}

/// A warning if the secret at `pointer` is in plain text.
pub fn literal(doc: &Document, pointer: &str) -> Option<ConfigError> {
    let written = SecretRef::parse(doc.value(pointer)?.as_str()?).ok()?;
    written.literal().map(|_| doc.error_at(pointer, SecretRef::LITERAL))
}
