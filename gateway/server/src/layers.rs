//! What wraps the walk, once: the request's id, a bound on calls in flight, and an answer where something panicked.

use super::{Answer, Traffic, calls::Calls, decode::Asked, encode, shed, walk};
use futures_util::FutureExt;
use http::{HeaderValue, Request, Version, header::CONNECTION};
use hyper::body::Incoming;
use menlou_error::{Error, codes};
use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};
use tokio::time::Instant;

/// The walk within its bound; clones share it.
#[derive(Clone)]
pub struct Bounded {
    traffic: Arc<Traffic>,
}

impl Bounded {
    /// Wraps the walk.
    pub fn new(traffic: Arc<Traffic>) -> Self {
        Self { traffic }
    }

    /// Answers a request, whatever happens; at once with a refusal where it is beyond the bound.
    pub async fn answer(
        self,
        request: Request<Incoming>,
        remote: IpAddr,
        calls: Arc<Calls>,
    ) -> Result<Answer, Infallible> {
        let asked = Asked::of(request.headers());
        let remote = self.traffic.proxies.client(remote, request.headers());
        let began = Instant::now();
        let until = began + self.traffic.clients.request_timeout.get();
        let call = calls.begin();
        let is_last = call.number() >= self.traffic.clients.max_requests_per_connection;
        let is_http2 = request.version() == Version::HTTP_2;
        let Some(place) = self.traffic.room.enter() else {
            return Ok(shed(&self.traffic, &asked, request));
        };
        // Boxed, as a kept connection has room for this future also while it is idle.
        let walk = Box::pin(walk(&self.traffic, &asked, request, remote, (began, until)));
        let mut answer = AssertUnwindSafe(walk).catch_unwind().await.unwrap_or_else(|_| {
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
