//! Tenants as admins see and change them: their files, checked and saved whole or not at all.

use super::{
    caller::{Caller, Permission},
    state::{AdminState, AuditedAction},
    timestamp::Timestamp,
    validation::{ConfigErrorBody, SettingsTree, faulty, flaws, listed, whole},
};
use menlou_config::{
    edit::{self, ConfigChange},
    load::Document,
    redacted::{Comments, MASK},
    tenant::TenantName,
};
use menlou_error::text::Language;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_tenant::{Files, Refused, Revision, masked, reserved, rotate, seal};
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// How far back the numbers of [`TenantSummary`] reach, minutes.
const HOUR: u32 = 60;

/// How a tenant is doing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TenantSummary {
    /// The name: its file's without `.toml`, and the `f` of its requests.
    pub name: String,
    /// The name for people; null where no version serves.
    pub title: Option<String>,
    /// Whether some version of it serves.
    pub serving: bool,
    /// How many faults its file has.
    pub faults: usize,
    /// Calls within the last hour, counted by this gateway.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// When this gateway asked the platform last whether the credentials work; null if it has not.
    pub verified_at: Option<Timestamp>,
    /// Whether they did.
    pub verified: Option<bool>,
}

/// A tenant as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TenantDetails {
    /// The name: its file's without `.toml`, and the `f` of its requests.
    pub name: String,
    /// The name for people; null where no version serves.
    pub title: Option<String>,
    /// Whether some version of it serves, which is not this one where there are faults.
    pub serving: bool,
    /// What is wrong with the file.
    pub faults: Vec<ConfigErrorBody>,
    /// The names of its actions.
    pub actions: Vec<String>,
    /// The file, its secrets as "masked:"; null where it can't be read as TOML. A text that is saved keeps what it has as
    /// "masked:".
    pub toml: Option<String>,
    /// What it says.
    #[serde(flatten)]
    pub outline: SettingsTree,
    /// The file's version, as in ETag.
    pub revision: String,
}

/// A tenant that was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SavedTenant {
    /// The file's new version, as in ETag.
    pub revision: String,
    /// What is wrong, and yet lets the rest serve.
    pub faults: Vec<ConfigErrorBody>,
    /// Whether it is a new tenant.
    #[serde(skip)]
    pub created: bool,
}

/// What a tenant's file is to be.
pub enum TenantDraft {
    /// This text.
    File(Zeroizing<String>),
    /// The file with these changes; comments and layout stay. New secrets are sealed where the operator has keys for it.
    Changes(Vec<ConfigChange>),
    /// The file with this AppSecret, the one before it being kept as `previous_secret`.
    SecretRotation(Zeroizing<String>),
}

/// On what a change is based.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// There is no such tenant yet.
    NotExists,
    /// The file is of this version.
    Matches(Revision),
    /// Whatever version it is of.
    Any,
}

/// Which tenants are listed.
#[derive(Clone, Copy, Default)]
pub struct TenantFilter<'a> {
    /// Those behind this name.
    pub after: &'a str,
    /// Those owner name, or name for people, has this in it; upper and lower case are the same.
    pub text: &'a str,
    /// Only those owner file has faults.
    pub invalid_only: bool,
}

/// The tenants that are filter, as far as the caller may see them, `most` at most.
///
/// # Errors
/// None that the caller could mend.
pub fn list(state: &AdminState, caller: &Caller, filter: TenantFilter<'_>, most: usize) -> Result<Vec<TenantSummary>> {
    let own = match &caller.role {
        super::Role::Tenant(own) => Some(own.as_str()),
        _ => {
            caller.require_everywhere(Permission::Read)?;
            None
        }
    };
    let text = filter.text.to_lowercase();
    let standing = state.registry.standing_after(filter.after, most, |name, standing, tenant| {
        own.is_none_or(|own| own == name)
            && (!filter.invalid_only || !standing.faults.is_empty())
            && (name.contains(&text) || tenant.is_some_and(|tenant| tenant.title.to_lowercase().contains(&text)))
    });
    Ok(standing.iter().map(|(name, standing)| summary(state, name, standing)).collect())
}

/// How one tenant is doing; `None` where the gateway has not seen its file yet.
///
/// # Errors
/// `forbidden`.
pub fn summary_of(state: &AdminState, caller: &Caller, name: &TenantName) -> Result<Option<TenantSummary>> {
    caller.require(Permission::Read, name.as_str())?;
    Ok(state.registry.standing_of(name.as_str()).map(|standing| summary(state, name.as_str(), &standing)))
}

