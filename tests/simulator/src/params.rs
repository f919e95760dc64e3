//! The parameters of a control call: the query, and a JSON object in the body where there is one.

use serde_json::{Map, Value};

/// Named parameters; each is taken once, so that what is left over is known to be unknown.
pub(crate) struct Params(Map<String, Value>);

impl Params {
    /// From a query string and a body; a name in both is taken from the body.
    ///
    /// # Errors
    /// A text for people if the body is neither empty nor a JSON object.
    pub(crate) fn parse(query: &str, body: &[u8]) -> Result<Self, String> {
        let mut params: Map<String, Value> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
            .collect();
        if !body.is_empty() {
            match serde_json::from_slice(body) {
                Ok(Value::Object(object)) => params.extend(object),
                _ => return Err("the body is not a JSON object".to_owned()),
            }
        }
        Ok(Self(params))
    }

    /// The raw value under this name, as its type was given.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A text; a number is taken as its digits, an empty text as absent.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.len() <= 1024 => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{name} is not a text of at most 1024 bytes")),
        }
    }

    /// A text that must be there.
    pub(crate) fn required(&mut self, name: &str) -> Result<String, String> {
        self.text(name)?.ok_or_else(|| format!("{name} is missing"))
    }

    /// A whole number.
    pub(crate) fn number<N: std::str::FromStr>(&mut self, name: &str) -> Result<Option<N>, String> {
        self.text(name)?
            .map(|text| {
                let number = text.parse();
                number.map_err(|_| format!("{name} is not a number in its range"))
            })
            .transpose()
    }

    /// Yes or no: `true`, `false`, `1` or `0`; no if absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(text)) if text == "true" || text == "1" => Ok(true),
            Some(Value::String(text)) if text == "false" || text == "0" => Ok(false),
            Some(_) => Err(format!("{name} is neither true nor false")),
        }
    }

    /// That nothing is left over.
    ///
    /// # Errors
    /// A text that names the parameters which no one asked for.
    pub(crate) fn done(self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.0.keys().map(String::as_str).collect();
        Err(format!("unknown parameters: {}", names.join(", ")))
    }
}
