//! A connection as hyper gets it: input is checked before hyper sees it, and every wait for the client has a deadline.
//!
//! Malformed heads are replaced by an invalid byte, so that hyper finishes earlier responses, answers 400 and closes. Thus
//! responses keep their order, and nothing behind the malformed head is read. A malformed chunk ends the body, and all
//! reading, with an error. A connection that begins with another protocol, or with a wrong preface of HTTP/2, gets no
//! response, since its client would not understand one.

use crate::{
    config::GuardConfig,
    connection_state::InFlight,
    control_frames::ControlFrameCounter,
    deadlines::{Deadlines, ReadPhase},
    framing::Framing,
    hooks::GuardHooks,
    reset::Reset,
    violation::{CloseReason, Rejection, Violation},
};
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

/// What hyper reads in place of a malformed head. No method contains NUL; the empty line makes hyper parse immediately.
const INVALID_HEAD: &[u8] = b"\0\r\n\r\n";

/// How long a connection lingers in closing while its client is still sending.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection with the guard around it, to be served by hyper.
///
/// The service that hyper calls has to report its requests to the [`InFlight`] that was given to the constructor.
pub struct GuardedStream<T, H = ()> {
    io: T,
    hooks: H,
    /// HTTP/1 only.
    framing: Option<Framing>,
    /// HTTP/2 only.
    control_frames: Option<ControlFrameCounter>,
    in_flight: Arc<InFlight>,
    deadlines: Deadlines,
    fault: Option<Fault>,
    /// What hyper has still to read in place of a malformed head.
    substitute: &'static [u8],
    /// The response that is sent in place of hyper's own, and how many bytes of it were written.
    early_response: Option<(Vec<u8>, usize)>,
    /// Whether the input has ended, or is not waited for any more.
    input_ended: bool,
    /// When closing no longer waits for the client.
    linger: Option<Pin<Box<Sleep>>>,
}

/// Why nothing more is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Violation(Violation),
    ControlFrameFlood,
}

impl<T, H: GuardHooks> GuardedStream<T, H> {
    /// Guards a connection that speaks HTTP/1.
    pub fn http1(io: T, config: &GuardConfig, in_flight: Arc<InFlight>, hooks: H) -> Self {
        Self::new(io, config, in_flight, hooks, Some(Framing::new(config.max_head_bytes)), None)
    }

    /// Guards a connection that speaks HTTP/2. Its frames are unambiguous, so only control frames are counted.
    pub fn http2(io: T, config: &GuardConfig, in_flight: Arc<InFlight>, hooks: H) -> Self {
        let control_frames = ControlFrameCounter::new(config.max_control_frames_per_minute);
        Self::new(io, config, in_flight, hooks, None, Some(control_frames))
    }

    fn new(
        io: T,
        config: &GuardConfig,
        in_flight: Arc<InFlight>,
        hooks: H,
        framing: Option<Framing>,
        control_frames: Option<ControlFrameCounter>,
    ) -> Self {
        Self {
            io,
            hooks,
            framing,
            control_frames,
            in_flight,
            deadlines: Deadlines::new(config),
            fault: None,
            substitute: &[],
            early_response: None,
            input_ended: false,
            linger: None,
        }
    }

    /// The rejection that `written` stands for, if hyper made that response by itself.
    fn rejection(&self, written: &[u8]) -> Option<Rejection> {
        let framing = self.framing.as_ref()?;
        // hyper made it for a head that did not become a request: one that is malformed here, or that hyper refused
        // before it was complete.
        let has_bad_head = framing.is_in_head() || self.has_bad_head();
        let rejection = Rejection::from_written(written)
            .filter(|_| self.in_flight.total() < framing.heads() + u64::from(has_bad_head))?;
        Some(match self.fault {
            Some(Fault::Violation(Violation::HeadTooLong { in_request_line: true })) => Rejection::UriTooLong,
            Some(Fault::Violation(Violation::HeadTooLong { in_request_line: false })) => Rejection::HeadersTooLarge,
            Some(Fault::Violation(Violation::HeadTimeout)) => Rejection::RequestTimeout,
            _ => rejection,
        })
    }

    fn has_bad_head(&self) -> bool {
        matches!(self.fault, Some(Fault::Violation(violation)) if violation != Violation::MalformedBody)
    }

    fn read_phase(&self) -> ReadPhase {
        match &self.framing {
            _ if self.in_flight.is_active() => ReadPhase::Request,
            None => ReadPhase::Idle(0),
            Some(framing) if framing.is_in_head() => ReadPhase::Head(framing.heads()),
            Some(framing) if !framing.is_between_requests() => ReadPhase::Request,
            Some(framing) if framing.heads() == 0 => ReadPhase::FirstByte,
            Some(framing) => ReadPhase::Idle(framing.heads()),
        }
    }

