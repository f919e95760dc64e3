//! A new tenant: a few questions, from which comes the commented file.

use super::{
    BASE,
    console_request::{ConsoleRequest, Fields},
    layout::Layout,
    response::ConsoleResponse,
    settings::{flaws, is_theirs_to_mend, name_of},
};
use crate::AdminState;
use crate::Permission;
use crate::tenants::{self, Precondition, TenantDraft};
use crate::validation::{self, ConfigErrorBody};
use askama::Template;
use menlou_error::{Error, Result};
use menlou_tenant::{Facts, new_file};
use secrecy::zeroize::Zeroizing;

/// The actions that a new tenant may have from the beginning: those that need no settings of its own.
const ACTIONS: [&str; 4] = ["openid", "login", "user", "logout"];

#[derive(Template)]
#[template(path = "new.html")]
struct Page {
    layout: Layout,
    tenant: String,
    name: String,
    appid: String,
    base_url: String,
    actions: Vec<Offer>,
    /// Why it was not made.
    why: Option<String>,
    flaws: Vec<ConfigErrorBody>,
}

/// What is wrong so far, as part of the page.
#[derive(Template)]
#[template(path = "new_check.html")]
struct Checked {
    layout: Layout,
    flaws: Vec<ConfigErrorBody>,
}

/// An action that can be tenant_action on.
struct Offer {
    name: String,
    title: String,
    on: bool,
}

/// `GET /console/new`
pub async fn show(request: ConsoleRequest) -> Result<ConsoleResponse> {
    request.caller()?.require_everywhere(Permission::Operate)?;
    ConsoleResponse::page(&Page::of(&request, None))
}

/// `POST /console/new/check`: as somebody types.
pub async fn check(request: ConsoleRequest) -> Result<ConsoleResponse> {
    request.caller()?.require_everywhere(Permission::Operate)?;
    let flaws = match name_of(request.form.get("tenant")) {
        Ok(name) => {
            validation::check(request.state(), request.caller()?, &name, file(request.state(), &request.form))
                .await?
                .faults
        }
        Err(error) => vec![ConfigErrorBody::of_name(&error)],
    };
    ConsoleResponse::page(&Checked { flaws: typed(flaws, &request.form), layout: request.layout })
}

/// `POST /console/new`
pub async fn make(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let (state, caller) = (request.state(), request.caller()?);
    caller.require_everywhere(Permission::Operate)?;
    let made = match name_of(request.form.get("tenant")) {
        Ok(name) => {
            let text = validation::sealed(state, &name, file(state, &request.form)).await?;
            tenants::save(state, caller, &name, TenantDraft::File(text), Precondition::NotExists).await.map(|_| name)
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(name) => Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}?done=made"))),
        Err(error) if is_theirs_to_mend(&error) => {
            Ok(ConsoleResponse::page(&Page::of(&request, Some(&error)))?.failed(&error))
        }
        Err(error) => Err(error),
    }
}

/// The file that the answers make.
fn file(state: &AdminState, form: &Fields) -> Zeroizing<String> {
    let library = state.library.load();
    let chosen: Vec<&str> = form.all("action").collect();
    let facts = Facts {
        tenant: form.get("tenant"),
        name: form.get("name").trim(),
        appid: form.get("appid").trim(),
        secret: form.get("secret").trim(),
        base_url: Some(form.get("base_url").trim()).filter(|url| !url.is_empty()),
        actions: library.actions().filter(|action| chosen.contains(&action.name.as_str())).collect(),
    };
    Zeroizing::new(new_file(&facts))
}

/// Only what is wrong with what was typed: what is still empty is no fault yet.
fn typed(flaws: Vec<ConfigErrorBody>, form: &Fields) -> Vec<ConfigErrorBody> {
    let empty = |flaw: &ConfigErrorBody| {
        let field = match flaw.pointer.as_deref() {
            Some("/name") => "name",
            Some("/wechat/appid") => "appid",
            Some("/wechat/secret") => "secret",
            Some("tenant") => "tenant",
            _ => return false,
        };
        form.get(field).is_empty()
    };
    flaws.into_iter().filter(|flaw| !empty(flaw)).collect()
}

impl Page {
    fn of(request: &ConsoleRequest, error: Option<&Error>) -> Self {
        let (form, layout) = (&request.form, request.layout.clone());
        let library = request.state().library.load();
        let offer = |name: &&str| library.actions().find(|action| action.name == **name);
        let actions = ACTIONS.iter().filter_map(offer).map(|action| Offer {
            name: action.name.clone(),
            title: layout.s(&action.title).to_owned(),
            on: error.is_none() || form.all("action").any(|on| on == action.name),
        });
        Self {
            actions: actions.collect(),
            tenant: form.get("tenant").to_owned(),
            name: form.get("name").to_owned(),
            appid: form.get("appid").to_owned(),
            base_url: form.get("base_url").to_owned(),
            why: error.map(|error| layout.s(error.text()).to_owned()),
            flaws: error.map(flaws).unwrap_or_default(),
            layout,
        }
    }
}

/// What is wrong with one answer.
fn at<'a>(flaws: &'a [ConfigErrorBody], pointer: &str, layout: &Layout) -> Vec<&'a str> {
    let here = flaws.iter().filter(|flaw| flaw.pointer.as_deref() == Some(pointer));
    here.map(|flaw| flaw.text(layout.language)).collect()
}

/// What is wrong elsewhere.
fn elsewhere<'a>(flaws: &'a [ConfigErrorBody], layout: &Layout) -> Vec<&'a str> {
    let fields = ["tenant", "/name", "/wechat/appid", "/wechat/secret", "/wechat/base_url"];
    let there = flaws.iter().filter(|flaw| flaw.pointer.as_deref().is_none_or(|at| !fields.contains(&at)));
    there.map(|flaw| flaw.text(layout.language)).collect()
}

impl ConfigErrorBody {
    /// That a tenant's name is none.
    fn of_name(error: &Error) -> Self {
        let text = error.text();
        let (zh, en) = (text.zh.clone().into_owned(), text.en.clone().into_owned());
        Self { line: None, column: None, pointer: Some("tenant".to_owned()), zh, en }
    }
}
