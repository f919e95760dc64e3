//! Deserialisation of request parameters into the action's type.

use crate::{Error, Result, ffi};
use menlou_abi::{MENLOU_PARAM_JSON, menlou_param};
use serde::de::{
    DeserializeOwned, Deserializer, IntoDeserializer, Visitor,
    value::{MapDeserializer, StrDeserializer},
};

/// One parameter: plain text or JSON text.
#[derive(Clone, Copy)]
pub(crate) struct Param<'a> {
    pub name: &'a str,
    pub value: &'a str,
    pub json: bool,
}

impl<'a> Param<'a> {
    /// # Safety
    /// The text of the parameter is valid for `'a` and is UTF-8, which the gateway guarantees.
    pub unsafe fn borrow(param: &menlou_param) -> Self {
        // SAFETY: the caller's contract.
        unsafe {
            Self { name: ffi::text(param.name), value: ffi::text(param.value), json: param.kind == MENLOU_PARAM_JSON }
        }
    }
}

/// Deserialises the parameters into `P`. Text is parsed as a number or a boolean if `P` has one.
pub(crate) fn read<'a, P: DeserializeOwned>(params: impl Iterator<Item = Param<'a>>) -> Result<P> {
    if size_of::<P>() == 0
        && let Ok(nothing) =
            P::deserialize(().into_deserializer() as serde::de::value::UnitDeserializer<serde_json::Error>)
    {
        return Ok(nothing); // `P` is `()`: parameters are ignored
    }
    let map = MapDeserializer::new(params.map(|p| (p.name, Value(p))));
    serde_path_to_error::deserialize(map).map_err(|e| {
        let (name, reason) = (e.path().to_string(), e.inner().to_string());
        if let Some(field) = reason.strip_prefix("missing field `").and_then(|r| r.split('`').next()) {
            return Error::new("missing_parameter")
                .with_message(format!("缺少参数 {field}"), format!("The parameter {field} is missing."));
        }
        Error::new("bad_parameter").with_message(
            format!("参数 {name} 无效"),
            format!("The parameter {name} is invalid: {}.", without_value(&reason)),
        )
    })
}

/// serde's `invalid type: string "…", expected i64` without the value, which may be a password.
fn without_value(message: &str) -> String {
    match message.rfind("expected ") {
        Some(at) => message[at..].to_owned(),
        None => "malformed value".to_owned(),
    }
}

struct Value<'a>(Param<'a>);

impl<'de> IntoDeserializer<'de, serde_json::Error> for Value<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Self::Error> {
            match self.0.value.parse::<$type>() {
                Ok(number) if !self.0.json => visitor.$visit(number),
                _ => self.deserialize_any(visitor),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Value<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Self::Error> {
        if self.0.json {
            // Via an owned value, because the text is borrowed for less than 'de.
            serde_json::from_str::<serde_json::Value>(self.0.value)?.deserialize_any(visitor)
        } else {
            visitor.visit_str(self.0.value)
        }
    }

    numbers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64,
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64,
        deserialize_f32 visit_f32 f32, deserialize_f64 visit_f64 f64
    );

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Self::Error> {
        match self.0.value {
            "1" | "true" => visitor.visit_bool(true),
            "0" | "false" => visitor.visit_bool(false),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        if self.0.json {
            serde_json::from_str::<serde_json::Value>(self.0.value)?.deserialize_enum(name, variants, visitor)
        } else {
            visitor.visit_enum(StrDeserializer::<Self::Error>::new(self.0.value))
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct TestParams {
        name: String,
        count: i64,
        ratio: Option<f64>,
        unbind: bool,
        kind: Colour,
        more: Option<serde_json::Value>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Colour {
        #[default]
        Red,
        Green,
    }

    fn text<'a>(name: &'a str, value: &'a str) -> Param<'a> {
        Param { name, value, json: false }
    }

    fn json<'a>(name: &'a str, value: &'a str) -> Param<'a> {
        Param { name, value, json: true }
    }

    #[test]
    fn text_and_json_are_converted_to_the_types_of_the_action() {
        let got: TestParams = read(
            [
                text("name", "12"),
                text("count", "-3"),
                json("ratio", "0.5"),
                text("unbind", "1"),
                text("kind", "green"),
                json("more", r#"{"a":[1]}"#),
                text("unknown", "ignored"),
            ]
            .into_iter(),
        )
        .unwrap();
        let expected = TestParams {
            name: "12".into(),
            count: -3,
            ratio: Some(0.5),
            unbind: true,
            kind: Colour::Green,
            more: Some(serde_json::json!({"a": [1]})),
        };
        assert_eq!(got, expected);
    }

    #[test]
    fn an_error_names_the_parameter_without_its_value() {
        for param in [text("count", "s3cret"), json("name", "[\"s3cret\"]"), text("kind", "s3cret"), json("count", "{")]
        {
            let e = read::<TestParams>([param].into_iter()).unwrap_err();
            assert_eq!(e.code(), "bad_parameter");
            assert!(e.0.en.contains(param.name), "{e}");
            assert!(!e.to_string().contains("s3cret"), "{e}");
        }
    }

    #[test]
    fn an_error_names_the_missing_parameter() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its absence matters")]
        struct CodeParams {
            code: String,
        }
        let e = read::<CodeParams>(std::iter::empty()).unwrap_err();
        assert_eq!((e.code(), e.0.zh.as_ref()), ("missing_parameter", "缺少参数 code"));
    }

    #[test]
    fn unit_ignores_all_parameters() {
        read::<()>([text("a", "b")].into_iter()).unwrap();
    }
}
