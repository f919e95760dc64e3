//! The fields of a WeChat request: those of the client, checked by type, and those that the tenant fixed.

use menlou_plugin::{Error, Result};
use serde_json::{Map, Value};

/// One field of a named request.
pub(crate) struct Field {
    pub name: &'static str,
    pub required: bool,
    pub kind: FieldKind,
}

/// The type of a field.
pub(crate) enum FieldKind {
    /// At most this many characters.
    Text {
        max_chars: usize,
    },
    /// The `scene` of a QR code: 1 to 32 of the characters that WeChat accepts.
    Scene,
    Integer {
        min: i64,
        max: i64,
    },
    Flag,
    Object,
    OneOf(&'static [&'static str]),
}

/// The fields of a named request. A field that the tenant fixed has precedence over the client's.
pub(crate) fn read(
    fields: &[Field],
    mut params: Map<String, Value>,
    fixed: &Map<String, Value>,
) -> Result<Map<String, Value>> {
    let mut read = Map::new();
    for field in fields {
        match fixed.get(field.name).cloned().or_else(|| params.remove(field.name)) {
            Some(value) => {
                let value = field.kind.convert(value).ok_or_else(|| invalid(field.name, &field.kind))?;
                read.insert(field.name.to_owned(), value);
            }
            None if field.required => return Err(missing(field.name)),
            None => {}
        }
    }
    Ok(read)
}

/// The client's parameters for a request by path: those that the tenant lists, or all.
pub(crate) fn filter(mut params: Map<String, Value>, listed: Option<&[String]>) -> Result<Map<String, Value>> {
    if let Some(listed) = listed {
        params.retain(|name, _| listed.contains(name));
    }
    if params.contains_key("access_token") {
        let (zh, en) =
            ("参数 access_token 不能由客户端提供", "The parameter access_token must not be sent by clients.");
        return Err(Error::new("bad_parameter").with_message(zh, en));
    }
    Ok(params)
}

impl FieldKind {
    /// The value in the type that WeChat expects. Text of a form is parsed as a number, a boolean or an object.
    pub fn convert(&self, value: Value) -> Option<Value> {
        match (self, value) {
            (Self::Text { max_chars }, Value::String(text)) => {
                (text.chars().count() <= *max_chars).then(|| text.into())
            }
            (Self::Scene, Value::String(text)) => {
                let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$&'()*+,/:;=?@-._~".contains(&b);
                ((1..=32).contains(&text.len()) && text.bytes().all(fits)).then(|| text.into())
            }
            (Self::Integer { min, max }, value) => {
                let number = value.as_i64().or_else(|| value.as_str()?.parse().ok())?;
                (*min..=*max).contains(&number).then(|| number.into())
            }
            (Self::Flag, Value::Bool(flag)) => Some(flag.into()),
            (Self::Flag, Value::String(text)) => match text.as_str() {
                "true" | "1" => Some(true.into()),
                "false" | "0" => Some(false.into()),
                _ => None,
            },
            (Self::Object, object @ Value::Object(_)) => Some(object),
            (Self::Object, Value::String(text)) => serde_json::from_str(&text).ok().filter(Value::is_object),
            (Self::OneOf(all), Value::String(text)) => all.contains(&text.as_str()).then(|| text.into()),
            _ => None,
        }
    }

    /// The expected value, in Chinese and in English.
    pub fn expected(&self) -> (String, String) {
        match self {
            Self::Text { max_chars } => {
                (format!("应为至多 {max_chars} 个字符的文本"), format!("a text of at most {max_chars} characters"))
            }
            Self::Scene => (
                "应为 1 到 32 个数字、英文字母或 !#$&'()*+,/:;=?@-._~".into(),
                "1 to 32 digits, letters or !#$&'()*+,/:;=?@-._~".into(),
            ),
            Self::Integer { min, max } => {
                (format!("应为 {min} 到 {max} 的整数"), format!("an integer from {min} to {max}"))
            }
            Self::Flag => ("应为 true 或 false".into(), "true or false".into()),
            Self::Object => ("应为 JSON 对象".into(), "a JSON object".into()),
            Self::OneOf(all) => (format!("应为 {} 之一", all.join("、")), format!("one of {}", all.join(", "))),
        }
    }
}

fn missing(name: &str) -> Error {
    Error::new("missing_parameter")
        .with_message(format!("缺少参数 {name}"), format!("The parameter {name} is missing."))
}

fn invalid(name: &str, kind: &FieldKind) -> Error {
    let (zh, en) = kind.expected();
    Error::new("bad_parameter")
        .with_message(format!("参数 {name} 无效：{zh}"), format!("The parameter {name} must be {en}."))
}
