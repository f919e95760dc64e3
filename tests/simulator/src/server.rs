//! The HTTP server: connections, requests, responses and injected failures.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::control;
use crate::failure::{Failure, FailureKind};
use crate::page;
use crate::simulator::lock;
use crate::state::PlatformState;
use crate::wechat::{self, ApiRequest, EncodedResponse, Endpoint, WechatError};

/// Maximum number of connections. Further ones wait until one is closed.
const MAX_CONNECTIONS: usize = 8192;
/// Maximum size of a request body in bytes.
const MAX_BODY_SIZE: usize = 1024 * 1024;
/// Maximum time until the head of a request is complete.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum time until the body of a request is complete.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum time for which a call hangs.
const MAX_HANG: Duration = Duration::from_secs(600);

type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// Accepts connections until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, state: Arc<Mutex<PlatformState>>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // The semaphore is never closed, so the loop ends with the future only.
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let state = state.clone();
                tokio::spawn(async move {
                    serve_connection(stream, state).await;
                    drop(permit);
                });
            }
            // Probably no file descriptor is free. The pause lets connections end, instead of a busy loop.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, state: Arc<Mutex<PlatformState>>) {
    // Only an optimisation: without it, responses arrive later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(request, &state));
    // An error is a disconnected client or an injected failure.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The response to one request. An error closes the connection without a response.
async fn respond(request: Request<Incoming>, state: &Mutex<PlatformState>) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let limited = Limited::new(body, MAX_BODY_SIZE).collect();
    let body = match tokio::time::timeout(BODY_TIMEOUT, limited).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Ok(html(StatusCode::PAYLOAD_TOO_LARGE, "413 Payload Too Large"));
        }
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    if path == "/" {
        return Ok(html(StatusCode::OK, &page::start(&lock(state), &head)));
    }
    if let Some(name) = path.strip_prefix(control::PREFIX) {
        let (status, value) = control::handle(&mut lock(state), &head.method, name, query, &body);
        return Ok(response(status, "application/json", value.to_string().into()));
    }
    let request = ApiRequest {
        method: head.method.clone(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        body,
    };
    call_platform(state, path, &request).await
}

/// Calls a platform endpoint, with its injected failure if there is one.
async fn call_platform(
    state: &Mutex<PlatformState>,
    path: &str,
    request: &ApiRequest,
) -> Result<Response<Body>, io::Error> {
    let endpoint = wechat::endpoint(path);
    let failure = {
        let mut state = lock(state);
        state.count(endpoint.map_or(wechat::UNKNOWN_PATH, |endpoint| endpoint.path));
        state.failures.take(path)
    };
    let handle = || wechat::handle(&mut lock(state), endpoint, request);
    let Some(Failure { kind, after_effect }) = failure else {
        return Ok(encoded(handle()));
    };
    let handled = after_effect.then(handle);
    match kind {
        FailureKind::Errcode { errcode, errmsg } => Ok(encoded(injected_error(state, endpoint, errcode, errmsg))),
        // The delay is what the test or the developer asks for.
        FailureKind::Delay(delay) => {
            sleep(delay).await;
            Ok(encoded(handled.unwrap_or_else(handle)))
        }
        FailureKind::Hang => {
            sleep(MAX_HANG).await;
            Err(io::ErrorKind::TimedOut.into())
        }
        FailureKind::Drop => Err(io::ErrorKind::ConnectionAborted.into()),
        FailureKind::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(html(status, &page::proxy_error(status)))
        }
        FailureKind::Truncate => Ok(truncated(handled.unwrap_or_else(handle))),
    }
}

fn injected_error(
    state: &Mutex<PlatformState>,
    endpoint: Option<&Endpoint>,
    errcode: i64,
    errmsg: Option<String>,
) -> EncodedResponse {
    let error = match errmsg {
        Some(errmsg) => WechatError::with_text(errcode, errmsg),
        None => WechatError::new(errcode),
    };
    wechat::encode_error(&lock(state), endpoint, &error)
}

fn encoded(encoded: EncodedResponse) -> Response<Body> {
    response(StatusCode::OK, encoded.content_type, encoded.body)
}

fn html(status: StatusCode, page: &str) -> Response<Body> {
    let body = Bytes::copy_from_slice(page.as_bytes());
    response(status, "text/html; charset=utf-8", body)
}

fn response(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A response that announces its full length, sends the first half and closes the connection.
fn truncated(encoded: EncodedResponse) -> Response<Body> {
    let whole = encoded.body;
    let half = Ok(Frame::data(whole.slice(..whole.len() / 2)));
    let end = async {
        // hyper discards unwritten data when a body fails. The yield lets hyper write first.
        tokio::task::yield_now().await;
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    let frames = stream::iter([half]).chain(stream::once(end)).boxed();
    let mut response = Response::new(Either::Right(StreamBody::new(frames)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, whole.len().into());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(encoded.content_type));
    response
}
