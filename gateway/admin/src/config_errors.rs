//! Errors in tenant files, as the admin API and the console report them.

use menlou_config::{config_error::ConfigError, load::Document};
use menlou_error::text::{Language, Text};
use menlou_error::{Error, admin_codes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An error in a tenant file.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfigErrorBody {
    /// 1-based line; null if the error concerns the complete file.
    pub line: Option<usize>,
    /// 1-based column, in characters.
    pub column: Option<usize>,
    /// The setting, as an RFC 6901 pointer; null if unknown.
    pub pointer: Option<String>,
    /// The error message in Chinese.
    pub zh: String,
    /// The error message in English.
    pub en: String,
}

impl ConfigErrorBody {
    /// The error message.
    pub fn text(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

/// Converts errors. `document` is the parsed file, if it could be parsed; it supplies the pointers.
pub(crate) fn error_bodies(errors: &[ConfigError], document: Option<&Document>) -> Vec<ConfigErrorBody> {
    let body = |error: &ConfigError| {
        let Text { zh, en } = &error.text;
        let (line, column) = error.position().unzip();
        let pointer = document.and_then(|document| document.pointer_of(error));
        ConfigErrorBody { line, column, pointer, zh: zh.clone().into_owned(), en: en.clone().into_owned() }
    };
    errors.iter().map(body).collect()
}

/// The error `tenant_faulty` with these errors as data.
pub(crate) fn tenant_faulty(errors: Vec<ConfigErrorBody>) -> Error {
    Error::new(&admin_codes::TENANT_FAULTY).with_data(as_error_data(errors))
}

/// The `data` of an error response that lists errors of a tenant file.
pub(crate) fn as_error_data(errors: Vec<ConfigErrorBody>) -> Value {
    json!({ "faults": errors })
}

/// The errors that [`as_error_data`] stored in an error.
pub(crate) fn from_error_data(error: &Error) -> Vec<ConfigErrorBody> {
    let listed = error.data().and_then(|data| data.get("faults")).cloned();
    listed.and_then(|errors| serde_json::from_value(errors).ok()).unwrap_or_default()
}
