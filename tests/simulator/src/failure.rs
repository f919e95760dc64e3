//! Failures on demand: what goes wrong, for which path, how many times.

use std::collections::VecDeque;
use std::time::Duration;

/// The path that stands for every platform endpoint.
pub const EVERY_PATH: &str = "*";

/// More ordered failures than this are not kept: the oldest goes.
const MOST_ORDERED: usize = 1000;

/// How a call fails. By default the call has no effect (a code stays unused); with
/// [`Failure::after_effect`] the platform does its work, and only the answer suffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub(crate) kind: Kind,
    pub(crate) after_effect: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Errcode { errcode: i64, errmsg: Option<String> },
    Delay(Duration),
    Hang,
    Drop,
    Status(u16),
    Truncate,
}

impl Failure {
    /// HTTP 200 with this `errcode` and the platform's own text for it.
    pub fn errcode(errcode: i64) -> Self {
        let errmsg = None;
        Self::from(Kind::Errcode { errcode, errmsg })
    }

    /// HTTP 200 with this `errcode` and text; the `rid` is added.
    pub fn errcode_with_text(errcode: i64, errmsg: impl Into<String>) -> Self {
        let errmsg = Some(errmsg.into());
        Self::from(Kind::Errcode { errcode, errmsg })
    }

    /// The true answer, but later. The call takes effect after the delay, and not at all if the
    /// caller has hung up by then; with [`Failure::after_effect`], before it.
    pub fn delay(by: Duration) -> Self {
        Self::from(Kind::Delay(by))
    }

    /// No answer, the connection left open (for ten minutes at most).
    pub fn hang() -> Self {
        Self::from(Kind::Hang)
    }

    /// The connection closed without an answer.
    pub fn drop_connection() -> Self {
        Self::from(Kind::Drop)
    }

    /// This HTTP status, 400 to 599, with an HTML page, as from a proxy before the platform. Any
    /// other number stands for 500.
    pub fn status(status: u16) -> Self {
        let status = if (400..600).contains(&status) { status } else { 500 };
        Self::from(Kind::Status(status))
    }

    /// The first half of the true answer, then the connection closed. It always takes effect.
    pub fn truncate() -> Self {
        Self::from(Kind::Truncate).after_effect()
    }

    /// Lets the call take effect before it fails: the code is used up, the answer is lost.
    #[must_use]
    pub fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        let after_effect = false;
        Self { kind, after_effect }
    }
}

/// The failures that are ordered and not yet used up, in the order in which they were given.
#[derive(Default)]
pub(crate) struct Ordered(VecDeque<Order>);

struct Order {
    path: String,
    failure: Failure,
    /// How many more calls; none means until cleared.
    times: Option<u32>,
}

impl Ordered {
    /// Orders a failure of the next `times` calls, or of all calls until cleared.
    pub(crate) fn add(&mut self, path: &str, failure: Failure, times: Option<u32>) {
        if times == Some(0) {
            return;
        }
        if self.0.len() >= MOST_ORDERED {
            self.0.pop_front();
        }
        self.0.push_back(Order { path: path.to_owned(), failure, times });
    }

    /// The failure that this call is due, if any: the first that was ordered for its path.
    pub(crate) fn due(&mut self, path: &str) -> Option<Failure> {
        let at = self.0.iter().position(|order| order.path == path || order.path == EVERY_PATH)?;
        let order = self.0.get_mut(at)?;
        let failure = order.failure.clone();
        if let Some(times) = &mut order.times {
            *times -= 1;
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(failure)
    }

    /// Forgets them all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