fn summary(state: &AdminState, name: &str, standing: &menlou_tenant::TenantStatus) -> TenantSummary {
    let tenant = state.registry.find(name);
    let minutes = tenant.iter().flat_map(|tenant| tenant.activity.usage(HOUR)).flat_map(|(_, minutes)| minutes);
    let (calls, failures) = minutes.fold((0, 0), |(c, f), m| (c + u64::from(m.calls), f + u64::from(m.failures)));
    let verified = tenant.as_ref().and_then(|tenant| tenant.activity.last_verified());
    TenantSummary {
        name: name.to_owned(),
        title: tenant.map(|tenant| tenant.title.clone()),
        serving: standing.serving,
        faults: standing.faults.len(),
        calls,
        failures,
        verified_at: verified.map(|verified| Timestamp(i64::try_from(verified.at).unwrap_or(i64::MAX))),
        verified: verified.map(|verified| verified.good),
    }
}

/// One tenant as its file is now.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `not_saved` where the file can't be read.
pub async fn read(state: &AdminState, caller: &Caller, name: &TenantName) -> Result<TenantDetails> {
    caller.require(Permission::Read, name.as_str())?;
    // What was a setting once may be a secret still.
    let comments =
        if caller.require(Permission::Write, name.as_str()).is_ok() { Comments::All } else { Comments::WithoutValues };
    let tenant = state.registry.find(name.as_str());
    let (title, serving) = (tenant.as_ref().map(|tenant| tenant.title.clone()), tenant.is_some());
    blocking(state, name, move |files, library, name| {
        let bytes = bytes(&files.path(&name))?;
        let path = files.path(&name);
        let doc = Document::parse(path, &bytes);
        let (actions, faults) = match std::str::from_utf8(&bytes).map(|text| files.check(&name, text)) {
            Ok(Ok(validated)) => (validated.actions.into_keys().collect(), validated.faults),
            Ok(Err(faults)) => (Vec::new(), faults),
            Err(_) => (Vec::new(), doc.as_ref().err().cloned().unwrap_or_default()),
        };
        let doc = doc.ok();
        let mut outline = doc.as_ref().map(|doc| SettingsTree::of(doc, library)).unwrap_or_default();
        let faults = flaws(&faults, doc.as_ref());
        // What is no appid may be the secret, which slipped there.
        const APPID: &str = "/wechat/appid";
        let unfit = faults.iter().any(|flaw| flaw.pointer.as_deref() == Some(APPID));
        if let Some(appid) = outline.settings.pointer_mut(APPID).filter(|_| unfit) {
            *appid = MASK.into();
        }
        Ok(TenantDetails {
            name: name.as_str().to_owned(),
            title,
            serving,
            faults,
            actions,
            toml: doc.as_ref().map(|doc| masked(doc, library, comments)),
            outline,
            revision: Revision::of(&bytes).to_string(),
        })
    })
    .await
}

/// Makes a tenant of a draft, or puts it in the place of its file.
///
/// # Errors
/// `forbidden`, `setting_reserved`, `tenant_exists`, `unknown_tenant`, `changed_meanwhile`, `tenant_faulty`, `not_saved`.
pub async fn save(
    state: &AdminState,
    caller: &Caller,
    name: &TenantName,
    draft: TenantDraft,
    condition: Precondition,
) -> Result<SavedTenant> {
    let creating = condition == Precondition::NotExists;
    caller.require(if creating { Permission::Operate } else { Permission::Write }, name.as_str())?;
    let own = caller.require(Permission::Operate, name.as_str()).is_err();
    let (wanted, keyring, reach) = (condition.clone(), state.keyring.clone(), state.allowed_upstream_hosts.clone());
    let (text, found, before, after) = blocking(state, name, move |files, library, name| {
        let bytes = menlou_tenant::bytes(&files.path(&name))
            .map_err(|text| refused(Refused::SaveError(text)))?
            .map(Zeroizing::new);
        let found = bytes.as_ref().map(|bytes| Revision::of(bytes));
        match (&wanted, &found) {
            (Precondition::NotExists, Some(_)) => return Err(refused(Refused::Exists)),
            (Precondition::Matches(_) | Precondition::Any, None) => return Err(refused(Refused::Absent)),
            (Precondition::Matches(seen), Some(found)) if seen != found => return Err(refused(Refused::Changed)),
            _ => {}
        }
        let bytes = bytes.unwrap_or_default();
        let before = found.is_some().then(|| Document::parse(files.path(&name), &bytes));
        let text = match (draft, &before) {
            (TenantDraft::File(text), _) => text,
            (_, Some(Err(faults))) => return Err(faulty(flaws(faults, None))),
            (_, None) => return Err(refused(Refused::Absent)),
            (draft, Some(Ok(doc))) => {
                let senseless = |text| refused(Refused::Senseless(text));
                let changes = match draft {
                    TenantDraft::Changes(changes) => seal(doc, changes, &name, library, &keyring),
                    TenantDraft::SecretRotation(secret) => rotate(doc, &secret, &name, &keyring),
                    TenantDraft::File(_) => Ok(Vec::new()),
                };
                // What could be parsed is UTF-8.
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                edit::apply(text, &changes.map_err(senseless)?).map(Zeroizing::new).map_err(senseless)?
            }
        };
        let before = before.and_then(Result::ok);
        let (text, doc) = whole(files, &name, &text, before.as_ref())
            .map_err(|(faults, draft)| faulty(flaws(&faults, draft.as_ref())))?;
        let reserved = if own { reserved(&doc, before.as_ref(), library, &reach) } else { Vec::new() };
        if !reserved.is_empty() {
            return Err(Error::new(&admin_codes::SETTING_RESERVED).with_data(listed(flaws(&reserved, Some(&doc)))));
        }
        files.check(&name, &text).map_err(|faults| faulty(flaws(&faults, Some(&doc))))?;
        let shown = |doc: &Document| masked(doc, library, Comments::WithoutValues);
        Ok((text, found, before.as_ref().map(shown), shown(&doc)))
    })
    .await?;
    let what = if creating { "tenant.create" } else { "tenant.replace" };
    let intent = AuditedAction { what, tenant: name.as_str(), target: None, before, after: Some(after) };
    let saving = blocking(state, name, move |files, _, name| {
        // What was looked at above, or else somebody else was faster.
        let saved = match found {
            None => files.create(&name, &text),
            Some(found) => files.replace(&name, &text, Some(&found)),
        };
        let saved = saved.map_err(refused)?;
        let faults = flaws(&saved.faults, None);
        Ok(SavedTenant { revision: saved.revision.to_string(), faults, created: creating })
    });
    state.audited(caller, intent, saving).await
}

