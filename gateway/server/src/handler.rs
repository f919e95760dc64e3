//! The life of a request inside the layers: decode → tenant → policy → action → encode.

use crate::{
    compress, cors,
    decode::{self, Input, RouteTarget},
    encode, forwarded,
    layers::{admission::RejectOverloaded, request_context::RequestContext},
    outcome::RequestOutcome,
    request_body::{BodyProgress, RequestBody},
    response_body::ResponseBody,
    traffic::TrafficState,
};
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{HOST, ORIGIN},
    request::Parts,
};
use http_body_util::BodyExt;
use http_guard::TransferDeadline;
use hyper::body::{Body, Bytes};
use menlou_call::{Reply, UnreadBody};
use menlou_error::{Error, Result, codes, text::Text};
use menlou_policy::Access;
use menlou_tenant::Tenant;
use std::{
    convert::Infallible,
    fmt::Display,
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Service};

/// Answers requests of the traffic port. Clones share their state.
#[derive(Clone)]
pub struct Handler {
    traffic: Arc<TrafficState>,
}

impl Handler {
    /// Serves the tenants of `traffic`.
    pub fn new(traffic: Arc<TrafficState>) -> Self {
        Self { traffic }
    }
}

impl<B> Service<Request<B>> for Handler
where
    B: Body<Data = Bytes, Error: Display + Into<BoxError>> + Unpin + Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    // Boxed, because a kept connection holds space for its service's future while it is idle too.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(handle(self.traffic.clone(), request))
    }
}

impl RejectOverloaded for TrafficState {
    /// 503. The tenant's pages may read it, and CORS preflights are answered as ever, which costs no more.
    fn reject(&self, head: Parts) -> Response<ResponseBody> {
        let context = RequestContext::from_extensions(&head.extensions, &head.headers);
        let overloaded = encode::error(&Error::new(&codes::OVERLOADED), &context);
        let Some(origin) = head.headers.get(ORIGIN).cloned() else { return overloaded };
        let Ok(target) = RouteTarget::parse(&head.uri) else { return overloaded };
        let Some(tenant) = self.registry.find(&target.tenant) else { return overloaded };
        let Some(cors) = &tenant.cors else { return overloaded };
        let mut response = match cors::preflight(&context, &head, Some(cors), || methods(&tenant, &target.action)) {
            Ok(preflight) => preflight.unwrap_or(overloaded),
            Err(error) => encode::error(&error, &context),
        };
        cors::set_headers(response.headers_mut(), cors, Some(origin));
        response
    }
}

async fn handle<B>(traffic: Arc<TrafficState>, mut request: Request<B>) -> Result<Response<ResponseBody>, Infallible>
where
    B: Body<Data = Bytes, Error: Display + Into<BoxError>> + Unpin + Send + 'static,
{
    let context = request.extensions_mut().remove::<RequestContext>();
    let context = context.unwrap_or_else(|| RequestContext::from_extensions(request.extensions(), request.headers()));
    let mut outcome = RequestOutcome::default();
    let origin = request.headers().get(ORIGIN).cloned();
    let (mut response, error) = match dispatch(&traffic, &context, request, &mut outcome).await {
        Ok(response) => (response, None),
        Err(error) => (encode::error(&error, &context), Some(error)),
    };
    if let Some(limits) = outcome.rate_limit_headers() {
        encode::rate_limit_headers(&mut response, &limits);
    }
    if let Some(cors) = outcome.cors() {
        cors::set_headers(response.headers_mut(), cors, origin);
    }
    let took = context.received.elapsed();
    outcome.count(response.status().as_u16(), error.as_ref(), took, &context.id);
    if traffic.access_log.load(Ordering::Relaxed) {
        outcome.log_access(&context, response.status().as_u16(), error.as_ref(), took);
    } else if let Some(error) = &error {
        outcome.log_cause(&context, error);
    }
    if let Some(permit) = outcome.permit.into_permit() {
        response.body_mut().hold(permit);
    }
    Ok(response)
}

