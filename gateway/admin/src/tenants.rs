//! Listing, reading, creating, changing and removing tenants through their files.

use super::{
    caller::{Caller, Permission, Role},
    config_errors::{ConfigErrorBody, as_error_data, error_bodies, tenant_faulty},
    settings_tree::SettingsTree,
    state::{AdminState, AuditedAction},
    tenant_files::{file_error, read_file, read_file_if_present, with_tenant_files},
    timestamp::Timestamp,
    validation::unmask_draft,
};
use menlou_config::{
    edit::{self, ConfigChange},
    load::Document,
    redacted::MASK,
    tenant::TenantName,
};
use menlou_error::{Error, Result, admin_codes};
use menlou_tenant::{
    Audience, MinuteStats, Revision, TenantFileError, TenantStatus, encrypt_secrets, redact, rotate_secret,
    tenant_admin_violations,
};
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use similar::TextDiff;
use std::time::Duration;

/// Maximum time for finding a small difference between two texts. Afterwards the difference is larger than necessary.
const MAX_DIFF_TIME: Duration = Duration::from_millis(50);
/// Number of unchanged lines before and after a change in a diff.
const DIFF_CONTEXT: usize = 2;

/// The period of the request counts in [`TenantSummary`], in minutes.
const SUMMARY_MINUTES: u32 = 60;

/// The status of a tenant.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TenantSummary {
    /// The tenant's name: the file name without `.toml`, and the `f` of requests.
    pub name: String,
    /// The display name; null if the tenant is not serving.
    pub title: Option<String>,
    /// Whether a version of the tenant is serving.
    pub serving: bool,
    /// The number of errors in the file.
    pub faults: usize,
    /// Requests within the last hour, counted by this gateway.
    pub calls: u64,
    /// Requests that were refused because of their client or user.
    pub client_errors: u64,
    /// Requests that failed in the gateway, a store, a plugin, the tenant's own service, or at the platform.
    pub failures: u64,
    /// When this gateway last verified the credentials with the platform; null if never.
    pub verified_at: Option<Timestamp>,
    /// Whether the credentials worked.
    pub verified: Option<bool>,
}

/// A tenant and its file.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TenantDetails {
    /// The tenant's name: the file name without `.toml`, and the `f` of requests.
    pub name: String,
    /// The display name; null if the tenant is not serving.
    pub title: Option<String>,
    /// Whether a version of the tenant is serving. If the file has errors, that is an earlier version.
    pub serving: bool,
    /// The errors in the file.
    pub faults: Vec<ConfigErrorBody>,
    /// The names of the tenant's actions.
    pub actions: Vec<String>,
    /// The file with secrets as "masked:"; null if the file is not valid TOML. A text that is saved with "masked:" keeps
    /// the stored secret.
    pub toml: Option<String>,
    /// The settings in the file.
    #[serde(flatten)]
    pub settings_tree: SettingsTree,
    /// The version of the file, as in ETag.
    pub revision: String,
}

/// A tenant that was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SavedTenant {
    /// The new version of the file, as in ETag.
    pub revision: String,
    /// Errors that disable only the part of the tenant that they concern.
    pub faults: Vec<ConfigErrorBody>,
    /// Whether the tenant is new.
    #[serde(skip)]
    pub created: bool,
}

/// The intended content of a tenant file.
pub enum TenantDraft {
    /// The complete text.
    File(Zeroizing<String>),
    /// Changes to the current file. Comments and formatting are kept. New secrets are encrypted if the operator has
    /// configured keys.
    Changes(Vec<ConfigChange>),
    /// A new AppSecret for the current file. The old one is kept as `previous_secret`.
    SecretRotation(Zeroizing<String>),
}

impl TenantDraft {
    /// Whether the draft changes only the AppSecret or the previous one. Such a change is saved whatever else is wrong in the
    /// file, because a wrong or leaked secret must not stay for an unrelated error.
    fn sets_secret(&self) -> bool {
        let is_secret = |path: &[String]| matches!(path, [table, key] if table == "wechat" && (key == "secret" || key == "previous_secret"));
        match self {
            Self::File(_) => false,
            Self::SecretRotation(_) => true,
            Self::Changes(changes) => {
                !changes.is_empty()
                    && changes.iter().all(|change| match change {
                        ConfigChange::Set(path, _) | ConfigChange::Unset(path) => is_secret(path),
                    })
            }
        }
    }
}

/// The precondition of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// The tenant does not exist.
    NotExists,
    /// The file has this version.
    Matches(Revision),
    /// The tenant exists.
    Any,
}

/// Which tenants to list.
#[derive(Clone, Copy, Default)]
pub struct TenantFilter<'a> {
    /// Only names after this one.
    pub after: &'a str,
    /// Only tenants whose name or display name contains this text, ignoring case.
    pub text: &'a str,
    /// Only tenants whose file has errors.
    pub invalid_only: bool,
}

