//! What wraps the walk, once: the request's id, a bound on calls in flight, and an answer where something panicked.

use super::{Answer, Traffic, decode::Asked, encode, walk};
use crate::error::{Error, words};
use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

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
    pub async fn answer(self, request: Request<Incoming>, remote: IpAddr) -> Result<Answer, Infallible> {
        let asked = Asked::of(request.headers());
        let Some(place) = self.traffic.room.enter() else {
            metrics::counter!("menlou_shed_total").increment(1);
            return Ok(encode::error(&Error::new(&words::OVERLOADED), &asked));
        };
        // Boxed, as a kept connection has room for this future also while it is idle.
        let walk = Box::pin(walk(&self.traffic, &asked, request, remote));
        let answer = AssertUnwindSafe(walk).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id = asked.id, "a call broke off in the gateway: this is a mistake in Menlou");
            encode::error(&Error::new(&words::INTERNAL_ERROR), &asked)
        });
        Ok(answer.map(|body| body.holding(place)))
    }
}
