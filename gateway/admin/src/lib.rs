//! The admin side: the API, the web console, health, readiness and metrics, and the documentation of the actions.
//!
//! Each module of operations (`tenants`, `sessions`, `users`, …) performs one kind of operation for a [`Caller`] and checks
//! the caller's permissions itself. The API and the console only translate requests and responses. Health, readiness,
//! metrics and the documentation of actions require no token, because probes and scrapers have none; they contain neither
//! secrets nor personal data.
//!
//! Left to others: listening and the layers around the handlers (`menlou-server`), tenant files (`menlou-tenant`), storage
//! (`menlou-store`).

pub mod activity;
mod api;
pub mod audit;
mod audit_retention;
pub mod bilingual;
mod caller;
pub mod config_errors;
mod console;
mod docs;
mod host_check;
mod listener;
mod monitoring;
pub mod openapi;
mod path_params;
pub mod plugins;
pub mod readiness_log;
mod sessions;
pub mod settings_tree;
mod state;
mod tenant_files;
pub mod tenants;
pub mod timestamp;
pub mod tokens;
pub mod typescript;
pub mod users;
pub mod validation;
pub mod verify;
mod work_limits;

pub use audit_retention::AuditRetention;
use axum::{Router, middleware::from_fn_with_state, routing::get};
pub use caller::{Caller, Permission, Role};
pub use host_check::AllowedHosts;
pub use listener::AdminListener;
pub use readiness_log::ReadinessLog;
pub use state::AdminState;
use std::{future::Future, sync::Arc};
use tokio::net::TcpListener;
pub use work_limits::WorkLimits;

/// Serves the admin side to these hosts until `stop` is ready and the requests in flight have ended.
pub async fn serve(
    listener: TcpListener,
    settings: AdminListener,
    hosts: AllowedHosts,
    state: Arc<AdminState>,
    stop: impl Future<Output = ()>,
) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(monitoring::readiness))
        .route("/metrics", get(monitoring::metrics))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file))
        .with_state(state.clone())
        .merge(console::router(state.clone(), settings.tls.is_some()))
        .merge(api::router(state))
        .layer(from_fn_with_state(Arc::new(hosts), host_check::check));
    listener::serve(listener, settings, routes, stop).await;
}
