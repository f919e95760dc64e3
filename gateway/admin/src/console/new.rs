//! A new tenant: a few questions, from which comes the commented file.

use super::{
    BASE,
    answer::Answer,
    frame::Frame,
    settings::{flaws, is_theirs_to_mend, name_of},
    visit::{Fields, Visit},
};
use crate::Desk;
use crate::Right;
use crate::drafts::{self, Flaw};
use crate::tenants::{self, Condition, Draft};
use askama::Template;
use menlou_error::{Error, Result};
use menlou_tenant::{Facts, new_file};
use secrecy::zeroize::Zeroizing;

/// The actions that a new tenant may have from the beginning: those that need no settings of its own.
const ACTIONS: [&str; 4] = ["openid", "login", "user", "logout"];

#[derive(Template)]
#[template(path = "new.html")]
struct Page {
    frame: Frame,
    tenant: String,
    name: String,
    appid: String,
    base_url: String,
    actions: Vec<Offer>,
    /// Why it was not made.
    why: Option<String>,
    flaws: Vec<Flaw>,
}

/// What is wrong so far, as part of the page.
#[derive(Template)]
#[template(path = "new_check.html")]
struct Checked {
    frame: Frame,
    flaws: Vec<Flaw>,
}

/// An action that can be switched on.
struct Offer {
    name: String,
    title: String,
    on: bool,
}

/// `GET /console/new`
pub async fn show(visit: Visit) -> Result<Answer> {
    visit.caller()?.may_everywhere(Right::Operate)?;
    Answer::page(&Page::of(&visit, None))
}

/// `POST /console/new/check`: as somebody types.
pub async fn check(visit: Visit) -> Result<Answer> {
    visit.caller()?.may_everywhere(Right::Operate)?;
    let flaws = match name_of(visit.form.get("tenant")) {
        Ok(name) => drafts::check(visit.desk(), visit.caller()?, &name, file(visit.desk(), &visit.form)).await?.faults,
        Err(error) => vec![Flaw::of_name(&error)],
    };
    Answer::page(&Checked { flaws: typed(flaws, &visit.form), frame: visit.frame })
}

/// `POST /console/new`
pub async fn make(visit: Visit) -> Result<Answer> {
    let (desk, caller) = (visit.desk(), visit.caller()?);
    caller.may_everywhere(Right::Operate)?;
    let made = match name_of(visit.form.get("tenant")) {
        Ok(name) => {
            let text = drafts::sealed(desk, &name, file(desk, &visit.form)).await?;
            tenants::save(desk, caller, &name, Draft::Whole(text), Condition::Absent).await.map(|_| name)
        }
        Err(error) => Err(error),
    };
    match made {
        Ok(name) => Ok(Answer::to(format!("{BASE}tenants/{name}?done=made"))),
        Err(error) if is_theirs_to_mend(&error) => Ok(Answer::page(&Page::of(&visit, Some(&error)))?.failed(&error)),
        Err(error) => Err(error),
    }
}

/// The file that the answers make.
fn file(desk: &Desk, form: &Fields) -> Zeroizing<String> {
    let library = desk.library.load();
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
fn typed(flaws: Vec<Flaw>, form: &Fields) -> Vec<Flaw> {
    let empty = |flaw: &Flaw| {
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
    fn of(visit: &Visit, error: Option<&Error>) -> Self {
        let (form, frame) = (&visit.form, visit.frame.clone());
        let library = visit.desk().library.load();
        let offer = |name: &&str| library.actions().find(|action| action.name == **name);
        let actions = ACTIONS.iter().filter_map(offer).map(|action| Offer {
            name: action.name.clone(),
            title: frame.s(&action.title).to_owned(),
            on: error.is_none() || form.all("action").any(|on| on == action.name),
        });
        Self {
            actions: actions.collect(),
            tenant: form.get("tenant").to_owned(),
            name: form.get("name").to_owned(),
            appid: form.get("appid").to_owned(),
            base_url: form.get("base_url").to_owned(),
            why: error.map(|error| frame.s(error.text()).to_owned()),
            flaws: error.map(flaws).unwrap_or_default(),
            frame,
        }
    }
}

/// What is wrong with one answer.
fn at<'a>(flaws: &'a [Flaw], pointer: &str, frame: &Frame) -> Vec<&'a str> {
    let here = flaws.iter().filter(|flaw| flaw.pointer.as_deref() == Some(pointer));
    here.map(|flaw| flaw.text(frame.language)).collect()
}

/// What is wrong elsewhere.
fn elsewhere<'a>(flaws: &'a [Flaw], frame: &Frame) -> Vec<&'a str> {
    let fields = ["tenant", "/name", "/wechat/appid", "/wechat/secret", "/wechat/base_url"];
    let there = flaws.iter().filter(|flaw| flaw.pointer.as_deref().is_none_or(|at| !fields.contains(&at)));
    there.map(|flaw| flaw.text(frame.language)).collect()
}

impl Flaw {
    /// That a tenant's name is none.
    fn of_name(error: &Error) -> Self {
        let text = error.text();
        let (zh, en) = (text.zh.clone().into_owned(), text.en.clone().into_owned());
        Self { line: None, column: None, pointer: Some("tenant".to_owned()), zh, en }
    }
}
