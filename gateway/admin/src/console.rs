//! The web console: HTML pages rendered on the server. They use the same functions as the API, with the same permissions.
//! Every page works without JavaScript; htmx only replaces parts of a page instead of all of it.

mod actions;
mod assets;
mod audit_log;
mod chart;
mod config_form;
mod console_request;
mod console_session;
mod console_state;
mod cookies;
mod csrf;
mod field_kind;
mod form_data;
mod layout;
mod new_tenant;
mod overview;
mod paths;
mod plugins;
mod response;
mod save_errors;
mod settings;
mod sign_in;
mod tenant;
mod users;

use super::{path_params::RawParams, state::AdminState};
use axum::{
    Router,
    extract::Request,
    http::Method,
    middleware::map_response,
    response::{Redirect, Response},
    routing::{MethodFilter, MethodRouter, get, on},
};
use console_request::ConsoleRequest;
use console_session::ConsoleSessions;
use console_state::ConsoleState;
use menlou_error::{Error, Result, codes};
use paths::BASE;
use response::ConsoleResponse;
use std::{future::Future, sync::Arc};

/// The routes of the console. `has_tls`: whether the admin listener uses TLS.
pub fn router(state: Arc<AdminState>, has_tls: bool) -> Router {
    let console = &Arc::new(ConsoleState { admin: state, sessions: ConsoleSessions::new(), has_tls });
    let tenant_path = |rest: &str| format!("/console/tenants/{{tenant}}{rest}");
    Router::new()
        .route("/console/", handle(PAGE, console, overview::show))
        .route(
            "/console/sign-in",
            handle(PUBLIC_PAGE, console, sign_in::show).merge(handle(PUBLIC_FORM, console, sign_in::sign_in)),
        )
        .route("/console/sign-out", handle(FORM, console, sign_in::sign_out))
        .route("/console/language", handle(PUBLIC_FORM, console, sign_in::set_language))
        .route("/console/plugins", handle(PAGE, console, plugins::show))
        .route("/console/audit", handle(PAGE, console, audit_log::show_all))
        .route("/console/new", handle(PAGE, console, new_tenant::show).merge(handle(FORM, console, new_tenant::create)))
        .route("/console/new/check", handle(FORM, console, new_tenant::check))
        .route(&tenant_path(""), handle(PAGE, console, tenant::show))
        .route(&tenant_path("/verify"), handle(FORM, console, tenant::verify))
        .route(&tenant_path("/remove"), handle(FORM, console, tenant::remove))
        .route(
            &tenant_path("/settings"),
            handle(PAGE, console, settings::show).merge(handle(FORM, console, settings::save)),
        )
        .route(&tenant_path("/check"), handle(FORM, console, settings::check))
        .route(&tenant_path("/secret"), handle(FORM, console, settings::change_secret))
        .route(&tenant_path("/actions"), handle(PAGE, console, actions::list))
        .route(
            &tenant_path("/switch-on"),
            handle(PAGE, console, actions::show_new).merge(handle(FORM, console, actions::enable)),
        )
        .route(
            &tenant_path("/actions/{action}"),
            handle(PAGE, console, actions::show).merge(handle(FORM, console, actions::save)),
        )
        .route(&tenant_path("/actions/{action}/off"), handle(FORM, console, actions::disable))
        .route(&tenant_path("/actions/{action}/on"), handle(FORM, console, actions::enable_again))
        .route(&tenant_path("/people"), handle(PAGE, console, users::show))
        .route(&tenant_path("/people/end"), handle(FORM, console, users::end_sessions))
        .route(&tenant_path("/people/forget"), handle(FORM, console, users::forget))
        .route(&tenant_path("/history"), handle(PAGE, console, audit_log::show_tenant))
        .route("/console/assets/{file}", get(assets::file))
        .route("/console/{*rest}", handle(PAGE, console, not_found))
        .route("/console", get(async || Redirect::to(BASE)))
        .route("/", get(async || Redirect::to(BASE)))
        .layer(map_response(assets::add_security_headers))
}

async fn not_found(_: ConsoleRequest) -> Result<ConsoleResponse> {
    Err(Error::new(&codes::NOT_FOUND))
}

/// The method of a route, and whether it requires a session.
type RouteKind = (MethodFilter, bool);

const PAGE: RouteKind = (MethodFilter::GET, true);
const FORM: RouteKind = (MethodFilter::POST, true);
const PUBLIC_PAGE: RouteKind = (MethodFilter::GET, false);
const PUBLIC_FORM: RouteKind = (MethodFilter::POST, false);

fn handle<F, Fut>((method, requires_session): RouteKind, console: &Arc<ConsoleState>, handler: F) -> MethodRouter
where
    F: Fn(ConsoleRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<ConsoleResponse>> + Send + 'static,
{
    let console = console.clone();
    on(method, move |params: RawParams, request: Request| serve(console, params, request, requires_session, handler))
}

async fn serve<F, Fut>(
    console: Arc<ConsoleState>,
    params: RawParams,
    request: Request,
    requires_session: bool,
    handler: F,
) -> Response
where
    F: Fn(ConsoleRequest) -> Fut,
    Fut: Future<Output = Result<ConsoleResponse>> + Send + 'static,
{
    let is_change = request.method() == Method::POST;
    let (request, layout) = match ConsoleRequest::read(console, params, request, requires_session).await {
        Ok(request) => request,
        Err(response) => return *response,
    };
    let handled = handler(request);
    // A change runs in a task of its own, so that it completes even if the client disconnects.
    let outcome = if is_change {
        tokio::spawn(handled).await.unwrap_or_else(|e| Err(Error::new(&codes::INTERNAL_ERROR).with_cause(e)))
    } else {
        handled.await
    };
    match outcome {
        Ok(response) => response.response(),
        Err(error) => response::error_response(&error, layout),
    }
}
