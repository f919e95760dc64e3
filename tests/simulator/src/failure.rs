//! Injected failures: how a call fails, for which path and how often.

use std::collections::VecDeque;
use std::time::Duration;

/// The path that matches every platform endpoint.
pub const EVERY_PATH: &str = "*";

/// Maximum number of queued failures. The oldest is dropped first.
const MAX_QUEUED: usize = 1000;

/// How a call fails. By default the call has no effect: a code stays unused. With
/// [`Failure::after_effect`] the call takes effect and only the response fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) after_effect: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FailureKind {
    Errcode { errcode: i64, errmsg: Option<String> },
    Delay(Duration),
    Hang,
    Drop,
    Status(u16),
    Truncate,
}

impl Failure {
    /// HTTP 200 with this `errcode` and the platform's text for it.
    pub fn errcode(errcode: i64) -> Self {
        let errmsg = None;
        Self::from(FailureKind::Errcode { errcode, errmsg })
    }

    /// HTTP 200 with this `errcode` and text; the `rid` is added.
    pub fn errcode_with_text(errcode: i64, errmsg: impl Into<String>) -> Self {
        let errmsg = Some(errmsg.into());
        Self::from(FailureKind::Errcode { errcode, errmsg })
    }

    /// The regular response after a delay. The call takes effect after the delay, unless the client has
    /// disconnected by then. With [`Failure::after_effect`], it takes effect before the delay.
    pub fn delay(delay: Duration) -> Self {
        Self::from(FailureKind::Delay(delay))
    }

    /// No response. The connection stays open for at most ten minutes.
    pub fn hang() -> Self {
        Self::from(FailureKind::Hang)
    }

    /// The connection is closed without a response.
    pub fn drop_connection() -> Self {
        Self::from(FailureKind::Drop)
    }

    /// This HTTP status, 400 to 599, with an HTML page, as from a proxy in front of the platform. Any
    /// other number is replaced by 500.
    pub fn status(status: u16) -> Self {
        let status = if (400..600).contains(&status) { status } else { 500 };
        Self::from(FailureKind::Status(status))
    }

    /// The first half of the regular response, after which the connection is closed. The call always
    /// takes effect.
    pub fn truncate() -> Self {
        Self::from(FailureKind::Truncate).after_effect()
    }

    /// Lets the call take effect before it fails: the code is used, the response is lost.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }
}

impl From<FailureKind> for Failure {
    fn from(kind: FailureKind) -> Self {
        let after_effect = false;
        Self { kind, after_effect }
    }
}

/// The queued failures, in the order in which they were added.
#[derive(Default)]
pub(crate) struct FailureQueue(VecDeque<QueuedFailure>);

struct QueuedFailure {
    path: String,
    failure: Failure,
    /// The number of remaining calls. `None` means until cleared.
    times: Option<u32>,
}

impl FailureQueue {
    /// Queues a failure for the next `times` calls, or for all calls until cleared.
    pub(crate) fn add(&mut self, path: &str, failure: Failure, times: Option<u32>) {
        if times == Some(0) {
            return;
        }
        if self.0.len() >= MAX_QUEUED {
            self.0.pop_front();
        }
        self.0.push_back(QueuedFailure { path: path.to_owned(), failure, times });
    }

    /// Takes the failure for this call, if any: the first that was queued for its path.
    pub(crate) fn take(&mut self, path: &str) -> Option<Failure> {
        let at = self.0.iter().position(|queued| queued.path == path || queued.path == EVERY_PATH)?;
        let queued = self.0.get_mut(at)?;
        let failure = queued.failure.clone();
        if let Some(times) = &mut queued.times {
            *times -= 1;
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(failure)
    }

    /// Removes all failures.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
