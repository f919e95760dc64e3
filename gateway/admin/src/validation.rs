//! Validation of drafts of tenant files, and encryption of the secrets in them.

use super::{
    caller::{Caller, Permission},
    config_errors::{ConfigErrorBody, error_bodies},
    settings_tree::SettingsTree,
    state::AdminState,
    tenant_files::with_tenant_files,
};
use menlou_config::{
    config_error::ConfigError,
    edit::{self, ConfigChange},
    load::Document,
    redacted::unmask,
    tenant::TenantName,
};
use menlou_error::{Error, Result, codes};
use menlou_tenant::{Audience, TenantFiles, tenant_admin_violations, view};
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;

/// The result of validating a draft.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ValidationReport {
    /// Errors that prevent the draft from being saved.
    pub faults: Vec<ConfigErrorBody>,
    /// Errors that disable only the part of the tenant that they concern.
    pub lesser: Vec<ConfigErrorBody>,
}

/// Validates a text as the file of this tenant, which need not exist. Nothing is saved.
///
/// # Errors
/// `forbidden`.
pub async fn check(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    text: Zeroizing<String>,
) -> Result<ValidationReport> {
    Ok(check_and_parse(state, caller, name, text).await?.0)
}

/// Like [`check`], and returns the settings of the text as well.
///
/// # Errors
/// `forbidden`.
pub async fn check_and_parse(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    text: Zeroizing<String>,
) -> Result<(ValidationReport, SettingsTree)> {
    caller.require(Permission::Write, name.as_str())?;
    let is_tenant_admin = caller.require(Permission::Operate, name.as_str()).is_err();
    let allowed_hosts = state.allowed_upstream_hosts.clone();
    with_tenant_files(state, caller, name, move |files, plugins, name| {
        let before = menlou_tenant::read_bytes(&files.path(&name)).ok().flatten().map(Zeroizing::new);
        let before = before.and_then(|bytes| Document::parse(files.path(&name), &bytes).ok());
        let (text, document) = match unmask_draft(files, &name, &text, before.as_ref()) {
            Ok(unmasked) => unmasked,
            Err((errors, draft)) => {
                let tree = draft
                    .as_ref()
                    .map(|draft| SettingsTree::from_document(draft, plugins, Audience::Editor))
                    .unwrap_or_default();
                let faults = error_bodies(&errors, draft.as_ref());
                return Ok((ValidationReport { faults, lesser: Vec::new() }, tree));
            }
        };
        let reserved = if is_tenant_admin {
            tenant_admin_violations(&document, before.as_ref(), plugins, &allowed_hosts)
        } else {
            Vec::new()
        };
        let checked = if reserved.is_empty() { files.check(&name, &text) } else { Err(reserved) };
        let report = match checked {
            Ok(validated) => {
                ValidationReport { faults: Vec::new(), lesser: error_bodies(&validated.errors, Some(&document)) }
            }
            Err(errors) => ValidationReport { faults: error_bodies(&errors, Some(&document)), lesser: Vec::new() },
        };
        Ok((report, SettingsTree::from_document(&document, plugins, Audience::Editor)))
    })
    .await
}

/// A complete new file with its secrets encrypted, if the operator has configured keys.
///
/// # Errors
/// `bad_parameter` if the keys cannot be read.
pub async fn encrypt_secrets(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    text: Zeroizing<String>,
) -> Result<Zeroizing<String>> {
    let keyring = state.keyring.clone();
    with_tenant_files(state, caller, name, move |files, plugins, name| {
        // Syntax errors are reported when the text is validated.
        let Ok(document) = Document::parse(files.path(&name), text.as_bytes()) else { return Ok(text) };
        let literals = view(&document, plugins, Audience::Editor).secrets.into_iter().filter_map(|pointer| {
            let path = pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
            Some(ConfigChange::Set(path, document.value(&pointer)?.clone()))
        });
        let bad_parameter = |text| Error::new(&codes::BAD_PARAMETER).with_message(text);
        let changes = menlou_tenant::encrypt_secrets(&document, literals.collect(), &name, plugins, &keyring);
        let changes = changes.map_err(bad_parameter)?;
        edit::apply(document.text(), &changes).map(Zeroizing::new).map_err(bad_parameter)
    })
    .await
}

/// The errors of a draft, and the draft itself if it is valid TOML.
pub(crate) type DraftErrors = (Vec<ConfigError>, Option<Document>);

/// Replaces every "masked:" in a draft by the value in the current file. Returns the text and the parsed document.
pub(crate) fn unmask_draft(
    files: &TenantFiles<'_>,
    name: &TenantName,
    draft: &str,
    before: Option<&Document>,
) -> std::result::Result<(Zeroizing<String>, Document), DraftErrors> {
    let parse = |text: &str| Document::parse(files.path(name), text.as_bytes()).map_err(|errors| (errors, None));
    let byte_order_mark = if draft.starts_with('\u{feff}') { "\u{feff}" } else { "" };
    let parsed = parse(draft)?;
    let unmasked = unmask(&parsed, before).map_err(|errors| (errors, Some(parsed)))?;
    let text = Zeroizing::new([byte_order_mark, unmasked.as_str()].concat());
    let document = parse(&text)?;
    Ok((text, document))
}
