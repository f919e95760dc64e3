//! The error of an action: an error code, a message in both languages, and data.

use std::{borrow::Cow, fmt};

/// An error that an action returns to the client.
///
/// The gateway's own error codes (`menlou explain` lists them) need no message. An action's own codes do:
/// ```
/// # use menlou_plugin::Error;
/// Error::new("missing_parameter").with_message("缺少参数 code", "The parameter code is missing.");
/// Error::new("not_enough_points").with_message("积分不足", "Not enough points.");
/// ```
/// Operations of the gateway return this type too; `?` passes their errors on to the client unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Error(pub(crate) Box<Parts>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Parts {
    pub(crate) code: Cow<'static, str>,
    pub(crate) zh: Cow<'static, str>,
    pub(crate) en: Cow<'static, str>,
    pub(crate) data: Option<serde_json::Value>,
    pub(crate) cause: Option<String>,
}

/// The result of an action or of an operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error with this error code, which must match `[a-z0-9_]{1,64}`.
    pub fn new(code: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { code: code.into(), zh: "".into(), en: "".into(), data: None, cause: None }))
    }

    /// A bug in the action, or an unexpected condition. The client receives `plugin_failed`; the cause is only logged.
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

    /// Sets the message for users, in Chinese and in English. With an error code of the gateway that is for developers, such
    /// as `missing_parameter`, the text becomes `data.detail` of the response, and users see the gateway's message.
    pub fn with_message(mut self, zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        (self.0.zh, self.0.en) = (zh.into(), en.into());
        self
    }

    /// Sets the `data` of the response; it must be a JSON object.
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

    /// The error code. An action may handle an error of an operation that it expects.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use serde_json::Map;
    ///
    /// async fn check(call: &Call, _: ()) -> Result<()> {
    ///     match call.platform("POST", "/wxa/msg_sec_check", &Map::new()).await {
    ///         Err(e) if e.code() == "platform_busy" => Ok(()), // check it later
    ///         other => other.map(drop),
    ///     }
    /// }
    ///
    /// let host = Host::new().platform_error("/wxa/msg_sec_check", "platform_busy", json!({}));
    /// assert_eq!(host.run(Action::new("check", check), json!({})).error, None);
    /// ```
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The data, for example the platform's `errcode` and `rid`.
    pub fn data(&self) -> Option<&serde_json::Value> {
        self.0.data.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.code)?;
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
