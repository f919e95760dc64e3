//! `/readyz` and `/metrics`.

use super::state::AdminState;
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};
use menlou_error::text::{Language, Text};
use serde_json::{Map, Value, json};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// Timeout of the ping of each store.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// Maximum number of invalid tenants that readiness lists. It also returns their total number; the console shows all.
const MAX_LISTED_TENANTS: usize = 100;

/// `GET /readyz`: 200 if requests can be served, 503 if a store cannot be written, no plugin or no tenant's folder could be
/// loaded, or the gateway is shutting down; `problems` says what is wrong. Unavailable platforms, invalid tenants and some
/// rejected plugins are listed and do not make the gateway unready, because all other tenants and open sessions are still
/// served.
pub async fn readiness(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    let (sessions, users) = tokio::join!(
        timeout(STORE_TIMEOUT, state.stores.ephemeral.ping()),
        timeout(STORE_TIMEOUT, state.stores.users.ping())
    );
    let stopping = state.stopping.load(Ordering::Acquire);
    let store_status = |outcome: Result<Result<(), menlou_store::Error>, _>| match outcome {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(e)) => e.to_string(),
        Err(_) => "timeout".to_owned(),
    };
    let stores = [("sessions", store_status(sessions)), ("users", store_status(users))];
    let problems = problems(&state, &stores);
    state.readiness_log.note(&problems);
    let ready = !stopping && problems.is_empty();
    let [(_, sessions), (_, users)] = stores;
    let language = Language::for_operator();
    let invalid = state.registry.statuses_after("", MAX_LISTED_TENANTS, |_, status, _| !status.errors.is_empty());
    let invalid: Map<String, Value> = invalid
        .into_iter()
        .map(|(name, status)| {
            let errors: Vec<String> = status.errors.iter().map(ToString::to_string).collect();
            (name, json!({ "serving": status.serving, "faults": errors }))
        })
        .collect();
    let library = state.library.load();
    let loaded: Vec<Value> = library
        .plugins()
        .iter()
        .map(|p| json!({ "name": p.name, "version": p.version, "generation": p.generation }))
        .collect();
    let rejected: Vec<Value> = library
        .rejected()
        .iter()
        .map(|r| json!({ "file": r.path.file_name().map(|n| n.to_string_lossy()), "why": r.why.text().get(language) }))
        .collect();
    let platforms: Map<String, Value> = state
        .http
        .circuits()
        .status()
        .into_iter()
        .map(|(origin, error)| (origin, error.unwrap_or_else(|| "ok".to_owned()).into()))
        .collect();
    let body = json!({
        "ready": ready,
        "stopping": stopping,
        "problems": problems,
        "stores": { "sessions": sessions, "users": users },
        "platforms": platforms,
        "tenants": { "serving": state.registry.len(), "invalid": state.registry.invalid_count(), "errors": invalid },
        "plugins": { "loaded": loaded, "rejected": rejected },
    });
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(body))
}

/// Why requests cannot be served, in the operator's language.
fn problems(state: &AdminState, stores: &[(&str, String); 2]) -> Vec<String> {
    let language = Language::for_operator();
    let mut problems: Vec<String> = Vec::new();
    for (name, status) in stores.iter().filter(|(_, status)| status != "ok") {
        let text = Text::new(
            format!("存储（{name}）不可用：{status}"),
            format!("the store of {name} is unavailable: {status}"),
        );
        problems.push(text.get(language).to_owned());
    }
    let library = state.library.load();
    if library.plugins().is_empty() && !library.rejected().is_empty() {
        let text = Text::fixed(
            "所有插件都被拒绝：原因见 plugins.rejected",
            "every plugin was rejected: plugins.rejected says why",
        );
        problems.push(text.get(language).to_owned());
    }
    // Tenants that are served stay so when their folder vanishes.
    if state.registry.is_empty() {
        let folder = state.tenants_folder.display().to_string();
        let errors =
            state.registry.statuses_after("", 1, |name, status, _| name == folder && !status.errors.is_empty());
        let errors = errors.iter().flat_map(|(_, status)| &status.errors);
        problems.extend(errors.map(|error| format!("{}: {}", error.at(), error.text.get(language))));
    }
    problems
}

/// `GET /metrics`
pub async fn metrics(State(state): State<Arc<AdminState>>) -> impl IntoResponse {
    // On a blocking thread: with many tenants rendering takes so long that it would delay requests.
    let render = move || {
        state.registry.flush_metrics();
        (state.render_metrics)()
    };
    match spawn_blocking(render).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
