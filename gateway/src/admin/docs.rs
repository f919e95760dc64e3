//! `/openapi.json` and, for reading it, Swagger UI at `/docs`; `?tenant=f` is for one tenant's actions.

use super::{Desk, openapi};
use crate::action::Named;
use axum::{
    Json,
    extract::{Path, Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{Html, IntoResponse, Response},
};
use serde::Deserialize;
use std::sync::Arc;
use swagger_ui_redist::SwaggerUi;

/// Shows the document that the page's own query asks for. Nothing is sent from here: browsers let this page call no other
/// port than its own.
const PAGE: &str = r##"<!DOCTYPE html>
<html lang="zh-CN">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Menlou 门楼</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="docs"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({ url: 'openapi.json' + location.search, dom_id: '#docs', supportedSubmitMethods: [], validatorUrl: null })
</script>
</html>
"##;

/// Whose actions are asked for.
#[derive(Deserialize)]
pub struct Of {
    tenant: Option<String>,
}

/// `/openapi.json`: 404 for a tenant that doesn't serve.
pub async fn document(State(desk): State<Arc<Desk>>, Query(of): Query<Of>) -> Response {
    let Some(name) = of.tenant else {
        let library = desk.library.load();
        let actions = library.actions().map(Named::of);
        return Json(openapi::document(None, actions, desk.traffic)).into_response();
    };
    let Some(tenant) = desk.roster.find(&name) else {
        return (StatusCode::NOT_FOUND, "no such tenant serves\n").into_response();
    };
    let actions = tenant.actions().filter_map(|switched| {
        let action = switched.action.as_ref()?;
        Some(Named { name: &switched.name, access: action.access(), descriptor: action.descriptor() })
    });
    Json(openapi::document(Some(&tenant.name), actions, desk.traffic)).into_response()
}

/// `/docs`
pub async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// `/docs/…`: the files of Swagger UI, which are within the program.
pub async fn file(Path(name): Path<String>) -> Response {
    let Some((_, bytes)) = SwaggerUi::static_files().iter().find(|(file, _)| file.file_name() == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let media_type = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        _ => "image/png",
    };
    ([(CONTENT_TYPE, media_type)], *bytes).into_response()
}
