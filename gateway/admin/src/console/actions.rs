//! The pages of a tenant's actions: enable, disable, and change settings in forms generated from the plugins' schemas.

use super::{
    config_form::ConfigForm,
    console_request::ConsoleRequest,
    field_kind::FieldKind,
    layout::Layout,
    paths::{BASE, escape as escape_url},
    response::ConsoleResponse,
    save_errors::is_shown_on_form,
};
use crate::{
    caller::Permission,
    config_errors::{ConfigErrorBody, from_error_data},
    plugins::{self, ActionInfo},
    settings_tree::SettingsTree,
    state::AdminState,
    tenants::{self, Precondition, TenantDetails, TenantDraft},
};
use askama::Template;
use menlou_config::{
    edit::ConfigChange,
    schema::escape,
    tenant::{TenantName, is_name},
};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_tenant::Revision;
use serde_json::{Value, json};

/// The action name in the fields of a form for a new action, whose name is not known yet.
const NEW_ACTION: &str = "new";

#[derive(Template)]
#[template(path = "actions.html")]
struct ActionsPage {
    layout: Layout,
    enabled: Vec<EnabledAction>,
    available: Vec<AvailableAction>,
    revision: String,
    /// Whether the file is valid TOML, so that actions can be enabled.
    is_parsed: bool,
}

/// An action in the tenant file.
struct EnabledAction {
    name: String,
    title: String,
    plugin_action: String,
    errors: Vec<String>,
    /// Whether the action is switched off, with its settings kept.
    is_disabled: bool,
}

/// An action that a plugin offers.
struct AvailableAction {
    plugin_action: String,
    title: String,
    description: String,
    /// Whether the tenant has enabled it already. It can be enabled again under another name.
    is_enabled: bool,
}

#[derive(Template)]
#[template(path = "action.html")]
struct ActionPage {
    layout: Layout,
    name: String,
    plugin_action: String,
    title: String,
    description: String,
    form: ConfigForm,
    /// Errors that belong to no field.
    other_errors: Vec<ConfigErrorBody>,
    revision: String,
    /// Why the settings were not saved.
    failure: Option<String>,
    /// Whether the form enables a new action.
    is_new: bool,
}

/// `GET /console/tenants/{tenant}/actions`
pub async fn list(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    let offered = plugins::list(request.state(), request.caller()?)?;
    let (console, layout) = (request.console, request.layout);
    let tables = tenant.settings_tree.settings.get("actions").and_then(Value::as_object);
    let enabled = tables.into_iter().flatten().map(|(action, table)| {
        let plugin_action = table.get("plugin").and_then(Value::as_str);
        let pointer = format!("/actions/{}", escape(action));
        let is_here = |error: &&ConfigErrorBody| {
            error.pointer.as_ref().is_some_and(|at| *at == pointer || at.starts_with(&format!("{pointer}/")))
        };
        EnabledAction {
            title: find_action(&console.admin, action, plugin_action)
                .map(|action| layout.b(&action.title).to_owned())
                .unwrap_or_default(),
            errors: tenant.faults.iter().filter(is_here).map(|e| layout.config_error(e).to_owned()).collect(),
            plugin_action: plugin_action.unwrap_or(action).to_owned(),
            is_disabled: table.get("disabled") == Some(&Value::Bool(true)),
            name: action.clone(),
        }
    });
    let enabled: Vec<EnabledAction> = enabled.collect();
    let available = offered.plugins.iter().flat_map(|plugin| &plugin.actions).map(|action| AvailableAction {
        is_enabled: enabled.iter().any(|one| one.plugin_action == action.name),
        plugin_action: action.name.clone(),
        title: layout.b(&action.title).to_owned(),
        description: layout.b(&action.description).to_owned(),
    });
    let mut available: Vec<AvailableAction> = available.collect();
    available.sort_by_key(|action| action.is_enabled);
    let is_parsed = tenant.toml.is_some();
    ConsoleResponse::page(&ActionsPage { available, enabled, revision: tenant.revision, is_parsed, layout })
}

/// `GET /console/tenants/{tenant}/actions/{action}`
pub async fn show(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    let action = request.path_param("action").to_owned();
    page(request, &action, tenant, None, None)
}

