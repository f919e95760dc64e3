//! The settings page of a tenant: a form and the file's text side by side, with errors at their fields and lines.

use super::{
    config_form::ConfigForm, console_request::ConsoleRequest, field_kind::FieldKind, layout::Layout, paths::BASE,
    response::ConsoleResponse, save_errors::is_shown_on_form,
};
use crate::{
    caller::Permission,
    config_errors::{ConfigErrorBody, from_error_data},
    settings_tree::SettingsTree,
    tenants::{self, Precondition, TenantDraft},
    validation::{self, ValidationReport},
};
use askama::Template;
use menlou_config::{
    edit::{self, ConfigChange},
    secret::SecretRef,
    tenant,
};
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_tenant::Revision;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

/// Settings that have no field in the form: they are edited in the text or on other pages.
const NOT_IN_FORM: [&str; 3] = ["/actions", "/wechat/secret", "/wechat/previous_secret"];

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    layout: Layout,
    form: ConfigForm,
    editor: Editor,
    revision: String,
    /// Why the file was not saved.
    failure: Option<String>,
    /// The current file, if another admin saved it in the meantime.
    current_file: Option<String>,
    /// The source of the AppSecret.
    secret: SecretSource,
    /// The source of the previous AppSecret.
    previous: SecretSource,
}

/// The result of a check while typing: parts of the page that htmx replaces.
#[derive(Template)]
#[template(path = "check.html")]
struct CheckFragment {
    layout: Layout,
    form: ConfigForm,
    editor: Editor,
    /// Whether the form was changed, so that the text is updated; otherwise the form is updated.
    from_form: bool,
    /// Whether the text is valid TOML, so that the form can be updated.
    is_parsed: bool,
}

/// The text of the file with the errors of each line.
struct Editor {
    text: String,
    lines: Vec<EditorLine>,
    /// Errors that prevent saving, by line.
    errors: Vec<ConfigErrorBody>,
    /// Errors that disable only the part of the tenant that they concern.
    lesser_errors: Vec<ConfigErrorBody>,
    is_valid: bool,
}

/// A line of the text.
struct EditorLine {
    text: String,
    errors: Vec<String>,
}

/// Where a secret comes from.
#[derive(Clone, PartialEq, Eq)]
enum SecretSource {
    /// There is no secret.
    None,
    /// The tenant file contains the secret.
    File,
    /// The tenant file contains a reference to the secret.
    Reference(String),
}

/// `GET /console/tenants/{tenant}/settings`
pub async fn show(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    page(request.layout, tenant, None)
}

/// `POST /console/tenants/{tenant}/check`: validates while typing. Without JavaScript it returns the complete page.
pub async fn check(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let mut text = request.form.lines("toml");
    let from_form = request.query.get("from") == "form";
    if from_form || !request.layout.is_fragment {
        let tree = match request.layout.is_fragment {
            // Form and text are in sync. What differs has just been typed into the form.
            true => validation::check_and_parse(state, caller, &name, text.clone()).await?.1,
            false => tenants::read(state, caller, &name).await?.settings_tree,
        };
        if let Ok(changed) = apply_form(&request, &tree, &text) {
            text = changed;
        }
    }
    let (report, tree) = validation::check_and_parse(state, caller, &name, text.clone()).await?;
    if !request.layout.is_fragment {
        let tenant = tenants::read(state, caller, &name).await?;
        let draft = Draft { text, report, tree, failure: None, is_conflict: false };
        return page(request.layout, tenant, Some(draft));
    }
    let (mut form, is_parsed) = (form(&tree, &request.layout), !tree.settings.is_null());
    form.assign_errors(&report.faults, &request.layout);
    let editor = Editor::new(&text, report, &request.layout);
    ConsoleResponse::page(&CheckFragment { form, editor, from_form, is_parsed, layout: request.layout })
}

/// `POST /console/tenants/{tenant}/settings`
pub async fn save(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("settings")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let current = tenants::read(state, caller, &name).await?;
    let text = match apply_form(&request, &current.settings_tree, &request.form.lines("toml")) {
        Ok(text) => text,
        // Saving reports the syntax error with its position.
        Err(_) => request.form.lines("toml"),
    };
    let precondition = Precondition::Matches(Revision::from_tag(request.form.get("revision")));
    let Err(error) = tenants::save(state, caller, &name, TenantDraft::File(text.clone()), precondition).await else {
        return Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}/settings?done=saved")));
    };
    if !is_shown_on_form(&error) {
        return Err(error);
    }
    let (mut report, tree) = validation::check_and_parse(state, caller, &name, text.clone()).await?;
    let errors = from_error_data(&error);
    if !errors.is_empty() {
        report.faults = errors;
    }
    let is_conflict = error.is(&admin_codes::CHANGED_MEANWHILE);
    let failure = Some(error.meaning().get(request.layout.language).to_owned());
    let draft = Draft { text, report, tree, failure, is_conflict };
    Ok(page(request.layout, current, Some(draft))?.with_error_status(&error))
}

