//! Texts for people, in Chinese and English.

use std::borrow::Cow;

/// A supported language. Chinese is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// 简体中文.
    #[default]
    Zh,
    /// English.
    En,
}

impl Language {
    /// The language preferred by an `Accept-Language` header (RFC 9110, section 12.5.4); Chinese if it names neither.
    pub fn from_accept_language(header: &str) -> Self {
        let mut best = (Self::Zh, 0.0_f32);
        for range in header.split(',').take(16) {
            let mut parts = range.split(';');
            let tag = parts.next().unwrap_or_default().trim();
            let language = match tag.split('-').next().unwrap_or_default() {
                t if t.eq_ignore_ascii_case("zh") => Self::Zh,
                t if t.eq_ignore_ascii_case("en") => Self::En,
                _ => continue,
            };
            let quality =
                parts.find_map(|p| p.trim().strip_prefix("q=")).map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
            if quality > best.1 {
                best = (language, quality);
            }
        }
        best.0
    }

    /// The operator's language, from `MENLOU_LANG`, `LC_ALL` or `LANG`, in this order: Chinese if the value starts with
    /// `zh`, otherwise English.
    pub fn for_operator() -> Self {
        let set = ["MENLOU_LANG", "LC_ALL", "LANG"]
            .iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()));
        match set {
            Some(v) if v.starts_with("zh") => Self::Zh,
            _ => Self::En,
        }
    }

    /// The language tag in headers and in the plugin ABI: `zh` or `en`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

/// One text in both languages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// 中文.
    pub zh: Cow<'static, str>,
    /// English.
    pub en: Cow<'static, str>,
}

impl Text {
    /// A constant text.
    pub const fn fixed(zh: &'static str, en: &'static str) -> Self {
        Self { zh: Cow::Borrowed(zh), en: Cow::Borrowed(en) }
    }

    /// A text composed at run time.
    pub fn new(zh: impl Into<Cow<'static, str>>, en: impl Into<Cow<'static, str>>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// The text in `language`.
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_unless_english_is_preferred() {
        for (header, language) in [
            ("", Language::Zh),
            ("fr", Language::Zh),
            ("en", Language::En),
            ("en-US,en;q=0.9,zh-CN;q=0.8", Language::En),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Zh),
            ("zh;q=0.1, EN;q=0.5", Language::En),
            ("en;q=0", Language::Zh),
            ("en;q=nonsense", Language::Zh),
        ] {
            assert_eq!(Language::from_accept_language(header), language, "{header}");
        }
    }
}
