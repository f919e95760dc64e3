//! The web console: pages made on the server, which do what the API does, by the same functions and for the same roles.
//! Each works without JavaScript; htmx only saves the way to a whole new page.

mod actions;
mod assets;
mod audit_log;
mod chart;
mod console_request;
mod console_session;
mod field_kind;
mod fields;
mod layout;
mod new;
mod overview;
mod people;
mod plugins;
mod response;
mod settings;
mod sign_in;
mod tenant;

use super::state::AdminState;
use axum::{
    Router,
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    http::Method,
    middleware::map_response,
    response::{Redirect, Response},
    routing::{MethodFilter, MethodRouter, get, on},
};
use console_request::ConsoleRequest;
use console_session::ConsoleSessions;
use menlou_error::{Error, Result, codes};
use response::ConsoleResponse;
use std::{future::Future, sync::Arc};

/// Where the console stands.
const BASE: &str = "/console/";

/// The parameters of a path, where it is one of text.
type Params = std::result::Result<RawPathParams, RawPathParamsRejection>;

/// What the pages share.
struct Console {
    state: Arc<AdminState>,
    sessions: ConsoleSessions,
    /// Whether browsers are spoken to by TLS.
    secure: bool,
}

/// The pages.
pub fn router(state: Arc<AdminState>, secure: bool) -> Router {
    let console = &Arc::new(Console { state, sessions: ConsoleSessions::new(), secure });
    let of = |rest: &str| format!("/console/tenants/{{tenant}}{rest}");
    Router::new()
        .route("/console/", at(PAGE, console, overview::show))
        .route("/console/sign-in", at(OPEN_PAGE, console, sign_in::show).merge(at(OPEN_FORM, console, sign_in::enter)))
        .route("/console/sign-out", at(FORM, console, sign_in::leave))
        .route("/console/language", at(OPEN_FORM, console, sign_in::speak))
        .route("/console/plugins", at(PAGE, console, plugins::show))
        .route("/console/audit", at(PAGE, console, audit_log::audit))
        .route("/console/new", at(PAGE, console, new::show).merge(at(FORM, console, new::make)))
        .route("/console/new/check", at(FORM, console, new::check))
        .route(&of(""), at(PAGE, console, tenant::show))
        .route(&of("/verify"), at(FORM, console, tenant::verify))
        .route(&of("/remove"), at(FORM, console, tenant::remove))
        .route(&of("/settings"), at(PAGE, console, settings::show).merge(at(FORM, console, settings::save)))
        .route(&of("/check"), at(FORM, console, settings::check))
        .route(&of("/secret"), at(FORM, console, settings::change_secret))
        .route(&of("/actions"), at(PAGE, console, actions::list))
        .route(&of("/switch-on"), at(PAGE, console, actions::choose).merge(at(FORM, console, actions::switch_on)))
        .route(&of("/actions/{action}"), at(PAGE, console, actions::show).merge(at(FORM, console, actions::save)))
        .route(&of("/actions/{action}/off"), at(FORM, console, actions::switch_off))
        .route(&of("/people"), at(PAGE, console, people::show))
        .route(&of("/people/end"), at(FORM, console, people::end))
        .route(&of("/people/forget"), at(FORM, console, people::forget))
        .route(&of("/history"), at(PAGE, console, audit_log::history))
        .route("/console/assets/{file}", get(assets::file))
        .route("/console/{*rest}", at(PAGE, console, nothing))
        .route("/console", get(async || Redirect::to(BASE)))
        .route("/", get(async || Redirect::to(BASE)))
        .layer(map_response(assets::guard))
}

async fn nothing(_: ConsoleRequest) -> Result<ConsoleResponse> {
    Err(Error::new(&codes::NOT_FOUND))
}

/// By which method a handler is asked, and whether by those only who are signed in.
type Door = (MethodFilter, bool);

const PAGE: Door = (MethodFilter::GET, true);
const FORM: Door = (MethodFilter::POST, true);
const OPEN_PAGE: Door = (MethodFilter::GET, false);
const OPEN_FORM: Door = (MethodFilter::POST, false);

fn at<F, Fut>((method, members): Door, console: &Arc<Console>, handler: F) -> MethodRouter
where
    F: Fn(ConsoleRequest) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<ConsoleResponse>> + Send + 'static,
{
    let console = console.clone();
    on(method, move |params: Params, request: Request| serve(console, params, request, members, handler))
}

async fn serve<F, Fut>(console: Arc<Console>, params: Params, request: Request, members: bool, handler: F) -> Response
where
    F: Fn(ConsoleRequest) -> Fut,
    Fut: Future<Output = Result<ConsoleResponse>> + Send + 'static,
{
    let changes = request.method() == Method::POST;
    let (request, layout) = match ConsoleRequest::of(console, params, request, members).await {
        Ok(request) => (request.0, request.1),
        Err(refused) => return *refused,
    };
    let handled = handler(request);
    // Whoever hangs up stops no change half-way.
    let outcome = if changes {
        tokio::spawn(handled).await.unwrap_or_else(|e| Err(Error::new(&codes::INTERNAL_ERROR).with_cause(e)))
    } else {
        handled.await
    };
    match outcome {
        Ok(answer) => answer.response(),
        Err(error) => response::problem(&error, layout),
    }
}
