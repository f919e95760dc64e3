//! A tenant's people: found, their sessions ended, their bindings taken away, forgotten.

use super::{
    BASE,
    console_request::{ConsoleRequest, escaped},
    layout::Layout,
    response::{ConsoleResponse, remedy},
};
use crate::Permission;
use crate::sessions::{self, Session, SessionOwner};
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
    layout: Layout,
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
pub async fn show(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("people")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::ReadPersonalData, name.as_str())?;
    let (by, of) = (request.query.get("by").to_owned(), request.query.get("of").trim().to_owned());
    let mut page = Page {
        total: sessions::count(state, caller, &name).await?,
        found: Vec::new(),
        loose: Vec::new(),
        more: None,
        problem: None,
        by,
        of,
        layout: request.layout.clone(),
    };
    let seek = match (page.by.as_str(), page.of.as_str()) {
        (_, "") => Ok(ProfileQuery::After(request.query.get("after").parse().unwrap_or_default())),
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
        Ok(seek) => users::find(state, caller, &name, seek, MOST).await,
        Err(error) => Err(error),
    };
    match users {
        Ok(users) if page.of.is_empty() => {
            page.more = users.last().filter(|_| users.len() as u32 >= MOST).map(|user| user.id);
            page.found = users.into_iter().map(|user| Person { user, sessions: Vec::new() }).collect();
        }
        Ok(users) => {
            for user in users {
                let sessions = sessions::find(state, caller, &name, &SessionOwner::User(user.id)).await?;
                page.found.push(Person { user, sessions });
            }
            if page.found.is_empty() && matches!(page.by.as_str(), "openid" | "") {
                let owner = SessionOwner::Openid { platform: "wechat".to_owned(), openid: page.of.clone() };
                page.loose = sessions::find(state, caller, &name, &owner).await?;
            }
        }
        Err(error) if error.status() < 500 => {
            page.problem = Some((error.text().get(page.layout.language).to_owned(), remedy(&error, &page.layout)));
        }
        Err(error) => return Err(error),
    }
    ConsoleResponse::page(&page)
}

/// `POST /console/tenants/{tenant}/people/end`: one session, a person's or all.
pub async fn end(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("people")?;
    let (state, caller, form) = (request.state(), request.caller()?, &request.form);
    caller.require(Permission::Write, name.as_str())?;
    let text = |field: &str| Some(form.get(field)).filter(|text| !text.is_empty());
    match (text("session"), text("user"), text("openid"), text("all")) {
        (Some(session), ..) => sessions::end(state, caller, &name, session).await?,
        (_, Some(user), ..) => {
            sessions::end_for(state, caller, &name, &SessionOwner::User(user.parse().unwrap_or_default())).await?;
        }
        (_, _, Some(openid), _) => {
            let owner = SessionOwner::Openid { platform: "wechat".to_owned(), openid: openid.to_owned() };
            sessions::end_for(state, caller, &name, &owner).await?;
        }
        (.., Some(all)) if all == name.as_str() => {
            sessions::end_all(state, caller, &name).await?;
        }
        _ => {
            let text =
                Text::fixed("请输入租户名以确认结束全部会话", "Write the tenant's name to say that you mean it.");
            return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
        }
    }
    Ok(back(&request, name.as_str(), "ended"))
}

/// `POST /console/tenants/{tenant}/people/forget`: the person, or one binding.
pub async fn forget(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("people")?;
    let (state, caller, form) = (request.state(), request.caller()?, &request.form);
    caller.require(Permission::Write, name.as_str())?;
    let user = form.get("user").parse().unwrap_or_default();
    if let Some(openid) = form.find("openid") {
        users::unbind(state, caller, &name, user, form.get("platform"), openid).await?;
        return Ok(back(&request, name.as_str(), "unbound"));
    }
    if form.get("sure").is_empty() {
        let text = Text::fixed("请勾选“我确定”", "Tick that you are sure.");
        return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
    }
    let version = form.get("version").parse().ok();
    users::forget(state, caller, &name, user, version).await?;
    Ok(ConsoleResponse::to(format!("{BASE}tenants/{name}/people?done=forgotten")))
}

/// Back to what was sought.
fn back(request: &ConsoleRequest, tenant: &str, done: &str) -> ConsoleResponse {
    let (by, of) = (escaped(request.form.get("by")), escaped(request.form.get("of")));
    ConsoleResponse::to(format!("{BASE}tenants/{tenant}/people?by={by}&of={of}&done={done}"))
}
