//! Tenants as admins see and change them: their files, checked and saved whole or not at all.

use super::{
    caller::{Caller, Right},
    desk::{Desk, Intent},
    time::Time,
};
use crate::{
    config::{
        edit::{self, Change},
        fault::Fault,
        load::{self, Document},
        masked::{Comments, MASK, unmask},
        tenant::TenantName,
    },
    error::{Error, Result, admin_words, words},
    tenant::{self, Files, Refused, Revision, masked, reserved, view},
    text::{Language, Text},
};
use schemars::JsonSchema;
use secrecy::zeroize::Zeroizing;
use serde::Serialize;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};
use tokio::task::spawn_blocking;

/// How far back the numbers of [`Summary`] reach, minutes.
const HOUR: u32 = 60;

/// How a tenant is doing.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Summary {
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
    pub verified_at: Option<Time>,
    /// Whether they did.
    pub verified: Option<bool>,
}

/// A tenant as it is.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Page {
    /// The name: its file's without `.toml`, and the `f` of its requests.
    pub name: String,
    /// The name for people; null where no version serves.
    pub title: Option<String>,
    /// Whether some version of it serves, which is not this one where there are faults.
    pub serving: bool,
    /// What is wrong with the file.
    pub faults: Vec<Flaw>,
    /// The names of its actions.
    pub actions: Vec<String>,
    /// The file, its secrets as "masked:"; null where it can't be read as TOML. A text that is saved keeps what it has as
    /// "masked:".
    pub toml: Option<String>,
    /// Its settings with the defaults filled in, secrets as "masked:"; null where the file can't be read as TOML.
    pub settings: Value,
    /// Where in the settings a default stands: RFC 6901 pointers.
    pub defaults: BTreeSet<String>,
    /// Where in the settings a secret stands.
    pub secrets: BTreeSet<String>,
    /// The file's version, as in ETag.
    pub revision: String,
}

/// Something that is wrong with a tenant's file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Flaw {
    /// From 1; null where it is about the file as a whole.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    /// What is wrong, in Chinese.
    pub zh: String,
    /// What is wrong, in English.
    pub en: String,
}

/// What a draft came to.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// What would keep it from being saved.
    pub faults: Vec<Flaw>,
    /// What is wrong, and yet lets the rest serve.
    pub lesser: Vec<Flaw>,
}

/// A tenant that was saved.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Saved {
    /// The file's new version, as in ETag.
    pub revision: String,
    /// What is wrong, and yet lets the rest serve.
    pub faults: Vec<Flaw>,
    /// Whether it is a new tenant.
    #[serde(skip)]
    pub created: bool,
}

/// What a tenant's file is to be.
pub enum Draft {
    /// This text.
    Whole(Zeroizing<String>),
    /// The file with these changes; comments and layout stay.
    Changes(Vec<Change>),
}

/// On what a change is based.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no such tenant yet.
    Absent,
    /// The file is of this version.
    Is(Revision),
    /// Whatever version it is of.
    Any,
}

/// The tenants behind this name that the caller may see, `most` at most.
///
/// # Errors
/// None that the caller could mend.
pub async fn list(desk: &Desk, caller: &Caller, after: &str, most: usize) -> Result<Vec<Summary>> {
    if let super::Role::Tenant(own) = &caller.role {
        let standing = desk.roster.standing_of(own.as_str()).filter(|_| own.as_str() > after);
        return Ok(standing.map(|standing| summary(desk, own.as_str(), &standing)).into_iter().collect());
    }
    caller.may_everywhere(Right::See)?;
    let standing = desk.roster.standing_after(after, most);
    Ok(standing.iter().map(|(name, standing)| summary(desk, name, standing)).collect())
}

fn summary(desk: &Desk, name: &str, standing: &crate::tenant::Standing) -> Summary {
    let tenant = desk.roster.find(name);
    let minutes = tenant.iter().flat_map(|tenant| tenant.activity.usage(HOUR)).flat_map(|(_, minutes)| minutes);
    let (calls, failures) = minutes.fold((0, 0), |(c, f), m| (c + u64::from(m.calls), f + u64::from(m.failures)));
    let verified = tenant.as_ref().and_then(|tenant| tenant.activity.last_verified());
    Summary {
        name: name.to_owned(),
        title: tenant.map(|tenant| tenant.title.clone()),
        serving: standing.serving,
        faults: standing.faults.len(),
        calls,
        failures,
        verified_at: verified.map(|verified| Time(i64::try_from(verified.at).unwrap_or(i64::MAX))),
        verified: verified.map(|verified| verified.good),
    }
}

