//! Responses of the API. They are always JSON, and no other file of the API writes a status.

use aws_lc_rs::rand;
use axum::{
    body::Body,
    extract::Request,
    http::{
        HeaderValue, StatusCode,
        header::{
            ACCEPT_LANGUAGE, ALLOW, CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use menlou_error::text::Language;
use menlou_error::{Error, codes};
use menlou_server::layers::request_context::RequestContext;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// The result of a handler.
pub struct ApiResponse {
    status: StatusCode,
    body: String,
    etag: Option<String>,
}

/// The properties of a request that its response depends on.
pub struct ResponseContext {
    language: Language,
    id: String,
}

/// The body of every error response.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorBody {
    /// A stable error code: see gateway/ERRORS.md or menlou explain CODE.
    error: String,
    /// A message for people, in Chinese, or in English if Accept-Language prefers it.
    msg: String,
    /// Details. The errors of a tenant file are in the field faults.
    data: Map<String, Value>,
}

impl ApiResponse {
    /// 200 with this body.
    pub fn json(body: &impl Serialize) -> Self {
        // The types of the API always serialize.
        Self { status: StatusCode::OK, body: serde_json::to_string(body).unwrap_or_default(), etag: None }
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: String::new(), etag: None }
    }

    /// Sets the status 201.
    pub fn created(self) -> Self {
        Self { status: StatusCode::CREATED, ..self }
    }

    /// Adds the version as `ETag`.
    pub fn with_etag(self, version: impl std::fmt::Display) -> Self {
        Self { etag: Some(format!("\"{version}\"")), ..self }
    }

    /// Converts to the HTTP response.
    pub fn response(self, context: &ResponseContext) -> Response {
        let mut response = context.response(self.status, Body::from(self.body));
        if let Some(etag) = self.etag.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }
}

/// The response for an error.
pub fn error_response(error: Error, context: &ResponseContext) -> Response {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(cause) = error.cause() {
        tracing::warn!(request_id = context.id, error = error.code(), cause, "admin API request failed");
    }
    let body = ErrorBody {
        error: error.code().to_owned(),
        msg: error.meaning().get(context.language).to_owned(),
        data: error.data().and_then(Value::as_object).cloned().unwrap_or_default(),
    };
    let body = serde_json::to_string(&body).unwrap_or_default();
    let mut response = context.response(status, Body::from(body));
    let headers = response.headers_mut();
    if let Some(wait) = error.wait() {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1)));
    }
    if let Some(methods) = error.allow().and_then(|methods| HeaderValue::from_str(methods).ok()) {
        headers.insert(ALLOW, methods);
    }
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// The response to a request whose handler has panicked.
pub fn internal_error(context: &RequestContext) -> Response {
    let context = ResponseContext { language: context.language, id: context.id.to_string() };
    error_response(Error::new(&codes::INTERNAL_ERROR), &context)
}

impl ResponseContext {
    /// The context of a request.
    pub fn for_request(request: &Request) -> Self {
        let language = request.headers().get(ACCEPT_LANGUAGE).and_then(|header| header.to_str().ok());
        let mut id = [0; 8];
        // Without random numbers the id is zero, which is harmless.
        let _ = rand::fill(&mut id);
        Self { language: Language::from_accept_language(language.unwrap_or_default()), id: hex::encode(id) }
    }

    fn response(&self, status: StatusCode, body: Body) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
            let language = if self.language == Language::En { "en" } else { "zh-CN" };
            headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            headers.insert("x-request-id", id);
        }
        response
    }
}
