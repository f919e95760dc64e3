//! A tenant's actions: tenant_action on and off, and set by forms that are made from their plugins' schemas.

use super::{
    BASE,
    console_request::{ConsoleRequest, escaped},
    fields::{Form, Kind},
    layout::Layout,
    response::ConsoleResponse,
    settings::{copy, flaws, is_theirs_to_mend},
};
use crate::AdminState;
use crate::Permission;
use crate::plugins::{self, ActionInfo};
use crate::tenants::{self, Precondition, TenantDraft};
use crate::validation::{ConfigErrorBody, SettingsTree};
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

/// Under which name the fields of an action stand that has none yet.
const NEW: &str = "new";

#[derive(Template)]
#[template(path = "actions.html")]
struct List {
    layout: Layout,
    on: Vec<On>,
    /// What could be tenant_action on besides.
    off: Vec<Off>,
    revision: String,
    /// Whether the file can be read, so that anything can be tenant_action.
    readable: bool,
}

/// An action that is on.
struct On {
    name: String,
    title: String,
    plugin: String,
    flaws: Vec<String>,
}

/// An action that a plugin offers.
struct Off {
    plugin: String,
    title: String,
    about: String,
    /// Whether it is on already: it may be once more, under another name.
    again: bool,
}

#[derive(Template)]
#[template(path = "action.html")]
struct Page {
    layout: Layout,
    name: String,
    plugin: String,
    title: String,
    about: String,
    form: Form,
    /// What is wrong and belongs to no field.
    rest: Vec<ConfigErrorBody>,
    revision: String,
    why: Option<String>,
    /// Whether it is being tenant_action on.
    new: bool,
}

/// `GET /console/tenants/{tenant}/actions`
pub async fn list(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    let offered = plugins::list(request.state(), request.caller()?)?;
    let (console, layout) = (request.console, request.layout);
    let tables = tenant.outline.settings.get("actions").and_then(Value::as_object);
    let on = tables.into_iter().flatten().map(|(action, table)| {
        let plugin = table.get("plugin").and_then(Value::as_str);
        let pointer = format!("/actions/{}", escape(action));
        let about = |flaw: &&ConfigErrorBody| {
            flaw.pointer.as_ref().is_some_and(|at| *at == pointer || at.starts_with(&format!("{pointer}/")))
        };
        On {
            title: described(&console.state, action, plugin)
                .map(|action| layout.b(&action.title).to_owned())
                .unwrap_or_default(),
            flaws: tenant.faults.iter().filter(about).map(|flaw| flaw.text(layout.language).to_owned()).collect(),
            plugin: plugin.unwrap_or(action).to_owned(),
            name: action.clone(),
        }
    });
    let on: Vec<On> = on.collect();
    let off = offered.plugins.iter().flat_map(|plugin| &plugin.actions).map(|action| Off {
        again: on.iter().any(|one| one.plugin == action.name),
        plugin: action.name.clone(),
        title: layout.b(&action.title).to_owned(),
        about: layout.b(&action.description).to_owned(),
    });
    let mut off: Vec<Off> = off.collect();
    off.sort_by_key(|action| action.again);
    let readable = tenant.toml.is_some();
    ConsoleResponse::page(&List { off, on, revision: tenant.revision, readable, layout })
}

/// `GET /console/tenants/{tenant}/actions/{action}`
pub async fn show(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    let action = request.part("action").to_owned();
    page(request, &action, tenant, None, None)
}

/// `GET /console/tenants/{tenant}/switch-on?of=…`
pub async fn choose(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    request.caller()?.require(Permission::Write, name.as_str())?;
    let tenant = tenants::read(request.state(), request.caller()?, &name).await?;
    let plugin = request.query.get("of").to_owned();
    let taken = tenant.outline.settings.pointer(&format!("/actions/{}", escape(&plugin))).is_some();
    let action = if taken { String::new() } else { plugin.clone() };
    page(request, &action, tenant, Some(&plugin), None)
}

/// `POST /console/tenants/{tenant}/actions/{action}`
pub async fn save(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let action = request.part("action").to_owned();
    change(request, &name, &action, None).await
}

/// `POST /console/tenants/{tenant}/switch-on?of=…`
pub async fn switch_on(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    let (action, plugin) = (request.form.get("action").trim().to_owned(), request.form.get("of").to_owned());
    change(request, &name, &action, Some(&plugin)).await
}

/// `POST /console/tenants/{tenant}/actions/{action}/off`
pub async fn switch_off(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("actions")?;
    request.caller()?.require(Permission::Write, name.as_str())?;
    let off = ConfigChange::Unset(vec!["actions".to_owned(), request.part("action").to_owned()]);
    let seen = Precondition::Matches(Revision::told(request.form.get("revision")));
    tenants::save(request.state(), request.caller()?, &name, TenantDraft::Changes(vec![off]), seen).await?;
    Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}/actions?done=off")))
}

