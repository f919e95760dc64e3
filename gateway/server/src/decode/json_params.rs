//! A JSON body: one object whose names stand once each. Parsers differ on which of two equal names counts.

use super::bad;
use menlou_error::text::Text;
use menlou_error::{Error, codes};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

const TWICE: &str = "a name stands twice";

/// A JSON object without repeated names (at its top level, where parameters are).
pub struct Unique(pub Map<String, Value>);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Unique, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom(TWICE));
            }
        }
        Ok(Unique(map))
    }
}

/// The error for JSON that is no such object.
pub fn refusal(e: &serde_json::Error) -> Error {
    match e.to_string().starts_with(TWICE) {
        true => bad("有一个参数重复", "A parameter stands more than once."),
        false => {
            let text = Text::fixed("请求体应为 JSON 对象", "The body must be a JSON object.");
            Error::new(&codes::BAD_BODY).with_message(text)
        }
    }
}
