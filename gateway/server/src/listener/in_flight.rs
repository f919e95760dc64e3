//! Requests in flight of one connection: counted from their head until their response was handed to hyper.
//!
//! This is where hyper's services and tower's meet.

use crate::http_service::HttpService;
use http::{HeaderValue, Request, Response, Version, header::CONNECTION};
use http_guard::{InFlight, InFlightGuard};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use pin_project_lite::pin_project;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// The service of one connection, as hyper wants it.
pub struct ConnectionService<S> {
    service: S,
    in_flight: Arc<InFlight>,
    max_requests: u64,
}

impl<S> ConnectionService<S> {
    /// Serves the requests of one connection, `max_requests` of them at most, and counts them in `in_flight`.
    pub fn new(service: S, in_flight: Arc<InFlight>, max_requests: u64) -> Self {
        Self { service, in_flight, max_requests }
    }
}

impl<S: HttpService> hyper::service::Service<Request<Incoming>> for ConnectionService<S> {
    type Response = Response<InFlightBody<S::ResponseBody>>;
    type Error = Infallible;
    type Future = InFlightFuture<S>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let is_http2 = request.version() == Version::HTTP_2;
        let mut service = self.service.clone();
        // Nearly every service is always ready. The real waker is given to those that are not.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(request) },
            Poll::Pending => State::NotReady { waiting: Some(Box::new((service, request))) },
        };
        InFlightFuture {
            state,
            in_flight: self.in_flight.clone(),
            max_requests: self.max_requests,
            guard: None,
            is_http2,
        }
    }
}

pin_project! {
    /// The response to a request in flight.
    pub struct InFlightFuture<S: HttpService> {
        #[pin]
        state: State<S, S::Future>,
        in_flight: Arc<InFlight>,
        max_requests: u64,
        // Set by the first poll, not by `call`: hyper reads in between, and a request that is answered immediately must
        // leave the guard with the deadline of an idle connection.
        guard: Option<InFlightGuard>,
        is_http2: bool,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, F> {
        // Boxed: connections hold space for this future while they are idle.
        NotReady { waiting: Option<Box<(S, Request<Incoming>)>> },
        Called { #[pin] future: F },
    }
}

impl<S: HttpService> Future for InFlightFuture<S> {
    type Output = Result<Response<InFlightBody<S::ResponseBody>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.guard.is_none() {
            *this.guard = Some(this.in_flight.begin());
        }
        let mut response = loop {
            match this.state.as_mut().project() {
                StateProjection::Called { future } => match ready!(future.poll(cx)) {
                    Ok(response) => break response,
                },
                StateProjection::NotReady { waiting } => {
                    if let Some(waiting) = waiting.as_mut() {
                        match ready!(waiting.0.poll_ready(cx)) {
                            Ok(()) => {}
                        }
                    }
                    let Some(waiting) = waiting.take() else { return Poll::Pending };
                    let (mut service, request) = *waiting;
                    this.state.set(State::Called { future: service.call(request) });
                }
            }
        };
        let guard = this.guard.take();
        if guard.as_ref().is_some_and(|guard| guard.index() >= *this.max_requests) {
            this.in_flight.request_close();
            if !*this.is_http2 {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        let is_http2 = *this.is_http2;
        Poll::Ready(Ok(response.map(|body| InFlightBody::new(body, guard, is_http2))))
    }
}

pin_project! {
    /// The body of a response. The request is in flight until the body is dropped.
    pub struct InFlightBody<B> {
        #[pin]
        body: B,
        reader: Option<Reader>,
    }
}

/// The client as the reader of one response.
struct Reader {
    guard: InFlightGuard,
    is_http2: bool,
}

impl<B: Body> InFlightBody<B> {
    /// HTTP/1 takes a complete body immediately, and the guard sees when the client does not read it. Over HTTP/2 the
    /// client says for each response how much it reads, so the guard has to be informed from here.
    fn new(body: B, guard: Option<InFlightGuard>, is_http2: bool) -> Self {
        let guard = guard.filter(|_| !body.is_end_stream());
        if is_http2 && let Some(guard) = &guard {
            guard.set_blocked(true);
        }
        Self { body, reader: guard.map(|guard| Reader { guard, is_http2 }) }
    }
}

impl<B: Body<Data = Bytes>> Body for InFlightBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let frame = this.body.poll_frame(cx);
        if let Some(reader) = this.reader.as_ref().filter(|reader| reader.is_http2) {
            // hyper asks for a frame when the client can take it, and for the next one when this one has gone.
            reader.guard.set_blocked(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.is_http2 {
            self.guard.set_blocked(false);
        }
    }
}
