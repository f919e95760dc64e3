//! The body of an upstream response: it counts as in flight until its end, and is aborted when the server pauses too long.

use super::{load_balancer::Turn, metrics::Outcome, send::Sending};
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
pub(super) struct Answer {
    incoming: ResponseBody,
    /// Held until the end of the body; `None` afterwards.
    held: Option<(Turn, Sending)>,
    pause: Option<Pause>,
}

/// The current wait for the server.
struct Pause {
    since: Instant,
    over: Pin<Box<Sleep>>,
}

impl Answer {
    /// A body to stream. An empty body ends immediately.
    pub fn new(incoming: ResponseBody, turn: Turn, sending: Sending) -> Self {
        let mut answer = Self { incoming, held: Some((turn, sending)), pause: None };
        answer.end_if_whole();
        answer
    }

    /// Ends the body with its last byte: hyper does not poll again when the length is known.
    fn end_if_whole(&mut self) {
        if self.incoming.is_end_stream() {
            self.end(Outcome::Answered);
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some((turn, _)) = self.held.take() {
            turn.end(outcome);
        }
    }

    /// The error of an aborted body. It is logged here, because the head of the response has already been sent.
    fn broken(&mut self, failure: HttpFailure) -> Option<Error> {
        let (turn, sending) = self.held.take()?;
        if let Some(fault) = sending.fault() {
            turn.end(Outcome::ClientFault);
            return Some(fault);
        }
        let error = Error::new(&codes::UPSTREAM_ERROR);
        Some(break_off(turn, Outcome::Broken, error, failure.to_string()))
    }

    /// Whether the server has paused for too long. Time in which the client is slow does not count.
    fn paused(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Some((_, sending)) = &self.held else { return Poll::Ready(None) };
        let pause = self.pause.get_or_insert_with(|| {
            let since = Instant::now();
            Pause { since, over: Box::pin(sleep_until(since + sending.patience())) }
        });
        while pause.over.as_mut().poll(cx).is_ready() {
            let due = sending.due(Some(pause.since));
            if due <= Instant::now() {
                let cause = format!("no data of the response within {:?}", sending.patience());
                let error = Error::new(&codes::UPSTREAM_TIMEOUT);
                let held = self.held.take();
                return Poll::Ready(held.map(|(turn, _)| break_off(turn, Outcome::Timeout, error, cause)));
            }
            pause.over.as_mut().reset(due);
        }
        Poll::Pending
    }
}

fn break_off(turn: Turn, outcome: Outcome, error: Error, cause: String) -> Error {
    let labels = &turn.group().labels;
    let (tenant, action, server) = (&labels.tenant, &labels.action, turn.origin());
    tracing::warn!(tenant, action, server, cause, "upstream response aborted");
    let error = error.with_cause(format!("{server}: {cause}"));
    turn.end(outcome);
    error
}

impl Body for Answer {
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
            Poll::Pending => self.paused(cx).map(|broken| broken.map(Err)),
            Poll::Ready(Some(Err(failure))) => Poll::Ready(self.broken(failure).map(Err)),
            Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                self.end_if_whole();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(_) => {
                self.end(Outcome::Answered);
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
