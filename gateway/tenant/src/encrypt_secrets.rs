//! Secrets that admins give for a tenant's file: they go into it sealed, where the operator has keys for that.

use super::secret_pointers::secret_pointers;
use menlou_action::PluginRegistry;
use menlou_config::{
    edit::{self, ConfigChange},
    keyring::Keyring,
    load::Document,
    schema::escape,
    seal::Field,
    secret::SecretRef,
    tenant::TenantName,
};
use menlou_error::text::Text;
use secrecy::SecretString;
use serde_json::Value;
use std::collections::BTreeSet;

const SECRET: [&str; 2] = ["wechat", "secret"];
const PREVIOUS: [&str; 2] = ["wechat", "previous_secret"];

/// The changes with every secret in them that is given literally sealed.
///
/// # Errors
/// Changes that make no sense; keys that can't be read.
pub fn encrypt_secrets(
    doc: &Document,
    mut changes: Vec<ConfigChange>,
    tenant: &TenantName,
    library: &PluginRegistry,
    keyring: &Keyring,
) -> Result<Vec<ConfigChange>, Text> {
    if !keyring.is_set() {
        return Ok(changes);
    }
    // Which action's plugin knows what is secret may itself be among the changes.
    let edited = secrecy::zeroize::Zeroizing::new(edit::apply(doc.text(), &changes)?);
    let Ok(edited) = Document::parse(doc.path(), edited.as_bytes()) else { return Ok(changes) };
    let secrets = secret_pointers(&edited, library);
    for change in &mut changes {
        if let ConfigChange::Set(path, value) = change {
            let pointer: String = path.iter().map(|key| format!("/{}", escape(key))).collect();
            seal_below(value, &pointer, &secrets, tenant, keyring)?;
        }
    }
    Ok(changes)
}

/// The changes that bring a new AppSecret in and keep the present one beside it, so that calls go on whichever of them
/// WeChat takes.
///
/// # Errors
/// No present AppSecret, a new one that is none, keys that can't be read.
pub fn rotate_secret(
    doc: &Document,
    new: &str,
    tenant: &TenantName,
    keyring: &Keyring,
) -> Result<Vec<ConfigChange>, Text> {
    let pointer = |path: [&str; 2]| format!("/{}/{}", path[0], path[1]);
    let Some(present) = doc.value(&pointer(SECRET)).and_then(Value::as_str) else {
        return Err(Text::fixed("文件中没有 wechat.secret", "the file has no wechat.secret"));
    };
    let mut previous = present.to_owned();
    // What is sealed opens in its own place only.
    if let Ok(SecretRef::Sealed(sealed)) = SecretRef::parse(present) {
        let keys = keyring.keys()?;
        let opened = keys.open(&sealed, Field { tenant: Some(tenant.as_str()), pointer: &pointer(SECRET) })?;
        previous = sealed_at(&opened, &pointer(PREVIOUS), tenant, keyring)?;
    }
    let secret = match SecretRef::parse(new)? {
        SecretRef::Literal(secret) if keyring.is_set() => sealed_at(&secret, &pointer(SECRET), tenant, keyring)?,
        _ => new.to_owned(),
    };
    let set =
        |path: [&str; 2], value: String| ConfigChange::Set(path.map(str::to_owned).to_vec(), Value::String(value));
    Ok(vec![set(SECRET, secret), set(PREVIOUS, previous)])
}

fn seal_below(
    value: &mut Value,
    pointer: &str,
    secrets: &BTreeSet<String>,
    tenant: &TenantName,
    keyring: &Keyring,
) -> Result<(), Text> {
    match value {
        Value::String(written) if secrets.contains(pointer) => {
            if let Ok(SecretRef::Literal(secret)) = SecretRef::parse(written) {
                *written = sealed_at(&secret, pointer, tenant, keyring)?;
            }
        }
        Value::Object(table) => {
            for (key, below) in table {
                seal_below(below, &format!("{pointer}/{}", escape(key)), secrets, tenant, keyring)?;
            }
        }
        Value::Array(items) => {
            for (i, below) in items.iter_mut().enumerate() {
                seal_below(below, &format!("{pointer}/{i}"), secrets, tenant, keyring)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn sealed_at(secret: &SecretString, pointer: &str, tenant: &TenantName, keyring: &Keyring) -> Result<String, Text> {
    let field = Field { tenant: Some(tenant.as_str()), pointer };
    Ok(keyring.keys()?.seal(secret, field)?.to_string())
}
