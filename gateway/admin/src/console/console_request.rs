//! A request to the console, and what pages want to know of it.

use super::{
    BASE, Console, Params,
    console_session::{self, ConsoleSession},
    layout::Layout,
    response::{ConsoleResponse, problem},
};
use crate::AdminState;
use crate::Caller;
use crate::Permission;
use crate::Role;
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, header::ACCEPT_LANGUAGE, request::Parts},
    response::Response,
};
use form_urlencoded::parse;
use menlou_config::tenant::TenantName;
use menlou_error::text::{Language, Text};
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_server::layers::request_context::RequestContext;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::zeroize::Zeroizing;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The largest form that is read, bytes: a tenant's file with every character escaped.
const LARGEST: usize = 1024 * 1024;
/// How long a browser may take to send a form.
const BODY: Duration = Duration::from_secs(10);

/// A request of someone who may ask.
pub struct ConsoleRequest {
    pub console: Arc<Console>,
    /// Who asks; nobody on the pages that are open.
    caller: Option<Caller>,
    /// Where the request came from.
    pub remote: IpAddr,
    pub headers: HeaderMap,
    /// The parameters of the path.
    path: BTreeMap<String, String>,
    /// The parameters of the query.
    pub query: Fields,
    /// What a form holds.
    pub form: Fields,
    /// Whether the browser's end speaks TLS.
    pub secure: bool,
    pub layout: Layout,
}

/// What a form or a query holds: wiped when dropped, for a secret may be among it.
#[derive(Default)]
pub struct Fields(Vec<(String, Zeroizing<String>)>);

impl ConsoleRequest {
    /// Reads a request; who has to be signed in and is not is sent to do that.
    pub async fn of(
        console: Arc<Console>,
        params: Params,
        request: Request,
        members: bool,
    ) -> std::result::Result<(Self, Layout), Box<Response>> {
        let (head, body) = request.into_parts();
        let forwarded = head.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let secure = console.secure || forwarded;
        let layout = Layout::of(&head);
        match Self::read(console, params, &head, body, members, secure, layout.clone()).await {
            Ok(request) => {
                let layout = request.layout.clone();
                Ok((request, layout))
            }
            Err(error)
                if error.is(&admin_codes::ADMIN_TOKEN_REQUIRED) || error.is(&admin_codes::ADMIN_TOKEN_INVALID) =>
            {
                let back =
                    if head.method == Method::GET && !layout.part { escaped(&layout.here) } else { escaped(BASE) };
                let address = format!("{BASE}sign-in?next={back}");
                Err(Box::new(ConsoleResponse::to_for(layout.part, address).response()))
            }
            Err(error) => Err(Box::new(problem(&error, layout))),
        }
    }

    async fn read(
        console: Arc<Console>,
        params: Params,
        head: &Parts,
        body: Body,
        members: bool,
        secure: bool,
        mut layout: Layout,
    ) -> Result<Self> {
        let changes = head.method == Method::POST;
        if changes {
            console_session::of_our_own(&head.headers)?;
        }
        let found = match members {
            true => Some(console.sessions.find(&console.state, &head.headers, secure).await?),
            // Whom an open page shows as signed in is who is.
            false => console.sessions.find(&console.state, &head.headers, secure).await.ok(),
        };
        let form = if changes { Fields::of(&receive(body).await?) } else { Fields::default() };
        if let Some((_, session)) = found.as_ref().filter(|_| changes && members) {
            ConsoleSession::made(session, &form)?;
        }
        let (caller, session) = found.unzip();
        layout.hosts =
            console.state.allowed_upstream_hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        layout.seen_by(caller.as_ref(), session.map(|session| session.csrf));
        let text = Text::fixed("地址不是 UTF-8", "the path is not UTF-8");
        let params = params.map_err(|_| Error::new(&codes::BAD_PARAMETER).with_message(text))?;
        Ok(Self {
            caller,
            remote: RequestContext::from_extensions(&head.extensions, &head.headers).client,
            headers: head.headers.clone(),
            path: params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: Fields::of(head.uri.query().unwrap_or_default().as_bytes()),
            form,
            secure,
            layout,
            console,
        })
    }

    /// What to work on.
    pub fn state(&self) -> &AdminState {
        &self.console.state
    }

    /// Who asks.
    ///
    /// # Errors
    /// `admin_token_required` where nobody is signed in.
    pub fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(|| Error::new(&admin_codes::ADMIN_TOKEN_REQUIRED))
    }

    /// The tenant of the path, which the page is then about.
    ///
    /// # Errors
    /// `forbidden`, `unknown_tenant`.
    pub fn tenant(&mut self, tab: &'static str) -> Result<TenantName> {
        let written = self.part("tenant").to_owned();
        self.caller()?.require(Permission::Read, &written)?;
        let name = TenantName::parse(&written).map_err(|_| Error::new(&codes::UNKNOWN_TENANT))?;
        let title = self.state().registry.find(&written).map(|tenant| tenant.title.clone());
        let changes = self.caller()?.require(Permission::Write, &written).is_ok();
        self.layout.about(&written, title, tab, changes);
        Ok(name)
    }

    /// A part of the path.
    pub fn part(&self, name: &str) -> &str {
        self.path.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The tenant that the caller is an admin of.
    pub fn own(&self) -> Option<&TenantName> {
        match &self.caller.as_ref()?.role {
            Role::Tenant(own) => Some(own),
            _ => None,
        }
    }
}

/// A text as part of an address.
pub fn escaped(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The language that a browser was told to keep, else the one it prefers.
pub fn language(headers: &HeaderMap) -> Language {
    match console_session::cookie(headers, "menlou-language") {
        Some("zh") => Language::Zh,
        Some("en") => Language::En,
        _ => {
            let header = headers.get(ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok());
            Language::from_accept_language(header.unwrap_or_default())
        }
    }
}

async fn receive(body: Body) -> Result<Zeroizing<Vec<u8>>> {
    match timeout(BODY, to_bytes(body, LARGEST)).await {
        Ok(Ok(body)) => Ok(Zeroizing::new(body.to_vec())),
        Ok(Err(_)) => Err(Error::new(&codes::BODY_TOO_LARGE)),
        Err(_) => Err(Error::new(&codes::REQUEST_TIMEOUT)),
    }
}

impl Fields {
    pub(super) fn of(encoded: &[u8]) -> Self {
        Self(parse(encoded).map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect())
    }

    /// The value under this name; empty where there is none.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The value under this name.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// Every value under this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// A text of several lines, owner ends browsers send as CR LF.
    pub fn lines(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(self.get(name).replace("\r\n", "\n"))
    }
}
