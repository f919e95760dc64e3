//! An error with two faces: a stable word and a clear sentence for the caller, the cause for the log.

pub mod admin_codes;
pub mod codes;
pub mod text;

use crate::text::Text;
pub use codes::{ErrorCode, Responsible};
use std::{borrow::Cow, fmt, time::Duration};

/// Why a call was not served. The caller sees word, status, text, data and `Retry-After`; the log sees the cause as well.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Cow<'static, str>,
    status: u16,
    text: Text,
    data: Option<serde_json::Value>,
    retry_after: Option<Duration>,
    allow: Option<String>,
    cause: Option<String>,
    logged: bool,
}

impl Error {
    /// One of the gateway's own words, with its text and status from the table.
    pub fn new(code: &'static ErrorCode) -> Self {
        Self(Box::new(Inner {
            code: Cow::Borrowed(code.name),
            status: code.status,
            text: code.text.clone(),
            data: None,
            retry_after: code.retry_after,
            allow: None,
            cause: None,
            logged: false,
        }))
    }

    /// A word of a plugin's own: an answer that its action decided, so the status is 200.
    pub fn plugin(code: String, text: Text) -> Self {
        Self(Box::new(Inner {
            code: Cow::Owned(code),
            status: 200,
            text,
            data: None,
            retry_after: None,
            allow: None,
            cause: None,
            logged: false,
        }))
    }

    /// A sentence that says more than the table's. It must not hold a secret, an internal address or a stack.
    pub fn with_message(mut self, text: Text) -> Self {
        self.0.text = text;
        self
    }

    /// What the caller gets as `data`: a JSON object, such as the platform's `errcode` and `rid`.
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// When it is worth trying again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The HTTP methods that would do, comma-separated: the answer's `Allow`.
    pub fn allowing(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// The cause, for the log only. It must not hold a secret, a code, a token or a phone number.
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// What is wrong has been logged already, once for all calls that fail by it: this one needs no line of its own.
    pub fn logged(mut self) -> Self {
        self.0.logged = true;
        self
    }

    /// Whether the cause has been logged already, see [`Error::logged`].
    pub fn is_logged(&self) -> bool {
        self.0.logged
    }

    /// The stable, machine-readable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The HTTP status that this error is answered with.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The sentence for people.
    pub fn text(&self) -> &Text {
        &self.0.text
    }

    /// The `data` of the answer, if any.
    pub fn data(&self) -> Option<&serde_json::Value> {
        self.0.data.as_ref()
    }

    /// When it is worth trying again, if that is known.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The HTTP methods that would do.
    pub fn allow(&self) -> Option<&str> {
        self.0.allow.as_deref()
    }

    /// The cause, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Whether this is the error `code`.
    pub fn is(&self, code: &ErrorCode) -> bool {
        self.0.code == code.name
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.text.en)?;
        match &self.0.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// What a fallible step of a call gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
