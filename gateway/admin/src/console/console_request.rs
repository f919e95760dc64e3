//! A request to a console page, with its session, form and layout.

use super::{
    console_session::ConsoleSession,
    console_state::ConsoleState,
    csrf,
    form_data::FormData,
    layout::Layout,
    paths::{BASE, escape},
    response::{ConsoleResponse, error_response},
};
use crate::{
    caller::{Caller, Permission, Role},
    path_params::{PathParams, RawParams},
    state::AdminState,
};
use axum::{
    body::{Body, to_bytes},
    extract::Request,
    http::{HeaderMap, Method, request::Parts},
    response::Response,
};
use menlou_config::tenant::TenantName;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_server::layers::request_context::RequestContext;
use secrecy::zeroize::Zeroizing;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// Maximum size of a form, in bytes: a tenant file with every character percent-encoded.
const MAX_FORM: usize = 1024 * 1024;
/// How long a browser may take to send a form.
const FORM_TIMEOUT: Duration = Duration::from_secs(10);

/// A request that has passed authentication and the checks against forgery.
pub struct ConsoleRequest {
    /// The state that all pages share.
    pub console: Arc<ConsoleState>,
    /// The owner of the session; `None` on public pages without a session.
    caller: Option<Caller>,
    /// The client's address.
    pub remote: IpAddr,
    pub headers: HeaderMap,
    path: PathParams,
    pub query: FormData,
    /// Empty unless the method is POST.
    pub form: FormData,
    /// Whether the browser uses TLS, to the gateway or to a proxy in front of it.
    pub is_secure: bool,
    pub layout: Layout,
}

impl ConsoleRequest {
    /// Reads a request. Returns the layout as well, for an error page. If the page requires a session and there is none,
    /// the `Err` is a redirect to the sign-in page.
    pub async fn read(
        console: Arc<ConsoleState>,
        params: RawParams,
        request: Request,
        requires_session: bool,
    ) -> std::result::Result<(Self, Layout), Box<Response>> {
        let (head, body) = request.into_parts();
        let is_forwarded_tls = head.headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
        let is_secure = console.has_tls || is_forwarded_tls;
        let layout = Layout::for_request(&head);
        match Self::try_read(console, params, &head, body, requires_session, is_secure, layout.clone()).await {
            Ok(request) => {
                let layout = request.layout.clone();
                Ok((request, layout))
            }
            Err(error)
                if error.is(&admin_codes::ADMIN_TOKEN_REQUIRED) || error.is(&admin_codes::ADMIN_TOKEN_INVALID) =>
            {
                let is_page = head.method == Method::GET && !layout.is_fragment;
                let next = escape(if is_page { &layout.address } else { BASE });
                let address = format!("{BASE}sign-in?next={next}");
                Err(Box::new(ConsoleResponse::redirect_for(layout.is_fragment, address).response()))
            }
            Err(error) => Err(Box::new(error_response(&error, layout))),
        }
    }

    async fn try_read(
        console: Arc<ConsoleState>,
        params: RawParams,
        head: &Parts,
        body: Body,
        requires_session: bool,
        is_secure: bool,
        mut layout: Layout,
    ) -> Result<Self> {
        let is_post = head.method == Method::POST;
        if is_post {
            csrf::check_same_origin(&head.headers)?;
        }
        let found = console.sessions.find(&console.admin, &head.headers, is_secure).await;
        let found = if requires_session { Some(found?) } else { found.ok() };
        let form = if is_post { FormData::parse(&read_body(body).await?) } else { FormData::default() };
        if let Some((_, session)) = found.as_ref().filter(|_| is_post && requires_session) {
            csrf::check_token(&form, &session.csrf_token)?;
        }
        let (caller, session): (Option<Caller>, Option<ConsoleSession>) = found.unzip();
        let hosts = console.admin.allowed_upstream_hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        layout.allowed_hosts = hosts.join(", ");
        layout.set_caller(caller.as_ref(), session.map(|session| session.csrf_token));
        Ok(Self {
            caller,
            remote: RequestContext::from_extensions(&head.extensions, &head.headers).client,
            headers: head.headers.clone(),
            path: PathParams::parse(params)?,
            query: FormData::parse(head.uri.query().unwrap_or_default().as_bytes()),
            form,
            is_secure,
            layout,
            console,
        })
    }

    /// The state of the admin operations.
    pub fn state(&self) -> &AdminState {
        &self.console.admin
    }

    /// The owner of the session.
    ///
    /// # Errors
    /// `admin_token_required` if there is no session.
    pub fn caller(&self) -> Result<&Caller> {
        self.caller.as_ref().ok_or_else(|| Error::new(&admin_codes::ADMIN_TOKEN_REQUIRED))
    }

    /// The tenant in the path. Also puts the tenant and the selected tab into the layout.
    ///
    /// # Errors
    /// `forbidden`, `unknown_tenant`.
    pub fn tenant(&mut self, tab: &'static str) -> Result<TenantName> {
        let written = self.path_param("tenant").to_owned();
        self.caller()?.require(Permission::Read, &written)?;
        let name = TenantName::parse(&written).map_err(|_| Error::new(&codes::UNKNOWN_TENANT))?;
        let title = self.state().registry.find(&written).map(|tenant| tenant.title.clone());
        let can_write = self.caller()?.require(Permission::Write, &written).is_ok();
        self.layout.set_tenant(&written, title, tab, can_write);
        Ok(name)
    }

    /// A parameter of the path.
    pub fn path_param(&self, name: &str) -> &str {
        self.path.get(name)
    }

    /// The tenant of a tenant admin.
    pub fn own_tenant(&self) -> Option<&TenantName> {
        match &self.caller.as_ref()?.role {
            Role::Tenant(own) => Some(own),
            _ => None,
        }
    }
}

async fn read_body(body: Body) -> Result<Zeroizing<Vec<u8>>> {
    match timeout(FORM_TIMEOUT, to_bytes(body, MAX_FORM)).await {
        Ok(Ok(body)) => Ok(Zeroizing::new(body.to_vec())),
        Ok(Err(_)) => Err(Error::new(&codes::BODY_TOO_LARGE)),
        Err(_) => Err(Error::new(&codes::REQUEST_TIMEOUT)),
    }
}
