//! Reads WeChat's answers, leniently and by their body alone, and words its refusals without repeating a secret.

use super::errcodes;
use crate::http::{HttpFailure, HttpResponse};
use crate::platform::PlatformReply;
use http::header::CONTENT_TYPE;
use menlou_error::text::Text;
use menlou_error::{Error, ErrorCode, codes};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// The longest part of an `errmsg` that reaches the log, in characters.
const MAX_ERRMSG: usize = 200;
/// What is shorter is no secret, and looking for it would garble the text.
const SHORTEST_SECRET: usize = 6;

/// The fields of a successful answer.
pub struct Fields(Map<String, Value>);

/// Why there are none.
pub struct Refusal {
    /// What WeChat refused with; `None` where it did not get so far.
    pub errcode: Option<i64>,
    /// What the caller is told.
    pub error: Error,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { errcode: None, error }
    }
}

/// Reads an answer: its fields, or why there are none. What stands in `secrets` reaches no error.
pub fn read(answer: Result<HttpResponse, HttpFailure>, secrets: &[&str]) -> Result<Fields, Refusal> {
    let answer = answer.map_err(|f| failed(Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(f)))?;
    let fields = object(&answer.body);
    if let Some(fields) = &fields
        && let Some(value) = fields.0.get("errcode").filter(|v| !v.is_null())
    {
        match integer(value) {
            Some(0) => {}
            Some(errcode) => {
                let errmsg = fields.text("errmsg").unwrap_or_default();
                return Err(Refusal { errcode: Some(errcode), error: refused(errcode, errmsg, secrets) });
            }
            None => return Err(failed(unusable("its errcode is no number"))),
        }
    }
    match (answer.status, fields) {
        (200..=299, Some(fields)) => Ok(fields),
        (200..=299, None) => Err(failed(unusable(&format!("{} bytes that are no JSON object", answer.body.len())))),
        (429 | 500..=599, _) => {
            Err(failed(Error::new(&codes::PLATFORM_BUSY).with_cause(format_args!("HTTP {}", answer.status))))
        }
        (status, _) => Err(failed(unusable(&format!("HTTP {status}; is base_url right?")))),
    }
}

/// Reads an answer that may be a picture. Faults come as JSON whatever they are called, so the body decides first; but
/// only what is called a file, and begins like no JSON, is one.
pub fn read_any(answer: Result<HttpResponse, HttpFailure>, secrets: &[&str]) -> Result<PlatformReply, Refusal> {
    if let Ok(answer) = &answer
        && (200..=299).contains(&answer.status)
        && !matches!(answer.body.trim_ascii_start().first(), None | Some(b'{'))
        && let Some(content_type) = answer.headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok())
        && ["image/", "audio/", "video/", "application/octet-stream", "application/pdf"]
            .iter()
            .any(|kind| content_type.starts_with(kind))
    {
        return Ok(PlatformReply::File { content_type: content_type.to_owned(), body: answer.body.clone() });
    }
    let Fields(mut fields) = read(answer, secrets)?;
    fields.remove("errcode");
    fields.remove("errmsg");
    Ok(PlatformReply::Fields(fields))
}

/// What is answered where the platform's answer makes no sense.
pub(super) fn unusable(why: &str) -> Error {
    Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(format_args!("unusable answer: {why}"))
}

/// The same error with another error code and message.
pub(super) fn with_code(error: Error, word: &'static ErrorCode, text: Text) -> Error {
    let ours = Error::new(word).with_message(text).with_cause(error.cause().unwrap_or_default());
    match error.data() {
        Some(data) => ours.with_data(data.clone()),
        None => ours,
    }
}

impl Fields {
    /// A text that is there and not empty.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// A number, also one written as text.
    pub fn integer(&self, name: &str) -> Option<i64> {
        integer(self.0.get(name)?)
    }

    /// The fields of an object within.
    pub fn object(mut self, name: &str) -> Option<Fields> {
        match self.0.remove(name)? {
            Value::Object(fields) => Some(Fields(fields)),
            _ => None,
        }
    }
}

fn object(body: &[u8]) -> Option<Fields> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(Value::Object(fields)) => Some(Fields(fields)),
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

fn failed(error: Error) -> Refusal {
    Refusal { errcode: None, error }
}

