//! Texts in Chinese and English, as the admin API returns them.

use menlou_error::text::Text;
use schemars::JsonSchema;
use serde::Serialize;

/// A text in Chinese and English.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BilingualText {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

impl From<&Text> for BilingualText {
    fn from(text: &Text) -> Self {
        Self { zh: text.zh.clone().into_owned(), en: text.en.clone().into_owned() }
    }
}

/// Both languages on one line, for titles and code comments.
pub(crate) fn on_one_line(text: &Text) -> String {
    match (text.zh.is_empty(), text.en.is_empty()) {
        (true, _) => text.en.to_string(),
        (_, true) => text.zh.to_string(),
        _ => format!("{} · {}", text.zh, text.en),
    }
}
