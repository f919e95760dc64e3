//! A JSON body: one object whose names are unique. Parsers disagree about which of two equal names counts.

use super::params::bad_parameter;
use menlou_error::text::Text;
use menlou_error::{Error, codes};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

const REPEATED: &str = "a name is repeated";

/// A JSON object without repeated names at its top level, where the parameters are.
pub struct UniqueNames(pub Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = UniqueNames;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<UniqueNames, A::Error> {
        let mut map = Map::new();
        while let Some((name, value)) = access.next_entry::<String, Value>()? {
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom(REPEATED));
            }
        }
        Ok(UniqueNames(map))
    }
}

/// The error for JSON that is no such object.
pub fn error(e: &serde_json::Error) -> Error {
    match e.to_string().starts_with(REPEATED) {
        true => bad_parameter("有一个参数重复", "A parameter is repeated."),
        false => {
            let text = Text::fixed("请求体应为 JSON 对象", "The body must be a JSON object.");
            Error::new(&codes::BAD_BODY).with_detail(text)
        }
    }
}