fn refused(errcode: i64, errmsg: &str, secrets: &[&str]) -> Error {
    let (errmsg, rid) = clean(errmsg, secrets);
    let known = errcodes::find(errcode);
    let mut error = Error::new(known.map_or(&codes::PLATFORM_ERROR, |e| e.error));
    if let Some(e) = known {
        if error.is(&codes::TENANT_MISCONFIGURED) {
            let Text { zh, en } = &e.meaning;
            error = error.with_message(Text::new(
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
        // Writing to a String can't fail.
        let _ = write!(cause, " (rid {rid})");
        data["rid"] = Value::String(rid);
    }
    error.with_data(data).with_cause(cause)
}

/// An `errmsg` as it may be logged, and the id of the request that stands in it (`rid: …`; of old, `req_id: …`).
fn clean(errmsg: &str, secrets: &[&str]) -> (String, Option<String>) {
    let mut text = errmsg.to_owned();
    for secret in secrets.iter().filter(|s| s.len() >= SHORTEST_SECRET) {
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
    (masked(&text), rid)
}

/// The text without what has the look of a code, a token, a secret or a phone number, and without control characters.
fn masked(text: &str) -> String {
    let of_token = |c: char| c.is_ascii_alphanumeric() || "_-+/=|!".contains(c);
    let mut masked = String::new();
    let mut rest: &str =
        &text.chars().take(MAX_ERRMSG).map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|d| of_token(d) != of_token(c)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        masked.push_str(if of_token(c) && (digits >= 7 || digits > 0 && run.len() >= 16) { "…" } else { run });
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

    fn read_body(status: u16, body: &[u8]) -> Result<Fields, Refusal> {
        let body = Bytes::copy_from_slice(body);
        read(Ok(HttpResponse { status, headers: HeaderMap::new(), body }), &["hunter2", "code-1"])
    }

    fn refusal(status: u16, body: &str) -> Refusal {
        read_body(status, body.as_bytes()).err().expect("refused")
    }

    #[test]
    fn errcode_may_be_missing_zero_number_or_text() {
        for body in
            [r#"{"openid":"o"}"#, r#"{"errcode":0}"#, r#"{"errcode":"0"}"#, r#"{"errcode":null}"#, "\u{feff} {}"]
        {
            assert!(read_body(200, body.as_bytes()).is_ok(), "{body}");
        }
        for body in [r#"{"errcode":40029}"#, r#"{"errcode":"40029"}"#, r#"{"errcode":" 40029 ","openid":"o"}"#] {
            let refusal = refusal(200, body);
            assert_eq!(refusal.errcode, Some(40029));
            assert!(refusal.error.is(&codes::INVALID_CODE));
        }
    }

    #[test]
    fn unknown_errcodes_keep_number_and_rid() {
        let refusal = refusal(200, r#"{"errcode":99999,"errmsg":"new fault rid: 63e60657-344dd3ee-28b67950"}"#);
        assert!(refusal.error.is(&codes::PLATFORM_ERROR));
        assert_eq!(refusal.error.data(), Some(&json!({"errcode":99999,"rid":"63e60657-344dd3ee-28b67950"})));
        assert_eq!(refusal.error.cause(), Some("errcode 99999: new fault (rid 63e60657-344dd3ee-28b67950)"));
    }

    #[test]
    fn the_old_form_of_the_request_id_is_kept_too() {
        let refusal =
            refusal(200, r#"{"errcode":"40029","errmsg":"invalid code, hints: [ req_id: NcbPAA0688s166-Yk ]"}"#);
        assert_eq!(refusal.error.data(), Some(&json!({"errcode":40029,"rid":"NcbPAA0688s166-Yk"})));
    }

    #[test]
    fn the_address_that_wechat_saw_is_for_the_log_only() {
        let refusal = refusal(
            200,
            r#"{"errcode":40164,"errmsg":"invalid ip 10.1.2.3 ipv6 ::ffff:10.1.2.3, not in whitelist rid: 1-2-3"}"#,
        );
        assert!(refusal.error.is(&codes::TENANT_MISCONFIGURED));
        assert!(refusal.error.cause().is_some_and(|c| c.contains("invalid ip 10.1.2.3 ipv6 ::ffff:10.1.2.3")));
        assert!(!format!("{:?}{:?}", refusal.error.text(), refusal.error.data()).contains("10.1.2.3"));
    }

    #[test]
    fn what_errmsg_echoes_is_masked() {
        let echo = "bad hunter2 for code-1 0a3XzFll2YtKxe4mJvml2dW1Gv1XzFl7 phone 13800138000 60cba6a4d2ea5ee8abcdeffedcba9876 ok";
        let refusal = refusal(200, &json!({ "errcode": 1, "errmsg": echo }).to_string());
        assert_eq!(refusal.error.cause(), Some("errcode 1: bad … for … … phone … … ok"));
        let refusal = self::refusal(200, r#"{"errcode":1,"errmsg":"rid: hunter2"}"#);
        assert!(!format!("{:?}", refusal.error).contains("hunter2"));
    }

    #[test]
    fn without_an_errcode_the_status_decides() {
        for (status, body, word) in [
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
            assert!(refusal(status, body).error.is(word), "{status} {body}");
        }
    }

    fn read_called(content_type: &'static str, body: &'static [u8]) -> Result<PlatformReply, Refusal> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, http::HeaderValue::from_static(content_type))]);
        read_any(Ok(HttpResponse { status: 200, headers, body: Bytes::from_static(body) }), &[])
    }

    #[test]
    fn a_picture_is_a_picture_and_a_fault_is_a_fault_whatever_it_is_called() {
        let jpeg = b"\xff\xd8\xff\xe0";
        assert!(matches!(read_called("image/jpeg", jpeg), Ok(PlatformReply::File { body, .. }) if &body[..] == jpeg));
        let fault = br#"{"errcode":41030,"errmsg":"invalid page rid: 1-2-3"}"#;
        for called in ["image/jpeg", "text/plain", "application/json"] {
            assert_eq!(read_called(called, fault).err().and_then(|r| r.errcode), Some(41030));
        }
        for (called, body) in [("text/html", &b"<html>"[..]), ("image/jpeg", b""), ("image/jpeg", b"{\"errco")] {
            assert!(read_called(called, body).is_err_and(|r| r.error.is(&codes::PLATFORM_UNREACHABLE)), "{called}");
        }
    }

    #[test]
    fn what_only_says_that_it_went_well_is_left_out() {
        let body = br#"{"errcode":0,"errmsg":"ok","result":{"errcode":0}}"#;
        let Ok(PlatformReply::Fields(fields)) = read_called("application/json", body) else { panic!("no fields") };
        assert_eq!(Value::Object(fields), json!({ "result": { "errcode": 0 } }));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status in 100u16..600, body: Vec<u8>) {
            let _ = read_body(status, &body);
        }

        #[test]
        fn no_errmsg_makes_it_panic_or_tell_a_secret(before: String, after: String) {
            let body = json!({ "errcode": 5, "errmsg": format!("{before}hunter2{after}") }).to_string();
            let told = format!("{:?}", refusal(200, &body).error);
            prop_assert!(!told.contains("hunter2"));
        }
    }
}
