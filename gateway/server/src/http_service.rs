//! Short names for the bounds of a `tower::Service` that answers HTTP requests.

use http::{Request, Response};
use hyper::body::{Body, Bytes, Incoming};
use std::{convert::Infallible, future::Future};
use tower::{BoxError, Service};

/// A service that a listener can serve: it answers every request, failures included, and can be cloned cheaply.
///
/// Implemented for every service that has the bounds; there is nothing to implement by hand.
pub trait HttpService:
    Service<
        Request<Incoming>,
        Response = Response<Self::ResponseBody>,
        Error = Infallible,
        Future: Future<Output = Result<Response<Self::ResponseBody>, Infallible>> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
    /// Body of its responses.
    type ResponseBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl<S, B> HttpService for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send + 'static>
        + Clone
        + Send
        + Sync
        + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type ResponseBody = B;
}
