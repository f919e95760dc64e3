//! A tenant's people: found, their sessions ended, their bindings taken away, forgotten.

use super::{
    BASE,
    answer::{Answer, remedy},
    frame::Frame,
    visit::{Visit, escaped},
};
use crate::Right;
use crate::sessions::{self, Session, Whose};
use crate::users::{self, User};
use askama::Template;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::ProfileQuery;

/// How many users a page lists.
const MOST: u32 = 50;

#[derive(Template)]
#[template(path = "people.html")]
struct Page {
    frame: Frame,
    total: u64,
    /// How they were sought, and what for.
    by: String,
    of: String,
    found: Vec<Person>,
    /// Sessions of an openid that is bound to nobody.
    loose: Vec<Session>,
    /// Behind which id the list goes on.
    more: Option<i64>,
    problem: Option<(String, Option<String>)>,
}

struct Person {
    user: User,
    sessions: Vec<Session>,
}

/// `GET /console/tenants/{tenant}/people?by=…&of=…`
pub async fn show(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("people")?;
    let (desk, caller) = (visit.desk(), visit.caller()?);
    caller.may(Right::Meet, name.as_str())?;
    let (by, of) = (visit.query.get("by").to_owned(), visit.query.get("of").trim().to_owned());
    let mut page = Page {
        total: sessions::count(desk, caller, &name).await?,
        found: Vec::new(),
        loose: Vec::new(),
        more: None,
        problem: None,
        by,
        of,
        frame: visit.frame.clone(),
    };
    let seek = match (page.by.as_str(), page.of.as_str()) {
        (_, "") => Ok(ProfileQuery::After(visit.query.get("after").parse().unwrap_or_default())),
        ("id", id) => id.parse().map(ProfileQuery::Id).map_err(|_| {
            let text = Text::fixed("用户 ID 是一个整数", "A user's id is a whole number.");
            Error::new(&codes::BAD_PARAMETER).with_message(text)
        }),
        ("phone", phone) => Ok(ProfileQuery::Phone(phone)),
        ("account", account) => Ok(ProfileQuery::Account(account)),
        ("external", id) => Ok(ProfileQuery::External(id)),
        (_, openid) => Ok(ProfileQuery::Openid { platform: "wechat", openid }),
    };
    let users = match seek {
        Ok(seek) => users::find(desk, caller, &name, seek, MOST).await,
        Err(error) => Err(error),
    };
    match users {
        Ok(users) if page.of.is_empty() => {
            page.more = users.last().filter(|_| users.len() as u32 >= MOST).map(|user| user.id);
            page.found = users.into_iter().map(|user| Person { user, sessions: Vec::new() }).collect();
        }
        Ok(users) => {
            for user in users {
                let sessions = sessions::find(desk, caller, &name, &Whose::User(user.id)).await?;
                page.found.push(Person { user, sessions });
            }
            if page.found.is_empty() && matches!(page.by.as_str(), "openid" | "") {
                let whose = Whose::Openid { platform: "wechat".to_owned(), openid: page.of.clone() };
                page.loose = sessions::find(desk, caller, &name, &whose).await?;
            }
        }
        Err(error) if error.status() < 500 => {
            page.problem = Some((error.text().get(page.frame.language).to_owned(), remedy(&error, &page.frame)));
        }
        Err(error) => return Err(error),
    }
    Answer::page(&page)
}

/// `POST /console/tenants/{tenant}/people/end`: one session, a person's or all.
pub async fn end(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("people")?;
    let (desk, caller, form) = (visit.desk(), visit.caller()?, &visit.form);
    caller.may(Right::Change, name.as_str())?;
    let text = |field: &str| Some(form.get(field)).filter(|text| !text.is_empty());
    match (text("session"), text("user"), text("openid"), text("all")) {
        (Some(session), ..) => sessions::end(desk, caller, &name, session).await?,
        (_, Some(user), ..) => {
            sessions::end_of(desk, caller, &name, &Whose::User(user.parse().unwrap_or_default())).await?;
        }
        (_, _, Some(openid), _) => {
            let whose = Whose::Openid { platform: "wechat".to_owned(), openid: openid.to_owned() };
            sessions::end_of(desk, caller, &name, &whose).await?;
        }
        (.., Some(all)) if all == name.as_str() => {
            sessions::end_all(desk, caller, &name).await?;
        }
        _ => {
            let text =
                Text::fixed("请输入租户名以确认结束全部会话", "Write the tenant's name to say that you mean it.");
            return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
        }
    }
    Ok(back(&visit, name.as_str(), "ended"))
}

/// `POST /console/tenants/{tenant}/people/forget`: the person, or one binding.
pub async fn forget(mut visit: Visit) -> Result<Answer> {
    let name = visit.tenant("people")?;
    let (desk, caller, form) = (visit.desk(), visit.caller()?, &visit.form);
    caller.may(Right::Change, name.as_str())?;
    let user = form.get("user").parse().unwrap_or_default();
    if let Some(openid) = form.find("openid") {
        users::unbind(desk, caller, &name, user, form.get("platform"), openid).await?;
        return Ok(back(&visit, name.as_str(), "unbound"));
    }
    if form.get("sure").is_empty() {
        let text = Text::fixed("请勾选“我确定”", "Tick that you are sure.");
        return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
    }
    let version = form.get("version").parse().ok();
    users::forget(desk, caller, &name, user, version).await?;
    Ok(Answer::to(format!("{BASE}tenants/{name}/people?done=forgotten")))
}

/// Back to what was sought.
fn back(visit: &Visit, tenant: &str, done: &str) -> Answer {
    let (by, of) = (escaped(visit.form.get("by")), escaped(visit.form.get("of")));
    Answer::to(format!("{BASE}tenants/{tenant}/people?by={by}&of={of}&done={done}"))
}
