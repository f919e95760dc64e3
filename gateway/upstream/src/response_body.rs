//! The body of an upstream response: the request counts as in flight until its end, and it is aborted if the server pauses
//! for too long.

use super::{load_balancer::ServerPermit, metrics::Outcome, request_body::RequestBody};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use menlou_error::{Error, codes};
use menlou_platform::http::{HttpFailure, ResponseBody};
use std::{
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The streamed body of a response. Trailers are dropped.
pub(super) struct ForwardedBody {
    incoming: ResponseBody,
    /// Held until the end of the body; `None` afterwards.
    held: Option<(ServerPermit, RequestBody)>,
    pause: Option<Pause>,
}

/// The current wait for the server.
struct Pause {
    since: Instant,
    timer: Pin<Box<Sleep>>,
}

impl ForwardedBody {
    /// A body to stream. An empty body ends immediately.
    pub fn new(incoming: ResponseBody, permit: ServerPermit, request_body: RequestBody) -> Self {
        let mut body = Self { incoming, held: Some((permit, request_body)), pause: None };
        body.end_if_complete();
        body
    }

    /// Ends the body with its last byte: hyper does not poll again when the length is known.
    fn end_if_complete(&mut self) {
        if self.incoming.is_end_stream() {
            self.end(Outcome::Complete);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some((permit, _)) = self.held.take() {
            permit.end(outcome);
        }
    }

    /// The error of an aborted body. It is logged here, because the head of the response has already been sent.
    fn fail(&mut self, failure: HttpFailure) -> Option<Error> {
        let (permit, request_body) = self.held.take()?;
        if let Some(error) = request_body.client_error() {
            permit.end(Outcome::ClientError);
            return Some(error);
        }
        let error = Error::new(&codes::UPSTREAM_ERROR);
        Some(abort(permit, Outcome::Broken, error, failure.to_string()))
    }

    /// The error if the server has paused for too long. Time in which the client is slow does not count.
    fn poll_idle_timeout(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Some((_, request_body)) = &self.held else { return Poll::Ready(None) };
        let pause = self.pause.get_or_insert_with(|| {
            let since = Instant::now();
            Pause { since, timer: Box::pin(sleep_until(since + request_body.idle_timeout())) }
        });
        while pause.timer.as_mut().poll(cx).is_ready() {
            let deadline = request_body.idle_deadline(Some(pause.since));
            if deadline <= Instant::now() {
                let cause = format!("no data of the response within {:?}", request_body.idle_timeout());
                let error = Error::new(&codes::UPSTREAM_TIMEOUT);
                let held = self.held.take();
                return Poll::Ready(held.map(|(permit, _)| abort(permit, Outcome::Timeout, error, cause)));
            }
            pause.timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

fn abort(permit: ServerPermit, outcome: Outcome, error: Error, cause: String) -> Error {
    let labels = &permit.balancer().labels;
    let (tenant, action, server) = (&labels.tenant, &labels.action, permit.origin());
    tracing::warn!(tenant, action, server, cause, "upstream response aborted");
    let error = error.with_cause(format!("{server}: {cause}"));
    permit.end(outcome);
    error
}

impl Body for ForwardedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.held.is_none() {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_ready() {
            self.pause = None;
        }
        match polled {
            Poll::Pending => self.poll_idle_timeout(cx).map(|error| error.map(Err)),
            Poll::Ready(Some(Err(failure))) => Poll::Ready(self.fail(failure).map(Err)),
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.end_if_complete();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(_) => {
                self.end(Outcome::Complete);
                Poll::Ready(None)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }
}
