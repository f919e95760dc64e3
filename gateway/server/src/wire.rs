//! A connection's bytes, looked at before hyper has them: what is out of order never reaches it.
//!
//! A head that could be read in two ways can't be told from what hyper makes of it: it merges and drops. So the bytes
//! are held to the letter here, where heads begin and end is told by the same bytes ([`framing`]), and hyper's own
//! reading is left without a choice. In place of a bad head hyper is given a byte that begins no request: it first
//! answers what came before, then refuses, and closes, so answers keep their order and nothing behind the bad head is
//! ever read. A bad chunk ends the body with an error, and all reading with it. Who begins with what is no HTTP, such as a
//! wrong preface of HTTP/2, would not understand an answer either: the connection is closed.

mod deadlines;
mod frames;
pub mod framing;
mod head;
mod reset;

use super::{
    calls::Calls,
    early_response::{answer, refused_with},
};
pub use deadlines::Limits;
use deadlines::{Deadlines, Phase};
use frames::Frames;
use framing::{Framing, What};
pub use head::is_host;
use menlou_error::{ErrorCode, codes};
pub use reset::Reset;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
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

/// A connection, as hyper is given it.
pub struct Wire<T> {
    io: T,
    /// Of HTTP/1; the frames of HTTP/2 leave no two ways.
    framing: Option<Framing>,
    /// Of HTTP/2.
    frames: Option<Frames>,
    calls: Arc<Calls>,
    deadlines: Deadlines,
    /// What was out of order.
    odd: Option<What>,
    /// What hyper is still to be given in place of a bad head.
    instead: &'static [u8],
    /// The answer that goes out in place of hyper's own early_response, and how much of it has gone.
    refusal: Option<(Vec<u8>, usize)>,
    /// Whether nothing more comes of the client, or is waited for.
    ended: bool,
    /// When it no longer matters whether the client has read the last answer.
    parting: Option<Pin<Box<Sleep>>>,
}

impl<T> Wire<T> {
    /// Wraps a connection that speaks HTTP/1; `calls` are those that it brings.
    pub fn http1(io: T, limits: &Limits, calls: Arc<Calls>) -> Self {
        Self::new(io, limits, calls, Some(Framing::new(limits.max_head)), None)
    }

    /// Wraps a connection that speaks HTTP/2; `calls` are those that it brings.
    pub fn http2(io: T, limits: &Limits, calls: Arc<Calls>) -> Self {
        Self::new(io, limits, calls, None, Some(Frames::new(limits.max_control_frames_per_minute)))
    }

    fn new(io: T, limits: &Limits, calls: Arc<Calls>, framing: Option<Framing>, frames: Option<Frames>) -> Self {
        Self {
            io,
            framing,
            frames,
            calls,
            deadlines: Deadlines::new(limits),
            odd: None,
            instead: &[],
            refusal: None,
            ended: false,
            parting: None,
        }
    }

