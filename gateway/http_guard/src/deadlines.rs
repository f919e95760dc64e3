//! Deadlines of one connection: for the first byte, for a head, for the next request, and for the reading of a response.
//!
//! A timer is not reset when data is received; it is only compared with the deadline when it expires. So a request costs
//! no timer.

use crate::{config::GuardConfig, connection_state::InFlight, min_rate::TransferDeadline};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// What the connection waits for. The number of heads before it makes two phases of one kind distinct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadPhase {
    /// The first byte of the first head.
    FirstByte,
    /// The rest of a head.
    Head(u64),
    /// The next head.
    Idle(u64),
    /// A body, or anything else while a request is in flight: only the reading of its response has a deadline here.
    Request,
}

/// The deadlines of one connection.
pub struct Deadlines {
    config: GuardConfig,
    phase: ReadPhase,
    since: Instant,
    responses: TransferDeadline,
    read_timer: Timer,
    write_timer: Timer,
}

/// A timer that is allocated when it is first needed.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Deadlines {
    /// The deadlines of a connection that is opened now.
    pub fn new(config: &GuardConfig) -> Self {
        Self {
            phase: ReadPhase::FirstByte,
            since: Instant::now(),
            responses: TransferDeadline::new(config.response_write_timeout, config.min_transfer_rate),
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            config: config.clone(),
        }
    }

    /// Ready when the deadline of this phase has passed.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, phase: ReadPhase, in_flight: &InFlight) -> Poll<()> {
        let mut now = Instant::now();
        if phase != self.phase {
            (self.phase, self.since) = (phase, now);
        }
        let config = &self.config;
        loop {
            let until = match phase {
                ReadPhase::FirstByte => self.since + config.first_byte_timeout,
                ReadPhase::Head(_) => self.since + config.head_timeout,
                ReadPhase::Idle(_) => self.since.max(in_flight.last_end()) + config.keep_alive_timeout,
                // Nothing wakes this task when a request ends or its response blocks, so the state is polled.
                ReadPhase::Request => {
                    match in_flight.blocked_since().map(|since| since + config.response_write_timeout) {
                        Some(until) if until <= now => return Poll::Ready(()),
                        _ => now + config.keep_alive_timeout.min(config.response_write_timeout) / 4,
                    }
                }
            };
            ready!(self.read_timer.poll(cx, until));
            if phase != ReadPhase::Request {
                return Poll::Ready(());
            }
            now = Instant::now();
        }
    }

    /// Ready when the client has not read enough of what was written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.responses.wait(Instant::now());
        self.write_timer.poll(cx, until)
    }

    /// Records that `bytes` were written.
    pub fn written(&mut self, bytes: usize) {
        self.responses.progress(bytes, Instant::now);
    }
}

impl Timer {
    /// Ready when `until` has passed. A timer that expires earlier is set to `until` then.
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
