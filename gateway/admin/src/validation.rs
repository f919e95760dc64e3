//! Drafts of tenants' files: what they would come to, and what is wrong with them at which place.

use super::{
    caller::{Caller, Permission},
    state::AdminState,
    tenants::blocking,
};
use menlou_action::PluginRegistry;
use menlou_config::{
    config_error::ConfigError,
    edit::{self, ConfigChange},
    load::Document,
    redacted::{MASK, unmask},
    tenant::TenantName,
};
use menlou_error::text::{Language, Text};
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_tenant::{Files, reserved, view};
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a tenant's file says.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct SettingsTree {
    /// The settings with the defaults filled in, secrets as "masked:"; null where the file can't be read as TOML.
    pub settings: Value,
    /// Where in the settings a default stands: RFC 6901 pointers.
    pub defaults: BTreeSet<String>,
    /// Where in the settings a secret stands.
    pub secrets: BTreeSet<String>,
}

/// Something that is wrong with a tenant's file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigErrorBody {
    /// From 1; null where it is about the file as a whole.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// What it is about, as an RFC 6901 pointer; null where that can't be told.
    pub pointer: Option<String>,
    /// What is wrong, in Chinese.
    pub zh: String,
    /// What is wrong, in English.
    pub en: String,
}

/// What a draft came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// What would keep it from being saved.
    pub faults: Vec<ConfigErrorBody>,
    /// What is wrong, and yet lets the rest serve.
    pub lesser: Vec<ConfigErrorBody>,
}

/// Says what is wrong with a text as the file of this tenant, which need not exist; nothing is saved.
///
/// # Errors
/// `forbidden`.
pub async fn check(state: &AdminState, caller: &Caller, name: &TenantName, text: Zeroizing<String>) -> Result<Verdict> {
    Ok(look(state, caller, name, text).await?.0)
}

/// The same, and what the text says.
///
/// # Errors
/// `forbidden`.
pub async fn look(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    text: Zeroizing<String>,
) -> Result<(Verdict, SettingsTree)> {
    caller.require(Permission::Write, name.as_str())?;
    let own = caller.require(Permission::Operate, name.as_str()).is_err();
    let reach = state.allowed_upstream_hosts.clone();
    blocking(state, name, move |files, library, name| {
        let before = menlou_tenant::bytes(&files.path(&name)).ok().flatten().map(Zeroizing::new);
        let before = before.and_then(|bytes| Document::parse(files.path(&name), &bytes).ok());
        let (text, doc) = match whole(files, &name, &text, before.as_ref()) {
            Ok(whole) => whole,
            Err((faults, draft)) => {
                let outline = draft.as_ref().map(|draft| SettingsTree::of(draft, library)).unwrap_or_default();
                return Ok((Verdict { faults: flaws(&faults, draft.as_ref()), lesser: Vec::new() }, outline));
            }
        };
        let reserved = if own { reserved(&doc, before.as_ref(), library, &reach) } else { Vec::new() };
        let checked = if reserved.is_empty() { files.check(&name, &text) } else { Err(reserved) };
        let verdict = match checked {
            Ok(validated) => Verdict { faults: Vec::new(), lesser: flaws(&validated.faults, Some(&doc)) },
            Err(faults) => Verdict { faults: flaws(&faults, Some(&doc)), lesser: Vec::new() },
        };
        Ok((verdict, SettingsTree::of(&doc, library)))
    })
    .await
}

/// A whole new file with the secrets in it sealed, where the operator has keys for that.
///
/// # Errors
/// `bad_parameter` where the keys can't be read.
pub async fn sealed(state: &AdminState, name: &TenantName, text: Zeroizing<String>) -> Result<Zeroizing<String>> {
    let keyring = state.keyring.clone();
    blocking(state, name, move |files, library, name| {
        // What can't be read is told by whoever checks it.
        let Ok(doc) = Document::parse(files.path(&name), text.as_bytes()) else { return Ok(text) };
        let literals = view(&doc, library).secrets.into_iter().filter_map(|pointer| {
            let path = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
            Some(ConfigChange::Set(path, doc.value(&pointer)?.clone()))
        });
        let senseless = |text| Error::new(&codes::BAD_PARAMETER).with_message(text);
        let changes = menlou_tenant::seal(&doc, literals.collect(), &name, library, &keyring).map_err(senseless)?;
        edit::apply(doc.text(), &changes).map(Zeroizing::new).map_err(senseless)
    })
    .await
}

/// What is wrong with a draft, and the draft itself where it can be parsed.
type Unfit = (Vec<ConfigError>, Option<Document>);

/// The draft with everything in it that came as "masked:", and the same parsed; or what is wrong with it, and the draft
/// itself where it can be parsed.
pub(super) fn whole(
    files: &Files<'_>,
    name: &TenantName,
    draft: &str,
    before: Option<&Document>,
) -> std::result::Result<(Zeroizing<String>, Document), Unfit> {
    let parse = |text: &str| Document::parse(files.path(name), text.as_bytes()).map_err(|faults| (faults, None));
    let mark = if draft.starts_with('\u{feff}') { "\u{feff}" } else { "" };
    let parsed = parse(draft)?;
    let unmasked = unmask(&parsed, before).map_err(|faults| (faults, Some(parsed)))?;
    let text = Zeroizing::new([mark, unmasked.as_str()].concat());
    let doc = parse(&text)?;
    Ok((text, doc))
}

/// That a file has these faults.
pub(super) fn faulty(flaws: Vec<ConfigErrorBody>) -> Error {
    Error::new(&admin_codes::TENANT_FAULTY).with_data(listed(flaws))
}

pub(super) fn listed(flaws: Vec<ConfigErrorBody>) -> Value {
    json!({ "faults": flaws })
}

/// Faults as they are told; `doc` is the document that they are of, where there is one.
pub(super) fn flaws(faults: &[ConfigError], doc: Option<&Document>) -> Vec<ConfigErrorBody> {
    let flaw = |fault: &ConfigError| {
        let Text { zh, en } = &fault.text;
        let (line, column) = fault.position().unzip();
        let pointer = doc.and_then(|doc| doc.pointer_of(fault));
        ConfigErrorBody { line, column, pointer, zh: zh.clone().into_owned(), en: en.clone().into_owned() }
    };
    faults.iter().map(flaw).collect()
}

impl ConfigErrorBody {
    /// What is wrong.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

impl SettingsTree {
    pub(super) fn of(doc: &Document, library: &PluginRegistry) -> Self {
        let view = view(doc, library);
        Self { settings: told(view.settings), defaults: view.defaults, secrets: view.secrets }
    }
}

/// The settings with one mark for what is masked, which a change may bring back.
fn told(settings: Value) -> Value {
    match settings {
        Value::String(text) if text.contains(menlou_tenant::MASK) => MASK.into(),
        Value::Array(items) => items.into_iter().map(told).collect(),
        Value::Object(table) => table.into_iter().map(|(key, value)| (key, told(value))).collect(),
        other => other,
    }
}