/// `POST /console/tenants/{tenant}/secret`: changes the AppSecret or removes the previous one.
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
    let precondition = Precondition::Matches(Revision::from_tag(request.form.get("revision")));
    let Err(error) = tenants::save(state, caller, &name, draft, precondition).await else {
        return Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}/settings?done=secret")));
    };
    if !is_shown_on_form(&error) {
        return Err(error);
    }
    let tenant = tenants::read(state, caller, &name).await?;
    let draft = Draft {
        text: Zeroizing::new(tenant.toml.clone().unwrap_or_default()),
        report: ValidationReport { faults: from_error_data(&error), lesser: Vec::new() },
        tree: tenant.settings_tree.clone(),
        failure: Some(error.meaning().get(request.layout.language).to_owned()),
        is_conflict: false,
    };
    Ok(page(request.layout, tenant, Some(draft))?.with_error_status(&error))
}

/// A text that was submitted and not saved.
struct Draft {
    text: Zeroizing<String>,
    report: ValidationReport,
    tree: SettingsTree,
    failure: Option<String>,
    /// Whether another admin saved the file in the meantime.
    is_conflict: bool,
}

fn page(layout: Layout, tenant: tenants::TenantDetails, draft: Option<Draft>) -> Result<ConsoleResponse> {
    let secret = SecretSource::new(&tenant.settings_tree, "secret");
    let previous = SecretSource::new(&tenant.settings_tree, "previous_secret");
    let toml = tenant.toml.clone().unwrap_or_default();
    let current = || Draft {
        text: Zeroizing::new(toml.clone()),
        report: ValidationReport { faults: tenant.faults.clone(), lesser: Vec::new() },
        tree: tenant.settings_tree.clone(),
        failure: None,
        is_conflict: false,
    };
    let Draft { text, mut report, tree, failure, is_conflict } = draft.unwrap_or_else(current);
    // If the draft is not valid TOML, the form shows the current file.
    let tree = if tree.settings.is_null() { tenant.settings_tree.clone() } else { tree };
    let mut form = form(&tree, &layout);
    form.assign_errors(&report.faults, &layout);
    report.faults.sort_by_key(|error| error.line);
    let editor = Editor::new(&text, report, &layout);
    let current_file = is_conflict.then_some(toml);
    let revision = tenant.revision;
    ConsoleResponse::page(&SettingsPage { layout, form, editor, revision, failure, current_file, secret, previous })
}

fn form(tree: &SettingsTree, layout: &Layout) -> ConfigForm {
    ConfigForm::new(&tenant::schema(), tree, &[], layout, &NOT_IN_FORM)
}

/// Applies the fields of the submitted form that differ from `tree` to the text.
fn apply_form(request: &ConsoleRequest, tree: &SettingsTree, text: &str) -> Result<Zeroizing<String>> {
    let changes = form(tree, &request.layout).changes(&request.form);
    let applied = edit::apply(text, &changes).map(Zeroizing::new);
    applied.map_err(|text| Error::new(&codes::BAD_PARAMETER).with_message(text))
}

impl Editor {
    fn new(text: &str, report: ValidationReport, layout: &Layout) -> Self {
        let ValidationReport { faults, lesser } = report;
        let errors_in = |line: usize| {
            let here = faults.iter().chain(&lesser).filter(move |error| error.line == Some(line));
            here.map(|error| error.text(layout.language).to_owned()).collect()
        };
        let lines = text.trim_start_matches('\u{feff}').split('\n').enumerate();
        let lines = lines.map(|(i, text)| EditorLine { text: text.to_owned(), errors: errors_in(i + 1) }).collect();
        Self { text: text.to_owned(), lines, is_valid: faults.is_empty(), errors: faults, lesser_errors: lesser }
    }
}

impl SecretSource {
    fn new(tree: &SettingsTree, key: &str) -> Self {
        match tree.settings.pointer(&format!("/wechat/{key}")).and_then(Value::as_str) {
            None => Self::None,
            Some(written) => match SecretRef::parse(written) {
                Ok(reference) if reference.is_elsewhere() => Self::Reference(written.to_owned()),
                _ => Self::File,
            },
        }
    }
}
