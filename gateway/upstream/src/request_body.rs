//! The streamed body of a request. It can be reused for a retry until its first piece was sent, and be sent again from its
//! beginning while that is short. The idle timeout runs only while the gateway waits for the server.

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

/// Maximum number of bytes that are kept to be sent again, until the response begins.
const MAX_KEPT: usize = 16 * 1024;

/// The owner of a request body. After it is dropped, nothing more is sent.
pub(super) struct RequestBody {
    state: Arc<Mutex<State>>,
    idle_timeout: Duration,
}

/// The body as sent by one attempt. It ends in an error as soon as there is a later attempt.
pub(super) struct AttemptBody {
    state: Arc<Mutex<State>>,
    attempt: u32,
    /// Number of the kept pieces that this attempt has sent.
    sent: usize,
}

struct State {
    body: Option<BodyStream>,
    attempt: u32,
    is_started: bool,
    is_ended: bool,
    /// The pieces that were sent, unless they were longer than [`MAX_KEPT`] or the response has begun.
    kept: Option<Vec<Bytes>>,
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
            kept: Some(Vec::new()),
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
        AttemptBody { state: Arc::clone(&self.state), attempt: state.attempt, sent: 0 }
    }

    /// Whether a piece of the body has been sent.
    pub fn is_started(&self) -> bool {
        lock(&self.state).is_started
    }

    /// Whether a new attempt can send the body from its beginning.
    pub fn can_be_resent(&self) -> bool {
        let state = lock(&self.state);
        state.kept.is_some() && state.client_error.is_none()
    }

    /// Frees the pieces that were kept: the response has begun.
    pub fn discard_sent(&self) {
        lock(&self.state).kept = None;
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

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let state = &mut *lock(&this.state);
        let Some(body) = state.body.as_mut().filter(|_| state.attempt == this.attempt) else {
            return Poll::Ready(Some(Err("the request has ended".into())));
        };
        if let Some(piece) = state.kept.as_ref().and_then(|kept| kept.get(this.sent)) {
            this.sent += 1;
            state.last_progress = Instant::now();
            return Poll::Ready(Some(Ok(Frame::data(piece.clone()))));
        }
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
                keep(&mut state.kept, &data);
                this.sent += 1;
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
        let state = lock(&self.state);
        let rest = state.body.as_ref().map(Body::size_hint).unwrap_or_default();
        let again = self.unsent(&state).map(|piece| piece.len() as u64).sum::<u64>();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        self.unsent(&state).next().is_none() && state.body.as_ref().is_some_and(Body::is_end_stream)
    }
}

impl AttemptBody {
    /// The kept pieces that this attempt has not sent.
    fn unsent<'a>(&self, state: &'a State) -> impl Iterator<Item = &'a Bytes> {
        state.kept.iter().flatten().skip(self.sent)
    }
}

/// Keeps a piece, or none at all if there are too many bytes.
fn keep(kept: &mut Option<Vec<Bytes>>, piece: &Bytes) {
    *kept = kept.take().filter(|kept| kept.iter().map(Bytes::len).sum::<usize>() + piece.len() <= MAX_KEPT).map(
        |mut kept| {
            kept.push(piece.clone());
            kept
        },
    );
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
    async fn short_body_is_sent_again_from_its_beginning_until_the_response() {
        let body = request_body();
        assert_eq!(body.attempt().collect().await.unwrap().to_bytes(), "hello");
        let again = body.attempt();
        assert_eq!((body.can_be_resent(), again.size_hint().exact(), again.is_end_stream()), (true, Some(5), false));
        assert_eq!(again.collect().await.unwrap().to_bytes(), "hello");
        body.discard_sent();
        assert!(!body.can_be_resent() && body.attempt().is_end_stream());
        let long = Full::from(vec![b'x'; MAX_KEPT + 1]).map_err(|never| match never {}).boxed_unsync();
        let body = RequestBody::new(long, Duration::from_secs(1));
        body.attempt().collect().await.unwrap();
        assert!(!body.can_be_resent());
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
