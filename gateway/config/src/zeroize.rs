//! JSON that may hold secrets: its strings are wiped from memory when it is dropped.

use secrecy::zeroize::{Zeroize, Zeroizing};
use serde_json::Value;
use std::{
    io,
    ops::{Deref, DerefMut},
};

/// A JSON value, wiped when dropped. It can't be printed.
#[derive(Clone, Default)]
pub struct Zeroized(Value);

/// The JSON of a value, wiped in turn.
pub fn to_json(value: &Value) -> Zeroizing<Vec<u8>> {
    // A buffer that grows would leave its beginnings behind, and one of any other size be longer to wipe.
    let mut length = Length(0);
    let _ = serde_json::to_writer(&mut length, value);
    let mut json = Zeroizing::new(Vec::with_capacity(length.0));
    // A JSON value always has its JSON, and memory takes it.
    let _ = serde_json::to_writer(&mut *json, value);
    json
}

/// Counts what is written to it.
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
        wipe(&mut self.0);
    }
}

/// The depth is bounded by TOML's parser.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_string_is_wiped() {
        let mut value = json!({ "a": "hunter2", "b": [{ "c": "hunter2" }, 3], "d": true });
        wipe(&mut value);
        assert_eq!(value, json!({ "a": "", "b": [{ "c": "" }, 3], "d": true }));
    }

    #[test]
    fn the_json_of_a_value_is_written_into_a_buffer_that_never_grew() {
        let value = json!({ "a": "x".repeat(100_000), "b": ["\n", 1.5, null] });
        let json = to_json(&value);
        assert_eq!(*json, serde_json::to_vec(&value).unwrap());
        assert_eq!(json.capacity(), json.len());
    }
}
