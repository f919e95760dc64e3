//! How long a connection waits for its client: for a head, for the next request, and until it takes an answer.
//!
//! One timer does for all. It is never set back when something comes, only looked at anew when it ends, so that a
//! request costs no timer.

use super::super::{calls::Calls, pace::Pace};
use menlou_config::server::{Clients, Http2, Server};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// What a wire is held to.
#[derive(Clone)]
pub struct Limits {
    /// The longest head, in bytes.
    pub max_head: usize,
    /// How many frames of HTTP/2 may bring nothing, within a minute.
    pub max_control_frames_per_minute: u32,
    first_byte: Duration,
    head: Duration,
    keep_alive: Duration,
    answer: Duration,
    answers: Pace,
}

/// What a client keeps us waiting for. Heads are counted, so that two of them are never taken for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its first byte.
    Silent,
    /// The rest of a head.
    Head(u64),
    /// The next head.
    Idle(u64),
    /// Nothing but that it takes its answers: a call is open, which has deadlines of its own.
    Call,
}

/// The deadlines of one connection.
pub struct Deadlines {
    limits: Limits,
    phase: Phase,
    since: Instant,
    reading: Timer,
    writing: Timer,
}

/// Set when it is first needed.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Limits {
    /// As they are configured.
    pub fn of(server: &Server, clients: &Clients, http2: &Http2) -> Self {
        Self {
            max_head: server.max_header_bytes.bytes(),
            max_control_frames_per_minute: http2.max_control_frames_per_minute,
            first_byte: clients.first_byte_timeout.get(),
            head: server.header_timeout.get(),
            keep_alive: clients.keep_alive_timeout.get(),
            answer: clients.response_write_timeout.get(),
            answers: Pace::new(clients.response_write_timeout.get(), clients.min_transfer_rate.bytes()),
        }
    }
}

impl Deadlines {
    /// From now on.
    pub fn new(limits: &Limits) -> Self {
        let (reading, writing) = Default::default();
        Self { limits: limits.clone(), phase: Phase::Silent, since: Instant::now(), reading, writing }
    }

    /// Ready when the client has taken too long over this phase.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, phase: Phase, calls: &Calls) -> Poll<()> {
        let mut now = Instant::now();
        if phase != self.phase {
            (self.phase, self.since) = (phase, now);
        }
        loop {
            let until = match phase {
                Phase::Silent => self.since + self.limits.first_byte,
                Phase::Head(_) => self.since + self.limits.head,
                Phase::Idle(_) => self.since.max(calls.ended()) + self.limits.keep_alive,
                // Nobody tells when the call ends, or its answer waits, so it is looked at now and then.
                Phase::Call => match calls.untaken_since().map(|since| since + self.limits.answer) {
                    Some(until) if until <= now => return Poll::Ready(()),
                    _ => now + self.limits.keep_alive.min(self.limits.answer) / 4,
                },
            };
            ready!(self.reading.poll(cx, until));
            if phase != Phase::Call {
                return Poll::Ready(());
            }
            now = Instant::now();
        }
    }

    /// Ready when the client has left what was written unread for too long.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.limits.answers.wait(Instant::now());
        self.writing.poll(cx, until)
    }

    /// So much of what was written went.
    pub fn written(&mut self, bytes: usize) {
        self.limits.answers.moved(bytes, Instant::now);
    }
}

impl Timer {
    /// Ready where `until` has passed. Where the timer ends earlier, it is set anew then.
    fn poll(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= until || Instant::now() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}
