//! Bodies that are not held in memory: the request's on its way in, the answer's on its way out.

use super::{calls::OpenCall, pace::Pace};
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use menlou_call::Pieces;
use menlou_error::text::Text;
use menlou_error::{Error, codes};
use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};

/// A request's body, which has to keep a pace and come to an end.
pub struct Incoming<B> {
    body: B,
    pace: Pace,
    until: Instant,
    waiting: Option<Pin<Box<Sleep>>>,
    arrival: Option<Arc<BodyProgress>>,
}

/// When the last piece of a body came: the call's deadline counts from there.
pub struct BodyProgress(Mutex<Instant>);

/// An answer's body, with what it holds until it has gone.
pub struct Outgoing {
    body: Form,
    held: Option<Held>,
}

enum Form {
    Whole(Full<Bytes>),
    Pieces(Box<Streamed>),
}

struct Streamed {
    pieces: Pieces,
    request_id: String,
    until: Option<Pin<Box<Sleep>>>,
    held: Vec<Box<dyn Any + Send + Sync>>,
}

struct Held {
    call: OpenCall,
    /// Whether the call is told when the client doesn't take the answer.
    told: bool,
    _place: OwnedSemaphorePermit,
}

impl BodyProgress {
    /// Now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    /// When the last piece came; when the request came, where none has.
    pub fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<B> Incoming<B> {
    /// Takes a body that keeps this pace and ends at `until` at the latest; `arrival` is told of its pieces.
    pub fn new(body: B, pace: Pace, until: Instant, arrival: Option<Arc<BodyProgress>>) -> Self {
        Self { body, pace, until, waiting: None, arrival }
    }

    /// Whether it is given up. A sleep is set for the time up to which it isn't.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.pace.wait(Instant::now()).min(self.until);
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if waiting.deadline() != until {
            waiting.as_mut().reset(until);
        }
        waiting.as_mut().poll(cx).is_ready()
    }
}

impl<B> Body for Incoming<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref());
                this.pace.moved(data.map_or(0, Bytes::len), Instant::now);
                if let Some(arrival) = &this.arrival {
                    arrival.now();
                }
                Poll::Ready(frame.map(|f| f.map_err(broken_off)))
            }
            Poll::Pending if this.is_late(cx) => Poll::Ready(Some(Err(Error::new(&codes::REQUEST_TIMEOUT)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The error of a body that the client did not send wholly.
pub fn broken_off(cause: impl std::fmt::Display) -> Error {
    Error::new(&codes::BAD_BODY).with_message(Text::fixed("请求体没有收完", "The body broke off.")).with_cause(cause)
}

impl Outgoing {
    /// A body as it comes; what breaks it off is logged under the request's id.
    pub fn pieces(pieces: Pieces, request_id: &str) -> Self {
        let request_id = request_id.to_owned();
        let streamed = Streamed { pieces, request_id, until: None, held: Vec::new() };
        Self { body: Form::Pieces(Box::new(streamed)), held: None }
    }

    /// The bytes of a body that is held whole; none of another.
    pub fn into_whole(self) -> Bytes {
        match self.body {
            Form::Whole(body) => body.into_inner().unwrap_or_default(),
            Form::Pieces(_) => Bytes::new(),
        }
    }

    /// Keeps something, such as a place among its tenant's calls, until an answer that comes in pieces has gone.
    pub fn holding(mut self, held: impl Any + Send + Sync) -> Self {
        if let Form::Pieces(streamed) = &mut self.body {
            streamed.held.push(Box::new(held));
        }
        self
    }

    /// Keeps the call open, and its place among the calls in flight, until the answer has gone: at `until` at the latest.
    ///
    /// HTTP/1 takes a whole answer at once, and its wire sees what the client doesn't read. Over HTTP/2 the client says
    /// for each answer how much it takes: so there the call is told.
    pub fn open(mut self, place: OwnedSemaphorePermit, call: OpenCall, until: Instant, is_http2: bool) -> Self {
        if let Form::Pieces(streamed) = &mut self.body {
            streamed.until = Some(Box::pin(sleep_until(until)));
        } else if !is_http2 || self.is_end_stream() {
            return self;
        }
        if is_http2 {
            call.waits(true);
        }
        self.held = Some(Held { call, told: is_http2, _place: place });
        self
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut self.body {
            Form::Whole(body) => {
                Pin::new(body).poll_frame(cx).map(|f| f.map(|f| f.map_err(|never: Infallible| match never {})))
            }
            Form::Pieces(streamed) => {
                let late = streamed.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready());
                let frame = match late {
                    true => Some(Err(Error::new(&codes::CALL_TIMEOUT).with_cause("its time was up"))),
                    false => ready!(Pin::new(&mut streamed.pieces).poll_frame(cx)),
                };
                if let Some(Err(error)) = &frame {
                    // The head has gone: cutting the connection is all that tells the client.
                    let (request_id, cause) = (&streamed.request_id, error.cause());
                    tracing::warn!(request_id, error = error.code(), cause, "an answer broke off");
                    metrics::counter!("menlou_responses_aborted_total").increment(1);
                }
                Poll::Ready(frame)
            }
        }
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self { body: Form::Whole(Full::new(bytes)), held: None }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = self.poll_body(cx);
        if let Some(held) = self.held.as_ref().filter(|held| held.told) {
            // Who asks for more can take it; what was given has to go before more is asked for.
            held.call.waits(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Form::Whole(body) => body.is_end_stream(),
            Form::Pieces(streamed) => streamed.pieces.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Form::Whole(body) => body.size_hint(),
            Form::Pieces(streamed) => streamed.pieces.size_hint(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.told {
            self.call.waits(false);
        }
    }
}
