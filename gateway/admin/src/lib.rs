//! The admin side, on a listener of its own: the console, the API, health, readiness, metrics, the actions' own description.
//!
//! Each room does one thing for a [`Caller`] and sees itself to whether they may; the API only reads requests and writes
//! answers. Health, metrics and the actions' description take no token: probes and scrapers have none, and there is no
//! secret and nothing of any person in them.

pub mod activity;
mod api;
pub mod audit;
mod caller;
mod console;
mod docs;
mod listener;
pub mod openapi;
pub mod plugins;
pub mod sessions;
mod state;
pub mod tenants;
pub mod timestamp;
pub mod tokens;
pub mod typescript;
pub mod users;
pub mod validation;
pub mod verify;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
pub use caller::{Caller, Permission, Role};
pub use listener::AdminListener;
use menlou_error::text::Language;
use serde_json::{Value, json};
pub use state::AdminState;
use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};

/// How long a store may take to answer the question whether it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many faulty tenants readiness tells of; it says how many there are, and the console shows all.
const FAULTY: usize = 100;

/// Serves until `stop` is ready and the requests in flight have ended.
pub async fn serve(
    listener: TcpListener,
    settings: AdminListener,
    state: Arc<AdminState>,
    stop: impl Future<Output = ()>,
) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file))
        .with_state(state.clone())
        .merge(console::router(state.clone(), settings.tls.is_some()))
        .merge(api::router(state));
    listener::serve(listener, settings, routes, stop).await;
}

/// 200 where calls can be served, 503 where a store is away or the gateway stops. Platforms that are away, faulty tenants
/// and refused plugins are told, and don't make the whole unready: the others serve, and so do sessions that are open.
async fn ready(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    let (sessions, users) =
        tokio::join!(timeout(PATIENCE, state.stores.ephemeral.ping()), timeout(PATIENCE, state.stores.users.ping()));
    let stopping = state.stopping.load(Ordering::Acquire);
    let ready = !stopping && matches!((&sessions, &users), (Ok(Ok(())), Ok(Ok(()))));
    let told = |outcome: Result<Result<(), menlou_store::Error>, _>| match outcome {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    let language = Language::for_operator();
    let faulty = state.registry.standing_after("", FAULTY, |_, standing, _| !standing.faults.is_empty());
    let faulty: serde_json::Map<String, Value> = faulty
        .into_iter()
        .map(|(name, standing)| {
            let faults: Vec<String> = standing.faults.iter().map(ToString::to_string).collect();
            (name, json!({ "serving": standing.serving, "faults": faults }))
        })
        .collect();
    let library = state.library.load();
    let loaded: Vec<Value> = library
        .plugins()
        .iter()
        .map(|p| json!({ "name": p.name, "version": p.version, "generation": p.generation }))
        .collect();
    let refused: Vec<Value> = library
        .rejected()
        .iter()
        .map(|r| json!({ "file": r.path.file_name().map(|n| n.to_string_lossy()), "why": r.why.text().get(language) }))
        .collect();
    let platforms: serde_json::Map<String, Value> = state
        .http
        .platforms()
        .standing()
        .into_iter()
        .map(|(origin, fault)| (origin, fault.unwrap_or_else(|| "ok".to_owned()).into()))
        .collect();
    let body = json!({
        "ready": ready,
        "stopping": stopping,
        "stores": { "sessions": told(sessions), "users": told(users) },
        "platforms": platforms,
        "tenants": { "serving": state.registry.len(), "with_faults": state.registry.faulty(), "faulty": faulty },
        "plugins": { "loaded": loaded, "refused": refused },
    });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

async fn metrics(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    // With many tenants that takes a while, which no call is to wait for.
    let told = move || {
        state.registry.flush_metrics();
        state.metrics.render()
    };
    match spawn_blocking(told).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
