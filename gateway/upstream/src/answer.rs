//! An answer's body on its way: the server's place is held until its end, and a pause that is too long breaks it off.

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

/// The pieces of an answer, as the server sends them and the client takes them. Trailers are dropped.
pub(super) struct Answer {
    incoming: ResponseBody,
    /// What is held until the end; `None` after it.
    held: Option<(Turn, Sending)>,
    pause: Option<Pause>,
}

/// We wait for the server.
struct Pause {
    since: Instant,
    over: Pin<Box<Sleep>>,
}

impl Answer {
    /// Begins; an answer without a body has ended already.
    pub fn new(incoming: ResponseBody, turn: Turn, sending: Sending) -> Self {
        let mut answer = Self { incoming, held: Some((turn, sending)), pause: None };
        answer.end_if_whole();
        answer
    }

    /// A client that knows the length may not ask again after the last byte.
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

    /// Why the answer breaks off: told here, since its head has long been answered.
    fn broken(&mut self, failure: HttpFailure) -> Option<Error> {
        let (turn, sending) = self.held.take()?;
        if let Some(fault) = sending.fault() {
            turn.end(Outcome::ClientFault);
            return Some(fault);
        }
        let error = Error::new(&codes::UPSTREAM_ERROR);
        Some(break_off(turn, Outcome::Broken, error, failure.to_string()))
    }

    /// Whether the pause is too long. It counts while the server keeps us waiting, not while the client does.
    fn paused(&mut self, cx: &mut Context<'_>) -> Poll<Option<Error>> {
        let Some((_, sending)) = &self.held else { return Poll::Ready(None) };
        let pause = self.pause.get_or_insert_with(|| {
            let since = Instant::now();
            Pause { since, over: Box::pin(sleep_until(since + sending.patience())) }
        });
        while pause.over.as_mut().poll(cx).is_ready() {
            let due = sending.due(Some(pause.since));
            if due <= Instant::now() {
                let cause = format!("no piece of the answer in {:?}", sending.patience());
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
    tracing::warn!(tenant, action, server, cause, "an upstream answer breaks off");
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