/// `GET /console/tenants/{tenant}/switch-on?of=…`: the form that enables an action.
pub async fn show_new(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    request.caller()?.require(Permission::Write, name.as_str())?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    let plugin_action = request.query.get("of").to_owned();
    let action = if has_action(&tenant, &plugin_action) { String::new() } else { plugin_action.clone() };
    page(request, &action, tenant, Some(&plugin_action), None)
}

/// `POST /console/tenants/{tenant}/actions/{action}`
pub async fn save(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let action = request.path_param("action").to_owned();
    save_action(request, &name, &action, None).await
}

/// `POST /console/tenants/{tenant}/switch-on?of=…`
pub async fn enable(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let (action, plugin_action) = (request.form.get("action").trim().to_owned(), request.form.get("of").to_owned());
    save_action(request, &name, &action, Some(&plugin_action)).await
}

/// `POST /console/tenants/{tenant}/actions/{action}/off`: switches an action off and keeps its settings.
pub async fn disable(request: ConsoleRequest) -> Result<ConsoleResponse> {
    switch(request, "off", |path| ConfigChange::Set(path, true.into())).await
}

/// `POST /console/tenants/{tenant}/actions/{action}/on`: switches an action on again, with the settings that it had.
pub async fn enable_again(request: ConsoleRequest) -> Result<ConsoleResponse> {
    switch(request, "on", ConfigChange::Unset).await
}

/// Changes `disabled` of an action.
async fn switch(
    mut request: ConsoleRequest,
    done: &str,
    change: impl FnOnce(Vec<String>) -> ConfigChange,
) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let action = request.path_param("action");
    if !has_action(&tenants::read(state, caller, &name).await?, action) {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let path = ["actions", action, "disabled"].map(str::to_owned).to_vec();
    let draft = TenantDraft::Changes(vec![change(path)]);
    tenants::save(state, caller, &name, draft, precondition(&request)).await?;
    Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}/actions?done={done}")))
}

/// Saves the settings of an action. `new` is the plugin's name for an action that is being enabled.
async fn save_action(
    request: ConsoleRequest,
    name: &TenantName,
    action: &str,
    new: Option<&str>,
) -> Result<ConsoleResponse> {
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let tenant = tenants::read(state, caller, name).await?;
    let invalid_name = match (new, has_action(&tenant, action)) {
        (Some(_), _) if !is_name(action) => Some(Text::fixed(
            "动作名应为 1 至 64 个小写字母、数字、_ 或 -，且不以 _ 或 - 开头",
            "An action name has 1 to 64 lower-case letters, digits, _ or -, and does not start with _ or -.",
        )),
        (Some(_), true) => Some(Text::fixed("已有同名的动作", "The tenant already has an action with this name.")),
        _ => None,
    };
    if let Some(text) = invalid_name {
        let error = Error::new(&codes::BAD_PARAMETER).with_message(text);
        return Ok(page(request, action, tenant, new, Some(&error))?.with_error_status(&error));
    }
    let plugin_action = new.map(str::to_owned).or_else(|| plugin_action(&tenant, action));
    let info = find_action(state, action, plugin_action.as_deref());
    let schema = info.map(|action| action.settings).unwrap_or_default();
    let mut changes = Vec::new();
    if let Some(plugin_action) = new {
        let table = if plugin_action == action { json!({}) } else { json!({ "plugin": plugin_action }) };
        changes.push(ConfigChange::Set(vec!["actions".to_owned(), action.to_owned()], table));
    }
    let form_name = if new.is_some() { NEW_ACTION } else { action };
    let form = ConfigForm::new(&schema, &current_settings(&tenant, new), &["actions", form_name], &request.layout, &[]);
    changes.extend(form.changes(&request.form).into_iter().map(|change| with_action_name(change, action)));
    let draft = TenantDraft::Changes(changes);
    let saved = tenants::save(state, caller, name, draft, precondition(&request)).await;
    match saved {
        Ok(_) if new.is_some() => Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}/actions?done=on"))),
        Ok(_) => {
            let action = escape_url(action);
            Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}/actions/{action}?done=saved")))
        }
        Err(error) if is_shown_on_form(&error) => {
            Ok(page(request, action, tenant, new, Some(&error))?.with_error_status(&error))
        }
        Err(error) => Err(error),
    }
}