async fn dispatch<B>(
    traffic: &TrafficState,
    context: &RequestContext,
    request: Request<B>,
    outcome: &mut RequestOutcome,
) -> Result<Response<ResponseBody>>
where
    B: Body<Data = Bytes, Error: Display + Into<BoxError>> + Unpin + Send + 'static,
{
    let TrafficState { limits, clients, .. } = traffic;
    let deadline = context.received + clients.request_timeout.get();
    let (mut head, body) = request.into_parts();
    if !has_one_host(&head) {
        return Err(Error::new(&codes::BAD_REQUEST));
    }
    // The guard has rejected such a target in HTTP/1. Servers disagree about its encoding.
    if !head.uri.path_and_query().is_none_or(|target| target.as_str().bytes().all(|b| matches!(b, 0x21..=0x7e))) {
        let detail = Text::fixed(
            "URL 中的非 ASCII 字符须做百分号编码（encodeURIComponent）",
            "Characters of the URL that are not ASCII must be percent-encoded (encodeURIComponent).",
        );
        return Err(Error::new(&codes::BAD_REQUEST).with_detail(detail));
    }
    let length = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if length > clients.max_uri_length.bytes() {
        return Err(Error::new(&codes::URI_TOO_LONG));
    }
    let target = RouteTarget::parse(&head.uri)?;
    let RequestOutcome { tenant, action_at, permit } = outcome;
    let tenant =
        &**tenant.insert(traffic.registry.find(&target.tenant).ok_or_else(|| Error::new(&codes::UNKNOWN_TENANT))?);
    let preflight = cors::preflight(context, &head, tenant.cors.as_deref(), || methods(tenant, &target.action))?;
    if let Some(response) = preflight {
        return Ok(response);
    }
    let (at, tenant_action) = tenant.find(&target.action).ok_or_else(|| Error::new(&codes::UNKNOWN_ACTION))?;
    *action_at = Some(at);
    tenant_action.prefetch();
    let action = tenant_action.action.as_ref().ok_or_else(|| Error::new(&codes::PLUGIN_UNAVAILABLE))?;
    let flags = action.descriptor().flags;
    if !flags.subpaths && !target.subpath.is_empty() {
        return Err(Error::new(&codes::NOT_FOUND));
    }
    permit.admit(&tenant_action.limits, context.client).await?;
    let (mut input, mut progress) = (Input::default(), None);
    let idle_deadline = TransferDeadline::new(clients.body_idle_timeout.get(), clients.min_transfer_rate.bytes());
    match flags.raw_query {
        true => input.query = target.query(),
        false => input.params = target.params()?,
    }
    match flags.raw_body {
        true => {
            let progress = progress.insert(BodyProgress::new()).clone();
            let body = RequestBody::new(body, idle_deadline, deadline, Some(progress));
            input.unread = Some(UnreadBody::new(body.boxed_unsync()));
        }
        false => {
            let body = RequestBody::new(body, idle_deadline, deadline, None);
            input.body = decode::body(&head, body, limits, &mut input.params).await?;
        }
    }
    if flags.subpaths {
        // Such actions may forward requests.
        forwarded::set_origin(&mut head.headers, &head.uri, context, traffic);
    }
    let (timeout, names) = (limits.call_timeout.get(), (target.action, target.subpath.to_owned()));
    let is_public = action.access() == Access::Anyone;
    let call = decode::call(context, head, names, input, timeout, is_public)?;
    let reply = async {
        let caller = action.admit(&call, Some((&tenant_action.limits, permit))).await?;
        action.serve(call, caller).await
    };
    Ok(match with_timeout(timeout, progress, reply).await? {
        reply @ Reply::Data(_) => {
            let response = encode::reply(reply, context, deadline);
            compress::compress_response(response, context.gzip).await
        }
        reply => {
            let mut response = encode::reply(reply, context, deadline);
            if tenant.cors.is_some() {
                cors::remove_headers(response.headers_mut());
            }
            response
        }
    })
}

/// The methods that an action serves; for an unknown action, the one that nearly all have.
fn methods<'a>(tenant: &'a Tenant, action: &str) -> &'a [Method] {
    let action = tenant.action(action).and_then(|tenant_action| tenant_action.action.as_ref());
    action.map_or(&[Method::POST], |action| &action.descriptor().methods)
}

/// Whether a request over HTTP/2 names exactly one host: by its authority, by `Host`, or by both alike. The guard has
/// checked this for HTTP/1.
fn has_one_host(head: &Parts) -> bool {
    let (authority, mut hosts) = (head.uri.authority(), head.headers.get_all(HOST).iter());
    let (host, authority) = (hosts.next().map(HeaderValue::as_bytes), authority.map(|a| a.as_str().as_bytes()));
    let is_one = hosts.next().is_none()
        && host.zip(authority).is_none_or(|(host, authority)| host.eq_ignore_ascii_case(authority));
    is_one && (head.version != Version::HTTP_2 || authority.or(host).is_some_and(http_guard::is_valid_host))
}

/// Ends a call that takes longer than `limit`. For a body that the action reads itself, the time counts from its last
/// piece.
async fn with_timeout(
    limit: Duration,
    progress: Option<Arc<BodyProgress>>,
    call: impl Future<Output = Result<Reply>>,
) -> Result<Reply> {
    let mut call = pin!(call);
    let mut until = Instant::now() + limit;
    loop {
        match timeout_at(until, &mut call).await {
            Ok(outcome) => return outcome,
            Err(_) => match progress.as_ref().map(|p| p.last() + limit).filter(|later| *later > until) {
                Some(later) => until = later,
                None => return Err(Error::new(&codes::CALL_TIMEOUT)),
            },
        }
    }
}
