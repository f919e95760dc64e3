//! A tenant's settings: as a form and as the file's text side by side, what is wrong shown at its place.

use super::{
    BASE,
    console_request::ConsoleRequest,
    fields::{Form, Kind},
    layout::Layout,
    response::ConsoleResponse,
};
use crate::Permission;
use crate::tenants::{self, Precondition, TenantDraft};
use crate::validation::{self, ConfigErrorBody, SettingsTree, Verdict};
use askama::Template;
use menlou_config::{
    edit::{self, ConfigChange},
    secret::SecretRef,
    tenant::{self, TenantName},
};
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_tenant::Revision;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

/// What the form leaves to the text and to other pages.
const LEFT: [&str; 3] = ["/actions", "/wechat/secret", "/wechat/previous_secret"];

#[derive(Template)]
#[template(path = "settings.html")]
struct Page {
    layout: Layout,
    form: Form,
    editor: Editor,
    revision: String,
    /// Why nothing was saved.
    why: Option<String>,
    /// What stands in the file now, where somebody else was faster.
    theirs: Option<String>,
    /// Where the AppSecret comes from, and the one before it.
    secret: Origin,
    previous: Origin,
}

/// What comes of typing: parts of the page.
#[derive(Template)]
#[template(path = "check.html")]
struct Checked {
    layout: Layout,
    form: Form,
    editor: Editor,
    /// Whether the form was filled in, so that the text follows; else the other way.
    from_form: bool,
    /// Whether the text can be read, so that the form can follow it.
    readable: bool,
}

/// The text with what is wrong in each line.
pub struct Editor {
    pub text: String,
    pub lines: Vec<Line>,
    /// What is wrong, in the order of the text.
    pub flaws: Vec<ConfigErrorBody>,
    /// What is wrong and yet lets the rest serve.
    pub lesser: Vec<ConfigErrorBody>,
    /// Whether it was looked at for faults, and none was found.
    pub good: bool,
}

/// A line of the text.
pub struct Line {
    pub text: String,
    pub flaws: Vec<String>,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    /// There is none.
    None,
    /// From the file itself.
    Here,
    /// From elsewhere.
    Elsewhere(String),
}

/// `GET /console/tenants/{tenant}/settings`
pub async fn show(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    page(request.layout, tenant, None)
}

/// `POST /console/tenants/{tenant}/check`: as somebody types; without scripts, a whole page.
pub async fn check(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let mut text = request.form.lines("toml");
    let from_form = request.query.get("from") == "form";
    if from_form || !request.layout.part {
        let outline = match request.layout.part {
            // Form and text go together: what differs was typed just now.
            true => validation::look(state, caller, &name, text.clone()).await?.1,
            false => tenants::read(state, caller, &name).await?.outline,
        };
        if let Ok(changed) = filled_in(&request, &outline, &text) {
            text = changed;
        }
    }
    let (verdict, outline) = validation::look(state, caller, &name, text.clone()).await?;
    if !request.layout.part {
        let tenant = tenants::read(state, caller, &name).await?;
        return page(request.layout, tenant, Some(Drafted { text, verdict, outline, why: None, theirs: false }));
    }
    let (mut form, readable) = (form(&outline, &request.layout), !outline.settings.is_null());
    form.place(&verdict.faults, &request.layout);
    let editor = Editor::of(&text, verdict, &request.layout);
    ConsoleResponse::page(&Checked { form, editor, from_form, readable, layout: request.layout })
}

/// `POST /console/tenants/{tenant}/settings`
pub async fn save(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let now = tenants::read(state, caller, &name).await?;
    let text = match filled_in(&request, &now.outline, &request.form.lines("toml")) {
        Ok(text) => text,
        // What is no TOML is told with its place.
        Err(_) => request.form.lines("toml"),
    };
    let seen = Precondition::Matches(Revision::told(request.form.get("revision")));
    let Err(error) = tenants::save(state, caller, &name, TenantDraft::File(text.clone()), seen).await else {
        return Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}/settings?done=saved")));
    };
    if !is_theirs_to_mend(&error) {
        return Err(error);
    }
    let (mut verdict, outline) = validation::look(state, caller, &name, text.clone()).await?;
    let told = flaws(&error);
    if !told.is_empty() {
        verdict.faults = told;
    }
    let theirs = error.is(&admin_codes::CHANGED_MEANWHILE);
    let why = Some(error.text().get(request.layout.language).to_owned());
    Ok(page(request.layout, now, Some(Drafted { text, verdict, outline, why, theirs }))?.failed(&error))
}

