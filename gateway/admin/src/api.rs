//! The admin API at `/api/v1`. The router, the OpenAPI document and the permission tests derive from one table of routes.

mod document;
mod handlers;
mod request;
mod response;
mod routes;

use super::{
    path_params::{PathParams, RawParams},
    state::AdminState,
    tokens::authenticate,
};
use axum::{
    Router,
    body::to_bytes,
    extract::Request,
    http::Method,
    response::Response,
    routing::{MethodRouter, on},
};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_server::layers::request_context::RequestContext;
use request::{ApiRequest, bearer_token};
pub use response::internal_error;
pub use response::{ResponseContext, error_response};
use routes::{BASE, Route};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Maximum size of a request body, in bytes.
const MAX_BODY: usize = 256 * 1024;
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a handler may take.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(40);

/// The router of the API.
pub fn router(state: Arc<AdminState>) -> Router {
    let mut router = Router::new();
    for (path, routes) in routes::by_path() {
        let mut methods = MethodRouter::new();
        for route in &routes {
            let (state, route) = (state.clone(), *route);
            let serve = move |params: RawParams, request: Request| serve(state, route, params, request);
            methods = methods.merge(on(route.method, serve));
        }
        let allowed = routes.iter().map(|route| route.method_name()).collect::<Vec<_>>().join(", ");
        methods = methods.fallback(async move |request: Request| {
            let text = Text::new(format!("请使用 {allowed}"), format!("Use {allowed}."));
            error_response(
                Error::new(&codes::WRONG_HTTP_METHOD).with_message(text).allowing(allowed),
                &ResponseContext::for_request(&request),
            )
        });
        router = router.route(&format!("{BASE}{path}"), methods);
    }
    let not_found = async |request: Request| {
        let text = Text::fixed(
            "管理接口没有这个地址，见 /api/v1/openapi.json",
            "the admin API has no such path; see /api/v1/openapi.json",
        );
        error_response(Error::new(&codes::NOT_FOUND).with_message(text), &ResponseContext::for_request(&request))
    };
    router
        .route(&format!("{BASE}/openapi.json"), axum::routing::get(async || axum::Json(document::document())))
        .route(BASE, axum::routing::any(not_found))
        .route(&format!("{BASE}/{{*rest}}"), axum::routing::any(not_found))
}

async fn serve(state: Arc<AdminState>, route: &'static Route, params: RawParams, request: Request) -> Response {
    let context = ResponseContext::for_request(&request);
    let outcome = match read_request(state, route, params, request).await {
        Ok(request) => {
            let handled = timeout(HANDLER_TIMEOUT, (route.handler)(request));
            // A change runs in a task of its own, so that it completes even if the client disconnects.
            let done = match route.method() {
                // A check changes nothing: it ends when the client disconnects.
                Method::GET => handled.await,
                _ if route.id == "checkTenant" => handled.await,
                _ => match tokio::spawn(handled).await {
                    Ok(done) => done,
                    Err(e) => Ok(Err(Error::new(&codes::INTERNAL_ERROR).with_cause(e))),
                },
            };
            done.unwrap_or_else(|_| Err(Error::new(&codes::CALL_TIMEOUT)))
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(response) => response.response(&context),
        Err(error) => error_response(error, &context),
    }
}

/// Authenticates the caller, then reads the body: the body of an unauthenticated request is not read.
async fn read_request(
    state: Arc<AdminState>,
    route: &'static Route,
    params: RawParams,
    request: Request,
) -> Result<ApiRequest> {
    let (head, body) = request.into_parts();
    let remote = RequestContext::from_extensions(&head.extensions, &head.headers).client;
    let token = bearer_token(&head.headers);
    let caller = authenticate(&*state.stores.admins, &state.failed_attempts, token.as_ref(), remote).await?;
    let path = PathParams::parse(params)?;
    let body = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text = Text::fixed(
                "请求体过大（上限 256 KiB）或不完整",
                "the request body is larger than 256 KiB or incomplete",
            );
            return Err(Error::new(&codes::BODY_TOO_LARGE).with_message(text));
        }
        Err(_) => return Err(Error::new(&codes::REQUEST_TIMEOUT)),
    };
    route.body.check(&head.headers, &body)?;
    Ok(ApiRequest { state, caller, path, uri: head.uri, headers: head.headers, body })
}
