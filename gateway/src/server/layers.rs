//! What wraps the walk, once: the request's id, a bound on calls in flight, and an answer where something panicked.

use super::{Answer, Traffic, decode::Asked, encode, walk};
use crate::error::{Error, words};
use futures_util::FutureExt;
use http::Request;
use hyper::body::Incoming;
use std::{convert::Infallible, net::IpAddr, panic::AssertUnwindSafe, sync::Arc};
use tower::{
    Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, load_shed::error::Overloaded, service_fn,
    util::BoxCloneSyncService,
};

/// A request, what was asked, and from where.
pub type Arrival = (Request<Incoming>, Asked, IpAddr);

/// The walk within its bound: it refuses at once what is beyond it.
pub type Bounded = BoxCloneSyncService<Arrival, Answer, tower::BoxError>;

/// Wraps the walk; clones share the bound.
pub fn bounded(traffic: Arc<Traffic>) -> Bounded {
    let max_calls = traffic.limits.max_calls;
    let walk = service_fn(move |(request, asked, remote): Arrival| {
        let traffic = traffic.clone();
        async move { Ok::<_, Infallible>(walk(traffic, asked, request, remote).await) }
    });
    BoxCloneSyncService::new(
        ServiceBuilder::new().load_shed().layer(ConcurrencyLimitLayer::new(max_calls)).service(walk),
    )
}

/// Answers a request, whatever happens.
pub async fn answer(mut bounded: Bounded, request: Request<Incoming>, remote: IpAddr) -> Result<Answer, Infallible> {
    let asked = Asked::of(request.headers());
    let serving = async {
        let ready = bounded.ready().await?;
        ready.call((request, asked.clone(), remote)).await
    };
    Ok(match AssertUnwindSafe(serving).catch_unwind().await {
        Ok(Ok(answer)) => answer,
        Ok(Err(e)) if e.is::<Overloaded>() => {
            metrics::counter!("menlou_shed_total").increment(1);
            encode::error(&Error::new(&words::OVERLOADED), &asked)
        }
        Ok(Err(_)) | Err(_) => {
            tracing::error!(request_id = asked.id, "a call broke off in the gateway: this is a mistake in Menlou");
            encode::error(&Error::new(&words::INTERNAL_ERROR), &asked)
        }
    })
}
