//! What an action answers where it can't do what was asked: a word, a sentence in both languages, some data.

use std::{borrow::Cow, fmt};

/// Why an action didn't do what was asked.
///
/// The gateway's own words (`menlou explain` lists them) need no sentence; those of the action's own do:
/// ```
/// # use menlou_plugin::Error;
/// Error::new("missing_parameter").with_message("缺少参数 code", "The parameter code is missing.");
/// Error::new("not_enough_points").with_message("积分不足", "Not enough points.");
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
    /// An error with this word, `[a-z0-9_]+`, at most 64 of them.
    pub fn new(word: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { word: word.into(), zh: "".into(), en: "".into(), data: None, cause: None }))
    }

    /// A mistake in the action itself: the caller learns only `plugin_failed`, the log gets the cause.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn odd(_: &Call, _: ()) -> Result<()> {
    ///     let count: i64 = "many".parse().map_err(Error::internal)?;
    ///     assert_eq!(count, 1);
    ///     Ok(())
    /// }
    ///
    /// let host = Host::new();
    /// assert_eq!(host.run(Action::new("odd", odd), json!({})).error.as_deref(), Some("plugin_failed"));
    /// assert_eq!(host.logs(), ["the action failed cause=invalid digit found in string"]);
    /// ```
    pub fn internal(cause: impl fmt::Display) -> Self {
        let mut error = Self::new("plugin_failed");
        error.0.cause = Some(cause.to_string());
        error
    }

    /// The sentence for people, in Chinese and English.
    pub fn with_message(mut self, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        (self.0.zh, self.0.en) = (zh.into(), en.into());
        self
    }

    /// What the caller gets as `data`; a JSON object.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn pay(_: &Call, _: ()) -> Result<()> {
    ///     let short = Error::new("not_enough_points").with_message("积分不足", "Not enough points.");
    ///     Err(short.with_data(json!({ "needed": 100, "left": 7 })))
    /// }
    ///
    /// let reply = Host::new().run(Action::new("pay", pay), json!({}));
    /// assert_eq!(reply.data["left"], 7);
    /// assert_eq!(reply.msg, Some(("积分不足".into(), "Not enough points.".into())));
    /// ```
    pub fn with_data(mut self, data: serde_json::Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// The word; also of errors of the gateway's services, so that an action can go on where it expects one.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use serde_json::Map;
    ///
    /// async fn check(call: &Call, _: ()) -> Result<()> {
    ///     match call.platform("POST", "/wxa/msg_sec_check", &Map::new()).await {
    ///         Err(busy) if busy.code() == "platform_busy" => Ok(()), // checked later
    ///         other => other.map(drop),
    ///     }
    /// }
    ///
    /// let host = Host::new().platform_error("/wxa/msg_sec_check", "platform_busy", json!({}));
    /// assert_eq!(host.run(Action::new("check", check), json!({})).error, None);
    /// ```
    pub fn code(&self) -> &str {
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