async fn change(
    request: ConsoleRequest,
    name: &TenantName,
    action: &str,
    new: Option<&str>,
) -> Result<ConsoleResponse> {
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::Write, name.as_str())?;
    let tenant = tenants::read(state, caller, name).await?;
    let there = tenant.outline.settings.pointer(&format!("/actions/{}", escape(action)));
    let error = match (new, there) {
        (Some(_), _) if !is_name(action) => Some(Text::fixed(
            "动作名应为 1 至 64 个小写字母、数字、_ 或 -，且不以 _ 或 - 开头",
            "An action's name is 1 to 64 lower-case letters, digits, _ or -, not starting with _ or -.",
        )),
        (Some(_), Some(_)) => Some(Text::fixed("已有同名的动作", "There is an action of this name already.")),
        _ => None,
    };
    if let Some(text) = error {
        let error = Error::new(&codes::BAD_PARAMETER).with_message(text);
        return Ok(page(request, action, tenant, new, Some(&error))?.failed(&error));
    }
    let plugin = new.map(str::to_owned).or_else(|| plugin_of(&tenant, action));
    let schema = described(state, action, plugin.as_deref()).map(|action| action.settings).unwrap_or_default();
    let mut changes = Vec::new();
    if let Some(plugin) = new {
        let table = if plugin == action { json!({}) } else { json!({ "plugin": plugin }) };
        changes.push(ConfigChange::Set(vec!["actions".to_owned(), action.to_owned()], table));
    }
    // The fields of one that is being tenant_action on are named before it has its name.
    let under = if new.is_some() { NEW } else { action };
    let form = Form::of(&schema, &outline(&tenant, new), &["actions", under], &request.layout, &[]);
    changes.extend(form.changes(&request.form).into_iter().map(|change| renamed(change, action)));
    let seen = Precondition::Matches(Revision::told(request.form.get("revision")));
    let saved = tenants::save(state, caller, name, TenantDraft::Changes(changes), seen).await;
    match saved {
        Ok(_) if new.is_some() => Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}/actions?done=on"))),
        Ok(_) => Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}/actions/{}?done=saved", escaped(action)))),
        Err(error) if is_theirs_to_mend(&error) => Ok(page(request, action, tenant, new, Some(&error))?.failed(&error)),
        Err(error) => Err(error),
    }
}

/// The page of an action; `new` names the plugin of one that is being tenant_action on.
fn page(
    request: ConsoleRequest,
    action: &str,
    tenant: tenants::TenantDetails,
    new: Option<&str>,
    error: Option<&Error>,
) -> Result<ConsoleResponse> {
    let there = tenant.outline.settings.pointer(&format!("/actions/{}", escape(action)));
    if new.is_none() && there.is_none() {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let plugin = new.map(str::to_owned).or_else(|| plugin_of(&tenant, action));
    let described = described(request.state(), action, plugin.as_deref());
    if new.is_some() && described.is_none() {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let layout = request.layout;
    let under = if new.is_some() { NEW } else { action };
    let schema = described.as_ref().map(|action| action.settings.clone()).unwrap_or_default();
    let mut form = Form::of(&schema, &outline(&tenant, new), &["actions", under], &layout, &[]);
    form.refill(&request.form);
    let found = match error {
        Some(error) => flaws(error),
        None => tenant.faults,
    };
    let here = format!("/actions/{}", escape(action));
    let about =
        |flaw: &ConfigErrorBody| error.is_some() || flaw.pointer.as_ref().is_some_and(|at| at.starts_with(&here));
    let found: Vec<ConfigErrorBody> = found.into_iter().filter(about).map(|flaw| flaw.moved(&here, under)).collect();
    let rest = form.place(&found, &layout);
    let page = Page {
        name: action.to_owned(),
        title: described.as_ref().map(|action| layout.b(&action.title).to_owned()).unwrap_or_default(),
        about: described.as_ref().map(|action| layout.b(&action.description).to_owned()).unwrap_or_default(),
        plugin: plugin.unwrap_or_else(|| action.to_owned()),
        form,
        rest,
        revision: tenant.revision,
        why: error.map(|error| error.text().get(layout.language).to_owned()),
        new: new.is_some(),
        layout,
    };
    ConsoleResponse::page(&page)
}

/// What a form starts from: the file's settings, or none of an action that is being tenant_action on.
fn outline(tenant: &tenants::TenantDetails, new: Option<&str>) -> SettingsTree {
    let mut outline = copy(&tenant.outline);
    if new.is_some() {
        outline.settings = json!({});
    }
    outline
}

fn plugin_of(tenant: &tenants::TenantDetails, action: &str) -> Option<String> {
    let at = format!("/actions/{}/plugin", escape(action));
    tenant.outline.settings.pointer(&at).and_then(Value::as_str).map(str::to_owned)
}

/// What the plugin says of an action.
fn described(state: &AdminState, action: &str, plugin: Option<&str>) -> Option<ActionInfo> {
    let library = state.library.load();
    library.find(action, plugin).map(|(plugin, index)| ActionInfo::from(&plugin.actions[index]))
}

fn renamed(change: ConfigChange, action: &str) -> ConfigChange {
    let rename = |mut path: Vec<String>| {
        path[1] = action.to_owned();
        path
    };
    match change {
        ConfigChange::Set(path, value) => ConfigChange::Set(rename(path), value),
        ConfigChange::Unset(path) => ConfigChange::Unset(rename(path)),
    }
}

impl ConfigErrorBody {
    /// The same where an action's form has it under another name.
    fn moved(mut self, from: &str, under: &str) -> Self {
        if let Some(rest) = self.pointer.as_ref().and_then(|at| at.strip_prefix(from)) {
            self.pointer = Some(format!("/actions/{under}{rest}"));
        }
        self
    }
}