    /// The word for an answer that hyper made by itself: what we know, else what it says.
    fn refused_with(&self, buf: &[u8]) -> Option<&'static ErrorCode> {
        // It stands for a head that became no call: one that is out of order, or that hyper refused before it was whole.
        let framing = self.framing.as_ref()?;
        let bad = framing.is_in_head() || self.odd.is_some_and(|odd| odd != What::Body);
        let word = refused_with(buf).filter(|_| self.calls.begun() < framing.heads() + u64::from(bad))?;
        Some(match self.odd {
            Some(What::LongHead { first_line: true }) => &codes::URI_TOO_LONG,
            Some(What::LongHead { first_line: false }) => &codes::HEADERS_TOO_LARGE,
            Some(What::SlowHead) => &codes::REQUEST_TIMEOUT,
            Some(What::Head | What::Foreign | What::Body) | None => word,
        })
    }

    /// What the client keeps us waiting for.
    fn phase(&self) -> Phase {
        match &self.framing {
            _ if self.calls.any() => Phase::Call,
            None => Phase::Idle(0),
            Some(framing) if framing.is_in_head() => Phase::Head(framing.heads()),
            Some(framing) if !framing.is_between() => Phase::Call,
            Some(framing) if framing.heads() == 0 => Phase::Silent,
            Some(framing) => Phase::Idle(framing.heads()),
        }
    }

    /// Looks at what was read behind `start`, and takes back what must not be seen.
    fn look(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let new = buf.filled().get(start..).unwrap_or_default();
        self.ended |= new.is_empty();
        if self.frames.as_mut().is_some_and(|frames| !frames.pass(new)) {
            self.let_go("flood");
            self.odd = Some(What::Body);
        }
        if let Some(Err(odd)) = self.framing.as_mut().map(|framing| framing.pass(new)) {
            buf.set_filled(start + odd.before);
            self.refuse(odd.what);
        }
    }

    fn refuse(&mut self, what: What) {
        let why = match what {
            What::Head => "head",
            What::Foreign => "not_http",
            What::LongHead { .. } => "long_head",
            What::SlowHead => "slow_head",
            What::Body => "body",
        };
        metrics::counter!("menlou_requests_rejected_total", "reason" => why).increment(1);
        self.odd = Some(what);
        if !self.ends_reading() {
            self.instead = NO_HEAD;
        }
    }

    /// Whether something came behind which nothing is read, and to which nothing is said.
    fn ends_reading(&self) -> bool {
        matches!(self.odd, Some(What::Body | What::Foreign))
    }

    /// Gives up a client that doesn't take what is written.
    fn taken<N>(
        &mut self,
        cx: &mut Context<'_>,
        step: Poll<io::Result<N>>,
        bytes: impl FnOnce(&N) -> usize,
    ) -> Poll<io::Result<N>>
    where
        T: Reset,
    {
        match step {
            Poll::Pending => {
                ready!(self.deadlines.poll_write(cx));
                self.give_up();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the answer is not read")))
            }
            Poll::Ready(Ok(n)) => {
                self.deadlines.written(bytes(&n));
                Poll::Ready(Ok(n))
            }
            failed => failed,
        }
    }

    fn let_go(&mut self, why: &'static str) {
        metrics::counter!("menlou_connections_closed_total", "reason" => why).increment(1);
        self.ended = true;
    }

    /// Lets go of a client that doesn't read, and of what it hasn't read.
    fn give_up(&mut self)
    where
        T: Reset,
    {
        self.let_go("slow_reader");
        self.io.reset();
    }
}

impl<T: AsyncRead + Reset + Unpin> AsyncRead for Wire<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, start) = (&mut *self, buf.filled().len());
        if this.odd.is_none() {
            match Pin::new(&mut this.io).poll_read(cx, buf)? {
                Poll::Ready(()) => this.look(buf, start),
                Poll::Pending => {
                    let phase = this.phase();
                    ready!(this.deadlines.poll_read(cx, phase, &this.calls));
                    match phase {
                        Phase::Head(_) => this.refuse(What::SlowHead),
                        Phase::Silent => this.let_go("silent"),
                        Phase::Idle(_) => this.let_go("idle"),
                        Phase::Call => this.give_up(),
                    }
                }
            }
            if this.odd.is_none() || buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
        if this.ends_reading() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "what came is out of order")));
        }
        let (now, later) = this.instead.split_at(buf.remaining().min(this.instead.len()));
        buf.put_slice(now);
        this.instead = later;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Reset + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.refusal.is_none()
            && let Some(word) = this.refused_with(buf)
        {
            this.refusal = Some((answer(word), 0));
        }
        let Some((bytes, written)) = &mut this.refusal else {
            let step = Pin::new(&mut this.io).poll_write(cx, buf);
            return this.taken(cx, step, |n| *n);
        };
        while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut this.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *written += n,
            }
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = Pin::new(&mut self.io).poll_flush(cx);
        self.taken(cx, step, |()| 0)
    }

    /// Where the client is still sending, what it sends is dropped for a moment: closed at once, the connection would be
    /// reset, and the answer could be lost with it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let parting = this.parting.get_or_insert_with(|| Box::pin(sleep(PARTING)));
        match Pin::new(&mut this.io).poll_shutdown(cx)? {
            Poll::Ready(()) => {}
            Poll::Pending => return parting.as_mut().poll(cx).map(Ok),
        }
        if this.ended || this.odd.is_none() && this.framing.as_ref().is_none_or(Framing::is_between) {
            return Poll::Ready(Ok(()));
        }
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
