//! The streamed body of a request. It can be reused for a retry until its first piece was sent. The idle timeout runs only
//! while the gateway waits for the server.

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
pub(super) struct RequestBody {
    state: Arc<Mutex<State>>,
    idle_timeout: Duration,
}

/// The body as sent by one attempt. It ends in an error as soon as there is a later attempt.
pub(super) struct AttemptBody {
    state: Arc<Mutex<State>>,
    attempt: u32,
}

struct State {
    body: Option<BodyStream>,
    attempt: u32,
    is_started: bool,
    is_ended: bool,
    /// Whether the next piece must come from the client.
    awaits_client: bool,
    /// When the server received the latest piece; before the first, the start of the request.
    last_progress: Instant,
    /// The error of the client's body, if it failed.
    client_error: Option<Error>,
    /// Wakes the connection that waits for a piece.
    waker: Option<Waker>,
}

impl RequestBody {
    /// A body to send. `idle_timeout` is that of the server.
    pub fn new(body: BodyStream, idle_timeout: Duration) -> Self {
        let state = State {
            body: Some(body),
            attempt: 0,
            is_started: false,
            is_ended: false,
            awaits_client: false,
            last_progress: Instant::now(),
            client_error: None,
            waker: None,
        };
        Self { state: Arc::new(Mutex::new(state)), idle_timeout }
    }

    /// The body for a new attempt. Earlier attempts receive nothing more.
    pub fn attempt(&self) -> AttemptBody {
        let mut state = lock(&self.state);
        state.attempt += 1;
        AttemptBody { state: Arc::clone(&self.state), attempt: state.attempt }
    }

    /// Whether a piece of the body has been sent.
    pub fn is_started(&self) -> bool {
        lock(&self.state).is_started
    }

    /// The error of the client's body, if it failed.
    pub fn client_error(&self) -> Option<Error> {
        lock(&self.state).client_error.clone()
    }

    /// The idle deadline of the server. `last_received` is the time of the latest piece of the response.
    pub fn idle_deadline(&self, last_received: Option<Instant>) -> Instant {
        let state = lock(&self.state);
        let progress = if state.awaits_client { Instant::now() } else { state.last_progress };
        last_received.map_or(progress, |received| progress.max(received)) + self.idle_timeout
    }

    /// The idle timeout of the server.
    pub fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Completes when the server exceeds its idle timeout.
    pub async fn wait_for_idle_timeout(&self) {
        loop {
            let deadline = self.idle_deadline(None);
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

impl Drop for RequestBody {
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

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let state = &mut *lock(&self.state);
        let Some(body) = state.body.as_mut().filter(|_| state.attempt == self.attempt) else {
            return Poll::Ready(Some(Err("the request has ended".into())));
        };
        if state.is_ended {
            return Poll::Ready(None);
        }
        let polled = Pin::new(body).poll_frame(cx);
        state.awaits_client = polled.is_pending();
        state.waker = polled.is_pending().then(|| cx.waker().clone());
        let frame = ready!(polled);
        state.last_progress = Instant::now();
        state.is_ended = !matches!(&frame, Some(Ok(frame)) if frame.is_data());
        Poll::Ready(match frame {
            // Trailers end the body and are not forwarded.
            Some(Ok(frame)) => frame.into_data().ok().map(|data| {
                state.is_started = true;
                Ok(Frame::data(data))
            }),
            Some(Err(e)) => {
                state.client_error = Some(e.clone());
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

    fn request_body() -> RequestBody {
        RequestBody::new(Full::from("hello").map_err(|never| match never {}).boxed_unsync(), Duration::from_secs(1))
    }

    #[tokio::test]
    async fn an_abandoned_attempt_receives_nothing_of_the_body() {
        let body = request_body();
        let (abandoned, latest) = (body.attempt(), body.attempt());
        assert!(abandoned.collect().await.is_err());
        assert!(!body.is_started());
        assert_eq!(latest.collect().await.unwrap().to_bytes(), "hello");
        assert!(body.is_started());
    }

    #[tokio::test]
    async fn nothing_is_sent_after_the_request_ended() {
        let body = request_body();
        let attempt = body.attempt();
        drop(body);
        assert!(attempt.collect().await.is_err());
    }
}
