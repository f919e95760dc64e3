//! Errors with a stable code, a message for people, a detail for developers, and a cause for the log; the tables of error codes; and texts in
//! Chinese and English. This crate depends on no other crate of the gateway.

pub mod admin_codes;
pub mod codes;
mod outcome;
pub mod text;

use crate::text::Text;
pub use codes::{ErrorCode, Responsible};
pub use outcome::Outcome;
use std::{borrow::Cow, fmt, time::Duration};

/// Why a request failed. The caller receives code, status, message, data and `Retry-After`; the log also has the cause.
#[derive(Clone, Debug)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: Cow<'static, str>,
    status: u16,
    text: Text,
    detail: Option<Text>,
    data: Option<serde_json::Value>,
    retry_after: Option<Duration>,
    allow: Option<String>,
    cause: Option<String>,
    logged: bool,
}

impl Error {
    /// An error of the gateway, with the message and status from the table.
    pub fn new(code: &'static ErrorCode) -> Self {
        Self(Box::new(Inner {
            code: Cow::Borrowed(code.name),
            status: code.status,
            text: code.text.clone(),
            detail: code.detail.clone(),
            data: None,
            retry_after: code.retry_after,
            allow: None,
            cause: None,
            logged: false,
        }))
    }

    /// An error with a code of a plugin. The action decided the outcome, so the status is 200.
    pub fn plugin(code: String, text: Text) -> Self {
        Self(Box::new(Inner {
            code: Cow::Owned(code),
            status: 200,
            text,
            detail: None,
            data: None,
            retry_after: None,
            allow: None,
            cause: None,
            logged: false,
        }))
    }

    /// Replaces the message of the table, and drops the detail, which belongs to that message. The message is for people
    /// that use the mini-program; it must not contain a secret, an internal address or a stack trace.
    pub fn with_message(mut self, text: Text) -> Self {
        self.0.text = text;
        self.0.detail = None;
        self
    }

    /// Sets the JSON field `data.detail` of the response, for developers: which parameter, which type. The same holds for it
    /// as for the message.
    pub fn with_detail(mut self, detail: Text) -> Self {
        self.0.detail = Some(detail);
        self
    }

    /// Sets the JSON field `data` of the response to an object, such as the platform's `errcode` and `rid`.
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// Sets the header `Retry-After`.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Sets the header `Allow`: the permitted HTTP methods, separated by commas.
    pub fn allowing(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// Sets the cause, for the log only. It must not contain a secret, a login code, a token or a phone number.
    pub fn with_cause(mut self, cause: impl fmt::Display) -> Self {
        self.0.cause = Some(cause.to_string());
        self
    }

    /// Marks the cause as already logged, so that this request gets no log line of its own. For causes that fail many
    /// requests and are logged once.
    pub fn logged(mut self) -> Self {
        self.0.logged = true;
        self
    }

    /// Whether the cause has already been logged, see [`Error::logged`].
    pub fn is_logged(&self) -> bool {
        self.0.logged
    }

    /// The stable, machine-readable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The HTTP status of the response.
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The message for people that use the mini-program.
    pub fn text(&self) -> &Text {
        &self.0.text
    }

    /// The detail for developers, if there is one.
    pub fn detail(&self) -> Option<&Text> {
        self.0.detail.as_ref()
    }

    /// What the error means, for developers, admins and operators: the detail, or the message if that says all.
    pub fn meaning(&self) -> &Text {
        self.0.detail.as_ref().unwrap_or(&self.0.text)
    }

    /// The JSON field `data` of the response, if set.
    pub fn data(&self) -> Option<&serde_json::Value> {
        self.0.data.as_ref()
    }

    /// The value of the header `Retry-After`, if set.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The value of the header `Allow`, if set.
    pub fn allow(&self) -> Option<&str> {
        self.0.allow.as_deref()
    }

    /// The cause, for the log.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    /// Whether this error has this code.
    pub fn is(&self, code: &ErrorCode) -> bool {
        self.0.code == code.name
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.meaning().en)?;
        match &self.0.cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// The result of a step of a request.
pub type Result<T, E = Error> = std::result::Result<T, E>;
