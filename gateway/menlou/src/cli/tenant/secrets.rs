//! Secrets are read from a prompt or standard input, never from an argument: arguments appear in the shell's history
//! and in the process list. If the operator has configured keys, secrets are sealed before they are written to the
//! file.

use super::{
    ask,
    context::{CommandFailure, TenantContext},
};
use menlou_config::{
    edit::{self, ConfigChange},
    load::Document,
    schema::escape,
    seal::Field,
    secret::SecretRef,
    tenant::TenantName,
};
use menlou_error::text::Text;
use menlou_tenant::secret_pointers;
use secrecy::ExposeSecret;
use std::path::Path;

/// Asks for the secret of the field `path`. Returns what is written to the file: a reference, or the secret, sealed if
/// keys are configured.
pub fn ask(
    context: &TenantContext<'_>,
    tenant: &TenantName,
    path: &[String],
    question: &Text,
) -> Result<String, CommandFailure> {
    loop {
        let written = ask::secret(question)?;
        match SecretRef::parse(written.expose_secret()) {
            Ok(SecretRef::Literal(secret)) if context.config.keyring.is_set() => {
                let pointer: String = path.iter().map(|key| format!("/{}", escape(key))).collect();
                let field = Field { tenant: Some(tenant.as_str()), pointer: &pointer };
                let sealed = context.config.keyring.keys().and_then(|keys| keys.seal(&secret, field));
                return sealed.map(|sealed| sealed.to_string()).map_err(|text| CommandFailure::new("unsealed", text));
            }
            Ok(_) => return Ok(written.expose_secret().to_owned()),
            Err(text) if ask::somebody() => errln!("  {}", text.get(menlou_error::text::Language::for_operator())),
            Err(text) => return Err(CommandFailure::usage(text)),
        }
    }
}

/// Parses a reference that was given as an argument. The secret itself is rejected.
pub fn reference(written: &str) -> Result<String, CommandFailure> {
    match SecretRef::parse(written) {
        Ok(SecretRef::Literal(_)) => Err(as_argument()),
        Ok(_) => Ok(written.to_owned()),
        Err(text) => Err(CommandFailure::usage(text)),
    }
}

/// Rejects changes, given as arguments, that would write a secret in plain text into this file.
pub fn none_of(changes: &[ConfigChange], text: &str, context: &TenantContext<'_>) -> Result<(), CommandFailure> {
    // Text that cannot be edited or parsed is reported when the change is applied.
    let Ok(edited) = edit::apply(text, changes) else { return Ok(()) };
    let Ok(doc) = Document::parse(Path::new(""), edited.as_bytes()) else { return Ok(()) };
    let literal = |pointer: &String| {
        let written = doc.value(pointer).and_then(serde_json::Value::as_str);
        // A damaged sealed secret is reported by the check of the file.
        written.is_some_and(|w| {
            !w.starts_with("sealed:") && matches!(SecretRef::parse(w), Ok(SecretRef::Literal(_)) | Err(_))
        })
    };
    let found = secret_pointers(&doc, context.library);
    for change in changes {
        let ConfigChange::Set(path, _) = change else { continue };
        let at: String = path.iter().map(|part| format!("/{}", escape(part))).collect();
        if found.iter().any(|secret| (secret == &at || secret.starts_with(&format!("{at}/"))) && literal(secret)) {
            return Err(as_argument());
        }
    }
    Ok(())
}

fn as_argument() -> CommandFailure {
    CommandFailure::usage(Text::fixed(
        "密钥不能写在命令行中（会留在历史记录与进程列表里）：请从提示或标准输入给出，或写 env:变量名、file:路径",
        "a secret cannot be an argument, because arguments appear in the shell's history and in the process list: enter it at the prompt or on standard input, or write env:NAME or file:PATH",
    ))
}
