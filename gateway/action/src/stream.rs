//! Bodies that cross the border piece by piece: the request's, where it is unread, and the answer that a plugin writes.

use super::{operation::OpOutput, plugin_call::PluginFuture};
use ::menlou_call::{Pieces, Unread};
use bytes::Bytes;
use http_body_util::{LengthLimitError, Limited, combinators::UnsyncBoxBody};
use hyper::body::{Body, Frame};
use menlou_error::{Error, Result, codes};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// Where the piece that a plugin wrote last waits for the client's connection.
#[derive(Default)]
pub(super) struct Slot(Mutex<Option<Bytes>>);

/// An answer that a plugin writes: its call goes on while the answer is read.
pub(super) struct Writing {
    /// The call, until it has ended.
    running: Option<PluginFuture>,
    slot: Arc<Slot>,
    pause: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// Reads the next piece of a body.
pub(super) fn read(unread: Arc<Unread>) -> impl Future<Output = Result<OpOutput>> + Send {
    poll_fn(move |cx| {
        loop {
            let frame = match unread.lock().as_mut() {
                Some(body) => ready!(Pin::new(body).poll_frame(cx)),
                None => None,
            };
            match frame.transpose()?.map(Frame::into_data) {
                None => return Poll::Ready(Ok(OpOutput::NotFound)),
                Some(Ok(piece)) if !piece.is_empty() => return Poll::Ready(Ok(OpOutput::Piece(piece))),
                // Trailers, which nobody asks for, or an empty piece.
                Some(_) => {}
            }
        }
    })
}

impl Slot {
    /// Puts a piece there once the one before has gone.
    pub fn write(self: Arc<Self>, piece: Bytes) -> impl Future<Output = Result<OpOutput>> + Send {
        let mut piece = Some(piece).filter(|p| !p.is_empty());
        // No waker is kept: whoever takes the piece out polls the call next.
        poll_fn(move |_| {
            let mut slot = self.lock();
            match slot.is_some() && piece.is_some() {
                true => Poll::Pending,
                false => {
                    *slot = piece.take().or_else(|| slot.take());
                    Poll::Ready(Ok(OpOutput::Nothing))
                }
            }
        })
    }

    fn take(&self) -> Option<Bytes> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    /// The answer's body; `running` is the call, unless it has ended already.
    pub fn pieces(running: Option<PluginFuture>, slot: Arc<Slot>, pause: Duration) -> Pieces {
        UnsyncBoxBody::new(Self { running, slot, pause, waiting: None })
    }
}

impl Body for Writing {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        let mut ended = None;
        if let Some(piece) = this.slot.take() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(running) = &mut this.running
            && let Poll::Ready(outcome) = running.poll_plugin(cx)
        {
            this.running = None;
            ended = outcome.err();
        }
        if let Some(error) = ended {
            return Poll::Ready(Some(Err(error)));
        }
        if let Some(piece) = this.slot.take() {
            this.waiting = None;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if this.running.is_none() {
            return Poll::Ready(None);
        }
        let pause = this.pause;
        ready!(this.waiting.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(cx));
        this.running = None;
        Poll::Ready(Some(Err(Error::new(&codes::CALL_TIMEOUT).with_cause("the plugin wrote nothing for too long"))))
    }
}

/// A body that is refused beyond `limit` bytes.
pub(super) fn limited(body: Pieces, limit: u64) -> Result<Pieces> {
    let too_large = |_| Error::new(&codes::BODY_TOO_LARGE);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(()));
    }
    let limited = http_body_util::BodyExt::map_err(Limited::new(body, limit), move |e| match e.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(e) if e.is::<LengthLimitError>() => too_large(()),
        Err(e) => Error::new(&codes::BAD_BODY).with_cause(e),
    });
    Ok(UnsyncBoxBody::new(limited))
}
