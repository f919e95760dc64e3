//! A streamed request body with a deadline and a minimum transfer rate.

use http_guard::TransferDeadline;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use menlou_error::text::Text;
use menlou_error::{Error, codes};
use std::{
    fmt::Display,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// Body of a request. It fails if the client sends it too slowly or not by the deadline.
pub struct RequestBody<B> {
    body: B,
    idle_deadline: TransferDeadline,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    progress: Option<Arc<BodyProgress>>,
}

/// Time of the latest piece of a body. The deadline of the request is counted from it.
pub struct BodyProgress(Mutex<Instant>);

impl BodyProgress {
    /// Starts at the current time.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    /// Time of the latest piece; before the first piece, the time of creation.
    pub fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl<B> RequestBody<B> {
    /// Wraps a body that has to keep this rate and to end by `deadline`. Its pieces are recorded in `progress`.
    pub fn new(
        body: B,
        idle_deadline: TransferDeadline,
        deadline: Instant,
        progress: Option<Arc<BodyProgress>>,
    ) -> Self {
        Self { body, idle_deadline, deadline, timer: None, progress }
    }

    /// Whether the client is too slow. If not, the timer is set to the time at which it will be.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let until = self.idle_deadline.wait(Instant::now()).min(self.deadline);
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(cx).is_ready()
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Display,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|f| f.as_ref().ok()?.data_ref());
                this.idle_deadline.progress(data.map_or(0, Bytes::len), Instant::now);
                if let Some(progress) = &this.progress {
                    progress.record();
                }
                Poll::Ready(frame.map(|f| f.map_err(incomplete)))
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

/// The error of a body that the client did not send completely.
pub fn incomplete(cause: impl Display) -> Error {
    Error::new(&codes::BAD_BODY)
        .with_detail(Text::fixed("请求体不完整", "The request body is incomplete."))
        .with_cause(cause)
}
