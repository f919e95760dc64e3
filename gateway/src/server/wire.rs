//! A connection's bytes, looked at before hyper has them: what is out of order never reaches it.
//!
//! A head that could be read in two ways can't be told from what hyper makes of it: it merges and drops. So the bytes
//! are held to the letter here, where heads begin and end is told by the same bytes ([`framing`]), and hyper's own
//! reading is left without a choice. In place of a bad head hyper is given a byte that begins no request: it first
//! answers what came before, then refuses, and closes, so answers keep their order and nothing behind the bad head is
//! ever read. A bad chunk ends the body with an error, and all reading with it.

mod framing;
mod head;

use super::refusal::{answer, refused_with};
use crate::error::{Word, words};
use framing::{Framing, What};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// No request has a NUL; the empty line has hyper look at once.
const NO_HEAD: &[u8] = b"\0\r\n\r\n";

/// How long a client that is still sending may take to read its last answer.
const PARTING: Duration = Duration::from_secs(1);

/// A connection that speaks HTTP/1.
pub struct Wire<T> {
    io: T,
    framing: Framing,
    /// What was out of order.
    odd: Option<What>,
    /// What hyper is still to be given in place of a bad head.
    instead: &'static [u8],
    /// The answer that goes out in place of hyper's own refusal, and how much of it has gone.
    refusal: Option<(Vec<u8>, usize)>,
    /// Whether the client has sent all that it ever will.
    ended: bool,
    /// When it no longer matters whether the client has read the last answer.
    parting: Option<Pin<Box<Sleep>>>,
}

impl<T> Wire<T> {
    /// Wraps a connection; no head may have more than `max_head` bytes.
    pub fn new(io: T, max_head: usize) -> Self {
        Self {
            io,
            framing: Framing::new(max_head),
            odd: None,
            instead: &[],
            refusal: None,
            ended: false,
            parting: None,
        }
    }

    /// The word for an answer that hyper made by itself: what we know, else what it says.
    fn refused_with(&self, buf: &[u8]) -> Option<&'static Word> {
        let word = refused_with(buf)?;
        Some(match self.odd {
            Some(What::LongHead { first_line: true }) => &words::URI_TOO_LONG,
            Some(What::LongHead { first_line: false }) => &words::HEADERS_TOO_LARGE,
            Some(What::Head | What::Body) | None => word,
        })
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.odd.is_none() {
            let start = buf.filled().len();
            ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
            let new = buf.filled().get(start..).unwrap_or_default();
            this.ended |= new.is_empty();
            let Err(odd) = this.framing.pass(new) else {
                return Poll::Ready(Ok(()));
            };
            buf.set_filled(start + odd.before);
            metrics::counter!("menlou_odd_requests_total").increment(1);
            this.odd = Some(odd.what);
            if odd.what != What::Body {
                this.instead = NO_HEAD;
            }
            if odd.before > 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if this.odd == Some(What::Body) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk is out of order")));
        }
        let (now, later) = this.instead.split_at(buf.remaining().min(this.instead.len()));
        buf.put_slice(now);
        this.instead = later;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.refusal.is_none()
            && let Some(word) = this.refused_with(buf)
        {
            this.refusal = Some((answer(word), 0));
        }
        let Some((bytes, written)) = &mut this.refusal else { return Pin::new(&mut this.io).poll_write(cx, buf) };
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut this.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *written += n,
            }
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    /// Where the client is still sending, what it sends is dropped for a moment: closed at once, the connection would be
    /// reset, and the answer could be lost with it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.io).poll_shutdown(cx))?;
        if this.ended || this.odd.is_none() && this.framing.is_between() {
            return Poll::Ready(Ok(()));
        }
        let parting = this.parting.get_or_insert_with(|| Box::pin(sleep(PARTING)));
        let mut dropped = [0; 4096];
        loop {
            if parting.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut dropped);
            if ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf)).is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
