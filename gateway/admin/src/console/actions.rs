//! A tenant's actions: switched on and off, and set by forms that are made from their plugins' schemas.

use super::{
    BASE,
    answer::Answer,
    fields::{Form, Kind},
    frame::Frame,
    settings::{copy, flaws, is_theirs_to_mend},
    visit::{Visit, escaped},
};
use crate::Desk;
use crate::Right;
use crate::drafts::{Flaw, Outline};
use crate::plugins::{self, Action};
use crate::tenants::{self, Condition, Draft};
use askama::Template;
use menlou_config::{
    edit::Change,
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
    frame: Frame,
    on: Vec<On>,
    /// What could be switched on besides.
    off: Vec<Off>,
    revision: String,
    /// Whether the file can be read, so that anything can be switched.
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
    frame: Frame,
    name: String,
    plugin: String,
    title: String,
    about: String,
    form: Form,
    /// What is wrong and belongs to no field.
    rest: Vec<Flaw>,
    revision: String,
    why: Option<String>,
    /// Whether it is being switched on.
    new: bool,
}

/// `GET /console/tenants/{tenant}/actions`
pub async fn list(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("actions")?;
    let tenant = tenants::read(visit.desk(), visit.caller()?, &name).await?;
    let offered = plugins::list(visit.desk(), visit.caller()?)?;
    let (console, frame) = (visit.console, visit.frame);
    let tables = tenant.outline.settings.get("actions").and_then(Value::as_object);
    let on = tables.into_iter().flatten().map(|(action, table)| {
        let plugin = table.get("plugin").and_then(Value::as_str);
        let pointer = format!("/actions/{}", escape(action));
        let about = |flaw: &&Flaw| {
            flaw.pointer.as_ref().is_some_and(|at| *at == pointer || at.starts_with(&format!("{pointer}/")))
        };
        On {
            title: described(&console.desk, action, plugin)
                .map(|action| frame.b(&action.title).to_owned())
                .unwrap_or_default(),
            flaws: tenant.faults.iter().filter(about).map(|flaw| flaw.text(frame.language).to_owned()).collect(),
            plugin: plugin.unwrap_or(action).to_owned(),
            name: action.clone(),
        }
    });
    let on: Vec<On> = on.collect();
    let off = offered.plugins.iter().flat_map(|plugin| &plugin.actions).map(|action| Off {
        again: on.iter().any(|one| one.plugin == action.name),
        plugin: action.name.clone(),
        title: frame.b(&action.title).to_owned(),
        about: frame.b(&action.description).to_owned(),
    });
    let mut off: Vec<Off> = off.collect();
    off.sort_by_key(|action| action.again);
    let readable = tenant.toml.is_some();
    Answer::page(&List { off, on, revision: tenant.revision, readable, frame })
}

/// `GET /console/tenants/{tenant}/actions/{action}`
pub async fn show(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("actions")?;
    let tenant = tenants::read(visit.desk(), visit.caller()?, &name).await?;
    let action = visit.part("action").to_owned();
    page(visit, &action, tenant, None, None)
}

/// `GET /console/tenants/{tenant}/switch-on?of=…`
pub async fn choose(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("actions")?;
    visit.caller()?.may(Right::Change, name.as_str())?;
    let tenant = tenants::read(visit.desk(), visit.caller()?, &name).await?;
    let plugin = visit.query.get("of").to_owned();
    let taken = tenant.outline.settings.pointer(&format!("/actions/{}", escape(&plugin))).is_some();
    let action = if taken { String::new() } else { plugin.clone() };
    page(visit, &action, tenant, Some(&plugin), None)
}

/// `POST /console/tenants/{tenant}/actions/{action}`
pub async fn save(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("actions")?;
    let action = visit.part("action").to_owned();
    change(visit, &name, &action, None).await
}

/// `POST /console/tenants/{tenant}/switch-on?of=…`
pub async fn switch_on(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("actions")?;
    let (action, plugin) = (visit.form.get("action").trim().to_owned(), visit.form.get("of").to_owned());
    change(visit, &name, &action, Some(&plugin)).await
}

/// `POST /console/tenants/{tenant}/actions/{action}/off`
pub async fn switch_off(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("actions")?;
    visit.caller()?.may(Right::Change, name.as_str())?;
    let off = Change::Unset(vec!["actions".to_owned(), visit.part("action").to_owned()]);
    let seen = Condition::Is(Revision::told(visit.form.get("revision")));
    tenants::save(visit.desk(), visit.caller()?, &name, Draft::Changes(vec![off]), seen).await?;
    Ok(Answer::to(format!("{BASE}tenants/{name}/actions?done=off")))
}