/// One tenant as its file is now.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `not_saved` where the file can't be read.
pub async fn read(desk: &Desk, caller: &Caller, name: &TenantName) -> Result<Page> {
    caller.may(Right::See, name.as_str())?;
    // What was a setting once may be a secret still.
    let comments =
        if caller.may(Right::Change, name.as_str()).is_ok() { Comments::Whole } else { Comments::WithoutValues };
    let tenant = desk.roster.find(name.as_str());
    let (title, serving) = (tenant.as_ref().map(|tenant| tenant.title.clone()), tenant.is_some());
    blocking(desk, name, move |files, library, name| {
        let bytes = bytes(&files.path(&name))?;
        let path = files.path(&name);
        let doc = Document::parse(path, &bytes);
        let (actions, faults) = match std::str::from_utf8(&bytes).map(|text| files.check(&name, text)) {
            Ok(Ok(blueprint)) => (blueprint.actions.into_keys().collect(), blueprint.faults),
            Ok(Err(faults)) => (Vec::new(), faults),
            Err(_) => (Vec::new(), doc.as_ref().err().cloned().unwrap_or_default()),
        };
        let mut view = doc.as_ref().ok().map(|doc| view(doc, library));
        Ok(Page {
            name: name.as_str().to_owned(),
            title,
            serving,
            faults: faults.iter().map(Flaw::from).collect(),
            actions,
            toml: doc.as_ref().ok().map(|doc| masked(doc, library, comments)),
            settings: view.as_mut().map(|view| told(view.settings.take())).unwrap_or_default(),
            defaults: view.as_ref().map(|view| view.defaults.clone()).unwrap_or_default(),
            secrets: view.map(|view| view.secrets).unwrap_or_default(),
            revision: Revision::of(&bytes).to_string(),
        })
    })
    .await
}

/// The settings with one mark for what is masked, which a change may bring back.
fn told(settings: Value) -> Value {
    match settings {
        Value::String(text) if text.contains(tenant::MASK) => MASK.into(),
        Value::Array(items) => items.into_iter().map(told).collect(),
        Value::Object(table) => table.into_iter().map(|(key, value)| (key, told(value))).collect(),
        other => other,
    }
}

/// Says what is wrong with a text as the file of this tenant, which need not exist; nothing is saved.
///
/// # Errors
/// `forbidden`.
pub async fn check(desk: &Desk, caller: &Caller, name: &TenantName, text: Zeroizing<String>) -> Result<Verdict> {
    caller.may(Right::Change, name.as_str())?;
    let own = caller.may(Right::Operate, name.as_str()).is_err();
    blocking(desk, name, move |files, library, name| {
        let before = load::bytes(&files.path(&name)).ok().flatten().map(Zeroizing::new);
        let before = before.and_then(|bytes| Document::parse(files.path(&name), &bytes).ok());
        let told = |faults: Vec<Fault>| faults.iter().map(Flaw::from).collect();
        let outcome = whole(files, &name, &text, before.as_ref()).and_then(|(text, doc)| {
            let reserved = if own { reserved(&doc, before.as_ref(), library) } else { Vec::new() };
            if reserved.is_empty() { files.check(&name, &text) } else { Err(reserved) }
        });
        Ok(match outcome {
            Ok(blueprint) => Verdict { faults: Vec::new(), lesser: told(blueprint.faults) },
            Err(faults) => Verdict { faults: told(faults), lesser: Vec::new() },
        })
    })
    .await
}

/// Makes a tenant of a draft, or puts it in the place of its file.
///
/// # Errors
/// `forbidden`, `setting_reserved`, `tenant_exists`, `unknown_tenant`, `changed_meanwhile`, `tenant_faulty`, `not_saved`.
pub async fn save(
    desk: &Desk,
    caller: &Caller,
    name: &TenantName,
    draft: Draft,
    condition: Condition,
) -> Result<Saved> {
    let creating = condition == Condition::Absent;
    caller.may(if creating { Right::Operate } else { Right::Change }, name.as_str())?;
    let own = caller.may(Right::Operate, name.as_str()).is_err();
    let wanted = condition.clone();
    let (text, found, before, after) = blocking(desk, name, move |files, library, name| {
        let bytes =
            load::bytes(&files.path(&name)).map_err(|text| refused(Refused::Unsaved(text)))?.map(Zeroizing::new);
        let found = bytes.as_ref().map(|bytes| Revision::of(bytes));
        match (&wanted, &found) {
            (Condition::Absent, Some(_)) => return Err(refused(Refused::Exists)),
            (Condition::Is(_) | Condition::Any, None) => return Err(refused(Refused::Absent)),
            (Condition::Is(seen), Some(found)) if seen != found => return Err(refused(Refused::Changed)),
            _ => {}
        }
        let bytes = bytes.unwrap_or_default();
        let before = found.is_some().then(|| Document::parse(files.path(&name), &bytes));
        let text = match (draft, &before) {
            (Draft::Whole(text), _) => text,
            (Draft::Changes(_), Some(Err(faults))) => return Err(faulty(faults.clone())),
            (Draft::Changes(_), None) => return Err(refused(Refused::Absent)),
            // What could be parsed is UTF-8.
            (Draft::Changes(changes), Some(Ok(_))) => {
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                edit::apply(text, &changes).map(Zeroizing::new).map_err(|text| refused(Refused::Senseless(text)))?
            }
        };
        let before = before.and_then(Result::ok);
        let (text, doc) = whole(files, &name, &text, before.as_ref()).map_err(faulty)?;
        let reserved = if own { reserved(&doc, before.as_ref(), library) } else { Vec::new() };
        if !reserved.is_empty() {
            return Err(Error::new(&admin_words::SETTING_RESERVED).with_data(listed(&reserved)));
        }
        files.check(&name, &text).map_err(faulty)?;
        let shown = |doc: &Document| masked(doc, library, Comments::WithoutValues);
        Ok((text, found, before.as_ref().map(shown), shown(&doc)))
    })
    .await?;
    let what = if creating { "tenant.create" } else { "tenant.replace" };
    let intent = Intent { what, tenant: name.as_str(), target: None, before, after: Some(after) };
    let saving = blocking(desk, name, move |files, _, name| {
        // What was looked at above, or else somebody else was faster.
        let saved = match found {
            None => files.create(&name, &text),
            Some(found) => files.replace(&name, &text, Some(&found)),
        };
        let saved = saved.map_err(refused)?;
        let faults = saved.faults.iter().map(Flaw::from).collect();
        Ok(Saved { revision: saved.revision.to_string(), faults, created: creating })
    });
    desk.recorded(caller, intent, saving).await
}

