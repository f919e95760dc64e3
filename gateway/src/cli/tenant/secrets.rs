//! Secrets come from a prompt or standard input, never from an argument: those stand in the shell's history and in the list
//! of processes.

use super::{Failure, Office, ask};
use crate::{
    config::{
        edit::{self, Change},
        load::Document,
        schema::escape,
        secret::SecretRef,
    },
    tenant::secrets,
    text::Text,
};
use secrecy::ExposeSecret;
use std::path::Path;

/// Asks for what comes into the file: the secret itself, or where it is.
pub fn ask(question: &Text) -> Result<String, Failure> {
    loop {
        let written = ask::secret(question)?;
        match SecretRef::parse(written.expose_secret()) {
            Ok(_) => return Ok(written.expose_secret().to_owned()),
            Err(text) if ask::somebody() => eprintln!("  {}", text.get(crate::text::Language::of_operator())),
            Err(text) => return Err(Failure::usage(text)),
        }
    }
}

/// A reference that was given as an argument.
pub fn reference(written: &str) -> Result<String, Failure> {
    match SecretRef::parse(written) {
        Ok(SecretRef::Literal(_)) => Err(as_argument()),
        Ok(_) => Ok(written.to_owned()),
        Err(text) => Err(Failure::usage(text)),
    }
}

/// That none of these changes, given as arguments, brings a secret itself into this text.
pub fn none_of(changes: &[Change], text: &str, office: &Office<'_>) -> Result<(), Failure> {
    // What can't be applied or read is told by whoever applies and checks it.
    let Ok(edited) = edit::apply(text, changes) else { return Ok(()) };
    let Ok(doc) = Document::parse(Path::new(""), edited.as_bytes()) else { return Ok(()) };
    let literal = |pointer: &String| {
        let written = doc.value(pointer).and_then(serde_json::Value::as_str);
        written.is_some_and(|w| {
            !w.starts_with("sealed:") && matches!(SecretRef::parse(w), Ok(SecretRef::Literal(_)) | Err(_))
        })
    };
    let found = secrets(&doc, office.library);
    for change in changes {
        let Change::Set(path, _) = change else { continue };
        let at: String = path.iter().map(|part| format!("/{}", escape(part))).collect();
        if found.iter().any(|secret| (secret == &at || secret.starts_with(&format!("{at}/"))) && literal(secret)) {
            return Err(as_argument());
        }
    }
    Ok(())
}

fn as_argument() -> Failure {
    Failure::usage(Text::fixed(
        "密钥不能写在命令行中（会留在历史记录与进程列表里）：请从提示或标准输入给出，或写 env:变量名、file:路径",
        "a secret can't be an argument, which stays in the shell's history and shows in the list of processes: give it at the prompt or on standard input, or write env:NAME or file:PATH",
    ))
}