async fn change(visit: Visit, name: &TenantName, action: &str, new: Option<&str>) -> Result<Answer> {
    let (desk, caller) = (visit.desk(), visit.caller()?);
    caller.may(Right::Change, name.as_str())?;
    let tenant = tenants::read(desk, caller, name).await?;
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
        return Ok(page(visit, action, tenant, new, Some(&error))?.failed(&error));
    }
    let plugin = new.map(str::to_owned).or_else(|| plugin_of(&tenant, action));
    let schema = described(desk, action, plugin.as_deref()).map(|action| action.settings).unwrap_or_default();
    let mut changes = Vec::new();
    if let Some(plugin) = new {
        let table = if plugin == action { json!({}) } else { json!({ "plugin": plugin }) };
        changes.push(Change::Set(vec!["actions".to_owned(), action.to_owned()], table));
    }
    // The fields of one that is being switched on are named before it has its name.
    let under = if new.is_some() { NEW } else { action };
    let form = Form::of(&schema, &outline(&tenant, new), &["actions", under], &visit.frame, &[]);
    changes.extend(form.changes(&visit.form).into_iter().map(|change| renamed(change, action)));
    let seen = Condition::Is(Revision::told(visit.form.get("revision")));
    let saved = tenants::save(desk, caller, name, Draft::Changes(changes), seen).await;
    match saved {
        Ok(_) if new.is_some() => Ok(Answer::to(format!("{BASE}tenants/{name}/actions?done=on"))),
        Ok(_) => Ok(Answer::to(format!("{BASE}tenants/{name}/actions/{}?done=saved", escaped(action)))),
        Err(error) if is_theirs_to_mend(&error) => Ok(page(visit, action, tenant, new, Some(&error))?.failed(&error)),
        Err(error) => Err(error),
    }
}

/// The page of an action; `new` names the plugin of one that is being switched on.
fn page(visit: Visit, action: &str, tenant: tenants::Page, new: Option<&str>, error: Option<&Error>) -> Result<Answer> {
    let there = tenant.outline.settings.pointer(&format!("/actions/{}", escape(action)));
    if new.is_none() && there.is_none() {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let plugin = new.map(str::to_owned).or_else(|| plugin_of(&tenant, action));
    let described = described(visit.desk(), action, plugin.as_deref());
    if new.is_some() && described.is_none() {
        return Err(Error::new(&codes::UNKNOWN_ACTION));
    }
    let frame = visit.frame;
    let under = if new.is_some() { NEW } else { action };
    let schema = described.as_ref().map(|action| action.settings.clone()).unwrap_or_default();
    let mut form = Form::of(&schema, &outline(&tenant, new), &["actions", under], &frame, &[]);
    form.refill(&visit.form);
    let found = match error {
        Some(error) => flaws(error),
        None => tenant.faults,
    };
    let here = format!("/actions/{}", escape(action));
    let about = |flaw: &Flaw| error.is_some() || flaw.pointer.as_ref().is_some_and(|at| at.starts_with(&here));
    let found: Vec<Flaw> = found.into_iter().filter(about).map(|flaw| flaw.moved(&here, under)).collect();
    let rest = form.place(&found, &frame);
    let page = Page {
        name: action.to_owned(),
        title: described.as_ref().map(|action| frame.b(&action.title).to_owned()).unwrap_or_default(),
        about: described.as_ref().map(|action| frame.b(&action.description).to_owned()).unwrap_or_default(),
        plugin: plugin.unwrap_or_else(|| action.to_owned()),
        form,
        rest,
        revision: tenant.revision,
        why: error.map(|error| error.text().get(frame.language).to_owned()),
        new: new.is_some(),
        frame,
    };
    Answer::page(&page)
}

/// What a form starts from: the file's settings, or none of an action that is being switched on.
fn outline(tenant: &tenants::Page, new: Option<&str>) -> Outline {
    let mut outline = copy(&tenant.outline);
    if new.is_some() {
        outline.settings = json!({});
    }
    outline
}

fn plugin_of(tenant: &tenants::Page, action: &str) -> Option<String> {
    let at = format!("/actions/{}/plugin", escape(action));
    tenant.outline.settings.pointer(&at).and_then(Value::as_str).map(str::to_owned)
}

/// What the plugin says of an action.
fn described(desk: &Desk, action: &str, plugin: Option<&str>) -> Option<Action> {
    let library = desk.library.load();
    library.find(action, plugin).map(|(plugin, index)| Action::from(&plugin.actions[index]))
}

fn renamed(change: Change, action: &str) -> Change {
    let rename = |mut path: Vec<String>| {
        path[1] = action.to_owned();
        path
    };
    match change {
        Change::Set(path, value) => Change::Set(rename(path), value),
        Change::Unset(path) => Change::Unset(rename(path)),
    }
}

impl Flaw {
    /// The same where an action's form has it under another name.
    fn moved(mut self, from: &str, under: &str) -> Self {
        if let Some(rest) = self.pointer.as_ref().and_then(|at| at.strip_prefix(from)) {
            self.pointer = Some(format!("/actions/{under}{rest}"));
        }
        self
    }
}
