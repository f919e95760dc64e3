//! Admission: a bound on concurrent requests. A request beyond it is rejected immediately.
//!
//! The bound counts all requests of the gateway. What belongs to one tenant or action, the CPU load included, is decided
//! once these are known, see `menlou_policy::rate_limits`. There is no queue: the bound is large, and a request that waited
//! would take memory while its client gives up.

use crate::response_body::ResponseBody;
use http::{Request, Response, Version, request::Parts};
use menlou_policy::admission::AdmissionController;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::OwnedSemaphorePermit;
use tower::{Layer, Service};

/// Makes the response to a request that is not admitted.
pub trait RejectOverloaded {
    /// The response, from the head of the request.
    fn reject(&self, head: Parts) -> Response<ResponseBody>;
}

/// Lets requests pass while the controller has permits; `R` answers the others.
pub struct AdmissionLayer<R> {
    controller: Arc<AdmissionController>,
    reject: Arc<R>,
}

impl<R> AdmissionLayer<R> {
    /// All services that this layer makes share the controller.
    pub fn new(controller: Arc<AdmissionController>, reject: Arc<R>) -> Self {
        Self { controller, reject }
    }
}

impl<R> Clone for AdmissionLayer<R> {
    fn clone(&self) -> Self {
        Self { controller: self.controller.clone(), reject: self.reject.clone() }
    }
}

impl<S, R> Layer<S> for AdmissionLayer<R> {
    type Service = Admission<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Admission { layer: self.clone(), inner }
    }
}

/// The service that [`AdmissionLayer`] makes.
pub struct Admission<S, R> {
    layer: AdmissionLayer<R>,
    inner: S,
}

impl<S: Clone, R> Clone for Admission<S, R> {
    fn clone(&self) -> Self {
        Self { layer: self.layer.clone(), inner: self.inner.clone() }
    }
}

impl<S, R, B> Service<Request<B>> for Admission<S, R>
where
    S: Service<Request<B>, Response = Response<ResponseBody>>,
    R: RejectOverloaded,
{
    type Response = Response<ResponseBody>;
    type Error = S::Error;
    type Future = AdmissionFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let state = match self.layer.controller.acquire() {
            Some(permit) => {
                let is_http2 = request.version() == Version::HTTP_2;
                State::Admitted { future: self.inner.call(request), permit: Some(permit), is_http2 }
            }
            None => {
                let response = self.layer.reject.reject(request.into_parts().0);
                State::Rejected { response: Some(Box::new(response)) }
            }
        };
        AdmissionFuture { state }
    }
}

pin_project! {
    /// The response of the inner service, which holds the permit until it is sent; or the rejection.
    pub struct AdmissionFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F> {
        Admitted { #[pin] future: F, permit: Option<OwnedSemaphorePermit>, is_http2: bool },
        // Boxed, as connections hold space for this future while they are idle.
        Rejected { response: Option<Box<Response<ResponseBody>>> },
    }
}

impl<F, E> Future for AdmissionFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, E>>,
{
    type Output = Result<Response<ResponseBody>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Admitted { future, permit, is_http2 } => {
                let mut response = ready!(future.poll(cx))?;
                if let Some(permit) = permit.take() {
                    response.body_mut().hold_permit(permit, *is_http2);
                }
                Poll::Ready(Ok(response))
            }
            StateProjection::Rejected { response } => match response.take() {
                Some(response) => Poll::Ready(Ok(*response)),
                // Polled after it was ready.
                None => Poll::Pending,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::{convert::Infallible, future::pending};
    use tower::service_fn;

    struct Overloaded;

    impl RejectOverloaded for Overloaded {
        fn reject(&self, _: Parts) -> Response<ResponseBody> {
            let mut response = Response::new(Bytes::new().into());
            *response.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }

    #[tokio::test]
    async fn request_beyond_the_bound_is_rejected_until_another_ends() {
        let layer = AdmissionLayer::new(Arc::new(AdmissionController::new(1, None)), Arc::new(Overloaded));
        let mut hanging = layer.layer(service_fn(|_: Request<()>| pending::<Result<_, Infallible>>()));
        let mut answering = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(ResponseBody::from(Bytes::from_static(b"ok"))))
        }));
        let in_flight = hanging.call(Request::new(()));
        assert_eq!(answering.call(Request::new(())).await.unwrap().status(), 503);
        drop(in_flight);
        for _ in 0..3 {
            assert_eq!(answering.call(Request::new(())).await.unwrap().status(), 200);
        }
    }

    #[tokio::test]
    async fn response_over_http2_holds_its_permit_until_it_is_dropped() {
        let layer = AdmissionLayer::new(Arc::new(AdmissionController::new(1, None)), Arc::new(Overloaded));
        let mut service = layer.layer(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(ResponseBody::from(Bytes::from_static(b"ok"))))
        }));
        let request = || Request::builder().version(Version::HTTP_2).body(()).unwrap();
        let first = service.call(request()).await.unwrap();
        assert_eq!(service.call(request()).await.unwrap().status(), 503);
        drop(first);
        assert_eq!(service.call(request()).await.unwrap().status(), 200);
    }
}
