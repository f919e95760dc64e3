//! Decoded form bodies and queries.

use form_urlencoded::parse;
use secrecy::zeroize::Zeroizing;

/// The fields of a form or a query, in order. Values are zeroized when dropped, because they may contain secrets.
#[derive(Default)]
pub struct FormData(Vec<(String, Zeroizing<String>)>);

impl FormData {
    /// Decodes `application/x-www-form-urlencoded`.
    pub fn parse(encoded: &[u8]) -> Self {
        Self(parse(encoded).map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect())
    }

    /// The first value of a field; empty if there is none.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The first value of a field.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a multi-line field with LF line ends; browsers send CR LF.
    pub fn lines(&self, name: &str) -> Zeroizing<String> {
        Zeroizing::new(self.get(name).replace("\r\n", "\n"))
    }
}
