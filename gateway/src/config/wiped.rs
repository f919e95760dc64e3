//! JSON that may hold secrets: its strings are wiped from memory when it is dropped.

use secrecy::zeroize::{Zeroize, Zeroizing};
use serde_json::Value;
use std::ops::{Deref, DerefMut};

/// Most settings are shorter in JSON. Longer ones leave the beginnings behind where the buffer grew.
const ROOM: usize = 16 * 1024;

/// A JSON value, wiped when dropped. It can't be printed.
#[derive(Clone, Default)]
pub struct Wiped(Value);

/// The JSON of a value, wiped in turn.
pub fn to_json(value: &Value) -> Zeroizing<Vec<u8>> {
    let mut json = Zeroizing::new(Vec::with_capacity(ROOM));
    // A JSON value always has its JSON, and memory takes it.
    let _ = serde_json::to_writer(&mut *json, value);
    json
}

impl From<Value> for Wiped {
    fn from(value: Value) -> Self {
        Self(value)
    }
}

impl Deref for Wiped {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl Drop for Wiped {
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
}
