//! Parameters of a request path.

use axum::extract::{RawPathParams, rejection::RawPathParamsRejection};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use std::collections::BTreeMap;

/// The parameters as axum extracts them; an error if the path is not UTF-8.
pub type RawParams = std::result::Result<RawPathParams, RawPathParamsRejection>;

/// The parameters by name, percent-decoded.
pub struct PathParams(BTreeMap<String, String>);

impl PathParams {
    /// Reads the extracted parameters.
    ///
    /// # Errors
    /// `bad_parameter` if the path is not UTF-8.
    pub fn parse(raw: RawParams) -> Result<Self> {
        let text = Text::fixed("地址不是 UTF-8", "the path is not UTF-8");
        let raw = raw.map_err(|_| Error::new(&codes::BAD_PARAMETER).with_message(text))?;
        Ok(Self(raw.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }

    /// The value of a parameter; empty if the route has no such parameter.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}
