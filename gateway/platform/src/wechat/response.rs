//! Parses WeChat's responses by their bodies alone, and describes WeChat's errors without repeating a secret.

use super::errcodes;
use crate::http::{HttpFailure, HttpResponse};
use crate::platform::PlatformReply;
use http::header::CONTENT_TYPE;
use menlou_error::text::Text;
use menlou_error::{Error, ErrorCode, codes};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Maximum length of a logged `errmsg`, in characters.
const MAX_ERRMSG: usize = 200;
/// Minimum length of the secrets that are masked. To mask shorter strings would garble the text.
const MIN_SECRET_LENGTH: usize = 6;

/// The fields of a successful response.
pub struct ResponseFields(Map<String, Value>);

/// Why a request to WeChat failed.
pub struct WechatError {
    /// WeChat's error code; `None` if there is no response that could be parsed.
    pub errcode: Option<i64>,
    /// The error for the caller.
    pub error: Error,
}

impl From<Error> for WechatError {
    fn from(error: Error) -> Self {
        Self { errcode: None, error }
    }
}

/// The fields of a JSON response. `secrets` are masked in errors.
pub fn parse_json(
    response: Result<HttpResponse, HttpFailure>,
    secrets: &[&str],
) -> Result<ResponseFields, WechatError> {
    let response = response.map_err(|f| Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(f))?;
    let fields = parse_object(&response.body);
    if let Some(fields) = &fields
        && let Some(value) = fields.0.get("errcode").filter(|v| !v.is_null())
    {
        match integer(value) {
            Some(0) => {}
            Some(errcode) => {
                let errmsg = fields.text("errmsg").unwrap_or_default();
                return Err(WechatError { errcode: Some(errcode), error: describe(errcode, errmsg, secrets) });
            }
            None => return Err(unusable("its errcode is not a number").into()),
        }
    }
    match (response.status, fields) {
        (200..=299, Some(fields)) => Ok(fields),
        (200..=299, None) => Err(unusable(&format!("{} bytes that are not a JSON object", response.body.len())).into()),
        (status @ (429 | 500..=599), _) => {
            Err(Error::new(&codes::PLATFORM_BUSY).with_cause(format_args!("HTTP {status}")).into())
        }
        (status, _) => Err(unusable(&format!("HTTP {status}; check base_url")).into()),
    }
}

/// The fields of a JSON response, or the file in another one. WeChat sends errors as JSON under any content type, so a
/// response is a file only if its content type is that of a file and its body does not begin like JSON.
pub fn parse_json_or_file(
    response: Result<HttpResponse, HttpFailure>,
    secrets: &[&str],
) -> Result<PlatformReply, WechatError> {
    if let Ok(response) = &response
        && (200..=299).contains(&response.status)
        && !matches!(response.body.trim_ascii_start().first(), None | Some(b'{'))
        && let Some(content_type) = response.headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok())
        && ["image/", "audio/", "video/", "application/octet-stream", "application/pdf"]
            .iter()
            .any(|kind| content_type.starts_with(kind))
    {
        return Ok(PlatformReply::File { content_type: content_type.to_owned(), body: response.body.clone() });
    }
    let ResponseFields(mut fields) = parse_json(response, secrets)?;
    fields.remove("errcode");
    fields.remove("errmsg");
    Ok(PlatformReply::Fields(fields))
}

/// The error for a response that cannot be used.
pub(super) fn unusable(reason: &str) -> Error {
    Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(HttpFailure::Unusable(reason.to_owned()))
}

/// The same error with another error code and detail.
pub(super) fn with_code(error: Error, code: &'static ErrorCode, text: Text) -> Error {
    let changed = Error::new(code).with_detail(text).with_cause(error.cause().unwrap_or_default());
    match error.data() {
        Some(data) => changed.with_data(data.clone()),
        None => changed,
    }
}

impl ResponseFields {
    /// A string that is not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// An integer, or a string that contains one.
    pub fn integer(&self, name: &str) -> Option<i64> {
        integer(self.0.get(name)?)
    }

    /// The fields of a nested object.
    pub fn object(mut self, name: &str) -> Option<ResponseFields> {
        match self.0.remove(name)? {
            Value::Object(fields) => Some(ResponseFields(fields)),
            _ => None,
        }
    }
}

