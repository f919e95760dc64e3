//! The streamed body of a request. It can be reused for a retry until its first piece was sent, and its idle timeout runs
//! only while the server is the one that is slow.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use menlou_call::BodyStream;
use menlou_error::Error;
use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The owner of a request body. After it is dropped, nothing more is sent.
pub(super) struct Sending {
    state: Arc<Mutex<State>>,
    patience: Duration,
}

/// The body as sent by one attempt. It ends in an error as soon as there is a later attempt.
pub(super) struct Outgoing {
    state: Arc<Mutex<State>>,
    attempt: u32,
}

struct State {
    body: Option<BodyStream>,
    attempt: u32,
    begun: bool,
    ended: bool,
    /// Whether the next piece must come from the client.
    awaiting_client: bool,
    /// When the server received the latest piece; before the first, the start of the request.
    moved: Instant,
    fault: Option<Error>,
    /// Wakes the connection that waits for a piece.
    waker: Option<Waker>,
}

impl Sending {
    /// A body to send. `patience` is the idle timeout of the server.
    pub fn new(body: BodyStream, patience: Duration) -> Self {
        let state = State {
            body: Some(body),
            attempt: 0,
            begun: false,
            ended: false,
            awaiting_client: false,
            moved: Instant::now(),
            fault: None,
            waker: None,
        };
        Self { state: Arc::new(Mutex::new(state)), patience }
    }

    /// The body for a new attempt. Earlier attempts receive nothing more.
    pub fn attempt(&self) -> Outgoing {
        let mut state = lock(&self.state);
        state.attempt += 1;
        Outgoing { state: Arc::clone(&self.state), attempt: state.attempt }
    }

    /// Whether a piece of the body has been sent.
    pub fn begun(&self) -> bool {
        lock(&self.state).begun
    }

    /// The error of the client's body, if it failed.
    pub fn fault(&self) -> Option<Error> {
        lock(&self.state).fault.clone()
    }

    /// The idle deadline of the server. `answered` is the time of the latest piece of the response.
    pub fn due(&self, answered: Option<Instant>) -> Instant {
        let state = lock(&self.state);
        let moved = if state.awaiting_client { Instant::now() } else { state.moved };
        answered.map_or(moved, |answered| moved.max(answered)) + self.patience
    }

    /// The idle timeout of the server.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Completes when the server exceeds its idle timeout.
    pub async fn overdue(&self) {
        loop {
            let due = self.due(None);
            if due <= Instant::now() {
                return;
            }
            sleep_until(due).await;
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let (body, waker) = {
            let mut state = lock(&self.state);
            (state.body.take(), state.waker.take())
        };
        drop(body);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let state = &mut *lock(&self.state);
        let Some(body) = state.body.as_mut().filter(|_| state.attempt == self.attempt) else {
            return Poll::Ready(Some(Err("the request has ended".into())));
        };
        if state.ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(body).poll_frame(cx);
        state.awaiting_client = polled.is_pending();
        state.waker = polled.is_pending().then(|| cx.waker().clone());
        let frame = ready!(polled);
        state.moved = Instant::now();
        state.ended = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
        Poll::Ready(match frame {
            // Trailers end the body and are not forwarded.
            Some(Ok(frame)) => frame.into_data().ok().map(|data| {
                state.begun = true;
                Ok(Frame::data(data))
            }),
            Some(Err(e)) => {
                state.fault = Some(e.clone());
                Some(Err(e.into()))
            }
            None => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.state).body.as_ref().map(Body::size_hint).unwrap_or_default()
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.state).body.as_ref().is_some_and(Body::is_end_stream)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    fn sending() -> Sending {
        Sending::new(Full::from("hello").map_err(|never| match never {}).boxed_unsync(), Duration::from_secs(1))
    }

    #[tokio::test]
    async fn an_abandoned_attempt_receives_nothing_of_the_body() {
        let sending = sending();
        let (given_up, latest) = (sending.attempt(), sending.attempt());
        assert!(given_up.collect().await.is_err());
        assert!(!sending.begun());
        assert_eq!(latest.collect().await.unwrap().to_bytes(), "hello");
        assert!(sending.begun());
    }

    #[tokio::test]
    async fn nothing_is_sent_after_the_request_ended() {
        let sending = sending();
        let attempt = sending.attempt();
        drop(sending);
        assert!(attempt.collect().await.is_err());
    }
}
