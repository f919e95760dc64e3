//! Why a store operation failed.

use menlou_error::codes;
use std::fmt;

/// Why a store operation failed. The texts are for the log: they hold neither values nor credentials.
#[derive(Debug)]
pub enum Error {
    /// The store did not respond in time, or refused the operation.
    Unavailable {
        /// The store's name and the cause.
        reason: String,
        /// Whether the log has a line for it: the store is known to be down, or failed for the same reason a moment ago.
        is_logged: bool,
    },
    /// The store has more work queued than it can do in time; this operation was not started.
    Overloaded(String),
    /// A stored record is unreadable.
    Corrupt(String),
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// [`Error::Unavailable`] for a reason that the log does not have yet.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { reason: reason.into(), is_logged: false }
    }

    /// Whether the error needs no line in the log: the log has it already, or a metric counts it.
    pub fn is_logged(&self) -> bool {
        matches!(self, Self::Unavailable { is_logged: true, .. } | Self::Overloaded(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable { reason, .. } => write!(f, "store unavailable: {reason}"),
            Self::Overloaded(reason) => write!(f, "store overloaded: {reason}"),
            Self::Corrupt(what) => write!(f, "unreadable record in store: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for menlou_error::Error {
    fn from(e: Error) -> Self {
        let is_logged = e.is_logged();
        let code = match &e {
            Error::Unavailable { .. } => &codes::STORE_UNAVAILABLE,
            Error::Overloaded(_) => &codes::OVERLOADED,
            Error::Corrupt(_) => &codes::INTERNAL_ERROR,
        };
        let error = Self::new(code).with_cause(e);
        if is_logged { error.logged() } else { error }
    }
}
