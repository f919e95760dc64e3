//! What an action answers where it can't do what was asked: a word, a sentence in both languages, some data.

use std::{borrow::Cow, fmt};

/// Why an action didn't do what was asked.
///
/// The gateway's own words (`menlou explain` lists them) need no sentence; those of the action's own do:
/// ```
/// # use menlou_plugin::Error;
/// Error::new("missing_parameter").saying("缺少参数 code", "The parameter code is missing.");
/// Error::new("not_enough_points").saying("积分不足", "Not enough points.");
/// ```
/// Errors of host services come as this type too: with `?` they go through to the caller unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Error(pub(crate) Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    pub(crate) word: Cow<'static, str>,
    pub(crate) zh: Cow<'static, str>,
    pub(crate) en: Cow<'static, str>,
    pub(crate) data: Option<serde_json::Value>,
    pub(crate) cause: Option<String>,
}

/// What an action gives.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this word, `[a-z0-9_]+`.
    pub fn new(word: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { word: word.into(), zh: "".into(), en: "".into(), data: None, cause: None }))
    }

    /// A mistake in the action itself: the caller learns only `plugin_failed`, the log gets the cause.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error = Self::new("plugin_failed");
        error.0.cause = Some(cause.to_string());
        error
    }

    /// The sentence for people, in Chinese and English.
    pub fn saying(mut self, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        (self.0.zh, self.0.en) = (zh.into(), en.into());
        self
    }

    /// What the caller gets as `data`; a JSON object.
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// The word.
    pub fn word(&self) -> &str {
        &self.0.word
    }

    /// The data, such as the platform's `errcode` and `rid`.
    pub fn data(&self) -> Option<&serde_json::Value> {
        self.0.data.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.word)?;
        for more in [Some(self.0.en.as_ref()).filter(|t| !t.is_empty()), self.0.cause.as_deref()].into_iter().flatten()
        {
            write!(f, ": {more}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Self::internal(e)
    }
}
