//! Body of a response: complete, or streamed; with the permits that it holds until it is sent.

use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use menlou_call::BodyStream;
use menlou_error::{Error, codes};
use std::{
    any::Any,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

/// Body of a response.
pub struct ResponseBody {
    content: Content,
    /// Of the gateway's bound on concurrent requests.
    permit: Option<OwnedSemaphorePermit>,
}

enum Content {
    Complete(Full<Bytes>),
    Streamed(Box<Streamed>),
}

struct Streamed {
    pieces: BodyStream,
    request_id: Arc<str>,
    deadline: Pin<Box<Sleep>>,
    held: Vec<Box<dyn Any + Send + Sync>>,
}

impl ResponseBody {
    /// A body that is sent as its pieces come, by `deadline`. Its errors are logged under the request's id.
    pub fn streamed(pieces: BodyStream, request_id: Arc<str>, deadline: Instant) -> Self {
        let deadline = Box::pin(sleep_until(deadline));
        let streamed = Streamed { pieces, request_id, deadline, held: Vec::new() };
        Self { content: Content::Streamed(Box::new(streamed)), permit: None }
    }

    /// The bytes of a complete body; empty for a streamed one.
    pub fn into_bytes(self) -> Bytes {
        match self.content {
            Content::Complete(body) => body.into_inner().unwrap_or_default(),
            Content::Streamed(_) => Bytes::new(),
        }
    }

    /// Keeps a value, such as a permit of the tenant, until a streamed body is sent. With a complete body, the value is
    /// dropped immediately.
    pub fn hold(&mut self, value: impl Any + Send + Sync) {
        if let Content::Streamed(streamed) = &mut self.content {
            streamed.held.push(Box::new(value));
        }
    }

    /// Keeps a permit until the body is sent. With a complete body over HTTP/1 it is released immediately: hyper takes
    /// the body at once, and the guard watches whether the client reads it.
    pub fn hold_permit(&mut self, permit: OwnedSemaphorePermit, is_http2: bool) {
        let is_sent_later = match &self.content {
            Content::Complete(body) => is_http2 && !body.is_end_stream(),
            Content::Streamed(_) => true,
        };
        self.permit = is_sent_later.then_some(permit);
    }
}

impl Streamed {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Some(Err(Error::new(&codes::CALL_TIMEOUT).with_cause("request deadline exceeded"))),
            Poll::Pending => ready!(Pin::new(&mut self.pieces).poll_frame(cx)),
        };
        if let Some(Err(error)) = &frame {
            // The head is sent: only closing the connection shows the client that the response is incomplete.
            let (request_id, cause) = (&*self.request_id, error.cause());
            tracing::warn!(request_id, error = error.code(), cause, "response aborted");
            metrics::counter!("menlou_responses_aborted_total").increment(1);
        }
        Poll::Ready(frame)
    }
}

impl From<Bytes> for ResponseBody {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Complete(Full::new(bytes)), permit: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.content {
            Content::Complete(body) => {
                Pin::new(body).poll_frame(cx).map(|f| f.map(|f| f.map_err(|never: Infallible| match never {})))
            }
            Content::Streamed(streamed) => streamed.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Complete(body) => body.is_end_stream(),
            Content::Streamed(streamed) => streamed.pieces.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Complete(body) => body.size_hint(),
            Content::Streamed(streamed) => streamed.pieces.size_hint(),
        }
    }
}
