//! `/api/v1`: one table of routes, from which come the router, the OpenAPI document and the tests of who may what.

mod document;
mod handlers;
mod request;
mod response;
mod routes;

use super::{state::AdminState, tokens::authenticate};
use axum::{
    Router,
    body::to_bytes,
    extract::{RawPathParams, Request, rejection::RawPathParamsRejection},
    http::Method,
    response::Response,
    routing::{MethodRouter, on},
};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_server::layers::request_context::RequestContext;
use request::{ApiRequest, token};
pub use response::internal_error;
use response::{ResponseContext, failure};
use routes::Route;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// Where it all stands.
const BASE: &str = "/api/v1";
/// The largest body that is read, bytes.
const LARGEST: usize = 256 * 1024;
/// How long a client may take to send a body.
const BODY: Duration = Duration::from_secs(10);
/// How long a request may take from then on.
const CALL: Duration = Duration::from_secs(40);

/// The parameters of a path, where it is one of text.
type Params = std::result::Result<RawPathParams, RawPathParamsRejection>;

/// The routes of the API.
pub fn router(state: Arc<AdminState>) -> Router {
    let mut router = Router::new();
    for (path, methods) in routes::by_path() {
        let mut all = MethodRouter::new();
        for route in &methods {
            let (state, route) = (state.clone(), *route);
            let serve = move |params: Params, request: Request| serve(state, route, params, request);
            all = all.merge(on(route.method, serve));
        }
        let allowed = methods.iter().map(|route| route.name()).collect::<Vec<_>>().join(", ");
        all = all.fallback(async move |request: Request| {
            let text = Text::new(format!("请使用 {allowed}"), format!("Use {allowed}."));
            failure(
                Error::new(&codes::WRONG_HTTP_METHOD).with_message(text).allowing(allowed),
                &ResponseContext::of(&request),
            )
        });
        router = router.route(&format!("{BASE}{path}"), all);
    }
    let nothing = async |request: Request| {
        let text = Text::fixed(
            "管理接口没有这个路径，见 /api/v1/openapi.json",
            "the admin API has no such address; see /api/v1/openapi.json",
        );
        failure(Error::new(&codes::NOT_FOUND).with_message(text), &ResponseContext::of(&request))
    };
    router
        .route(&format!("{BASE}/openapi.json"), axum::routing::get(async || axum::Json(document::document())))
        .route(BASE, axum::routing::any(nothing))
        .route(&format!("{BASE}/{{*rest}}"), axum::routing::any(nothing))
}

async fn serve(state: Arc<AdminState>, route: &'static Route, params: Params, request: Request) -> Response {
    let spoken = ResponseContext::of(&request);
    let outcome = match asked(state, route, params, request).await {
        Ok(asked) => {
            let handled = timeout(CALL, (route.handler)(asked));
            // Whoever hangs up stops no change half-way.
            let done = match route.method() {
                Method::GET => handled.await,
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
        Ok(given) => given.response(&spoken),
        Err(error) => failure(error, &spoken),
    }
}

/// Who asks is told first: nobody else's body is read.
async fn asked(state: Arc<AdminState>, route: &'static Route, params: Params, request: Request) -> Result<ApiRequest> {
    let (head, body) = request.into_parts();
    let remote = RequestContext::from_extensions(&head.extensions, &head.headers).client;
    let token = token(&head.headers);
    let caller = authenticate(&*state.stores.admins, &state.failed_attempts, token.as_ref(), remote).await?;
    let unreadable = |_| {
        let text = Text::fixed("地址不是 UTF-8", "the path is not UTF-8");
        Error::new(&codes::BAD_PARAMETER).with_message(text)
    };
    let params = params.map_err(unreadable)?;
    let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let body = match timeout(BODY, to_bytes(body, LARGEST)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            let text =
                Text::fixed("请求体过大（上限 256 KiB）或不完整", "the body is larger than 256 KiB, or not whole");
            return Err(Error::new(&codes::BODY_TOO_LARGE).with_message(text));
        }
        Err(_) => return Err(Error::new(&codes::REQUEST_TIMEOUT)),
    };
    route.body.accepts(&head.headers, &body)?;
    Ok(ApiRequest { state, caller, path, uri: head.uri, headers: head.headers, body })
}
