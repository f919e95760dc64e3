//! Why an outgoing request has no response.

use std::fmt;

/// Why there is no response. The texts are for the log and contain no URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HttpFailure {
    /// No byte of the request was sent: refused connection, DNS, TLS, a connection closed before it was used, or a
    /// malformed URL.
    NotSent(String),
    /// A kept connection was reset as the request was sent, before a byte of the response: the server had closed it without
    /// reading the request completely.
    ConnectionClosing(String),
    /// The request may have been received: the deadline passed or the connection broke before the response was complete.
    Unanswered(String),
    /// The response cannot be used: too large, or not HTTP.
    Unusable(String),
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(cause) => write!(f, "not sent: {cause}"),
            Self::ConnectionClosing(cause) => write!(f, "sent on a connection that the server was closing: {cause}"),
            Self::Unanswered(cause) => write!(f, "sent, but not answered: {cause}"),
            Self::Unusable(cause) => write!(f, "unusable response: {cause}"),
        }
    }
}

impl std::error::Error for HttpFailure {}
