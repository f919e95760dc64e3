//! Rules that hold for parameters wherever they come from: query, form or JSON.

use menlou_call::{MAX_PARAM_NAME, Params};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};

/// Removes empty values, which count as absent. A value with a NUL is refused: databases and C disagree about it.
pub fn remove_empty(params: &mut Params) -> Result<()> {
    params.as_map_mut().retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    match params.as_map().values().any(|value| value.as_str().is_some_and(|text| text.contains('\0'))) {
        true => Err(bad_parameter("有一个参数含有 NUL 字符", "A parameter contains a NUL character.")),
        false => Ok(()),
    }
}

/// The value of a parameter that has to be there.
///
/// # Errors
/// The parameter is absent or empty.
pub fn required(name: &str, value: Option<String>) -> Result<String> {
    match value {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Error::new(&codes::MISSING_PARAMETER)
            .with_detail(Text::new(format!("缺少参数 {name}"), format!("The parameter {name} is missing.")))),
    }
}

/// An error with a message of its own.
pub fn bad_parameter(zh: &'static str, en: &'static str) -> Error {
    Error::new(&codes::BAD_PARAMETER).with_detail(Text::fixed(zh, en))
}

/// Checks the name of a parameter. Its length counts in characters, as in JSON Schema.
pub fn check_name(name: &str) -> Result<()> {
    match name.is_empty() {
        true => Err(bad_parameter("有一个参数没有名称", "A parameter has no name.")),
        false if name.chars().nth(MAX_PARAM_NAME).is_none() => Ok(()),
        false => Err(bad_parameter(
            "有一个参数的名称过长（至多 64 个字符）",
            "A parameter's name is too long (64 characters at most).",
        )),
    }
}
