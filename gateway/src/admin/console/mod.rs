//! The web console: pages made on the server, which do what the API does, by the same functions and for the same roles.
//! Each works without JavaScript; htmx only saves the way to a whole new page.

mod actions;
mod answer;
mod assets;
mod fields;
mod frame;
mod kinds;
mod new;
mod overview;
mod people;
mod plot;
mod plugins;
mod records;
mod settings;
mod sign_in;
mod sittings;
mod tenant;
mod visit;

use super::desk::Desk;
use crate::error::{Error, Result, words};
use answer::Answer;
use axum::{
    Router,
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    http::Method,
    middleware::map_response,
    response::{Redirect, Response},
    routing::{MethodRouter, get},
};
use sittings::Sittings;
use std::{future::Future, sync::Arc};
use visit::Visit;

/// Where the console stands.
const BASE: &str = "/console/";

/// The parameters of a path, where it is one of text.
type Params = std::result::Result<RawPathParams, RawPathParamsRejection>;

/// What the pages share.
struct Console {
    desk: Arc<Desk>,
    sittings: Sittings,
    /// Whether browsers are spoken to by TLS.
    secure: bool,
}

/// The pages.
pub fn router(desk: Arc<Desk>, secure: bool) -> Router {
    let console = &Arc::new(Console { desk, sittings: Sittings::new(), secure });
    let of = |rest: &str| format!("/console/tenants/{{tenant}}{rest}");
    Router::new()
        .route("/console/", page(console, overview::show))
        .route("/console/sign-in", open(console, sign_in::show).merge(open_form(console, sign_in::enter)))
        .route("/console/sign-out", form(console, sign_in::leave))
        .route("/console/language", open_form(console, sign_in::speak))
        .route("/console/plugins", page(console, plugins::show))
        .route("/console/audit", page(console, records::audit))
        .route("/console/new", page(console, new::show).merge(form(console, new::make)))
        .route("/console/new/check", form(console, new::check))
        .route(&of(""), page(console, tenant::show))
        .route(&of("/verify"), form(console, tenant::verify))
        .route(&of("/remove"), form(console, tenant::remove))
        .route(&of("/settings"), page(console, settings::show).merge(form(console, settings::save)))
        .route(&of("/check"), form(console, settings::check))
        .route(&of("/secret"), form(console, settings::change_secret))
        .route(&of("/actions"), page(console, actions::list))
        .route(&of("/switch-on"), page(console, actions::choose).merge(form(console, actions::switch_on)))
        .route(&of("/actions/{action}"), page(console, actions::show).merge(form(console, actions::save)))
        .route(&of("/actions/{action}/off"), form(console, actions::switch_off))
        .route(&of("/people"), page(console, people::show))
        .route(&of("/people/end"), form(console, people::end))
        .route(&of("/people/forget"), form(console, people::forget))
        .route(&of("/history"), page(console, records::history))
        .route("/console/assets/{file}", get(assets::file))
        .route("/console/{*rest}", page(console, nothing))
        .route("/console", get(async || Redirect::to(BASE)))
        .route("/", get(async || Redirect::to(BASE)))
        .layer(map_response(assets::guard))
}

async fn nothing(_: Visit) -> Result<Answer> {
    Err(Error::new(&words::NOT_FOUND))
}

/// A page for those who are signed in.
fn page<F, Fut>(console: &Arc<Console>, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer>> + Send + 'static,
{
    let console = console.clone();
    get(move |params: Params, request: Request| serve(console, params, request, true, handler))
}

/// A form of those who are signed in.
fn form<F, Fut>(console: &Arc<Console>, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer>> + Send + 'static,
{
    let console = console.clone();
    axum::routing::post(move |params: Params, request: Request| serve(console, params, request, true, handler))
}

/// A page for everyone.
fn open<F, Fut>(console: &Arc<Console>, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer>> + Send + 'static,
{
    let console = console.clone();
    get(move |params: Params, request: Request| serve(console, params, request, false, handler))
}

/// A form for everyone.
fn open_form<F, Fut>(console: &Arc<Console>, handler: F) -> MethodRouter
where
    F: Fn(Visit) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Answer>> + Send + 'static,
{
    let console = console.clone();
    axum::routing::post(move |params: Params, request: Request| serve(console, params, request, false, handler))
}

async fn serve<F, Fut>(console: Arc<Console>, params: Params, request: Request, members: bool, handler: F) -> Response
where
    F: Fn(Visit) -> Fut,
    Fut: Future<Output = Result<Answer>> + Send + 'static,
{
    let changes = request.method() == Method::POST;
    let (visit, frame) = match Visit::of(console, params, request, members).await {
        Ok(visit) => (visit.0, visit.1),
        Err(refused) => return *refused,
    };
    let handled = handler(visit);
    // Whoever hangs up stops no change half-way.
    let outcome = if changes {
        tokio::spawn(handled).await.unwrap_or_else(|e| Err(Error::new(&words::INTERNAL_ERROR).because(e)))
    } else {
        handled.await
    };
    match outcome {
        Ok(answer) => answer.response(),
        Err(error) => answer::problem(&error, frame),
    }
}
