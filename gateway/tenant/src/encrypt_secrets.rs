//! Encrypts secrets that admins enter for a tenant file, if the operator has configured keys.

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

const SECRET_KEY: [&str; 2] = ["wechat", "secret"];
const PREVIOUS_SECRET_KEY: [&str; 2] = ["wechat", "previous_secret"];

/// The changes with all plain-text secrets in them encrypted.
///
/// # Errors
/// Changes that cannot be applied, or keys that cannot be read.
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
    // The changes may also set an action's plugin, whose schema marks the secrets. So the edited file is examined.
    let edited = secrecy::zeroize::Zeroizing::new(edit::apply(doc.text(), &changes)?);
    let Ok(edited) = Document::parse(doc.path(), edited.as_bytes()) else { return Ok(changes) };
    let secrets = secret_pointers(&edited, library);
    for change in &mut changes {
        if let ConfigChange::Set(path, value) = change {
            let pointer: String = path.iter().map(|key| format!("/{}", escape(key))).collect();
            encrypt_in(value, &pointer, &secrets, tenant, keyring)?;
        }
    }
    Ok(changes)
}

/// The changes that set a new AppSecret and keep the current one as `previous_secret`, so that requests succeed whichever
/// of the two WeChat accepts.
///
/// # Errors
/// There is no current AppSecret, the new one is invalid, or the keys cannot be read.
pub fn rotate_secret(
    doc: &Document,
    new: &str,
    tenant: &TenantName,
    keyring: &Keyring,
) -> Result<Vec<ConfigChange>, Text> {
    let pointer = |path: [&str; 2]| format!("/{}/{}", path[0], path[1]);
    let Some(current) = doc.value(&pointer(SECRET_KEY)).and_then(Value::as_str) else {
        return Err(Text::fixed("文件中没有 wechat.secret", "the file has no wechat.secret"));
    };
    let mut previous = current.to_owned();
    // An encrypted secret can be decrypted only for the setting that it was encrypted for.
    if let Ok(SecretRef::Sealed(sealed)) = SecretRef::parse(current) {
        let keys = keyring.keys()?;
        let opened = keys.open(&sealed, Field { tenant: Some(tenant.as_str()), pointer: &pointer(SECRET_KEY) })?;
        previous = encrypt(&opened, &pointer(PREVIOUS_SECRET_KEY), tenant, keyring)?;
    }
    let secret = match SecretRef::parse(new)? {
        SecretRef::Literal(secret) if keyring.is_set() => encrypt(&secret, &pointer(SECRET_KEY), tenant, keyring)?,
        _ => new.to_owned(),
    };
    let set =
        |path: [&str; 2], value: String| ConfigChange::Set(path.map(str::to_owned).to_vec(), Value::String(value));
    Ok(vec![set(SECRET_KEY, secret), set(PREVIOUS_SECRET_KEY, previous)])
}

/// Encrypts the plain-text secrets in a value.
fn encrypt_in(
    value: &mut Value,
    pointer: &str,
    secrets: &BTreeSet<String>,
    tenant: &TenantName,
    keyring: &Keyring,
) -> Result<(), Text> {
    match value {
        Value::String(written) if secrets.contains(pointer) => {
            if let Ok(SecretRef::Literal(secret)) = SecretRef::parse(written) {
                *written = encrypt(&secret, pointer, tenant, keyring)?;
            }
        }
        Value::Object(table) => {
            for (key, item) in table {
                encrypt_in(item, &format!("{pointer}/{}", escape(key)), secrets, tenant, keyring)?;
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                encrypt_in(item, &format!("{pointer}/{i}"), secrets, tenant, keyring)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn encrypt(secret: &SecretString, pointer: &str, tenant: &TenantName, keyring: &Keyring) -> Result<String, Text> {
    let field = Field { tenant: Some(tenant.as_str()), pointer };
    Ok(keyring.keys()?.seal(secret, field)?.to_string())
}