/// `POST /console/tenants/{tenant}/secret`
pub async fn change_secret(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let path = |key: &str| ["wechat".to_owned(), key.to_owned()].to_vec();
    let secret = request.form.get("secret").trim();
    let draft = if request.form.get("drop") == "previous" {
        TenantDraft::Changes(vec![ConfigChange::Unset(path("previous_secret"))])
    } else if request.form.get("keep") == "previous" {
        TenantDraft::SecretRotation(Zeroizing::new(secret.to_owned()))
    } else {
        TenantDraft::Changes(vec![ConfigChange::Set(path("secret"), secret.into())])
    };
    let seen = Precondition::Matches(Revision::told(request.form.get("revision")));
    let Err(error) = tenants::save(state, caller, &name, draft, seen).await else {
        return Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}/settings?done=secret")));
    };
    if !is_theirs_to_mend(&error) {
        return Err(error);
    }
    let tenant = tenants::read(state, caller, &name).await?;
    let verdict = Verdict { faults: flaws(&error), lesser: Vec::new() };
    let why = Some(error.text().get(request.layout.language).to_owned());
    let (text, outline) = (Zeroizing::new(tenant.toml.clone().unwrap_or_default()), copy(&tenant.outline));
    Ok(page(request.layout, tenant, Some(Drafted { text, verdict, outline, why, theirs: false }))?.failed(&error))
}

/// What somebody would have the file be.
struct Drafted {
    text: Zeroizing<String>,
    verdict: Verdict,
    outline: SettingsTree,
    why: Option<String>,
    theirs: bool,
}

fn page(layout: Layout, tenant: tenants::TenantDetails, drafted: Option<Drafted>) -> Result<ConsoleResponse> {
    let (secret, previous) = (Origin::of(&tenant.outline, "secret"), Origin::of(&tenant.outline, "previous_secret"));
    let toml = tenant.toml.clone().unwrap_or_default();
    let now = || {
        let verdict = Verdict { faults: tenant.faults.clone(), lesser: Vec::new() };
        let text = Zeroizing::new(toml.clone());
        Drafted { text, verdict, outline: copy(&tenant.outline), why: None, theirs: false }
    };
    let Drafted { text, mut verdict, outline, why, theirs } = drafted.unwrap_or_else(now);
    // What can't be read as TOML has no fields: those of the file as it is stand in their place.
    let outline = if outline.settings.is_null() { copy(&tenant.outline) } else { outline };
    let mut form = form(&outline, &layout);
    form.place(&verdict.faults, &layout);
    verdict.faults.sort_by_key(|flaw| flaw.line);
    let editor = Editor::of(&text, verdict, &layout);
    let theirs = theirs.then_some(toml);
    ConsoleResponse::page(&Page { layout, form, editor, revision: tenant.revision, why, theirs, secret, previous })
}

fn form(outline: &SettingsTree, layout: &Layout) -> Form {
    Form::of(&tenant::schema(), outline, &[], layout, &LEFT)
}

/// The text with what the form says otherwise than this outline.
fn filled_in(request: &ConsoleRequest, outline: &SettingsTree, text: &str) -> Result<Zeroizing<String>> {
    let changes = form(outline, &request.layout).changes(&request.form);
    let applied = edit::apply(text, &changes).map(Zeroizing::new);
    applied.map_err(|text| Error::new(&codes::BAD_PARAMETER).with_message(text))
}

/// Whether the page shows it, with what was typed still there.
pub fn is_theirs_to_mend(error: &Error) -> bool {
    let words = [
        &admin_codes::TENANT_FAULTY,
        &admin_codes::SETTING_RESERVED,
        &admin_codes::CHANGED_MEANWHILE,
        &admin_codes::TENANT_EXISTS,
        &admin_codes::NOT_SAVED,
        &codes::BAD_PARAMETER,
    ];
    words.into_iter().any(|word| error.is(word))
}

/// The faults that an error tells.
pub fn flaws(error: &Error) -> Vec<ConfigErrorBody> {
    let listed = error.data().and_then(|data| data.get("faults")).cloned();
    listed.and_then(|faults| serde_json::from_value(faults).ok()).unwrap_or_default()
}

/// An outline's copy.
pub fn copy(outline: &SettingsTree) -> SettingsTree {
    let SettingsTree { settings, defaults, secrets } = outline;
    SettingsTree { settings: settings.clone(), defaults: defaults.clone(), secrets: secrets.clone() }
}

/// The name of a tenant in a form.
pub fn name_of(written: &str) -> Result<TenantName> {
    TenantName::parse(written).map_err(|text| Error::new(&codes::BAD_PARAMETER).with_message(text))
}

impl Editor {
    /// The text with what is wrong in it.
    pub fn of(text: &str, verdict: Verdict, layout: &Layout) -> Self {
        let Verdict { faults, lesser } = verdict;
        let of = |line: usize| {
            let here = faults.iter().chain(&lesser).filter(move |flaw| flaw.line == Some(line));
            here.map(|flaw| flaw.text(layout.language).to_owned()).collect()
        };
        let lines = text.trim_start_matches('\u{feff}').split('\n').enumerate();
        let lines = lines.map(|(at, text)| Line { text: text.to_owned(), flaws: of(at + 1) }).collect();
        Self { text: text.to_owned(), lines, good: faults.is_empty(), flaws: faults, lesser }
    }
}

impl Origin {
    fn of(outline: &SettingsTree, key: &str) -> Self {
        match outline.settings.pointer(&format!("/wechat/{key}")).and_then(Value::as_str) {
            None => Self::None,
            Some(written) => match SecretRef::parse(written) {
                Ok(reference) if reference.is_elsewhere() => Self::Elsewhere(written.to_owned()),
                _ => Self::Here,
            },
        }
    }
}