/// Takes a tenant's file away. What the stores hold of the tenant stays.
///
/// # Errors
/// `forbidden`, `unknown_tenant`, `changed_meanwhile`, `not_saved`.
pub async fn remove(desk: &Desk, caller: &Caller, name: &TenantName, condition: Condition) -> Result<()> {
    caller.may(Right::Operate, name.as_str())?;
    let (found, before) = blocking(desk, name, move |files, library, name| {
        let bytes = bytes(&files.path(&name))?;
        let found = Revision::of(&bytes);
        match condition {
            Condition::Absent => return Err(refused(Refused::Exists)),
            Condition::Is(seen) if seen != found => return Err(refused(Refused::Changed)),
            _ => {}
        }
        let doc = Document::parse(files.path(&name), &bytes).ok();
        Ok((found, doc.map(|doc| masked(&doc, library, Comments::WithoutValues))))
    })
    .await?;
    let intent = Intent { what: "tenant.remove", tenant: name.as_str(), before, ..Intent::default() };
    let removing =
        blocking(desk, name, move |files, _, name| files.remove(&name, Some(&found)).map(|_| ()).map_err(refused));
    desk.recorded(caller, intent, removing).await
}

/// The draft with everything in it that came as "masked:", and the same parsed.
fn whole(
    files: &Files<'_>,
    name: &TenantName,
    draft: &str,
    before: Option<&Document>,
) -> Result<(Zeroizing<String>, Document), Vec<Fault>> {
    let parse = |text: &str| Document::parse(files.path(name), text.as_bytes());
    let mark = if draft.starts_with('\u{feff}') { "\u{feff}" } else { "" };
    let text = Zeroizing::new(format!("{mark}{}", unmask(&parse(draft)?, before)?.as_str()));
    let doc = parse(&text)?;
    Ok((text, doc))
}

/// Files are read and saved, and plugins asked, where that may take a while.
pub(super) async fn blocking<T: Send + 'static>(
    desk: &Desk,
    name: &TenantName,
    work: impl FnOnce(&Files<'_>, &crate::action::Library, TenantName) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (folder, library, keyring) = (desk.tenants.clone(), desk.library.load_full(), desk.keyring.clone());
    let (library, name): (Arc<crate::action::Library>, _) = (library, name.clone());
    let done = spawn_blocking(move || work(&Files::new(&folder, &library, &keyring), &library, name)).await;
    done.unwrap_or_else(|e| Err(Error::new(&words::INTERNAL_ERROR).because(e)))
}

fn bytes(path: &std::path::Path) -> Result<Zeroizing<Vec<u8>>> {
    let bytes = load::bytes(path).map_err(|text| refused(Refused::Unsaved(text)))?;
    bytes.map(Zeroizing::new).ok_or_else(|| refused(Refused::Absent))
}

pub(super) fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Exists => Error::new(&admin_words::TENANT_EXISTS),
        Refused::Absent => Error::new(&words::UNKNOWN_TENANT),
        Refused::Changed => Error::new(&admin_words::CHANGED_MEANWHILE),
        Refused::Faulty(faults) => faulty(faults),
        Refused::Senseless(text) => Error::new(&words::BAD_PARAMETER).saying(text),
        // The path is of use to operators, and no secret to others.
        Refused::Unsaved(text) => {
            let cause = text.get(Language::En).to_owned();
            Error::new(&admin_words::NOT_SAVED).saying(text).because(cause)
        }
    }
}

pub(super) fn faulty(faults: Vec<Fault>) -> Error {
    Error::new(&admin_words::TENANT_FAULTY).with_data(listed(&faults))
}

fn listed(faults: &[Fault]) -> serde_json::Value {
    serde_json::json!({ "faults": faults.iter().map(Flaw::from).collect::<Vec<_>>() })
}

impl From<&Fault> for Flaw {
    fn from(fault: &Fault) -> Self {
        let Text { zh, en } = &fault.text;
        let (line, column) = fault.position().unzip();
        Self { line, column, zh: zh.clone().into_owned(), en: en.clone().into_owned() }
    }
}