fn parse_object(body: &[u8]) -> Option<ResponseFields> {
    // serde_json rejects a byte order mark.
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Some(ResponseFields(fields)),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The error for an errcode.
fn describe(errcode: i64, errmsg: &str, secrets: &[&str]) -> Error {
    let (errmsg, rid) = redact(errmsg, secrets);
    let known = errcodes::find(errcode);
    let mut error = Error::new(known.map_or(&codes::PLATFORM_ERROR, |e| e.error));
    if let Some(e) = known {
        if error.is(&codes::TENANT_MISCONFIGURED) {
            let Text { zh, en } = &e.meaning;
            error = error.with_detail(Text::new(
                format!("该小程序的平台配置有误：{zh}（errcode {errcode}）"),
                format!("This mini-program's platform settings are wrong. {en} (errcode {errcode})."),
            ));
        }
        if let Some(wait) = e.retry_after {
            error = error.retry_after(wait);
        }
    }
    let mut data = json!({ "errcode": errcode });
    let mut cause = format!("errcode {errcode}: {errmsg}");
    if let Some(rid) = rid {
        // Writing to a String cannot fail.
        let _ = write!(cause, " (rid {rid})");
        data["rid"] = Value::String(rid);
    }
    error.with_data(data).with_cause(cause)
}

/// An `errmsg` without secrets, and the request id in it: `rid: …`, in older APIs `req_id: …`.
fn redact(errmsg: &str, secrets: &[&str]) -> (String, Option<String>) {
    let mut text = errmsg.to_owned();
    for secret in secrets.iter().filter(|s| s.len() >= MIN_SECRET_LENGTH) {
        text = text.replace(secret, "…");
    }
    let mut rid = None;
    for label in ["rid:", "req_id:"] {
        let Some((before, after)) = text.split_once(label) else { continue };
        let after = after.trim_start();
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(after.len());
        if (1..=64).contains(&end) {
            rid = Some(after[..end].to_owned());
            text = format!("{}{}", before.trim_end_matches([' ', ',']), &after[end..]);
            break;
        }
    }
    (mask(&text), rid)
}

/// The text without control characters and without anything that looks like a code, token, secret or phone number.
fn mask(text: &str) -> String {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || "_-+/=|!".contains(c);
    let mut masked = String::new();
    let mut rest: &str =
        &text.chars().take(MAX_ERRMSG).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|d| is_token_char(d) != is_token_char(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        masked.push_str(if is_token_char(c) && (digits >= 7 || digits > 0 && run.len() >= 16) { "…" } else { run });
        rest = after;
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use proptest::prelude::*;

    fn parse_body(status: u16, body: &[u8]) -> Result<ResponseFields, WechatError> {
        let body = Bytes::copy_from_slice(body);
        parse_json(Ok(HttpResponse { status, headers: HeaderMap::new(), body }), &["hunter2", "code-1"])
    }

    fn failure(status: u16, body: &str) -> WechatError {
        parse_body(status, body.as_bytes()).err().expect("an error")
    }

    #[test]
    fn errcode_may_be_missing_zero_a_number_or_a_string() {
        for body in
            [r#"{"openid":"o"}"#, r#"{"errcode":0}"#, r#"{"errcode":"0"}"#, r#"{"errcode":null}"#, "\u{feff} {}"]
        {
            assert!(parse_body(200, body.as_bytes()).is_ok(), "{body}");
        }
        for body in [r#"{"errcode":40029}"#, r#"{"errcode":"40029"}"#, r#"{"errcode":" 40029 ","openid":"o"}"#] {
            let failure = failure(200, body);
            assert_eq!(failure.errcode, Some(40029));
            assert!(failure.error.is(&codes::INVALID_CODE));
        }
    }

    #[test]
    fn unknown_errcodes_keep_number_and_rid() {
        let failure = failure(200, r#"{"errcode":99999,"errmsg":"new error rid: 63e60657-344dd3ee-28b67950"}"#);
        assert!(failure.error.is(&codes::PLATFORM_ERROR));
        assert_eq!(failure.error.data(), Some(&json!({"errcode":99999,"rid":"63e60657-344dd3ee-28b67950"})));
        assert_eq!(failure.error.cause(), Some("errcode 99999: new error (rid 63e60657-344dd3ee-28b67950)"));
    }

    #[test]
    fn the_older_form_of_the_request_id_is_parsed_too() {
        let failure =
            failure(200, r#"{"errcode":"40029","errmsg":"invalid code, hints: [ req_id: NcbPAA0688s166-Yk ]"}"#);
        assert_eq!(failure.error.data(), Some(&json!({"errcode":40029,"rid":"NcbPAA0688s166-Yk"})));
    }

    #[test]
    fn the_address_that_wechat_saw_is_only_logged() {
        let failure = failure(
            200,
            r#"{"errcode":40164,"errmsg":"invalid ip 10.1.2.3 ipv6 ::ffff:10.1.2.3, not in whitelist rid: 1-2-3"}"#,
        );
        assert!(failure.error.is(&codes::TENANT_MISCONFIGURED));
        assert!(failure.error.cause().is_some_and(|c| c.contains("invalid ip 10.1.2.3 ipv6 ::ffff:10.1.2.3")));
        assert!(!format!("{:?}{:?}", failure.error.meaning(), failure.error.data()).contains("10.1.2.3"));
    }

    #[test]
    fn secrets_in_errmsg_are_masked() {
        let echo = "bad hunter2 for code-1 0a3XzFll2YtKxe4mJvml2dW1Gv1XzFl7 phone 13800138000 60cba6a4d2ea5ee8abcdeffedcba9876 ok";
        let failure = failure(200, &json!({ "errcode": 1, "errmsg": echo }).to_string());
        assert_eq!(failure.error.cause(), Some("errcode 1: bad … for … … phone … … ok"));
        let failure = self::failure(200, r#"{"errcode":1,"errmsg":"rid: hunter2"}"#);
        assert!(!format!("{:?}", failure.error).contains("hunter2"));
    }

    #[test]
    fn without_an_errcode_the_status_decides() {
        for (status, body, code) in [
            (500, "", &codes::PLATFORM_BUSY),
            (502, "<html>", &codes::PLATFORM_BUSY),
            (500, r#"{"errcode":40029}"#, &codes::INVALID_CODE),
            (404, "{}", &codes::PLATFORM_UNREACHABLE),
            (302, "", &codes::PLATFORM_UNREACHABLE),
            (200, "", &codes::PLATFORM_UNREACHABLE),
            (200, "[]", &codes::PLATFORM_UNREACHABLE),
            (200, r#"{"openid":"o"#, &codes::PLATFORM_UNREACHABLE),
            (200, r#"{"errcode":{}}"#, &codes::PLATFORM_UNREACHABLE),
        ] {
            assert!(failure(status, body).error.is(code), "{status} {body}");
        }
    }

    fn parse_as(content_type: &'static str, body: &'static [u8]) -> Result<PlatformReply, WechatError> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
        parse_json_or_file(Ok(HttpResponse { status: 200, headers, body: Bytes::from_static(body) }), &[])
    }

    #[test]
    fn a_file_is_a_file_and_an_error_is_an_error_under_any_content_type() {
        let jpeg = b"\xff\xd8\xff\xe0";
        assert!(matches!(parse_as("image/jpeg", jpeg), Ok(PlatformReply::File { body, .. }) if &body[..] == jpeg));
        let error = br#"{"errcode":41030,"errmsg":"invalid page rid: 1-2-3"}"#;
        for content_type in ["image/jpeg", "text/plain", "application/json"] {
            assert_eq!(parse_as(content_type, error).err().and_then(|r| r.errcode), Some(41030));
        }
        for (content_type, body) in [("text/html", &b"<html>"[..]), ("image/jpeg", b""), ("image/jpeg", b"{\"errco")] {
            assert!(
                parse_as(content_type, body).is_err_and(|r| r.error.is(&codes::PLATFORM_UNREACHABLE)),
                "{content_type}"
            );
        }
    }

    #[test]
    fn fields_that_only_report_success_are_removed() {
        let body = br#"{"errcode":0,"errmsg":"ok","result":{"errcode":0}}"#;
        let Ok(PlatformReply::Fields(fields)) = parse_as("application/json", body) else { panic!("no fields") };
        assert_eq!(Value::Object(fields), json!({ "result": { "errcode": 0 } }));
    }

    proptest! {
        #[test]
        fn no_response_causes_a_panic(status in 100u16..600, body: Vec<u8>) {
            let _ = parse_body(status, &body);
        }

        #[test]
        fn no_errmsg_causes_a_panic_or_reveals_a_secret(before: String, after: String) {
            let body = json!({ "errcode": 5, "errmsg": format!("{before}hunter2{after}") }).to_string();
            let shown = format!("{:?}", failure(200, &body).error);
            prop_assert!(!shown.contains("hunter2"));
        }
    }
}