/// The matching tenants that the caller may see, in the order of their names, at most `limit`.
///
/// # Errors
/// `forbidden`.
pub fn list(state: &AdminState, caller: &Caller, filter: TenantFilter<'_>, limit: usize) -> Result<Vec<TenantSummary>> {
    let own = match &caller.role {
        Role::Tenant(own) => Some(own.as_str()),
        _ => {
            caller.require_everywhere(Permission::Read)?;
            None
        }
    };
    let text = filter.text.to_lowercase();
    let found = state.registry.statuses_after(filter.after, limit, |name, status, tenant| {
        own.is_none_or(|own| own == name)
            && (!filter.invalid_only || !status.errors.is_empty())
            && (name.contains(&text) || tenant.is_some_and(|tenant| tenant.title.to_lowercase().contains(&text)))
    });
    Ok(found.iter().map(|(name, status)| summarize(state, name, status)).collect())
}

/// The status of one tenant; `None` if the gateway has not read its file yet.
///
/// # Errors
/// `forbidden`.
pub fn summary(state: &AdminState, caller: &Caller, name: &TenantName) -> Result<Option<TenantSummary>> {
    caller.require(Permission::Read, name.as_str())?;
    Ok(state.registry.status(name.as_str()).map(|status| summarize(state, name.as_str(), &status)))
}

fn summarize(state: &AdminState, name: &str, status: &TenantStatus) -> TenantSummary {
    let tenant = state.registry.find(name);
    let usage = tenant.iter().flat_map(|tenant| tenant.activity.usage(SUMMARY_MINUTES));
    let minutes: Vec<_> = usage.flat_map(|(_, minutes)| minutes).collect();
    let sum = |part: fn(&MinuteStats) -> u32| minutes.iter().map(|minute| u64::from(part(minute))).sum();
    let verified = tenant.as_ref().and_then(|tenant| tenant.activity.last_verification());
    TenantSummary {
        name: name.to_owned(),
        title: tenant.map(|tenant| tenant.title.clone()),
        serving: status.serving,
        faults: status.errors.len(),
        calls: sum(|minute| minute.requests),
        client_errors: sum(|minute| minute.client_errors),
        failures: sum(|minute| minute.errors + minute.platform_errors),
        verified_at: verified.map(|verified| Timestamp(i64::try_from(verified.at).unwrap_or(i64::MAX))),
        verified: verified.map(|verified| verified.ok),
    }
}

/// Reads a tenant and its current file.
///
/// # Errors
/// `forbidden`, `unknown_tenant`; `not_saved` if the file cannot be read.
pub async fn read(state: &AdminState, caller: &Caller, name: &TenantName) -> Result<TenantDetails> {
    caller.require(Permission::Read, name.as_str())?;
    let can_write = caller.require(Permission::Write, name.as_str()).is_ok();
    let audience = if can_write { Audience::Editor } else { Audience::Viewer };
    let tenant = state.registry.find(name.as_str());
    let (title, serving) = (tenant.as_ref().map(|tenant| tenant.title.clone()), tenant.is_some());
    with_tenant_files(state, caller, name, move |files, plugins, name| {
        let bytes = read_file(&files.path(&name))?;
        let path = files.path(&name);
        let document = Document::parse(path, &bytes);
        let (actions, errors) = match std::str::from_utf8(&bytes).map(|text| files.check(&name, text)) {
            Ok(Ok(validated)) => (validated.actions.into_keys().collect(), validated.errors),
            Ok(Err(errors)) => (Vec::new(), errors),
            Err(_) => (Vec::new(), document.as_ref().err().cloned().unwrap_or_default()),
        };
        let document = document.ok();
        let from_document = |document: &Document| SettingsTree::from_document(document, plugins, audience);
        let mut settings_tree = document.as_ref().map(from_document).unwrap_or_default();
        let faults = error_bodies(&errors, document.as_ref());
        // An invalid appid may be the secret, entered in the wrong field.
        const APPID: &str = "/wechat/appid";
        let is_invalid = faults.iter().any(|error| error.pointer.as_deref() == Some(APPID));
        if let Some(appid) = settings_tree.settings.pointer_mut(APPID).filter(|_| is_invalid) {
            *appid = MASK.into();
        }
        Ok(TenantDetails {
            name: name.as_str().to_owned(),
            title,
            serving,
            faults,
            actions,
            toml: document.as_ref().map(|document| redact(document, plugins, audience)),
            settings_tree,
            revision: Revision::for_bytes(&bytes).to_string(),
        })
    })
    .await
}

