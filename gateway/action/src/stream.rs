//! Bodies that cross the plugin ABI chunk by chunk: an unread request body, and a response body that a plugin writes.

use super::operation::OpOutput;
use ::menlou_call::{BodyStream, UnreadBody};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited, combinators::UnsyncBoxBody};
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

/// Maximum size of a body that is kept in memory for a plugin, in bytes.
const MAX_BUFFERED: u64 = 16 << 20;

/// Holds one chunk between the plugin that wrote it and the client's connection.
#[derive(Default)]
pub(super) struct ChunkSlot(Mutex<Option<Bytes>>);

/// A call whose plugin still runs while its response body is sent.
pub(super) trait PollCall: Send + Unpin {
    /// Polls the plugin. Ready when the call has ended.
    fn poll_call(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;
}

/// A response body that a plugin writes. Reading the body polls the call.
pub(super) struct PluginBody<C> {
    /// The call until it ends.
    call: Option<C>,
    slot: Arc<ChunkSlot>,
    write_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Reads the next chunk of a request body.
pub(super) fn read(unread: Arc<UnreadBody>) -> impl Future<Output = Result<OpOutput>> + Send {
    poll_fn(move |cx| {
        loop {
            let frame = match unread.lock().as_mut() {
                Some(body) => ready!(Pin::new(body).poll_frame(cx)),
                None => None,
            };
            match frame.transpose()?.map(Frame::into_data) {
                None => return Poll::Ready(Ok(OpOutput::NotFound)),
                Some(Ok(piece)) if !piece.is_empty() => return Poll::Ready(Ok(OpOutput::Piece(piece))),
                // Skip trailers, which plugins cannot read, and empty chunks.
                Some(_) => {}
            }
        }
    })
}

/// Reads the rest of a request body, and keeps it to be read or forwarded. Fails with `body_too_large` beyond `limit` bytes.
pub(super) fn buffer(unread: Arc<UnreadBody>, limit: u64) -> impl Future<Output = Result<OpOutput>> + Send {
    let limit = limit.min(MAX_BUFFERED);
    let too_large = || Poll::Ready(Err(Error::new(&codes::BODY_TOO_LARGE)));
    let mut received = BytesMut::new();
    poll_fn(move |cx| {
        let mut slot = unread.lock();
        let Some(body) = slot.as_mut() else { return Poll::Ready(Ok(OpOutput::NotFound)) };
        if body.size_hint().lower() > limit {
            return too_large();
        }
        while let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)).transpose()? {
            let Ok(piece) = frame.into_data() else { continue };
            if (received.len() + piece.len()) as u64 > limit {
                return too_large();
            }
            received.extend_from_slice(&piece);
        }
        let whole = std::mem::take(&mut received).freeze();
        *body = UnsyncBoxBody::new(Full::from(whole.clone()).map_err(|never| match never {}));
        Poll::Ready(Ok(if whole.is_empty() { OpOutput::NotFound } else { OpOutput::Piece(whole) }))
    })
}

impl ChunkSlot {
    /// Stores a chunk as soon as the previous one has been taken.
    pub fn write(self: Arc<Self>, chunk: Bytes) -> impl Future<Output = Result<OpOutput>> + Send {
        let mut chunk = Some(chunk).filter(|c| !c.is_empty());
        // No waker is stored: the body that takes a chunk polls the call next.
        poll_fn(move |_| {
            let mut slot = self.lock();
            match slot.is_some() && chunk.is_some() {
                true => Poll::Pending,
                false => {
                    *slot = chunk.take().or_else(|| slot.take());
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

impl<C: PollCall + 'static> PluginBody<C> {
    /// The body of a response. `call` is `None` if the call has ended already. The body fails if the plugin writes
    /// nothing for `write_timeout`.
    pub fn boxed(call: Option<C>, slot: Arc<ChunkSlot>, write_timeout: Duration) -> BodyStream {
        UnsyncBoxBody::new(Self { call, slot, write_timeout, timer: None })
    }
}

impl<C: PollCall> Body for PluginBody<C> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if let Some(chunk) = this.slot.take() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(call) = &mut this.call
            && let Poll::Ready(result) = call.poll_call(cx)
        {
            this.call = None;
            if let Err(error) = result {
                return Poll::Ready(Some(Err(error)));
            }
        }
        if let Some(chunk) = this.slot.take() {
            this.timer = None;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if this.call.is_none() {
            return Poll::Ready(None);
        }
        let timeout = this.write_timeout;
        ready!(this.timer.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut().poll(cx));
        this.call = None;
        let error =
            Error::new(&codes::CALL_TIMEOUT).with_cause("the plugin wrote no chunk of the response for too long");
        Poll::Ready(Some(Err(error)))
    }
}

/// A body that fails with `body_too_large` beyond `limit` bytes. Fails immediately if the body's minimum size exceeds it.
pub(super) fn limited(body: BodyStream, limit: u64) -> Result<BodyStream> {
    let too_large = |_| Error::new(&codes::BODY_TOO_LARGE);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(()));
    }
    let limited = BodyExt::map_err(Limited::new(body, limit), move |e| match e.downcast::<Error>() {
        Ok(ours) => *ours,
        Err(e) if e.is::<LengthLimitError>() => too_large(()),
        Err(e) => Error::new(&codes::BAD_BODY).with_cause(e),
    });
    Ok(UnsyncBoxBody::new(limited))
}