/// Takes a tenant's file away. What the stores hold of the tenant stays.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `changed_meanwhile`, `not_saved`.
pub async fn remove(state: &AdminState, caller: &Caller, name: &TenantName, condition: Precondition) -> Result<()> {
    caller.require(Permission::Operate, name.as_str())?;
    let (found, before) = blocking(state, name, move |files, library, name| {
        let bytes = bytes(&files.path(&name))?;
        let found = Revision::of(&bytes);
        match condition {
            Precondition::NotExists => return Err(refused(Refused::Exists)),
            Precondition::Matches(seen) if seen != found => return Err(refused(Refused::Changed)),
            _ => {}
        }
        let doc = Document::parse(files.path(&name), &bytes).ok();
        Ok((found, doc.map(|doc| masked(&doc, library, Comments::WithoutValues))))
    })
    .await?;
    let intent = AuditedAction { what: "tenant.remove", tenant: name.as_str(), before, ..AuditedAction::default() };
    let removing =
        blocking(state, name, move |files, _, name| files.remove(&name, Some(&found)).map(|_| ()).map_err(refused));
    state.audited(caller, intent, removing).await
}

/// Files are read and saved, and plugins asked, where that may take a while.
pub(super) async fn blocking<T: Send + 'static>(
    state: &AdminState,
    name: &TenantName,
    work: impl FnOnce(&Files<'_>, &menlou_action::PluginRegistry, TenantName) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (folder, library, keyring) = (state.tenants_folder.clone(), state.library.load_full(), state.keyring.clone());
    let (library, name): (Arc<menlou_action::PluginRegistry>, _) = (library, name.clone());
    let done = spawn_blocking(move || work(&Files::new(&folder, &library, &keyring), &library, name)).await;
    done.unwrap_or_else(|e| Err(Error::new(&codes::INTERNAL_ERROR).with_cause(e)))
}

fn bytes(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = menlou_tenant::bytes(path).map_err(|text| refused(Refused::SaveError(text)))?;
    bytes.map(Zeroizing::new).ok_or_else(|| refused(Refused::Absent))
}

pub(super) fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Exists => Error::new(&admin_codes::TENANT_EXISTS),
        Refused::Absent => Error::new(&codes::UNKNOWN_TENANT),
        Refused::Changed => Error::new(&admin_codes::CHANGED_MEANWHILE),
        Refused::Faulty(faults) => faulty(flaws(&faults, None)),
        Refused::Senseless(text) => Error::new(&codes::BAD_PARAMETER).with_message(text),
        // The path is of use to operators, and no secret to others.
        Refused::SaveError(text) => {
            let cause = text.get(Language::En).to_owned();
            Error::new(&admin_codes::NOT_SAVED).with_message(text).with_cause(cause)
        }
    }
}
