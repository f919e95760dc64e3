//! The page of a tenant's users: search, end sessions, unbind openids, delete personal data.

use super::{
    console_request::ConsoleRequest,
    layout::Layout,
    paths::{BASE, escape},
    response::{ConsoleResponse, remedy},
};
use crate::{
    caller::Permission,
    sessions::{self, Session, SessionOwner},
    users::{self, User},
};
use askama::Template;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::ProfileQuery;

/// Number of users on a page.
const PAGE_SIZE: u32 = 50;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    layout: Layout,
    session_count: u64,
    /// The search key: openid, id, phone, account or external.
    by: String,
    /// The search value; empty lists all users.
    of: String,
    found: Vec<UserWithSessions>,
    /// Sessions of an openid that is not bound to a user.
    unbound_sessions: Vec<Session>,
    /// The next page lists ids after this one.
    next_after: Option<i64>,
    /// The error of the search, and how to fix it.
    error: Option<(String, Option<String>)>,
}

struct UserWithSessions {
    user: User,
    sessions: Vec<Session>,
}

/// `GET /console/tenants/{tenant}/people?by=…&of=…`
pub async fn show(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("people")?;
    let (state, caller) = (request.state(), request.caller()?);
    caller.require(Permission::ReadPersonalData, name.as_str())?;
    let (by, of) = (request.query.get("by").to_owned(), request.query.get("of").trim().to_owned());
    let mut page = UsersPage {
        session_count: sessions::count(state, caller, &name).await?,
        found: Vec::new(),
        unbound_sessions: Vec::new(),
        next_after: None,
        error: None,
        by,
        of,
        layout: request.layout.clone(),
    };
    let query = match (page.by.as_str(), page.of.as_str()) {
        (_, "") => Ok(ProfileQuery::After(request.query.get("after").parse().unwrap_or_default())),
        ("id", id) => id.parse().map(ProfileQuery::Id).map_err(|_| {
            let text = Text::fixed("用户 ID 应为整数", "A user id is an integer.");
            Error::new(&codes::BAD_PARAMETER).with_message(text)
        }),
        ("account", account) => Ok(ProfileQuery::Account(account)),
        ("external", id) => Ok(ProfileQuery::External(id)),
        (_, openid) => Ok(ProfileQuery::Openid { platform: "wechat", openid }),
    };
    let users = match query {
        Ok(_) if page.by == "phone" && !page.of.is_empty() => {
            users::find_by_phone(state, caller, &name, &page.of).await
        }
        Ok(query) => users::find(state, caller, &name, query, PAGE_SIZE).await,
        Err(error) => Err(error),
    };
    match users {
        Ok(users) if page.of.is_empty() => {
            page.next_after = users.last().filter(|_| users.len() as u32 >= PAGE_SIZE).map(|user| user.id);
            page.found = users.into_iter().map(|user| UserWithSessions { user, sessions: Vec::new() }).collect();
        }
        Ok(users) => {
            for user in users {
                let sessions = sessions::find(state, caller, &name, &SessionOwner::User(user.id)).await?;
                page.found.push(UserWithSessions { user, sessions });
            }
            if page.found.is_empty() && matches!(page.by.as_str(), "openid" | "") {
                let owner = SessionOwner::Openid { platform: "wechat".to_owned(), openid: page.of.clone() };
                page.unbound_sessions = sessions::find(state, caller, &name, &owner).await?;
            }
        }
        Err(error) if error.status() < 500 => {
            page.error = Some((error.meaning().get(page.layout.language).to_owned(), remedy(&error, &page.layout)));
        }
        Err(error) => return Err(error),
    }
    ConsoleResponse::page(&page)
}

/// `POST /console/tenants/{tenant}/people/end`: ends one session, the sessions of one person, or all.
pub async fn end_sessions(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
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
            let text = Text::fixed("请输入租户名以确认结束全部会话", "Enter the tenant's name to confirm.");
            return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
        }
    }
    Ok(back_to_search(&request, name.as_str(), "ended"))
}

/// `POST /console/tenants/{tenant}/people/forget`: unbinds one openid, or deletes all data of the user.
pub async fn forget(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("people")?;
    let (state, caller, form) = (request.state(), request.caller()?, &request.form);
    caller.require(Permission::Write, name.as_str())?;
    let user = form.get("user").parse().unwrap_or_default();
    if let Some(openid) = form.find("openid") {
        users::unbind(state, caller, &name, user, form.get("platform"), openid).await?;
        return Ok(back_to_search(&request, name.as_str(), "unbound"));
    }
    if form.get("sure").is_empty() {
        let text = Text::fixed("请勾选“我确定”", "Tick “I am sure”.");
        return Err(Error::new(&codes::BAD_PARAMETER).with_message(text));
    }
    let version = form.get("version").parse().ok();
    users::forget(state, caller, &name, user, version).await?;
    Ok(ConsoleResponse::redirect(format!("{BASE}tenants/{name}/people?done=forgotten")))
}

fn back_to_search(request: &ConsoleRequest, tenant: &str, done: &str) -> ConsoleResponse {
    let (by, of) = (escape(request.form.get("by")), escape(request.form.get("of")));
    ConsoleResponse::redirect(format!("{BASE}tenants/{tenant}/people?by={by}&of={of}&done={done}"))
}
