//! The admin side, on a listener of its own: health, readiness, metrics, the actions' own description.

mod docs;
pub mod openapi;
pub mod typescript;

use crate::{action::Library, store::Stores, tenant::Roster, text::Language};
use arc_swap::ArcSwap;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, time::timeout};

/// How long a store may take to answer the question whether it is there.
const PATIENCE: Duration = Duration::from_secs(1);

/// What readiness is told from.
#[derive(Clone)]
pub struct Health {
    /// The tenants.
    pub roster: Arc<Roster>,
    /// The plugins.
    pub library: Arc<ArcSwap<Library>>,
    /// The stores.
    pub stores: Stores,
    /// What was counted.
    pub metrics: PrometheusHandle,
    /// Where the traffic side listens.
    pub traffic: SocketAddr,
    /// Whether the gateway was told to stop.
    pub stopping: Arc<AtomicBool>,
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, health: Health) {
    let routes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file))
        .with_state(health);
    if let Err(e) = axum::serve(listener, routes).await {
        tracing::error!(cause = %e, "the admin side ended");
    }
}

/// 200 where calls can be served, 503 where a store is away or the gateway stops. Faulty tenants and refused plugins are told, and don't
/// make the whole unready: the others serve.
async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let (sessions, users) =
        tokio::join!(timeout(PATIENCE, health.stores.shared.ping()), timeout(PATIENCE, health.stores.users.ping()));
    let stopping = health.stopping.load(Ordering::Acquire);
    let ready = !stopping && matches!((&sessions, &users), (Ok(Ok(())), Ok(Ok(()))));
    let told = |outcome: Result<Result<(), crate::store::Error>, _>| match outcome {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "no answer".to_owned(),
    };
    let language = Language::of_operator();
    let faulty: serde_json::Map<String, Value> = health
        .roster
        .standing()
        .into_iter()
        .filter(|(_, standing)| !standing.faults.is_empty())
        .map(|(name, standing)| {
            let faults: Vec<String> = standing.faults.iter().map(ToString::to_string).collect();
            (name, json!({ "serving": standing.serving, "faults": faults }))
        })
        .collect();
    let library = health.library.load();
    let loaded: Vec<Value> = library
        .plugins()
        .iter()
        .map(|p| json!({ "name": p.name, "version": p.version, "generation": p.generation }))
        .collect();
    let refused: Vec<Value> = library
        .refused()
        .iter()
        .map(|r| json!({ "file": r.path.file_name().map(|n| n.to_string_lossy()), "why": r.why.text().get(language) }))
        .collect();
    let body = json!({
        "ready": ready,
        "stopping": stopping,
        "stores": { "sessions": told(sessions), "users": told(users) },
        "tenants": { "serving": health.roster.len(), "faulty": faulty },
        "plugins": { "loaded": loaded, "refused": refused },
    });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], health.metrics.render())
}
