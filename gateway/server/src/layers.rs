//! What wraps the handle, once: the request's id, a bound on calls in flight, and an answer where something panicked.

use super::{Answer, TrafficState, calls::Calls, decode::RequestContext, encode, handle, reject_overloaded};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Version, header::CONNECTION};
use hyper::body::Incoming;
use menlou_error::{Error, codes};
use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};
use tokio::time::Instant;

/// The handle within its bound; clones share it.
#[derive(Clone)]
pub struct AdmissionService {
    traffic: Arc<TrafficState>,
}

impl AdmissionService {
    /// Wraps the handle.
    pub fn new(traffic: Arc<TrafficState>) -> Self {
        Self { traffic }
    }

    /// Answers a request, whatever happens; at once with a refusal where it is beyond the bound.
    pub async fn answer(
        self,
        request: Request<Incoming>,
        remote: IpAddr,
        calls: Arc<Calls>,
    ) -> Result<Answer, Infallible> {
        let asked = RequestContext::of(request.headers());
        let remote = self.traffic.proxies.client(remote, request.headers());
        let began = Instant::now();
        let until = began + self.traffic.clients.request_timeout.get();
        let call = calls.begin();
        let is_last = call.number() >= self.traffic.clients.max_requests_per_connection;
        let is_http2 = request.version() == Version::HTTP_2;
        let Some(place) = self.traffic.admission.enter() else {
            return Ok(reject_overloaded(&self.traffic, &asked, request));
        };
        // Boxed, as a kept connection has admission for this future also while it is idle.
        let handle = Box::pin(handle(&self.traffic, &asked, request, remote, (began, until)));
        let mut answer = AssertUnwindSafe(handle).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id = asked.id, "a call broke off in the gateway: this is a mistake in Menlou");
            encode::error(&Error::new(&codes::INTERNAL_ERROR), &asked)
        });
        if is_last {
            calls.end();
            if !is_http2 {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        Ok(answer.map(|body| body.open(place, call, until, is_http2)))
    }
}