fn precondition(request: &ConsoleRequest) -> Precondition {
    Precondition::Matches(Revision::from_tag(request.form.get("revision")))
}

/// The page of an action. `new` is the plugin's name for an action that is being enabled.
fn page(
    request: ConsoleRequest,
    action: &str,
    tenant: TenantDetails,
    new: Option<&str>,
    error: Option<&Error>,
) -> Result<ConsoleResponse> {
    if new.is_none() && !has_action(&tenant, action) {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let plugin_action = new.map(str::to_owned).or_else(|| plugin_action(&tenant, action));
    let info = find_action(request.state(), action, plugin_action.as_deref());
    if new.is_some() && info.is_none() {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let layout = request.layout;
    let form_name = if new.is_some() { NEW_ACTION } else { action };
    let schema = info.as_ref().map(|action| action.settings.clone()).unwrap_or_default();
    let mut form = ConfigForm::new(&schema, &current_settings(&tenant, new), &["actions", form_name], &layout, &[]);
    form.refill(&request.form);
    let errors = match error {
        Some(error) => from_error_data(error),
        None => tenant.faults,
    };
    let pointer = format!("/actions/{}", escape(action));
    let is_here =
        |one: &ConfigErrorBody| error.is_some() || one.pointer.as_ref().is_some_and(|at| at.starts_with(&pointer));
    let errors: Vec<ConfigErrorBody> =
        errors.into_iter().filter(is_here).map(|error| moved(error, &pointer, form_name)).collect();
    let other_errors = form.assign_errors(&errors, &layout);
    let page = ActionPage {
        name: action.to_owned(),
        title: info.as_ref().map(|action| layout.b(&action.title).to_owned()).unwrap_or_default(),
        description: info.as_ref().map(|action| layout.b(&action.description).to_owned()).unwrap_or_default(),
        plugin_action: plugin_action.unwrap_or_else(|| action.to_owned()),
        form,
        other_errors,
        revision: tenant.revision,
        failure: error.map(|error| error.meaning().get(layout.language).to_owned()),
        is_new: new.is_some(),
        layout,
    };
    ConsoleResponse::page(&page)
}

fn has_action(tenant: &TenantDetails, action: &str) -> bool {
    tenant.settings_tree.settings.pointer(&format!("/actions/{}", escape(action))).is_some()
}

/// The settings that the form starts with; none for an action that is being enabled.
fn current_settings(tenant: &TenantDetails, new: Option<&str>) -> SettingsTree {
    let mut tree = tenant.settings_tree.clone();
    if new.is_some() {
        tree.settings = json!({});
    }
    tree
}

/// The plugin's name for an action, if the tenant file gives it.
fn plugin_action(tenant: &TenantDetails, action: &str) -> Option<String> {
    let pointer = format!("/actions/{}/plugin", escape(action));
    tenant.settings_tree.settings.pointer(&pointer).and_then(Value::as_str).map(str::to_owned)
}

fn find_action(state: &AdminState, action: &str, plugin_action: Option<&str>) -> Option<ActionInfo> {
    let library = state.library.load();
    library.find(action, plugin_action).map(|(plugin, index)| ActionInfo::from(&plugin.actions[index]))
}

/// Puts the action's name into the path of a change from a form, in place of [`NEW_ACTION`].
fn with_action_name(change: ConfigChange, action: &str) -> ConfigChange {
    let rename = |mut path: Vec<String>| {
        path[1] = action.to_owned();
        path
    };
    match change {
        ConfigChange::Set(path, value) => ConfigChange::Set(rename(path), value),
        ConfigChange::Unset(path) => ConfigChange::Unset(rename(path)),
    }
}

/// The same error with its pointer as the form names the action.
fn moved(mut error: ConfigErrorBody, from: &str, form_name: &str) -> ConfigErrorBody {
    if let Some(rest) = error.pointer.as_ref().and_then(|at| at.strip_prefix(from)) {
        error.pointer = Some(format!("/actions/{form_name}{rest}"));
    }
    error
}
