//! The parameters of a control request: the query and an optional JSON object in the body.

use serde_json::{Map, Value};

/// Named parameters. Reading a parameter removes it, so that the remaining ones are unknown.
pub(crate) struct Params(Map<String, Value>);

impl Params {
    /// Reads a query string and a body. The body takes precedence.
    ///
    /// # Errors
    /// A message if the body is neither empty nor a JSON object.
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

    /// The raw value of this parameter.
    pub(crate) fn value(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    /// A string. A number is converted to a string. An empty string counts as absent.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.len() <= 1024 => Ok(Some(text)),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(format!("{name} is not a string of at most 1024 bytes")),
        }
    }

    /// A mandatory string.
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

    /// A flag: `true`, `false`, `1` or `0`. The default is false.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, String> {
        match self.value(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(Value::String(text)) if text == "true" || text == "1" => Ok(true),
            Some(Value::String(text)) if text == "false" || text == "0" => Ok(false),
            Some(_) => Err(format!("{name} is neither true nor false")),
        }
    }

    /// Checks that no parameter is left.
    ///
    /// # Errors
    /// A message that names the unknown parameters.
    pub(crate) fn finish(self) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.0.keys().map(String::as_str).collect();
        Err(format!("unknown parameters: {}", names.join(", ")))
    }
}
