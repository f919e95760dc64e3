//! `/openapi.json` and Swagger UI at `/docs`. The query `?tenant=NAME` selects one tenant's actions.

use super::{openapi, state::AdminState};
use axum::{
    Json,
    extract::{Path, Query, State},
    http::{
        StatusCode,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    },
    response::{Html, IntoResponse, Response},
};
use menlou_action::NamedAction;
use serde::Deserialize;
use std::sync::Arc;
use swagger_ui_redist::SwaggerUi;

const SCRIPT_TYPE: &str = "text/javascript; charset=utf-8";

/// The page.
const PAGE: &str = include_str!("docs/page.html");
/// The script that loads the document into Swagger UI.
const SCRIPT: &str = include_str!("docs/show.js");
/// The page loads nothing from other origins and cannot be framed. Swagger UI needs inline styles and data URLs.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The query of `/openapi.json`.
#[derive(Deserialize)]
pub struct DocumentQuery {
    tenant: Option<String>,
}

/// `GET /openapi.json`. 404 if the tenant is not serving.
pub async fn document(State(state): State<Arc<AdminState>>, Query(query): Query<DocumentQuery>) -> Response {
    let Some(name) = query.tenant else {
        let library = state.library.load();
        let actions = library.actions().map(NamedAction::new);
        return Json(openapi::document(None, actions, state.traffic_addr)).into_response();
    };
    let Some(tenant) = state.registry.find(&name) else {
        return (StatusCode::NOT_FOUND, "no such tenant is serving\n").into_response();
    };
    let actions = tenant.actions().filter_map(|tenant_action| {
        let action = tenant_action.action.as_ref()?;
        Some(NamedAction { name: &tenant_action.name, access: action.access(), descriptor: action.descriptor() })
    });
    Json(openapi::document(Some(&tenant.name), actions, state.traffic_addr)).into_response()
}

/// `GET /docs`
pub async fn page() -> impl IntoResponse {
    ([(CONTENT_SECURITY_POLICY, CONTENT_POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff")], Html(PAGE))
}

/// `GET /docs/{file}`: the page's script and the files of Swagger UI, which are part of the binary.
pub async fn file(Path(name): Path<String>) -> Response {
    if name == "show.js" {
        return ([(CONTENT_TYPE, SCRIPT_TYPE)], SCRIPT).into_response();
    }
    let Some((_, bytes)) = SwaggerUi::static_files().iter().find(|(file, _)| file.file_name() == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let media_type = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => SCRIPT_TYPE,
        _ => "image/png",
    };
    ([(CONTENT_TYPE, media_type)], *bytes).into_response()
}
