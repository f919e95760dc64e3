//! Serving: connections, requests in, answers and ordered failures out.

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
use crate::failure::{Failure, Kind};
use crate::page;
use crate::simulator::lock;
use crate::wechat::{self, Call, Encoded, Endpoint, WechatError};
use crate::world::World;

/// Connections beyond this number wait until one is closed.
const MOST_CONNECTIONS: usize = 8192;
/// Bodies beyond this size are refused.
const LARGEST_BODY: usize = 1024 * 1024;
/// A connection that sends no request head for this long is closed.
const HEAD_WITHIN: Duration = Duration::from_secs(60);
/// A request whose body is not there by then is dropped.
const BODY_WITHIN: Duration = Duration::from_secs(30);
/// A call that hangs is dropped after this time.
const LONGEST_HANG: Duration = Duration::from_secs(600);

type Body = Either<Full<Bytes>, StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>>;

/// Accepts connections until the future is dropped.
pub(crate) async fn serve(listener: TcpListener, world: Arc<Mutex<World>>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    // The semaphore is never closed; were it, there would be nothing more to serve.
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let world = world.clone();
                tokio::spawn(async move {
                    serve_connection(stream, world).await;
                    drop(place);
                });
            }
            // Out of file descriptors, most likely: let some connections end.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve_connection(stream: TcpStream, world: Arc<Mutex<World>>) {
    // A hint to the kernel: without it, answers only come later.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| respond(request, &world));
    // An error is a client that hung up, or a failure that was ordered.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// The answer to one request; an error closes the connection without one.
async fn respond(request: Request<Incoming>, world: &Mutex<World>) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let limited = Limited::new(body, LARGEST_BODY).collect();
    let body = match tokio::time::timeout(BODY_WITHIN, limited).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return Ok(html(StatusCode::PAYLOAD_TOO_LARGE, "413 Payload Too Large"));
        }
        Err(_) => return Err(io::ErrorKind::TimedOut.into()),
    };
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    if path == "/" {
        return Ok(html(StatusCode::OK, &page::start(&lock(world), &head)));
    }
    if let Some(name) = path.strip_prefix(control::PREFIX) {
        let (status, value) = control::control(&mut lock(world), &head.method, name, query, &body);
        return Ok(response(status, "application/json", value.to_string().into()));
    }
    let call = Call {
        method: head.method.clone(),
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        body,
    };
    call_platform(world, path, &call).await
}

/// A call of the platform, with the failure that it is due.
async fn call_platform(world: &Mutex<World>, path: &str, call: &Call) -> Result<Response<Body>, io::Error> {
    let endpoint = wechat::endpoint(path);
    let failure = {
        let mut world = lock(world);
        world.count(endpoint.map_or(wechat::UNKNOWN_PATH, |endpoint| endpoint.path));
        world.failures.due(path)
    };
    let work = || wechat::answer(&mut lock(world), endpoint, call);
    let Some(Failure { kind, after_effect }) = failure else {
        return Ok(encoded(work()));
    };
    let done = after_effect.then(work);
    match kind {
        Kind::Errcode { errcode, errmsg } => Ok(encoded(ordered_fault(world, endpoint, errcode, errmsg))),
        Kind::Delay(by) => {
            sleep(by).await;
            Ok(encoded(done.unwrap_or_else(work)))
        }
        Kind::Hang => {
            sleep(LONGEST_HANG).await;
            Err(io::ErrorKind::TimedOut.into())
        }
        Kind::Drop => Err(io::ErrorKind::ConnectionAborted.into()),
        Kind::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Ok(html(status, &page::proxy_error(status)))
        }
        Kind::Truncate => Ok(truncated(done.unwrap_or_else(work))),
    }
}

fn ordered_fault(world: &Mutex<World>, endpoint: Option<&Endpoint>, errcode: i64, errmsg: Option<String>) -> Encoded {
    let fault = match errmsg {
        Some(errmsg) => WechatError::with_text(errcode, errmsg),
        None => WechatError::new(errcode),
    };
    wechat::encode_error(&lock(world), endpoint, &fault)
}

fn encoded(encoded: Encoded) -> Response<Body> {
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

/// The whole answer announced, the first half of it sent, the connection closed.
fn truncated(encoded: Encoded) -> Response<Body> {
    let whole = encoded.body;
    let half = Ok(Frame::data(whole.slice(..whole.len() / 2)));
    let end = async {
        // hyper forgets what it has not written yet when a body fails: let it write first.
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