    /// Checks what was read behind `start`, and removes what hyper must not see.
    fn check(&mut self, buf: &mut ReadBuf<'_>, start: usize) {
        let new = buf.filled().get(start..).unwrap_or_default();
        self.input_ended |= new.is_empty();
        if self.control_frames.as_mut().is_some_and(|counter| !counter.check(new)) {
            self.close(CloseReason::ControlFrameFlood);
            self.fault = Some(Fault::ControlFrameFlood);
        }
        if let Some(Err(error)) = self.framing.as_mut().map(|framing| framing.check(new)) {
            buf.set_filled(start + error.valid_bytes);
            self.reject(error.violation);
        }
    }

    fn reject(&mut self, violation: Violation) {
        self.hooks.on_violation(violation);
        self.fault = Some(Fault::Violation(violation));
        if !self.has_read_error() {
            self.substitute = INVALID_HEAD;
        }
    }

    /// Whether reading fails. After other faults hyper reads the substitute and then the end of the input.
    fn has_read_error(&self) -> bool {
        matches!(
            self.fault,
            Some(Fault::ControlFrameFlood | Fault::Violation(Violation::MalformedBody | Violation::NotHttp))
        )
    }

    fn close(&mut self, reason: CloseReason) {
        self.hooks.on_close(reason);
        self.input_ended = true;
    }
}

impl<T: Reset, H: GuardHooks> GuardedStream<T, H> {
    /// Applies the deadline of responses to a step of writing.
    fn with_deadline<N>(
        &mut self,
        cx: &mut Context<'_>,
        step: Poll<io::Result<N>>,
        written: impl FnOnce(&N) -> usize,
    ) -> Poll<io::Result<N>> {
        match step {
            Poll::Pending => {
                ready!(self.deadlines.poll_write(cx));
                self.abort_slow_reader();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read the response")))
            }
            Poll::Ready(Ok(n)) => {
                self.deadlines.written(written(&n));
                Poll::Ready(Ok(n))
            }
            failed => failed,
        }
    }

    /// Closes the connection and discards what its client has not read.
    fn abort_slow_reader(&mut self) {
        self.close(CloseReason::SlowReader);
        self.io.reset();
    }
}

impl<T: AsyncRead + Reset + Unpin, H: GuardHooks + Unpin> AsyncRead for GuardedStream<T, H> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (this, start) = (&mut *self, buf.filled().len());
        if this.fault.is_none() {
            match Pin::new(&mut this.io).poll_read(cx, buf)? {
                Poll::Ready(()) => this.check(buf, start),
                Poll::Pending => {
                    let phase = this.read_phase();
                    ready!(this.deadlines.poll_read(cx, phase, &this.in_flight));
                    match phase {
                        ReadPhase::Head(_) => this.reject(Violation::HeadTimeout),
                        ReadPhase::FirstByte => this.close(CloseReason::FirstByteTimeout),
                        ReadPhase::Idle(_) => this.close(CloseReason::KeepAliveTimeout),
                        ReadPhase::Request => this.abort_slow_reader(),
                    }
                }
            }
            if this.fault.is_none() || buf.filled().len() > start {
                return Poll::Ready(Ok(()));
            }
        }
        if this.has_read_error() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "malformed input")));
        }
        let (now, later) = this.substitute.split_at(buf.remaining().min(this.substitute.len()));
        buf.put_slice(now);
        this.substitute = later;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Reset + Unpin, H: GuardHooks + Unpin> AsyncWrite for GuardedStream<T, H> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.early_response.is_none()
            && let Some(rejection) = this.rejection(buf)
        {
            this.early_response = Some((this.hooks.early_response(rejection), 0));
        }
        let Some((bytes, written)) = &mut this.early_response else {
            let step = Pin::new(&mut this.io).poll_write(cx, buf);
            return this.with_deadline(cx, step, |n| *n);
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
        self.with_deadline(cx, step, |()| 0)
    }

    /// If the client is still sending, its data is read and dropped for a moment: closing the connection immediately would
    /// reset it, and the response could be lost.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER_TIMEOUT)));
        match Pin::new(&mut this.io).poll_shutdown(cx)? {
            Poll::Ready(()) => {}
            Poll::Pending => return linger.as_mut().poll(cx).map(Ok),
        }
        let is_at_end = this.fault.is_none() && this.framing.as_ref().is_none_or(Framing::is_between_requests);
        if this.input_ended || is_at_end {
            return Poll::Ready(Ok(()));
        }
        let mut dropped = [0; 4096];
        loop {
            if linger.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut dropped);
            if ready!(Pin::new(&mut this.io).poll_read(cx, &mut buf)).is_err() || buf.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