/// Creates a tenant from a draft, or replaces its file.
///
/// # Errors
/// `forbidden`, `setting_reserved`, `tenant_exists`, `unknown_tenant`, `changed_meanwhile`, `tenant_faulty`, `not_saved`.
pub async fn save(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    draft: TenantDraft,
    precondition: Precondition,
) -> Result<SavedTenant> {
    let is_new = precondition == Precondition::NotExists;
    caller.require(if is_new { Permission::Operate } else { Permission::Write }, name.as_str())?;
    let is_tenant_admin = caller.require(Permission::Operate, name.as_str()).is_err();
    let sets_secret = draft.sets_secret();
    let (keyring, allowed_hosts) = (state.keyring.clone(), state.allowed_upstream_hosts.clone());
    let (text, current, after, diff) = with_tenant_files(state, caller, name, move |files, plugins, name| {
        let bytes = read_file_if_present(&files.path(&name))?;
        let current = bytes.as_ref().map(|bytes| Revision::for_bytes(bytes));
        match (&precondition, &current) {
            (Precondition::NotExists, Some(_)) => return Err(file_error(TenantFileError::Exists)),
            (Precondition::Matches(_) | Precondition::Any, None) => return Err(file_error(TenantFileError::Absent)),
            (Precondition::Matches(seen), Some(current)) if seen != current => {
                return Err(file_error(TenantFileError::Changed));
            }
            _ => {}
        }
        let bytes = bytes.unwrap_or_default();
        let before = current.is_some().then(|| Document::parse(files.path(&name), &bytes));
        let text = match (draft, &before) {
            (TenantDraft::File(text), _) => text,
            (_, Some(Err(errors))) => return Err(tenant_faulty(error_bodies(errors, None))),
            (_, None) => return Err(file_error(TenantFileError::Absent)),
            (draft, Some(Ok(document))) => {
                let bad_parameter = |text| file_error(TenantFileError::InvalidChange(text));
                let changes = match draft {
                    TenantDraft::Changes(changes) => encrypt_secrets(document, changes, &name, plugins, &keyring),
                    TenantDraft::SecretRotation(secret) => rotate_secret(document, &secret, &name, &keyring),
                    TenantDraft::File(_) => Ok(Vec::new()),
                };
                // The bytes are UTF-8, because they were parsed.
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                edit::apply(text, &changes.map_err(bad_parameter)?).map(Zeroizing::new).map_err(bad_parameter)?
            }
        };
        let before = before.and_then(Result::ok);
        let (text, document) = unmask_draft(files, &name, &text, before.as_ref())
            .map_err(|(errors, draft)| tenant_faulty(error_bodies(&errors, draft.as_ref())))?;
        let reserved = if is_tenant_admin {
            tenant_admin_violations(&document, before.as_ref(), plugins, &allowed_hosts)
        } else {
            Vec::new()
        };
        if !reserved.is_empty() {
            let errors = error_bodies(&reserved, Some(&document));
            return Err(Error::new(&admin_codes::SETTING_RESERVED).with_data(as_error_data(errors)));
        }
        let checked = match sets_secret {
            true => files.check_change(&name, &bytes, &text).map(|_| ()),
            false => files.check(&name, &text).map(|_| ()),
        };
        checked.map_err(|errors| tenant_faulty(error_bodies(&errors, Some(&document))))?;
        let for_audit = |document: &Document| redact(document, plugins, Audience::Viewer);
        let (before, after) = (before.as_ref().map(for_audit), for_audit(&document));
        let (after, diff) = match before {
            Some(before) => (None, Some(unified_diff(&before, &after))),
            None => (Some(after), None),
        };
        Ok((text, current, after, diff))
    })
    .await?;
    let what = if is_new { "tenant.create" } else { "tenant.replace" };
    let action = AuditedAction { what, tenant: name.as_str(), after, diff, ..AuditedAction::default() };
    let saving = with_tenant_files(state, caller, name, move |files, _, name| {
        // Fails if the file has changed since it was read above.
        let saved = match current {
            None => files.create(&name, &text),
            Some(current) if sets_secret => files.replace_despite_errors(&name, &text, Some(&current)),
            Some(current) => files.replace(&name, &text, Some(&current)),
        };
        let saved = saved.map_err(file_error)?;
        let faults = error_bodies(&saved.errors, None);
        Ok(SavedTenant { revision: saved.revision.to_string(), faults, created: is_new })
    });
    state.audited(caller, action, saving).await
}

/// The difference between two texts in the unified format.
fn unified_diff(before: &str, after: &str) -> String {
    let diff = TextDiff::configure().timeout(MAX_DIFF_TIME).diff_lines(before, after);
    diff.unified_diff().context_radius(DIFF_CONTEXT).missing_newline_hint(false).to_string()
}

/// Removes a tenant's file. Its users and sessions stay in the stores.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `changed_meanwhile`, `not_saved`.
pub async fn remove(state: &AdminState, caller: &Caller, name: &TenantName, precondition: Precondition) -> Result<()> {
    caller.require(Permission::Operate, name.as_str())?;
    let (current, before) = with_tenant_files(state, caller, name, move |files, plugins, name| {
        let bytes = read_file(&files.path(&name))?;
        let current = Revision::for_bytes(&bytes);
        match precondition {
            Precondition::NotExists => return Err(file_error(TenantFileError::Exists)),
            Precondition::Matches(seen) if seen != current => return Err(file_error(TenantFileError::Changed)),
            _ => {}
        }
        let document = Document::parse(files.path(&name), &bytes).ok();
        Ok((current, document.map(|document| redact(&document, plugins, Audience::Viewer))))
    })
    .await?;
    let action = AuditedAction { what: "tenant.remove", tenant: name.as_str(), before, ..AuditedAction::default() };
    let removing = with_tenant_files(state, caller, name, move |files, _, name| {
        files.remove(&name, Some(&current)).map(|_| ()).map_err(file_error)
    });
    state.audited(caller, action, removing).await
}
