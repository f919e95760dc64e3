//! Panic guard: a panic while a request is handled becomes a response and a log line.
//!
//! Without it a panic ends the connection, and over HTTP/2 every request on it. It does not cover bodies: a panic while a
//! response is streamed still ends the connection.

use super::request_context::RequestContext;
use http::{Request, Response};
use http_body_util::Either;
use pin_project_lite::pin_project;
use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};
use tower::{Layer, Service};

/// Makes the response to a request whose handler has panicked.
type Respond<P> = fn(&RequestContext) -> Response<P>;

/// Answers with the response of a function where the inner service panics. `P` is the body of that response.
pub struct PanicGuardLayer<P> {
    respond: Respond<P>,
}

impl<P> PanicGuardLayer<P> {
    /// `respond` makes the response.
    pub fn new(respond: Respond<P>) -> Self {
        Self { respond }
    }
}

impl<P> Clone for PanicGuardLayer<P> {
    fn clone(&self) -> Self {
        Self { respond: self.respond }
    }
}

impl<S, P> Layer<S> for PanicGuardLayer<P> {
    type Service = PanicGuard<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        PanicGuard { inner, respond: self.respond }
    }
}

/// The service that [`PanicGuardLayer`] makes.
pub struct PanicGuard<S, P> {
    inner: S,
    respond: Respond<P>,
}

impl<S: Clone, P> Clone for PanicGuard<S, P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), respond: self.respond }
    }
}

impl<S, B, R, P> Service<Request<B>> for PanicGuard<S, P>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<Either<R, P>>;
    type Error = S::Error;
    type Future = PanicGuardFuture<S::Future, P>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let context = RequestContext::from_extensions(request.extensions(), request.headers());
        // The inner service is a clone for this request, or one that its owner replaces: nothing sees its broken state.
        let future = catch_unwind(AssertUnwindSafe(|| self.inner.call(request))).ok();
        PanicGuardFuture { future, context, respond: self.respond }
    }
}

pin_project! {
    /// The response of the inner service, or to its panic.
    pub struct PanicGuardFuture<F, P> {
        // `None` if the inner service has panicked.
        #[pin]
        future: Option<F>,
        context: RequestContext,
        respond: Respond<P>,
    }
}

impl<F, R, E, P> Future for PanicGuardFuture<F, P>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Either<R, P>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = this.future.as_pin_mut().and_then(|future| {
            // The future is not polled again after a panic, only dropped.
            catch_unwind(AssertUnwindSafe(|| future.poll(cx))).ok()
        });
        match outcome {
            Some(Poll::Ready(Ok(response))) => Poll::Ready(Ok(response.map(Either::Left))),
            Some(Poll::Ready(Err(e))) => Poll::Ready(Err(e)),
            Some(Poll::Pending) => Poll::Pending,
            None => {
                tracing::error!(request_id = &*this.context.id, "request handler panicked (a bug in Menlou)");
                Poll::Ready(Ok((this.respond)(this.context).map(Either::Right)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{convert::Infallible, future::ready};
    use tower::service_fn;

    type Outcome = Result<Response<()>, Infallible>;

    fn internal_error(context: &RequestContext) -> Response<&'static str> {
        let mut response = Response::new("internal error");
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response.headers_mut().insert("x-request-id", context.id.parse().unwrap());
        response
    }

    async fn status_of<S>(inner: S) -> (u16, bool)
    where
        S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
    {
        let request = Request::builder().header("x-request-id", "abc-1").body(()).unwrap();
        let Ok(response) = PanicGuardLayer::new(internal_error).layer(inner).call(request).await;
        let has_id = response.headers().get("x-request-id").is_some_and(|id| id == "abc-1");
        (response.status().as_u16(), has_id)
    }

    #[tokio::test]
    async fn response_of_a_service_that_does_not_panic_is_passed_on() {
        assert_eq!(status_of(service_fn(|_| ready(Ok(Response::new(()))))).await, (200, false));
    }

    #[tokio::test]
    async fn panic_becomes_a_response_with_the_id_of_the_request() {
        let at_once = service_fn(|_: Request<()>| -> std::future::Ready<Outcome> { panic!("at once") });
        assert_eq!(status_of(at_once).await, (500, true));
        let later = service_fn(async |_: Request<()>| -> Outcome {
            tokio::task::yield_now().await;
            panic!("later")
        });
        assert_eq!(status_of(later).await, (500, true));
    }
}
