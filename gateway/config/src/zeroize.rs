//! JSON values that may contain secrets: their strings are zeroized on drop.

use secrecy::zeroize::{Zeroize, Zeroizing};
use serde_json::Value;
use std::{
    io,
    ops::{Deref, DerefMut},
};

/// A JSON value that is zeroized on drop. It cannot be printed.
#[derive(Clone, Default)]
pub struct Zeroized(Value);

/// Serialises a value into a buffer that is zeroized on drop.
pub fn to_json(value: &Value) -> Zeroizing<Vec<u8>> {
    // Measure first: a growing buffer would leave copies in freed memory, and a larger buffer takes longer to zeroize.
    let mut length = Length(0);
    let _ = serde_json::to_writer(&mut length, value);
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    // Serialising a JSON value into memory cannot fail.
    let _ = serde_json::to_writer(&mut *json, value);
    json
}

/// Counts the bytes written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0 += part.len();
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Value> for Zeroized {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Deref for Zeroized {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Zeroized {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl Drop for Zeroized {
    fn drop(&mut self) {
        zeroize(&mut self.0);
    }
}

/// Zeroizes all strings. The recursion depth is bounded by the TOML parser.
fn zeroize(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(zeroize),
        Value::Object(fields) => fields.values_mut().for_each(zeroize),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_string_is_zeroized() {
        let mut value = json!({ "a": "hunter2", "b": [{ "c": "hunter2" }, 3], "d": true });
        zeroize(&mut value);
        assert_eq!(value, json!({ "a": "", "b": [{ "c": "" }, 3], "d": true }));
    }

    #[test]
    fn to_json_writes_into_a_buffer_that_never_grows() {
        let value = json!({ "a": "x".repeat(100_000), "b": ["\n", 1.5, null] });
        let json = to_json(&value);
        assert_eq!(*json, serde_json::to_vec(&value).unwrap());
        assert_eq!(json.capacity(), json.len());
    }
}
